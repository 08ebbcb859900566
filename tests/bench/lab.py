#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""lab.py - one guest unprotected, under Kemari, and under xl remus

In each round a fresh guest on the same lab is measured unprotected, protected
by Kemari, unprotected again, and under `xl remus`: the latency of requests
over one TCP connection, one at a time, and synchronous writes of 4 KiB.  The
table sets all of it in relation to the unprotected guest of the same rounds.
"CPU" is what host a's emulator computes meanwhile, for each.
"""

import argparse
import sys
import time

import benchkit as b
import labkit as k
import remus

MODES = ("unprotected", "kemari", "remus")
TITLES = {"unprotected": "unprotected", "kemari": "kemari",
          "remus": "xl remus %d ms" % remus.INTERVAL_MS}
NOTES = """
Not the same promise.  Under Kemari each answer and each write waits for the
checkpoint that contains it.  Under xl remus here nothing waits: its network
and disk protection is off (-n -d), because Debian cannot provide it, and what
the world was told may be unknown to the guest after a failure.  With it on:
  network: %s
  disk:    %s
Hosts emulated in software: compare the columns, do not quote the figures."""


class Bench:
    def __init__(self, opts):
        self.opts = opts
        self.say = k.teller()
        self.samples = {mode: [] for mode in MODES}
        self.failed = {}		# why a mode did not run
        self.refusals = {}

    def measure(self, mode, number, checkpoints=None):
        """A sample; @checkpoints: counts them so far."""
        self.say("round %d: measuring, %s" % (number, TITLES[mode]))
        before, start = checkpoints and checkpoints(), time.monotonic()
        found = b.measure(self.opts.seconds)
        if checkpoints:
            found["checkpoints_per_s"] = (checkpoints() - before) / (
                time.monotonic() - start)
        self.samples[mode].append(dict(found, round=number))

    def kemari(self, number):
        k.receive("b")
        k.protect("a", b.NAME)
        k.wait_state("a", b.NAME, "protected", 120)
        self.measure("kemari", number, lambda: k.status(
            "a", b.NAME)["checkpoints"])
        state = k.status("a", b.NAME)
        self.samples["kemari"][-1]["status"] = state
        if state["state"] != "protected":
            raise k.DrillError("the guest is %s" % state["state"])
        k.on("a", "kemari unprotect " + b.NAME)
        k.stop_kemari()

    def remus(self, number):
        try:
            remus.start()
            self.measure("remus", number, remus.checkpoints)
        finally:
            remus.stop()

    def attempt(self, mode, number):
        """One that may not run: then the table says why."""
        try:
            getattr(self, mode)(number)
            return True
        except k.DrillError as e:
            self.say("%s: %s" % (TITLES[mode], e))
            self.failed[mode] = str(e)
            return False

    def fresh_guest(self, number):
        self.say("round %d: a fresh guest" % number)
        for host in "ab":
            k.destroy_all(host)
        b.start_guest()

    def round(self, number):
        self.fresh_guest(number)
        self.measure("unprotected", number)
        if not self.attempt("kemari", number):
            k.stop_kemari()
            self.fresh_guest(number)
        self.measure("unprotected", number)
        if "remus" not in self.failed:
            self.attempt("remus", number)
        if number == self.opts.rounds:
            self.refusals = remus.refusals()

    def figures(self, mode):
        """{row: value} of all samples of a mode."""
        samples = self.samples[mode]
        latencies = [x for s in samples for x in s["latencies_ms"]]
        out = {"requests": len(latencies),
               "latency p50, ms": b.quantile(latencies, 0.50),
               "latency p99, ms": b.quantile(latencies, 0.99),
               "CPU ms a request": b.median(
                   [s["request_cpu_ms"] for s in samples]),
               "4 KiB sync writes/s": b.median(
                   [s["writes_per_s"] for s in samples]),
               "CPU ms a write": b.median(
                   [s["write_cpu_ms"] for s in samples])}
        if mode != "unprotected":
            out["checkpoints/s"] = b.median(
                [s["checkpoints_per_s"] for s in samples])
        return out

    def report(self):
        """Lines of the table, and what it is made of."""
        figures = {m: self.figures(m) for m in MODES if self.samples[m]}
        base = figures["unprotected"]
        lines = ["%-22s" % "" + "".join("%16s" % TITLES[m] for m in MODES)]
        for row in (*base, "checkpoints/s"):
            cells = [figures.get(m, {}).get(row) for m in MODES]
            lines.append("%-22s" % row + "".join(
                "%16s" % ("-" if c is None else
                          c if row == "requests" else "%.1f" % c)
                for c in cells))
            if row in base and row != "requests":
                lines.append("%-22s" % "  ratio" + "".join(
                    "%16s" % ("-" if c is None else "%.2f" % (c / base[row]))
                    for c in cells))
        lines += ["%s did not run%s: %s" % (
            TITLES[m], " in each round" if self.samples[m] else "", why)
            for m, why in self.failed.items()]
        lines += (NOTES % (self.refusals.get("network"),
                           self.refusals.get("disk"))).splitlines()
        return lines, figures

    def run(self):
        self.say("both hosts up and empty")
        b.prepare()
        for number in range(1, self.opts.rounds + 1):
            self.round(number)
        for host in "ab":
            k.destroy_all(host)
        lines, figures = self.report()
        print("\nOne guest, PVH, 128 MB, 1 vCPU; %d rounds, %g s for each "
              "figure in each" % (self.opts.rounds, self.opts.seconds))
        print("\n".join(lines))
        b.write_json("lab.json", {
            "rounds": self.opts.rounds, "seconds": self.opts.seconds,
            "figures": figures, "failed": self.failed,
            "remus_refusals": self.refusals,
            "table": lines, "samples": self.samples})
        print("figures: build/bench/lab.json")
        return 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=5,
                   help="for latency and for writes, each")
    return b.carry_out(Bench(p.parse_args()).run)


if __name__ == "__main__":
    sys.exit(main())
