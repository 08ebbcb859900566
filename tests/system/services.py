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

import concurrent.futures
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
SLOW_PROBE_MS = 200
CLIENT = ("--disk", str(w.DISK_PORT), "--connections", "8", "--rate", "1",
          "--probe-ms", str(SLOW_PROBE_MS))
PROBE_MS = 10			# once the power is cut
ON_S = 4			# how long it is watched on host b
PARAMETERS = "/sys/module/kemari_gate/parameters"
# With --many: what the backends offer, and what the frontends are told.
SECOND = "10.77.0.102"		# address of the second card
BACKENDS = {"xen_blkback/parameters/max_queues": (1, 2),
            "xen_netback/parameters/max_queues": (1, 2),
            "xen_netback/parameters/separate_tx_rx_irq": ("Y", "N")}
FRONTENDS = "xen_blkfront.max_queues=2 xen_blkfront.max_ring_page_order=1 "
LOOP = "/dev/loop7"		# on top of the disk, with --buffered-loop
# Negative drills: by whom the violation has to be found.
FINDERS = {"buffered_loop": ("durable",), "unsafe_no_fence": ("fence",),
           "unsafe_no_order": ("guest", "durable")}


def attach(disk, number, hosts="ab"):
    """A disk of the storage, as the same device of both hosts."""
    command = "san-detach /dev/nbd%d 2>/dev/null; san-attach %s /dev/nbd%d" % (
        number, disk, number)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: k.on(host, command), hosts))


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
    return w.devices(["phy:%s,xvd%s,w" % x for x in zip(disks, "ab")],
                     ["bridge=xenbr0"] * (2 if opts.many else 1))


def offer(many, hosts="ab"):
    """What backends that connect from now on offer to their frontends."""
    for host in hosts:
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


def cut_power(opts, host):
    """Link and power of a host go; (moment of the first, the disk as it was
    when nothing of that host could reach it any more)."""
    cut = None
    if opts.link_first:
        cut = time.monotonic_ns()
        k.lab("cut", "repl", host)
        time.sleep(0.8)
    # Returns when the host and its storage server are gone.
    power = int(k.lab("power-off", host).split()[-1])
    with open(k.lab("disk-path", DISK), "rb") as f:
        kept = f.read()
    if opts.link_first:
        k.lab("heal", "repl", host)
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


def judge(result, client, summary, cuts, more):
    """@cuts: what leg() returned, in order; verdicts of other judges."""
    events, notes = client.events(), client.notes()
    verdicts = {
        "durable": w.judge_durable(w.reported(events), notes,
                                   w.read_disk(k.lab("disk-path", DISK))),
        "guest": {"problems": []}, **more}
    last = 0
    for n, c in enumerate(cuts):
        before = [x for x in k.counters(c["before"]) if x[1] > last]
        after = k.counters(c["after"])
        last = before[-1][1]
        word = "" if len(cuts) == 1 else " %d" % (n + 1)
        c["console"] = verdicts["console" + word] = drill.judge(before, after)
        c["client"] = verdicts["client" + word] = w.judge_client(
            summary, events, c["cut"])
        c["fence"] = verdicts["fence" + word] = w.judge_fence(
            w.parse_disk(c["kept"]), notes)
        verdicts["guest"]["problems"] += [
            "the guest found: " + t for _, t in c["before"] + c["after"]
            if t.startswith("BAD")] + kernel_complaints(c["after"])
        c["said"] = before[-1][4], next(
            (x[4] for x in after if x[1] > last), None)
    result["problems"] = ["%s: %s" % (name, p) for name, v in verdicts.items()
                          for p in v["problems"][:5]]
    first = cuts[0]
    result.update(
        lost_output=sum(c["console"]["lost_output"] for c in cuts),
        clock_monotonic=all(c["console"]["clock_monotonic"] for c in cuts),
        last_output_a=first["said"][0], first_output_b=first["said"][1],
        outage_ms=max(c["client"]["outage_ms"] or 0 for c in cuts),
        tcp_resume_ms=first["client"]["tcp_resume_ms"],
        records_reported=verdicts["durable"].get("reports"),
        records_lost=verdicts["durable"].get("lost"),
        records_at_the_fence=min(c["fence"]["records"] for c in cuts),
        replies=sum(c["replies"] for c in summary["connections"]),
        probes_answered=summary["udp"]["answered"])


def leg(opts, say, rng, host, client, outs):
    """Protection by @host, its death, and all that goes on on the other."""
    other = k.OTHER[host]
    unsafe = ["--unsafe-storage"] if opts.buffered_loop else []
    say("protecting it towards host %s while it serves" % other)
    k.receive(other, extra=unsafe)
    k.protect(host, NAME, extra=unsafe)
    k.wait_state(host, NAME, "protected", 120)
    if opts.programs == "all":
        k.wait_for("fio's first round", lambda: fio_rounds(outs[host]), 240)
    if opts.torture:
        # Requests of one ring complete in another order.
        k.lab("san-delay", host, "write=0-800", "flush=0-20",
              "seed=%d" % opts.seed)
    if opts.slow_backend:
        slow_backend()
    started = answers(client)
    time.sleep(rng.uniform(3, 6))
    k.wait_for("%d answers under protection" % MIN_ANSWERS,
               lambda: answers(client) - started >= MIN_ANSWERS,
               opts.timeout + 30)
    state = k.status(host, NAME)
    time.sleep(rng.uniform(0, 1))
    say("cutting the power of host " + host)
    cut, kept = cut_power(opts, host)
    before = outs[host].lines()
    client.probe(PROBE_MS)
    say("waiting for the guest on host " + other)
    with k.survival():
        k.wait_for("all connections to go on", lambda:
                   client.answered_after(cut), opts.timeout)
        time.sleep(ON_S)
        if opts.programs == "all":
            wait_fio(opts, *outs.values())
    return {"host": host, "cut": cut, "kept": kept, "state": state,
            "before": before, "after": outs[other].lines()}


def come_back(opts, say, host, client):
    """The host that died is to be the standby."""
    say("booting host %s again" % host)
    client.probe(SLOW_PROBE_MS)
    drill.revive_host(host)
    k.lab("unfence", host)
    k.lab("san-delay", host, "write=0", "flush=0")
    offer(opts.many, host)
    attach(DISK, 0, host)
    if opts.programs:
        attach(FILES, 1, host)
    return k.Console(host, NAME)


def run(opts, say):
    """One drill on a lab that is up; its result as a dictionary."""
    rng = random.Random(opts.seed)
    result = {"seed": opts.seed, "vcpus": opts.vcpus, "cuts": opts.cuts,
              "weakened": weakened(opts), "torture": opts.torture}
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    outs = {host: k.Console(host, NAME) for host in "ab"}
    say("starting the guest on host a, its disk on the storage of both")
    # A flush would empty the page cache that is to be lost.
    client = start_guest(opts, "synced=0" if opts.buffered_loop else "")
    cuts, host, more = [], "a", {}
    try:
        client.wait_for("ready", 240)
        if opts.many:
            check_many()
        weaken(opts.weaken)
        while len(cuts) < opts.cuts:
            if cuts:
                outs[k.OTHER[host]] = come_back(opts, say, k.OTHER[host],
                                                client)
            cuts.append(leg(opts, say, rng, host, client, outs))
            host = k.OTHER[host]
        summary = client.stop(60)
    finally:
        client.process.terminate()
    runs = k.runs(host, NAME)
    if opts.programs:
        k.on(host, "xl shutdown -w " + NAME)
        more = judge_programs(opts, summary, *outs.values())
        result["account"] = programs.account(summary)
    if opts.buffered_loop:
        # Only what died with host a shall be missing.
        k.on(host, "sync; losetup -d " + LOOP)
    cuts[-1]["after"] = outs[host].lines()
    judge(result, client, summary, cuts, more)
    found_by_its_judge(opts, result["problems"])
    if not runs:
        result["problems"].append("xl list on host %s does not show %s" % (
            host, NAME))
    result.update({name: cuts[0]["state"][name] for name in (
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
    drill.add_cuts(p)
    p.add_argument("--every-ms", type=int, default=500,
                   help="each writer's pause between two records")
    p.add_argument("--programs", choices=["redis", "all"],
                   help="redis, or fio and redis, on an ext4, too")
    p.add_argument("--torture", action="store_true",
                   help="the storage completes requests out of order")
    p.add_argument("--many", action="store_true",
                   help="two cards, two queues each, and to each disk")
    p.add_argument("--slow-backend", action="store_true",
                   help="host a's disk backend is late: the fence must hold")
    p.add_argument("--weaken", choices=["unsafe_no_fence", "unsafe_no_order"],
                   help="negative drill: the gate is not what it should be")
    p.add_argument("--buffered-loop", action="store_true",
                   help="negative drill: the disk is a loop device without "
                   "direct I/O, which --unsafe-storage lets pass")
    opts = drill.parse_options(p, argv)
    if opts.many:
        opts.vcpus = max(opts.vcpus, 2)		# a queue for each
    if opts.cuts > 1 and (opts.programs == "all" or weakened(opts) or
                          opts.slow_backend):
        p.error("--cuts %d: fio's rounds, and what is done to host a alone, "
                "are followed through one cut only" % opts.cuts)
    return opts


def main():
    return drill.repeat(options(), run)


if __name__ == "__main__":
    sys.exit(main())
