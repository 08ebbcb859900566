#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""drill.py - cut the power of a protected guest's host, judge what follows

A guest on host a prints numbered lines, each with its clock's value, and
keeps checking a working set in its memory.  It is protected towards host b
while it runs; at a seeded moment the power of a goes; b takes over.  Judged
from the outside (INV-2): every complete line that left a is part of the
history that b continues.  A line is a fact the world has seen: b may repeat
it byte by byte, but a line of b with the same number and another clock value
contradicts it, and a number that b never reaches again was lost.  With
--cuts 2 the same guest is then protected back towards a, and b dies; and so
on.
"""

import argparse
import json
import os
import random
import sys
import time

import afterlife
import labkit as k

MIN_LINES = 100			# fewer prove nothing
MAX_SILENCE_NS = 200_000_000	# last line before the cut
FRESH_NS = 100_000_000


def judge(before, after):
    """Verdict on [(stamp, n, mono, real, text)] of host a and of host b."""
    problems = []
    seen = {n: text for _, n, _, _, text in before}
    last = before[-1][1]
    if not after:
        return {"problems": ["no line came from host b"],
                "lost_output": len(before), "clock_monotonic": False}
    # Lines that left a are facts; b either repeats or continues them.
    contradicted = [n for _, n, _, _, text in after
                    if n in seen and seen[n] != text]
    if contradicted:
        problems.append("%d lines that left host a are unknown to the guest "
                        "on host b, first N %d: a said %r" % (
                            len(contradicted), contradicted[0],
                            seen[contradicted[0]]))
    new = [x for x in after if x[1] > last]
    lost = 0
    if not new:
        problems.append("the counter did not go on past %d" % last)
    elif new[0][1] != last + 1:
        lost = new[0][1] - last - 1
        problems.append("after N %d host b went on with N %d" % (
            last, new[0][1]))
    monotonic = True
    for prev, cur in zip(new, new[1:]):
        if cur[1] != prev[1] + 1:
            problems.append("on host b N %d is followed by N %d" % (
                prev[1], cur[1]))
            break
    history = [x for x in before] + new
    for prev, cur in zip(history, history[1:]):
        if cur[2] <= prev[2] or cur[3] < prev[3]:
            monotonic = False
            problems.append("the guest's clock went back or stood still: "
                            "%r then %r" % (prev[4], cur[4]))
            break
    return {"problems": problems, "lost_output": lost + len(contradicted),
            "clock_monotonic": monotonic}


def harass(rng, host, name, say):
    """Kill the workers of both sides a few times, wait for protection."""
    for where, verb in ((host, "protect"), (k.OTHER[host], "receive")) * 2:
        say("killing the worker of kemari %s on host %s" % (verb, where))
        time.sleep(rng.uniform(0.2, 1.5))
        k.kill_worker(where, verb)
        time.sleep(1)
        k.wait_state(host, name, "protected", 60)


# The console daemon of a host stands still for some ms at a time, and for as
# long as there is HOLD.
HOLD = "/run/hold-console"
SLOW = """p=$(pidof xenconsoled)
while kill -STOP $p; do
	usleep %d000
	while [ -e """ + HOLD + """ ]; do usleep 10000; done
	kill -CONT $p
	usleep 40000
done"""


def start(opts, say, name, out):
    """The guest counts on host a."""
    say("starting the guest on host a")
    k.create_counter("a", name, vcpus=opts.vcpus,
                     args="ms=%d mb=32 dm=%d" % (
                         opts.interval_ms, opts.type == "hvm"), kind=opts.type)
    k.wait_for("the guest's first lines",
               lambda: len(k.counters(out.lines())) > 20, k.BOOT_S[opts.type])


def protect(opts, say, host, name):
    """The guest is protected by @host towards the other one."""
    say("protecting it towards host %s while it runs" % k.OTHER[host])
    k.receive(k.OTHER[host])
    extra = []
    if opts.unsafe_policy:
        extra = ["--unsafe-policy", opts.unsafe_policy]
    k.protect(host, name, extra=extra)
    k.wait_state(host, name, "protected", 120)
    if opts.slow_console:
        # A daemon that is late reads the ring as it is by then.
        k.daemon(host, "/dev/null", ["sh", "-c", SLOW % opts.slow_console])


def check_transport(opts, host, name, state):
    """Both sides say how their bytes go, and to whom."""
    there = k.status(k.OTHER[host], name)
    if not there:
        raise k.DrillError("no status on host " + k.OTHER[host])
    for shown in (state["transport"], there["transport"]):
        if not shown.startswith("tls1.3 TLS_" if opts.tls else "plaintext"):
            raise k.DrillError("status shows transport %r" % shown)
    if opts.tls and (not state["transport"].endswith(
            "peer " + k.REPL[k.OTHER[host]]) or "peer %s, %s" % (
                host, k.REPL[host]) not in there["transport"]):
        raise k.DrillError("status shows peers %r and %r" % (
            state["transport"], there["transport"]))


def await_moment(opts, say, rng, host, name, out):
    """A moment that nobody chose, not before there is enough to judge; the
    last status before it."""
    time.sleep(rng.uniform(2, 5))
    started = len(k.counters(out.lines()))
    k.wait_for("%d lines under protection" % MIN_LINES,
               lambda: len(k.counters(out.lines())) - started >= MIN_LINES,
               120)
    if opts.harass:
        harass(rng, host, name, say)
    state = k.status(host, name)
    check_transport(opts, host, name, state)
    time.sleep(rng.uniform(0, 1))
    # A guest that was silent at that moment would prove nothing.
    k.wait_for("a line just now", lambda: time.monotonic_ns() -
               k.counters(out.lines())[-1][0] < FRESH_NS, 30, every=0.02)
    return state


def cut_link(opts, say, host):
    """What is not committed from now on never will be, and must not leave.

    A slow console daemon sleeps through it: when it wakes up it finds in the
    ring what was committed and has not left, and what it must not read.
    """
    if opts.slow_console:
        k.on(host, "touch %s; sleep 0.1" % HOLD)
    say("cutting the replication link")
    cut = time.monotonic_ns()
    k.lab("cut", "repl", host)
    if opts.slow_console:
        time.sleep(0.2)
        k.on(host, "rm " + HOLD)
    time.sleep(0.8)
    return cut


def cut_power(opts, say, host, out, last):
    """The host dies; when, and all lines past N @last that had left it."""
    cut = cut_link(opts, say, host) if opts.link_first else None
    say("cutting the power of host " + host)
    power = int(k.lab("power-off", host).split()[-1])
    cut = cut or power
    if opts.link_first:
        k.lab("heal", "repl", host)
    before = [x for x in k.counters(out.lines()) if x[1] > last]
    silence = cut - before[-1][0] if before else 0
    if len(before) < MIN_LINES or silence > MAX_SILENCE_NS:
        raise k.DrillError("does not count: %d lines, the last one %.0f ms "
                           "before the cut" % (len(before), silence / 1e6))
    return cut, before


def leg(opts, say, rng, host, name, outs, last):
    """Protection by @host, its death, the other one's turn; @last: number of
    the last line before it.  The result as a dictionary."""
    other = k.OTHER[host]
    protect(opts, say, host, name)
    state = await_moment(opts, say, rng, host, name, outs[host])
    cut, before = cut_power(opts, say, host, outs[host], last)
    if opts.harass:
        say("killing the receiver again and again while it takes over")
        for _ in range(5):
            time.sleep(rng.uniform(0.2, 1.0))
            k.kill_worker(other, "receive")
    say("waiting for the guest on host " + other)
    last = before[-1][1]
    with k.survival():
        k.wait_for("the counter on host %s past %d" % (other, last + 50),
                   lambda: any(x[1] > last + 50
                               for x in k.counters(outs[other].lines())),
                   opts.timeout)
    after = k.counters(outs[other].lines())
    result = judge(before, after)
    # What is shown again is no answer yet.
    first = next(x for x in after if x[1] > last)
    if not k.runs(other, name):
        result["problems"].append("xl list on host %s does not show %s" % (
            other, name))
    result.update(
        lines=len(before), cut_ns=cut, last=last,
        silence_ms=round((cut - before[-1][0]) / 1e6, 1),
        last_output=before[-1][4], first_output=first[4],
        outage_ms=round((first[0] - before[-1][0]) / 1e6, 1),
        domid=state["domid"], checkpoints=state["checkpoints"],
        dirty_pages_mean=state["dirty_pages_mean"],
        pause_ms_p50=state["pause_ms_p50"], pause_ms_p99=state["pause_ms_p99"],
        commit_ms_p50=state["commit_ms_p50"],
        commit_ms_p99=state["commit_ms_p99"])
    return result


def run(opts, say):
    """One drill on a lab that is up; its result as a dictionary, that of the
    last cut with the problems of all."""
    rng = random.Random(opts.seed)
    name, host, last, result, problems = "g", "a", 0, {}, []
    outs = {h: k.Console(h, name) for h in "ab"}
    start(opts, say, name, outs["a"])
    for cut in range(opts.cuts):
        if cut:
            say("booting host %s again" % k.OTHER[host])
            revive_host(k.OTHER[host])
            outs[k.OTHER[host]] = k.Console(k.OTHER[host], name)
        result = leg(opts, say, rng, host, name, outs, last)
        problems += result["problems"]
        last, host = result["last"], k.OTHER[host]
        if problems:
            break
    bad = [t for out in outs.values() for _, t in out.lines()
           if t.startswith("BAD")]
    if bad:
        problems.append("the guest found: " + bad[0])
    if opts.afterlife and not problems:
        say("using it as an ordinary guest of host " + host)
        problems += afterlife.problems(host, name, outs[host])
    return {"seed": opts.seed, "cuts": opts.cuts, "type": opts.type,
            "policy": opts.unsafe_policy or "default",
            "transport": "tls" if opts.tls else "plaintext", **result,
            "problems": problems, "memory_verified": not bad}


def prepare():
    """Both hosts up and empty."""
    k.up()
    k.stop_kemari()
    for host in "ab":
        k.destroy_all(host)


def revive_host(host):
    k.lab("power-on", host, timeout=180)
    k.put_programs(host)


def tidy():
    """Leave the lab as the next test wants it: hosts up, no guest."""
    k.stop_kemari()
    for host in "ab":
        revive_host(host)
        k.destroy_all(host)
        k.on(host, "rm -rf " + k.PKI)


def parser(doc):
    """What every kind of drill takes; @doc: its docstring."""
    p = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    p.add_argument("--seed", type=int, default=None)
    p.add_argument("--out", help="append the result to this JSON lines file")
    p.add_argument("--vcpus", type=int, default=1)
    p.add_argument("--timeout", type=int, default=90,
                   help="seconds to wait for host b")
    p.add_argument("--link-first", action="store_true",
                   help="the replication link goes 0.8 s before the power")
    p.add_argument("--tls", action="store_true",
                   help="protect over TLS, with certificates made for it")
    p.add_argument("--expect", choices=["pass", "violation"], default="pass")
    p.add_argument("--tries", type=int, default=1,
                   help="drills until the expected verdict (negative ones)")
    return p


def add_cuts(p):
    p.add_argument("--cuts", type=int, default=1,
                   help="hosts that die one after the other; the dead one is "
                   "booted again and becomes the standby")


def parse_options(p, argv=None):
    opts = p.parse_args(argv)
    if opts.seed is None:
        opts.seed = random.SystemRandom().randrange(1 << 31)
    for name in ("cuts", "tries"):
        if getattr(opts, name, 1) < 1:
            p.error("--%s %d: must be 1 or more" % (name, getattr(opts, name)))
    return opts


def options(argv=None):
    p = parser(__doc__)
    p.add_argument("--interval-ms", type=int, default=20)
    p.add_argument("--type", choices=["pvh", "hvm"], default="pvh",
                   help="of the guest")
    p.add_argument("--unsafe-policy", choices=["none", "hold"],
                   help="negative drill: tap off, or drain off")
    p.add_argument("--harass", action="store_true",
                   help="kill the workers of both sides again and again")
    p.add_argument("--slow-console", type=int, default=0, metavar="MS",
                   help="host a's console daemon stands still for MS at a "
                   "time: the drain must wait for it")
    p.add_argument("--afterlife", action="store_true",
                   help="then use the guest as an ordinary one of its host")
    add_cuts(p)
    return parse_options(p, argv)


def repeat(opts, run):
    """Carry out drills until one ends as expected; exit status."""
    first = opts.seed
    if opts.tls:
        k.use_tls()
    for i in range(opts.tries):
        opts.seed = first + i
        started = time.monotonic()
        say = k.teller()
        say("seed %d: both hosts up and empty" % opts.seed)
        prepare()
        try:
            result = run(opts, say)
        except (k.DrillError, k.NotSurvived) as e:
            print("drill: seed %d: %s" % (opts.seed, e))
            for host in "ab":
                print(k.rc(host, "tail -n 15 /var/log/kemari-*.log")[1])
            # A weakened drill must be caught by a judge, not by a timeout.
            result = {"seed": opts.seed, "problems": [str(e)],
                      "void": isinstance(e, k.DrillError) or
                      opts.expect == "violation"}
        say("tidying the lab")
        tidy()
        violation = bool(result["problems"]) and not result.get("void")
        result["verdict"] = ("void" if result.get("void") else
                             "violation" if violation else "pass")
        result["seconds"] = round(time.monotonic() - started, 1)
        if opts.out:
            os.makedirs(os.path.dirname(opts.out), exist_ok=True)
            with open(opts.out, "a", encoding="utf-8") as f:
                f.write(json.dumps(result) + "\n")
        print(json.dumps(result, indent=1))
        if result["verdict"] == opts.expect:
            print("ok - drill seed %d: %s as expected" % (
                opts.seed, opts.expect))
            return 0
        if opts.expect == "pass" and not result.get("void"):
            break
    print("not ok - drill seed %d: %s, expected %s" % (
        opts.seed, result["verdict"], opts.expect))
    return 1


def main():
    return repeat(options(), run)


if __name__ == "__main__":
    sys.exit(main())
