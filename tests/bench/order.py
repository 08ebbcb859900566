#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""order.py - what it costs a protected disk that responses go in ring order

A guest under Kemari keeps 32 writes in flight to storage that takes up to
--delay ms for each and completes them in any order.  Writes completed in a
second, with the order and without it (the gate's unsafe_no_order), in turn.
"""

import argparse
import os
import random
import sys
import time

import benchkit as b
import labkit as k
import serving
import workloads as w

KINDS = {"in ring order": "", "in any order": "unsafe_no_order"}
SETTLE_S = 1


def start_guest():
    image = os.path.join(b.OUT, "order.img")
    k.guest_image(image, "blk-init", ["blkload"])
    k.create("a", b.NAME, image, args="load=write,/dev/xvda,32",
             devices=w.devices([b.DISK], []))


def completed():
    """Requests that host a's storage has answered."""
    return int(k.on("a", "cat /sys/block/nbd0/stat").split()[4])


def sample(kind, seconds):
    serving.weaken(KINDS[kind])
    time.sleep(SETTLE_S)
    first, start = completed(), time.monotonic()
    time.sleep(seconds)
    return (completed() - first) / (time.monotonic() - start)


def run(opts):
    say = k.teller()
    rng = random.Random()
    say("both hosts up and empty")
    b.prepare()
    before = completed()
    start_guest()
    k.wait_for("the guest writes", lambda: completed() > before, 120)
    k.receive("b")
    k.protect("a", b.NAME)
    k.wait_state("a", b.NAME, "protected", 120)
    k.lab("san-delay", "a", "write=0-%d" % opts.delay)
    rounds = []
    while len(rounds) < opts.pairs:
        order = list(KINDS)
        rng.shuffle(order)
        say("pair %d" % (len(rounds) + 1))
        rounds.append({kind: sample(kind, opts.seconds) for kind in order})
    serving.weaken("")
    state = k.status("a", b.NAME)
    k.stop_kemari()
    for host in "ab":
        k.destroy_all(host)
    if state["state"] != "protected":
        raise k.DrillError("the guest is %s" % state["state"])
    ratio = b.mean_and_error([r["in ring order"] / r["in any order"]
                              for r in rounds])
    print("\nWrites of 4 KiB completed in a second, 32 in flight, storage takes "
          "up to %d ms; %d pairs of %g s" % (opts.delay, opts.pairs,
                                             opts.seconds))
    for kind in KINDS:
        print("%-16s%8.1f" % (kind, b.median([r[kind] for r in rounds])))
    print("%-16s%8.2f +- %.2f" % ("ratio", *ratio))
    b.write_json("order.json", {"delay_ms": opts.delay, "ratio": ratio,
                                "seconds": opts.seconds, "rounds": rounds})
    print("figures: build/bench/order.json")
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--pairs", type=int, default=6)
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--delay", type=int, default=40, metavar="MS")
    opts = p.parse_args()
    return b.carry_out(lambda: run(opts))


if __name__ == "__main__":
    sys.exit(main())
