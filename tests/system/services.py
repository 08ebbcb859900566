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
import shutil
import sys
import time

import drill
import labkit as k
import programs
import serving as s
import workloads as w

MIN_ANSWERS = 60		# fewer prove nothing
PROBE_MS = 10			# once the power is cut
ON_S = 4			# how long it is watched on host b
# Negative drills: by whom the violation has to be found.
FINDERS = {"buffered_loop": ("durable",), "unsafe_no_fence": ("fence",),
           "unsafe_no_order": ("guest", "durable")}


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
    with open(k.lab("disk-path", s.DISK), "rb") as f:
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
    path = k.lab("disk-path", s.FILES)
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
                                   w.read_disk(k.lab("disk-path", s.DISK))),
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
    k.protect(host, s.NAME, extra=unsafe)
    k.wait_state(host, s.NAME, "protected", 180)
    if opts.programs == "all":
        k.wait_for("fio's first round", lambda: fio_rounds(outs[host]), 240)
    if opts.torture:
        # Requests of one ring complete in another order.
        k.lab("san-delay", host, "write=0-800", "flush=0-20",
              "seed=%d" % opts.seed)
    if opts.slow_backend:
        s.slow_backend()
    started = answers(client)
    discarded = {h: s.discards(h) for h in "ab"}
    time.sleep(rng.uniform(3, 6))
    k.wait_for("%d answers under protection" % MIN_ANSWERS,
               lambda: answers(client) - started >= MIN_ANSWERS,
               opts.timeout + 30)
    k.wait_for("a discard under protection", lambda: opts.buffered_loop or
               s.discards(host) > discarded[host], opts.timeout)
    state = k.status(host, s.NAME)
    time.sleep(rng.uniform(0, 1))
    say("cutting the power of host " + host)
    cut, kept = cut_power(opts, host)
    before = outs[host].lines()
    client.probe(PROBE_MS)
    say("waiting for the guest on host " + other)
    with k.survival():
        k.wait_for("all connections to go on", lambda:
                   client.answered_after(cut), opts.timeout)
        k.wait_for("a discard", lambda: opts.buffered_loop or
                   s.discards(other) > discarded[other], opts.timeout)
        time.sleep(ON_S)
        if opts.programs == "all":
            wait_fio(opts, *outs.values())
    return {"host": host, "cut": cut, "kept": kept, "state": state,
            "before": before, "after": outs[other].lines()}


def come_back(opts, say, host, client):
    """The host that died is to be the standby."""
    say("booting host %s again" % host)
    client.probe(s.SLOW_PROBE_MS)
    drill.revive_host(host)
    k.lab("unfence", host)
    k.lab("san-delay", host, "write=0", "flush=0")
    s.offer(opts.many, host)
    s.attach(s.DISK, 0, host)
    if opts.programs:
        s.attach(s.FILES, 1, host)
    return k.Console(host, s.NAME)


def run(opts, say):
    """One drill on a lab that is up; its result as a dictionary."""
    rng = random.Random(opts.seed)
    result = {"seed": opts.seed, "vcpus": opts.vcpus, "cuts": opts.cuts,
              "weakened": weakened(opts), "torture": opts.torture}
    shutil.rmtree(s.WORK, ignore_errors=True)
    os.makedirs(s.WORK)
    outs = {host: k.Console(host, s.NAME) for host in "ab"}
    say("starting the guest on host a, its disk on the storage of both")
    # A flush would empty the page cache that is to be lost.
    client = s.start_guest(opts, "synced=0" if opts.buffered_loop else
                         "discard=1")
    cuts, host, more = [], "a", {}
    try:
        client.wait_for("ready", 240)
        if opts.many:
            s.check_many()
        s.weaken(opts.weaken)
        while len(cuts) < opts.cuts:
            if cuts:
                outs[k.OTHER[host]] = come_back(opts, say, k.OTHER[host],
                                                client)
            cuts.append(leg(opts, say, rng, host, client, outs))
            host = k.OTHER[host]
        summary = client.stop(60)
    finally:
        client.process.terminate()
    runs = k.runs(host, s.NAME)
    if opts.programs:
        k.on(host, "xl shutdown -w " + s.NAME)
        more = judge_programs(opts, summary, *outs.values())
        result["account"] = programs.account(summary)
    if opts.buffered_loop:
        # Only what died with host a shall be missing.
        k.on(host, "sync; losetup -d " + s.LOOP)
    cuts[-1]["after"] = outs[host].lines()
    judge(result, client, summary, cuts, more)
    found_by_its_judge(opts, result["problems"])
    if not runs:
        result["problems"].append("xl list on host %s does not show %s" % (
            host, s.NAME))
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
