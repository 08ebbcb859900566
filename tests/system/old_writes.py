#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""old_writes.py - a write that a frozen host had sent must never land

The storage server holds the writes of host a, which were released and are on
their way.  Host a is frozen with them, host b takes over and overwrites the
same blocks; then host a is thawed and the server goes on.  With the storage
fence the blocks keep host b's data and the guest runs once (INV-26); without
it (--no-fence: a hook that says yes and does nothing) the same check fails.
"""

import os
import shutil
import sys
import time

import drill
import labkit as k
import serving as s
import workloads as w

WINDOW = 4			# blocks of a writer: soon overwritten
OVER = 3 * WINDOW		# records of host b on each of them
THAWED_S = 5


def in_flight(host):
    san = k.lab_status()["hosts"][host]["san"]
    return san["in_flight"]["write"]


def written(client, since):
    """Records reported since then, of the slowest writer."""
    counts = {writer: 0 for writer in range(w.WRITERS)}
    for e in client.events():
        if e["ev"] == "done" and e["t"] > since:
            counts[e["record"][0]] += 1
    return min(counts.values())


def freeze_with_writes(say):
    """Host a stands still, its writes on their way; when."""
    say("the storage holds host a's writes")
    k.lab("san-delay", "a", "write=hold")
    k.wait_for("a write on its way", lambda: in_flight("a"), 60)
    time.sleep(0.5)			# the guest's next ones wait behind
    say("freezing host a with %d writes on their way" % in_flight("a"))
    frozen = time.monotonic_ns()
    k.lab("freeze", "a")
    return frozen


def thaw(say):
    """Host a comes back; the server does what it still has of it."""
    say("thawing host a, its writes may go on")
    k.lab("thaw", "a")
    k.lab("san-delay", "a", "write=0")
    time.sleep(THAWED_S)


def judge(result, client, out_a, out_b, before):
    """@before: lines that left host a until it froze."""
    after = k.counters(out_b.lines())
    verdicts = {
        "disk": w.judge_durable(w.reported(client.events()), client.notes(),
                                w.read_disk(k.lab("disk-path", s.DISK),
                                            window=WINDOW), window=WINDOW),
        "console": drill.judge(before, after),
        # What was released before, it may still say.
        "thawed host": {"problems": [
            "host a's guest went on: " + text for _, n, _, _, text in
            k.counters(out_a.lines())[len(before):]
            if text not in {x[4] for x in after}]},
    }
    result["problems"] = ["%s: %s" % (name, p) for name, v in verdicts.items()
                          for p in v["problems"][:5]]
    result.update(lost_output=verdicts["console"]["lost_output"],
                  clock_monotonic=verdicts["console"]["clock_monotonic"],
                  records_reported=verdicts["disk"]["reports"])


def run(opts, say):
    """One drill on a lab that is up; its result as a dictionary."""
    result = {"seed": opts.seed, "fence": not opts.no_fence}
    shutil.rmtree(s.WORK, ignore_errors=True)
    os.makedirs(s.WORK)
    out_a, out_b = k.Console("a", s.NAME), k.Console("b", s.NAME)
    client = s.start_guest(opts, "window=%d" % WINDOW)
    try:
        client.wait_for("ready", 120)
        say("protecting it towards host b while it serves")
        k.receive("b", fence="true" if opts.no_fence else k.STORAGE_FENCE)
        k.protect("a", s.NAME)
        k.wait_state("a", s.NAME, "protected", 120)
        frozen = freeze_with_writes(say)
        say("waiting for the guest on host b")
        with k.survival():
            k.wait_for("%d records of each writer by host b" % OVER,
                       lambda: written(client, frozen) >= OVER, opts.timeout)
        before = k.counters(out_a.lines())
        # The writers rest: what lands now would stay.
        summary = client.stop(60)
        thaw(say)
    finally:
        client.process.terminate()
        k.lab("thaw", "a", check=False)
    judge(result, client, out_a, out_b, before)
    result["client"] = w.judge_client(summary, client.events(), frozen)
    result["problems"] += result["client"].pop("problems")[:5]
    return result


def main():
    p = drill.parser(__doc__)
    p.add_argument("--every-ms", type=int, default=500,
                   help="each writer's pause between two records")
    p.add_argument("--no-fence", action="store_true",
                   help="negative drill: the fence hook does nothing")
    p.set_defaults(programs=None, many=False, buffered_loop=False)
    return drill.repeat(drill.parse_options(p), run)


if __name__ == "__main__":
    sys.exit(main())
