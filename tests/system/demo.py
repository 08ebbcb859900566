#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""demo.py - one drill, told so that a stranger understands it"""

import argparse
import json
import os
import random
import sys
import time

import drill
import labkit as k
import programs
import services

REPORT = ["checkpoints", "dirty_pages_mean", "pause_ms_p50", "pause_ms_p99",
          "commit_ms_p50", "commit_ms_p99", "outage_ms", "last_output_a",
          "first_output_b", "lost_output", "clock_monotonic", "account",
          "records_reported", "seed", "problems"]

ACCOUNT = """
What happened
  protected    a running Linux guest (PVH, 128 MB) on host a: a redis server on
               an ext4, a raw disk that it writes records to, a network card;
               both disks lie on storage that two hosts see.  {checkpoints} checkpoints
               went to host b, {dirty_pages_mean:.0f} changed pages each on average
  before       the last line that host a showed of it:
               {last_output_a}
  power cut    host a's emulator was killed, and with it its way to the storage
  after        the guest went on on host b; its first line there:
               {first_output_b}
               the first answer to a datagram of the client came {outage_ms:.0f} ms
               after the cut
  clock        {clock}
  cost         the guest stood still {pause_ms_p50:.1f} ms per checkpoint (median; p99 {pause_ms_p99:.1f}),
               output waited {commit_ms_p50:.1f} ms for its commit (median; p99 {commit_ms_p99:.1f});
               both hosts are emulated in software: compare, do not quote

What a client of the redis server says, who kept asking all the time
"""


def tell(r):
    print(ACCOUNT.format(
        clock="never went back, never stood still" if r["clock_monotonic"]
        else "NOT monotonic", **r))
    for line in programs.in_words(r["account"]):
        print("  " + line)
    print("\nLost: " + ("nothing" if not r["problems"] else "see below"))
    for problem in r["problems"]:
        print("PROBLEM: " + problem)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--report", required=True)
    p.add_argument("--seed", type=int,
                   default=random.SystemRandom().randrange(1 << 31))
    own = p.parse_args()
    opts = services.options(["--seed", str(own.seed), "--programs", "redis"])

    started = time.monotonic()
    say = lambda s: print("[%5.1f s] %s" % (time.monotonic() - started, s),
                          flush=True)
    say("booting two Xen hosts, a and b")
    try:
        drill.prepare()
        r = services.run(opts, say)
    except (k.DrillError, k.NotSurvived) as e:
        print("demo: %s" % e, file=sys.stderr)
        return 1
    os.makedirs(os.path.dirname(own.report), exist_ok=True)
    with open(own.report, "w", encoding="utf-8") as f:
        json.dump({key: r[key] for key in REPORT} | {
            "seconds": round(time.monotonic() - started, 1)}, f, indent=1)
        f.write("\n")
    tell(r)
    print("report: " + own.report)
    return 1 if r["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
