#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""backend-pairs.py - Debian's xen-blkback against Kemari's, interleaved

    backend-pairs.py [--pairs N] [--seconds S] [--out FILE]

One guest on host a of the lab, 32 random 4 KiB requests in flight past its page
cache, S seconds of reads and S of writes for each life of its disk, a loop
device in dom0's memory; between two lives the module is replaced.  A round has
four lives, in turn from front to back and from back to front:

    stock, patched, stock, gated

"patched" is a guest that nobody protects.  "gated" has its gate shut, with a
fence that lets everything pass: what order and bookkeeping cost by themselves.
Printed are the medians over the rounds of stock/stock, patched/stock and
gated/stock.  Exit status 1: patched is further from stock than stock ever was
from itself.
"""

import argparse
import glob
import json
import os
import re
import statistics
import sys

import labkit as k

NAME = "pairs"
DISK = "phy:/dev/loop7,xvdb,w"
FILE_MB = 64
BENCH = re.compile(r"bench read=(\d+) write=(\d+)")
KINDS = ("read", "write")
ROUND = ("stock", "patched", "stock", "gated")
UNSAFE = "/sys/module/kemari_gate/parameters/unsafe_no_fence"


def modules():
    """Both modules to host a: variant -> path there."""
    with open(os.path.join(k.ROOT, "build/modules/release"),
              encoding="ascii") as f:
        release = f.read().strip()
    stock = glob.glob("/lib/modules/%s/kernel/drivers/block/xen-blkback/*.ko"
                      % release)
    ours = os.path.join(k.ROOT, "build/modules/xen-blkback.ko")
    k.lab("put", "a", stock[0], "/root/stock.ko")
    k.lab("put", "a", ours, "/root/patched.ko")
    return {"stock": "/root/stock.ko", "patched": "/root/patched.ko",
            "gated": "/root/patched.ko"}


def begin():
    """A guest without its disk; its console."""
    image = os.path.join(k.ROOT, "build", "check", NAME + ".img")
    os.makedirs(os.path.dirname(image), exist_ok=True)
    k.guest_image(image, "blk-init", ["blkload"])
    k.rc("a", "xl destroy " + NAME)
    k.lab("put", "a", os.path.join(k.ROOT, "build/dom0-bin/gate-test"),
          "/usr/local/bin/gate-test")
    k.on("a", "modprobe loop; dd if=/dev/zero of=/root/pairs bs=1M count=%d"
              " 2>/dev/null; losetup -d /dev/loop7 2>/dev/null;"
              " losetup /dev/loop7 /root/pairs" % FILE_MB)
    out = k.Console("a", NAME)
    k.create("a", NAME, image,
             args="load=bench,/dev/xvdb,32,%g" % OPTIONS.seconds)
    return out


def results(out):
    return [(int(m[1]), int(m[2])) for _, text in out.lines()
            for m in [BENCH.search(text)] if m]


def life(out, variant, module):
    """Attach the disk to a backend, measure, detach: requests per second."""
    before = len(results(out))
    k.on("a", "rmmod xen-blkback 2>/dev/null; insmod " + module)
    k.on("a", "xl block-attach %s '%s'" % (NAME, DISK))
    if variant == "gated":
        k.on("a", "echo 1 >%s; gate-test $(xl domid %s) - shut" %
             (UNSAFE, NAME))
    k.wait_for("%s measured" % variant,
               lambda: len(results(out)) > before,
               30 + 20 * OPTIONS.seconds)
    if variant == "gated":
        k.on("a", "gate-test $(xl domid %s) - open; echo 0 >%s" %
             (NAME, UNSAFE))
    k.on("a", "xl block-detach %s xvdb" % NAME)
    k.wait_for("the backend gone",
               lambda: k.rc("a", "ls /sys/bus/xen-backend/devices |"
                                 " grep -q vbd")[0] != 0, 30)
    return results(out)[before]


def rounds(out, paths):
    """Per round a list of (variant, (reads, writes))."""
    done = []
    for i in range(OPTIONS.pairs):
        order = ROUND if i % 2 == 0 else tuple(reversed(ROUND))
        done.append([(v, life(out, v, paths[v])) for v in order])
        print("round %d: %s" % (i + 1, "  ".join(
            "%s %d/%d" % (v, *r) for v, r in done[-1])), flush=True)
    return done


def ratios(done, kind):
    """Variant -> its ratios, one a round: to the mean of the round's two
    stock lives; stock: of the second to the first."""
    got = {"stock": [], "patched": [], "gated": []}
    for lives in done:
        rates = {"stock": []}
        for variant, result in lives:
            rates.setdefault(variant, []).append(result[kind])
        first, second = rates["stock"]
        got["stock"].append(second / first)
        for variant in ("patched", "gated"):
            got[variant].append(rates[variant][0] * 2 / (first + second))
    return got


def summary(done):
    table = {}
    for kind, name in enumerate(KINDS):
        got = ratios(done, kind)
        table[name] = {v + "/stock": {
            "median": round(statistics.median(r), 3),
            "least": round(min(r), 3), "most": round(max(r), 3),
        } for v, r in got.items()}
    return table


def worse(table):
    """Kinds in which patched is outside of what stock does to itself."""
    bad = []
    for name in KINDS:
        noise = table[name]["stock/stock"]
        patched = table[name]["patched/stock"]["median"]
        if not noise["least"] <= patched <= noise["most"]:
            bad.append(name)
    return bad


def main():
    k.lab("up", timeout=300)
    paths = modules()
    out = begin()
    try:
        table = summary(rounds(out, paths))
    except k.DrillError:
        print("\n".join(text for _, text in out.lines()[-20:]))
        raise
    finally:
        k.rc("a", "xl destroy %s; losetup -d /dev/loop7;"
                  " rmmod xen-blkback; insmod %s" % (NAME, paths["patched"]))
    for name in KINDS:
        for pair, r in table[name].items():
            print("%-5s %-13s median %.3f (%.3f to %.3f)" % (
                name, pair, r["median"], r["least"], r["most"]))
    if OPTIONS.out:
        with open(OPTIONS.out, "a", encoding="utf-8") as f:
            f.write(json.dumps({"pairs": OPTIONS.pairs, **table}) + "\n")
    bad = worse(table)
    if bad:
        print("patched is not as stock: " + ", ".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--out")
    OPTIONS = parser.parse_args()
    try:
        sys.exit(main())
    except k.DrillError as e:
        print("backend-pairs: %s" % e, file=sys.stderr)
        sys.exit(2)
