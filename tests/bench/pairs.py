#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""pairs.py - an unprotected guest on Debian's backends and on the patched ones

In each round the same guest is measured three times, in an order that changes
from round to round: twice on Debian's modules, once on the patched ones.
Before each time its disk and its card are detached, all modules unloaded, the
others loaded, and both attached again.  Patched minus stock is to be no more
than stock minus stock, the error of either considered.  "CPU" is what host
a's emulator computes for one request or write: the backends' work is in it,
and other load on the machine disturbs it less than it does times.
"""

import argparse
import json
import os
import random
import sys

import benchkit as b
import labkit as k

RELEASE = "/lib/modules/%s/kernel/drivers/"
STOCK = ("block/xen-blkback/xen-blkback.ko", "net/xen-netback/xen-netback.ko")
PATCHED = ("kemari-gate.ko", "xen-blkback.ko", "xen-netback.ko")
LOADED = ("xen_netback", "xen_blkback", "kemari_gate")
ORDER = ("stock", "patched", "stock again")
FIGURES = "pairs.json"
ROWS = ("latency p50, ms", "CPU ms a request", "4 KiB sync writes/s",
        "CPU ms a write")


def put_files():
    """Both sets of modules, as /root/KIND/*.ko of host a; the script."""
    k.lab("put", "a", os.path.join(b.HERE, "hotplug"), "/etc/xen/scripts/")
    built = os.path.join(k.ROOT, "build", "modules")
    with open(os.path.join(built, "release"), encoding="ascii") as f:
        stock = RELEASE % f.read().strip()
    k.on("a", "mkdir -p /root/stock /root/patched")
    for kind, base, names in (("stock", stock, STOCK),
                              ("patched", built, PATCHED)):
        for name in names:
            k.lab("put", "a", os.path.join(base, name), "/root/%s/%s" % (
                kind, os.path.basename(name)))


def change_backends(kind):
    """To the modules of that @kind; the guest gets its devices anew."""
    names = [os.path.basename(name) for name in (
        PATCHED if kind == "patched" else STOCK)]
    k.on("a", """set -e
xl block-detach %(guest)s xvda
xl network-detach %(guest)s 0
for module in %(loaded)s; do
	n=0
	while grep -q "^$module " /proc/modules; do
		rmmod $module && break
		n=$((n + 1))
		[ $n -lt 50 ]
		usleep 100000
	done
done
for module in %(names)s; do insmod /root/%(kind)s/$module; done
xl block-attach %(guest)s vdev=xvda,access=rw,script=hotplug,target=/dev/nbd0
xl network-attach %(guest)s %(vif)s script=/etc/xen/scripts/hotplug""" % {
        "guest": b.NAME, "loaded": " ".join(LOADED), "kind": kind,
        "names": " ".join(names), "vif": b.VIF.replace(",", " ")})
    k.guest_says("a", b.NAME, "a new card")
    gate = k.rc("a", "test -e /dev/kemari-gate")[0] == 0
    if gate != (kind == "patched"):
        raise k.DrillError("the modules are not the %s ones" % kind)


def sample(kind, seconds):
    change_backends(kind.split()[0])
    found = b.measure(seconds, settle=0.5)
    return dict(zip(ROWS, (b.quantile(found["latencies_ms"], 0.5),
                           found["request_cpu_ms"], found["writes_per_s"],
                           found["write_cpu_ms"])))


def differences(rounds, kind):
    """{row: (mean, its standard error)} of @kind minus stock, in per cent."""
    return {row: b.mean_and_error([
        100 * (r[kind][row] - r["stock"][row]) / r["stock"][row]
        for r in rounds]) for row in ROWS}


def report(rounds):
    """Lines for people, and the same as data."""
    lines = ["%-22s%12s%22s%22s" % (
        "", "stock", "patched - stock", "stock - stock")]
    data = {}
    for row in ROWS:
        own, chance = (differences(rounds, kind)[row]
                       for kind in ("patched", "stock again"))
        base = b.median([r["stock"][row] for r in rounds])
        lines.append("%-22s%12.2f" % (row, base) + "".join(
            "%13.1f +- %3.1f %%" % pair for pair in (own, chance)))
        data[row] = {"stock": base, "patched_minus_stock_percent": own,
                     "stock_minus_stock_percent": chance}
    return lines, data


def rounds_so_far(opts):
    """Those of an earlier run that was stopped, if they are wanted."""
    if not opts.resume:
        return []
    try:
        with open(os.path.join(b.OUT, FIGURES), encoding="utf-8") as f:
            had = json.load(f)
    except FileNotFoundError:
        return []
    if had["seconds"] != opts.seconds:
        raise k.DrillError("the earlier run has other --seconds")
    return had["rounds"]


def run(opts):
    say = k.teller()
    rng = random.Random()
    say("both hosts up and empty")
    b.prepare()
    put_files()
    b.start_guest()
    b.measure(1)
    # It would only take time from the other one.
    k.lab("power-off", "b")
    rounds = rounds_so_far(opts)
    while len(rounds) < opts.pairs:
        order = list(ORDER)
        rng.shuffle(order)
        say("round %d: %s" % (len(rounds) + 1, ", ".join(order)))
        rounds.append({kind: sample(kind, opts.seconds) for kind in order})
        b.write_json(FIGURES, {"pairs": len(rounds), "seconds": opts.seconds,
                               "rows": report(rounds)[1], "rounds": rounds})
    if k.rc("a", "test -e /dev/kemari-gate")[0]:
        change_backends("patched")
    k.destroy_all("a")
    k.lab("power-on", "b")
    print("\nAn unprotected guest, PVH, 128 MB, 1 vCPU; %d pairs of each kind; "
          "mean difference and its standard error" % len(rounds))
    print("\n".join(report(rounds)[0]))
    print("figures: build/bench/" + FIGURES)
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--pairs", type=int, default=10)
    p.add_argument("--seconds", type=float, default=2,
                   help="for latency and for writes, each")
    p.add_argument("--resume", action="store_true",
                   help="go on with the pairs of a run that was stopped")
    opts = p.parse_args()
    return b.carry_out(lambda: run(opts))


if __name__ == "__main__":
    sys.exit(main())
