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

REPORT = ["checkpoints", "dirty_pages_mean", "pause_ms_p50", "pause_ms_p99",
          "commit_ms_p50", "commit_ms_p99", "outage_ms", "last_output_a",
          "first_output_b", "lost_output", "clock_monotonic"]

ACCOUNT = """
What happened
  protected    a running Linux guest (PVH, 128 MB, domain ID {domid}) on host a, with a
               standby on host b; {checkpoints} checkpoints, {dirty_pages_mean:.0f} changed pages each on average
  before       host a had shown {lines_a} numbered lines to the outside; the last one:
               {last_output_a}
  power cut    host a's emulator was killed {silence_ms:.0f} ms after that line
  after        the guest went on on host b after {outage_ms:.0f} ms without an answer; the first line:
               {first_output_b}
  lost         {lost}
  clock        {clock}
  memory       {memory}
  cost         the guest stood still {pause_ms_p50:.1f} ms per checkpoint (median; p99 {pause_ms_p99:.1f}),
               output waited {commit_ms_p50:.1f} ms for its commit (median; p99 {commit_ms_p99:.1f});
               both hosts are emulated in software: compare, do not quote
"""


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--report", required=True)
    p.add_argument("--seed", type=int,
                   default=random.SystemRandom().randrange(1 << 31))
    own = p.parse_args()
    opts = drill.options(["--seed", str(own.seed)])

    started = time.monotonic()
    say = k.teller()
    say("booting two Xen hosts, a and b")
    try:
        drill.prepare()
        r = drill.run(opts, say)
    except k.DrillError as e:
        print("demo: %s" % e, file=sys.stderr)
        return 1
    os.makedirs(os.path.dirname(own.report), exist_ok=True)
    with open(own.report, "w", encoding="utf-8") as f:
        json.dump({key: r[key] for key in REPORT} | {
            "seed": r["seed"], "problems": r["problems"],
            "seconds": round(time.monotonic() - started, 1)}, f, indent=1)
        f.write("\n")
    print(ACCOUNT.format(
        lost="nothing" if not r["lost_output"] else
        "%d lines" % r["lost_output"],
        clock="never went back, never stood still" if r["clock_monotonic"]
        else "NOT monotonic",
        memory="the guest's 32 MB working set verified throughout"
        if r["memory_verified"] else "the guest found its memory damaged",
        **r))
    for problem in r["problems"]:
        print("PROBLEM: " + problem)
    print("report: " + own.report)
    return 1 if r["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
