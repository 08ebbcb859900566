#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""services.py - cut the power of a host whose guest serves the world

The guest has a disk on storage that both hosts see and a network card.  It
answers TCP and UDP, writes accounted records to the raw disk and tells the
world of each, and counts on its console.  One cut proves all of it: no
connection breaks, no reply is wrong, lost or contradicted, every record that
the world was told of is on the disk and known to the guest, and what reached
the storage before the cut is known to the guest that goes on (INV-1, INV-2,
INV-33, INV-34).
"""

import os
import random
import shutil
import sys
import time

import drill
import labkit as k
import workloads as w

NAME = "s"
DISK = "records"
DISK_SIZE = "16M"
WORK = os.path.join(k.ROOT, "build", "check", "services")
MIN_ANSWERS = 100		# fewer prove nothing
# What two emulated hosts can serve while each output waits for its commit.
CLIENT = ("--disk", str(w.DISK_PORT), "--connections", "8", "--rate", "1",
          "--probe-ms", "200")
PROBE_MS = 10			# once the power is cut
ON_S = 4			# how long it is watched on host b
PARAMETERS = "/sys/module/kemari_gate/parameters"


def attach_disk():
    k.lab("disk", DISK, DISK_SIZE)
    for host in "ab":
        k.lab("unfence", host)
        k.lab("san-delay", host, "write=0", "flush=0")
        k.on(host, "san-detach /dev/nbd0 2>/dev/null; "
                   "san-attach %s /dev/nbd0" % DISK)


def start_guest(opts, more=""):
    image = os.path.join(WORK, "guest.img")
    w.services_image(image)
    attach_disk()
    k.create("a", NAME, image, vcpus=opts.vcpus,
             args="ip=%s serve=1 disk=xvda count=1 ms=200 mb=8 kmsg=1 "
             "writers=%d every=%d %s" % (w.GUEST, w.WRITERS, opts.every_ms,
                                         more),
             devices=w.devices(["phy:/dev/nbd0,xvda,w"]))


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
             "Call Trace", "references no pending", "inactive request",
             "still in use")
    return [text for _, text in lines
            if text.startswith("K ") and any(x in text for x in words)]


def judge(result, client, summary, cut, kept, out_a, out_b):
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
    }
    result["problems"] = ["%s: %s" % (name, p) for name, v in verdicts.items()
                          for p in v["problems"][:5]]
    result.update(
        lost_output=verdicts["console"]["lost_output"],
        clock_monotonic=verdicts["console"]["clock_monotonic"],
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
    start_guest(opts)
    client = w.Client(os.path.join(WORK, "client"), args=CLIENT)
    try:
        client.wait_for("ready", 120)
        say("protecting it towards host b while it serves")
        weaken(opts.weaken)
        k.receive("b")
        k.protect("a", NAME)
        k.wait_state("a", NAME, "protected", 120)
        if opts.torture:
            # Requests of one ring complete in another order.
            k.lab("san-delay", "a", "write=0-60", "flush=0-20",
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
        summary = client.stop(60)
    finally:
        client.process.terminate()
    judge(result, client, summary, cut, kept, out_a, out_b)
    if not k.runs("b", NAME):
        result["problems"].append("xl list on host b does not show " + NAME)
    result.update({name: state[name] for name in (
        "checkpoints", "causes", "dirty_pages_mean", "pause_ms_p50",
        "pause_ms_p99", "freeze_ms_p50", "commit_ms_p50", "commit_ms_p99")})
    return result


def options(argv=None):
    p = drill.parser(__doc__)
    p.add_argument("--every-ms", type=int, default=500,
                   help="each writer's pause between two records")
    p.add_argument("--torture", action="store_true",
                   help="the storage completes requests out of order")
    p.add_argument("--weaken", choices=["unsafe_no_fence", "unsafe_no_order"],
                   help="negative drill: the gate is not what it should be")
    return drill.parse_options(p, argv)


def main():
    return drill.repeat(options(), run)


if __name__ == "__main__":
    sys.exit(main())
