#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""netcost.py - what the patched xen-netback costs a guest that is not protected

Rounds of stock, patched, stock in one running guest: its card is unplugged,
the module exchanged, the card plugged in again.  The difference between
patched and stock is to be seen beside that between stock and stock.  Each
round is a JSON line in --out; a later call goes on, --summary only reads.
"""

import argparse
import glob
import json
import math
import os
import statistics
import sys
import time

import labkit as k
import netgate as n

STOCK = "kernel/drivers/net/xen-netback/xen-netback.ko"
MAC = "00:16:3e:4b:4b:01"
# What is measured, and whether more of it is better.
FIGURES = {"source_mb_s": True, "sink_mb_s": True, "echo_us": False,
           "dom0_ms_per_mb": False}


def modules():
    """Both modules to host a; the patched one needs kemari-gate, loaded."""
    with open(os.path.join(k.ROOT, "build/modules/release"),
              encoding="ascii") as f:
        release = f.read().strip()
    stock, = glob.glob("/lib/modules/%s/%s*" % (release, STOCK))
    k.lab("put", "a", stock, "/root/stock.ko")
    k.lab("put", "a", os.path.join(k.ROOT, "build/modules/xen-netback.ko"),
          "/root/patched.ko")


def dom0_ms():
    """Processor time of dom0 so far."""
    return 1000 * float(k.on("a", "xl list 0 | awk 'NR == 2 {print $6}'"))


def plug(which):
    k.on("a", "xl network-detach %s 0; n=0; while ls -d "
         "/sys/class/net/vif* >/dev/null 2>&1; do sleep 0.1; done; "
         "rmmod xen-netback && insmod /root/%s.ko && "
         "xl network-attach %s bridge=xenbr0 mac=%s" % (
             n.NAME, which, n.NAME, MAC))
    address = n.ADDRESS % 100
    k.wait_for("the card of " + which, lambda: n.client(
        "ping", "-c1", "-W1", address).wait() == 0, 60)
    return address


def rate(load, address, mib):
    p = n.client(n.LOAD, load, address, str(mib * n.MIB))
    said = p.communicate(timeout=120)[0]
    if p.returncode:
        raise k.DrillError("%s: %s" % (load, said))
    return mib * 1000 / int(said.split(", ")[-1].split()[0])


def measure(which, mib):
    address = plug(which)
    rate("source", address, 1)		# warm: slow start, the emulator's code
    rate("sink", address, 1)
    cpu = dom0_ms()
    out = {"source_mb_s": rate("source", address, mib),
           "sink_mb_s": rate("sink", address, mib)}
    out["dom0_ms_per_mb"] = (dom0_ms() - cpu) / (2 * mib)
    p = n.client(n.LOAD, "echo", address, "0", "150")
    said = p.communicate(timeout=120)[0]
    if p.returncode:
        raise k.DrillError("echo: " + said)
    out["echo_us"] = int(said.split("mean ")[1].split()[0])
    return out


def ratios(rounds, name, a, b):
    return [math.log(r[b][name] / r[a][name]) for r in rounds]


def summary(path):
    with open(path, encoding="ascii") as f:
        rounds = [json.loads(line) for line in f]
    print("%d rounds; ratio to the round's first stock, median "
          "[quarter..three quarters]" % len(rounds))
    for name in FIGURES:
        said = []
        for what, b in (("patched", "patched"), ("stock again", "again")):
            x = sorted(ratios(rounds, name, "stock", b))
            q = statistics.quantiles(x, n=4) if len(x) > 1 else x * 3
            said.append("%s %.3f [%.3f..%.3f]" % (
                what, math.exp(statistics.median(x)), math.exp(q[0]),
                math.exp(q[2])))
        base = statistics.median(r["stock"][name] for r in rounds)
        print("%-15s stock %.1f; %s" % (name, base, "; ".join(said)))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--mib", type=int, default=3)
    p.add_argument("--out", default=os.path.join(
        k.ROOT, "build", "soak", "netcost.json"))
    p.add_argument("--summary", action="store_true")
    args = p.parse_args()
    os.makedirs(os.path.dirname(args.out), exist_ok=True)
    if not args.summary:
        k.lab("up", timeout=300)
        modules()
        n.Guest(1, 1, mac=MAC)
        for i in range(args.rounds):
            # Which stock comes first is not always the same one.
            order = ["stock", "patched", "again"]
            if i % 2:
                order.reverse()
            got = {}
            for which in order:
                got[which] = measure(
                    "patched" if which == "patched" else "stock", args.mib)
            got["time"] = int(time.time())
            with open(args.out, "a", encoding="ascii") as f:
                f.write(json.dumps(got) + "\n")
            print(json.dumps(got), flush=True)
    summary(args.out)
    return 0


sys.exit(main())
