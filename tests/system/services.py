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
With --many it has two network cards, and each of its disks and cards two
queues: a disk's of two pages, a card's with one event channel for both ways.
"""

import os
import random
import re
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
# With --many: what the backends offer, and what the frontends are told.
SECOND = "10.77.0.102"		# address of the second card
BACKENDS = {"xen_blkback/parameters/max_queues": (1, 2),
            "xen_netback/parameters/max_queues": (1, 2),
            "xen_netback/parameters/separate_tx_rx_irq": ("Y", "N")}
FRONTENDS = "xen_blkfront.max_queues=2 xen_blkfront.max_ring_page_order=1 "


def attach(disk, number):
    """A disk of the storage, as the same device of both hosts."""
    for host in "ab":
        k.on(host, "san-detach /dev/nbd%d 2>/dev/null; "
                   "san-attach %s /dev/nbd%d" % (number, disk, number))


def make_disks(opts):
    """Lines for labkit.create(): disks and network card."""
    for host in "ab":
        k.lab("unfence", host)
        k.lab("san-delay", host, "write=0", "flush=0")
    k.lab("disk", DISK, DISK_SIZE)
    attach(DISK, 0)
    if opts.programs:
        programs.make_disk(FILES, fio=opts.programs == "all")
        attach(FILES, 1)
    return w.devices(["phy:/dev/nbd%d,xvd%s,w" % (i, "ab"[i])
                      for i in range(2 if opts.programs else 1)],
                     ["bridge=xenbr0"] * (2 if opts.many else 1))


def offer(many):
    """What backends that connect from now on offer to their frontends."""
    for host in "ab":
        k.on(host, "; ".join("echo %s >/sys/module/%s" % (values[many], name)
                             for name, values in BACKENDS.items()))


def check_many():
    """Have the frontends taken what was offered?"""
    text = k.on("a", "xenstore-ls -f /local/domain/$(xl domid %s)/device" %
                NAME)
    for kind in ("vbd", "vif"):
        devices = set(re.findall(r"/device/%s/(\d+) =" % kind, text))
        queues = re.findall(r"/device/%s/\d+/multi-queue-num-queues = \"2\"" %
                            kind, text)
        if not devices or len(queues) != len(devices):
            raise k.DrillError("not all of the guest's %ss have 2 queues: %s"
                               % (kind, text))
    if "ring-ref1" not in text or "event-channel-tx" in text:
        raise k.DrillError("no ring of two pages, or split channels: " + text)


def start_guest(opts, more=""):
    """The guest on host a, and its client."""
    image = os.path.join(WORK, "guest.img")
    w.services_image(image)
    addresses = w.GUEST + ("," + SECOND if opts.many else "")
    args = "ip=%s serve=1 disk=xvda count=1 ms=200 mb=8 kmsg=1 " \
        "writers=%d every=%d %s" % (addresses, w.WRITERS, opts.every_ms, more)
    offer(opts.many)
    if opts.many:
        args = FRONTENDS + args
    if opts.programs:
        args += " " + programs.args("xvdb", fio=opts.programs == "all")
    k.create("a", NAME, image, vcpus=opts.vcpus, args=args,
             memory=programs.MEMORY[opts.programs == "all"],
             devices=make_disks(opts))
    return w.Client(os.path.join(WORK, "client"), addresses, args=CLIENT + (
        programs.CLIENT_ARGS if opts.programs else ()))


def weaken(what):
    """For the negative drills: the gate of host a is not what it should be."""
    for name in ("unsafe_no_fence", "unsafe_no_order"):
        k.on("a", "echo %s >%s/%s" % ("Y" if name == what else "N",
                                      PARAMETERS, name))


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
        records_at_the_fence=verdicts["fence"].get("records"),
        replies=sum(c["replies"] for c in summary["connections"]),
        probes_answered=summary["udp"]["answered"])


def run(opts, say):
    """One drill on a lab that is up; its result as a dictionary."""
    rng = random.Random(opts.seed)
    result = {"seed": opts.seed, "vcpus": opts.vcpus,
              "weakened": opts.weaken or "", "torture": opts.torture}
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    out_a, out_b = k.Console("a", NAME), k.Console("b", NAME)
    say("starting the guest on host a, its disk on the storage of both")
    client = start_guest(opts)
    try:
        client.wait_for("ready", 240)
        if opts.many:
            check_many()
        say("protecting it towards host b while it serves")
        weaken(opts.weaken)
        k.receive("b")
        k.protect("a", NAME)
        k.wait_state("a", NAME, "protected", 120)
        if opts.programs == "all":
            k.wait_for("fio's first round", lambda: fio_rounds(out_a), 240)
        if opts.torture:
            # Requests of one ring complete in another order.
            k.lab("san-delay", "a", "write=0-800", "flush=0-20",
                  "seed=%d" % opts.seed)
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
    judge(result, client, summary, cut, kept, out_a, out_b, more)
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
    p.add_argument("--many", action="store_true",
                   help="two cards, two queues each, and to each disk")
    p.add_argument("--weaken", choices=["unsafe_no_fence", "unsafe_no_order"],
                   help="negative drill: the gate is not what it should be")
    opts = drill.parse_options(p, argv)
    if opts.many:
        opts.vcpus = max(opts.vcpus, 2)		# a queue for each
    return opts


def main():
    return drill.repeat(options(), run)


if __name__ == "__main__":
    sys.exit(main())
