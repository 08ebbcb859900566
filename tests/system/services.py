#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""services.py - cut the power of a host whose guest serves the world

The guest has a disk on storage that both hosts see and a network card.  It
answers TCP and UDP, writes accounted records to the raw disk and tells the
world of each, and counts on its console.  One cut proves all of it: no
connection breaks, no reply is wrong, lost or contradicted, every record that
the world was told of is on the disk and known to the guest, and what reached
the storage before the cut is known to the guest that goes on (INV-1, INV-2,
INV-33, INV-34).  With --programs all it also has an ext4 on shared storage, on
which fio verifies what it wrote and redis counts for the client: every
acknowledged count is there, and after a clean stop the file system is clean.
"""

import os
import random
import shutil
import sys
import time

import drill
import labkit as k
import programs
import workloads as w

NAME = "s"
DISK = "records"
DISK_SIZE = "16M"
FILES = "files"			# with --programs: fio and redis
WORK = os.path.join(k.ROOT, "build", "check", "services")
MIN_ANSWERS = 100		# fewer prove nothing
# What two emulated hosts can serve while each output waits for its commit.
CLIENT = ("--disk", str(w.DISK_PORT), "--connections", "8", "--rate", "1",
          "--probe-ms", "200")
PROBE_MS = 10			# once the power is cut
ON_S = 4			# how long it is watched on host b
PARAMETERS = "/sys/module/kemari_gate/parameters"
LOOP = "/dev/loop7"		# on top of the disk, with --buffered-loop
# Negative drills: by whom the violation has to be found.
FINDERS = {"buffered_loop": ("durable",), "unsafe_no_fence": ("fence",),
           "unsafe_no_order": ("guest", "durable")}


def attach(disk, number):
    """A disk of the storage, as the same device of both hosts."""
    for host in "ab":
        k.on(host, "san-detach /dev/nbd%d 2>/dev/null; "
                   "san-attach %s /dev/nbd%d" % (number, disk, number))


def buffered_loop():
    """The records' disk behind a page cache that dies with its host."""
    for host in "ab":
        k.on(host, "losetup %s /dev/nbd0" % LOOP)
        if k.on(host, "cat /sys/block/loop7/loop/dio") != "0":
            raise k.DrillError("%s of host %s has direct I/O" % (LOOP, host))
    return LOOP


def make_disks(opts):
    """Lines for labkit.create(): disks and network card."""
    for host in "ab":
        k.lab("unfence", host)
        k.lab("san-delay", host, "write=0", "flush=0")
        k.rc(host, "losetup -d " + LOOP)
    k.lab("disk", DISK, DISK_SIZE)
    attach(DISK, 0)
    disks = [buffered_loop() if opts.buffered_loop else "/dev/nbd0"]
    if opts.programs:
        programs.make_disk(FILES, fio=opts.programs == "all")
        attach(FILES, 1)
        disks.append("/dev/nbd1")
    return w.devices(["phy:%s,xvd%s,w" % x for x in zip(disks, "ab")])


def start_guest(opts, more=""):
    """The guest on host a, and its client."""
    image = os.path.join(WORK, "guest.img")
    w.services_image(image)
    args = "ip=%s serve=1 disk=xvda count=1 ms=200 mb=8 kmsg=1 " \
        "writers=%d every=%d %s" % (w.GUEST, w.WRITERS, opts.every_ms, more)
    if opts.programs:
        args += " " + programs.args("xvdb", fio=opts.programs == "all")
    k.create("a", NAME, image, vcpus=opts.vcpus, args=args,
             memory=programs.MEMORY[opts.programs == "all"],
             devices=make_disks(opts))
    return w.Client(os.path.join(WORK, "client"), args=CLIENT + (
        programs.CLIENT_ARGS if opts.programs else ()))


def weaken(what):
    """For the negative drills: the gate of host a is not what it should be."""
    for name in ("unsafe_no_fence", "unsafe_no_order"):
        k.on("a", "echo %s >%s/%s" % ("Y" if name == what else "N",
                                      PARAMETERS, name))


def slow_backend():
    """Whoever else wants host a's CPU has it before the disk's backend, and
    somebody does: it sees its ring as the guest has filled it meanwhile."""
    k.on("a", "renice -n 19 -p $(grep -l '[.]xvda-' /proc/[0-9]*/comm |"
              " cut -d / -f 3)")
    k.daemon("a", "/dev/null", ["timeout", "150", "sh", "-c",
                                "while :; do :; done"])


def weakened(opts):
    return "buffered_loop" if opts.buffered_loop else opts.weaken or ""


def found_by_its_judge(opts, problems):
    """What else a weakened drill breaks proves nothing."""
    finders = FINDERS.get(weakened(opts))
    if opts.expect == "violation" and finders and problems and not any(
            p.split(":")[0] in finders for p in problems):
        raise k.DrillError("not found by %s, but: %s" % (
            " or ".join(finders), "; ".join(problems)))


def answers(client):
    return sum(1 for e in client.events() if e["ev"] in ("tcp", "udp"))


def cut_power(opts):
    """Link and power of host a go; (moment of the first, the disk as it was
    when nothing of host a could reach it any more)."""
    cut = None
    if opts.link_first:
        cut = time.monotonic_ns()
        k.lab("cut", "repl", "a")
        time.sleep(0.8)
    # Returns when host a and its storage server are gone.
    power = int(k.lab("power-off", "a").split()[-1])
    kept = os.path.join(WORK, "disk-at-the-fence")
    shutil.copyfile(k.lab("disk-path", DISK), kept)
    if opts.link_first:
        k.lab("heal", "repl", "a")
    return cut or power, kept


def kernel_complaints(lines):
    """What a guest's kernel says when its devices are not what they were."""
    words = ("blkfront", "vbd-", "vif-", "I/O error", "blocked for more",
             "references no pending", "inactive request", "still in use")
    return [text for _, text in lines
            if text.startswith("KMSG ") and any(x in text for x in words)]


def judge_programs(opts, summary, out_a, out_b):
    """Verdicts on fio, redis and their file system; the guest has stopped."""
    path = k.lab("disk-path", FILES)
    verdicts = {
        "redis": programs.judge_redis(summary, programs.read_aof(path)),
        "file system": programs.judge_file_system(path),
    }
    if opts.programs == "all":
        verdicts["fio"] = programs.judge_fio(*(
            [text for _, text in out.lines()] for out in (out_a, out_b)))
    return verdicts


def judge(result, client, summary, cut, kept, out_a, out_b, more=None):
    before, after = k.counters(out_a.lines()), k.counters(out_b.lines())
    verdicts = {
        "console": drill.judge(before, after),
        "client": w.judge_client(summary, client.events(), cut),
        "durable": w.judge_durable(w.reported(client.events()),
                                   client.notes(),
                                   w.read_disk(k.lab("disk-path", DISK))),
        "fence": w.judge_fence(w.read_disk(kept), client.notes()),
        "guest": {"problems": ["the guest found: " + t for _, t in
                               out_a.lines() + out_b.lines()
                               if t.startswith("BAD")] +
                  kernel_complaints(out_b.lines())},
        **(more or {}),
    }
    result["problems"] = ["%s: %s" % (name, p) for name, v in verdicts.items()
                          for p in v["problems"][:5]]
    result.update(
        lost_output=verdicts["console"]["lost_output"],
        clock_monotonic=verdicts["console"]["clock_monotonic"],
        last_output_a=before[-1][4],
        first_output_b=next((x[4] for x in after if x[1] > before[-1][1]),
                            None),
        outage_ms=verdicts["client"].get("outage_ms"),
        tcp_resume_ms=verdicts["client"].get("tcp_resume_ms"),
        records_reported=verdicts["durable"].get("reports"),
        records_lost=verdicts["durable"].get("lost"),
        records_at_the_fence=verdicts["fence"].get("records"),
        replies=sum(c["replies"] for c in summary["connections"]),
        probes_answered=summary["udp"]["answered"])


def run(opts, say):
    """One drill on a lab that is up; its result as a dictionary."""
    rng = random.Random(opts.seed)
    result = {"seed": opts.seed, "vcpus": opts.vcpus,
              "weakened": weakened(opts), "torture": opts.torture}
    unsafe = ["--unsafe-storage"] if opts.buffered_loop else []
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    out_a, out_b = k.Console("a", NAME), k.Console("b", NAME)
    say("starting the guest on host a, its disk on the storage of both")
    # A flush would empty the page cache that is to be lost.
    client = start_guest(opts, "synced=0" if opts.buffered_loop else "")
    try:
        client.wait_for("ready", 240)
        say("protecting it towards host b while it serves")
        weaken(opts.weaken)
        k.receive("b", extra=unsafe)
        k.protect("a", NAME, extra=unsafe)
        k.wait_state("a", NAME, "protected", 120)
        if opts.programs == "all":
            k.wait_for("fio's first round", lambda: fio_rounds(out_a), 240)
        if opts.torture:
            # Requests of one ring complete in another order.
            k.lab("san-delay", "a", "write=0-800", "flush=0-20",
                  "seed=%d" % opts.seed)
        if opts.slow_backend:
            slow_backend()
        started = answers(client)
        time.sleep(rng.uniform(3, 6))
        k.wait_for("%d answers under protection" % MIN_ANSWERS,
                   lambda: answers(client) - started >= MIN_ANSWERS, 120)
        state = k.status("a", NAME)
        time.sleep(rng.uniform(0, 1))
        say("cutting the power of host a")
        cut, kept = cut_power(opts)
        client.probe(PROBE_MS)
        say("waiting for the guest on host b")
        k.wait_for("all connections to go on", lambda:
                   client.answered_after(cut), opts.timeout)
        time.sleep(ON_S)
        if opts.programs == "all":
            wait_fio(opts, out_a, out_b)
        summary = client.stop(60)
    finally:
        client.process.terminate()
    runs, more = k.runs("b", NAME), None
    if opts.programs:
        k.on("b", "xl shutdown -w " + NAME)
        more = judge_programs(opts, summary, out_a, out_b)
        result["account"] = programs.account(summary)
    if opts.buffered_loop:
        # Only what died with host a shall be missing.
        k.on("b", "sync; losetup -d " + LOOP)
    judge(result, client, summary, cut, kept, out_a, out_b, more)
    found_by_its_judge(opts, result["problems"])
    if not runs:
        result["problems"].append("xl list on host b does not show " + NAME)
    result.update({name: state[name] for name in (
        "checkpoints", "causes", "dirty_pages_mean", "pause_ms_p50",
        "pause_ms_p99", "freeze_ms_p50", "commit_ms_p50", "commit_ms_p99")})
    return result


def fio_rounds(*outs):
    return sum(t.startswith("FIO ") for out in outs for _, t in out.lines())


def wait_fio(opts, *outs):
    """For another round of fio."""
    done = fio_rounds(*outs)
    k.wait_for("another round of fio", lambda: fio_rounds(*outs) > done,
               3 * opts.timeout)


def options(argv=None):
    p = drill.parser(__doc__)
    p.add_argument("--every-ms", type=int, default=500,
                   help="each writer's pause between two records")
    p.add_argument("--programs", choices=["redis", "all"],
                   help="redis, or fio and redis, on an ext4, too")
    p.add_argument("--torture", action="store_true",
                   help="the storage completes requests out of order")
    p.add_argument("--slow-backend", action="store_true",
                   help="host a's disk backend is late: the fence must hold")
    p.add_argument("--weaken", choices=["unsafe_no_fence", "unsafe_no_order"],
                   help="negative drill: the gate is not what it should be")
    p.add_argument("--buffered-loop", action="store_true",
                   help="negative drill: the disk is a loop device without "
                   "direct I/O, which --unsafe-storage lets pass")
    return drill.parse_options(p, argv)


def main():
    return drill.repeat(options(), run)


if __name__ == "__main__":
    sys.exit(main())
