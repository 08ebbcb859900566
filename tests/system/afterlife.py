#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""afterlife.py - a guest that was taken over is an ordinary domain

After a power cut of host a the guest on host b has its name, a console that
takes input, hears xl, and when it powers off it is cleaned up by the
receiver, which then listens for the next one (docs/GUEST.md).
"""

import os
import sys

import drill
import labkit as k

NAME = "e"
LOG = "/var/log/kemari-receive.log"


def take_over():
    """Bring the guest to host b the hard way; its console there."""
    image = os.path.join(k.ROOT, "build", "check", "ending-guest.img")
    k.guest_image(image, "ending-init", ["clockcheck"])
    k.create("a", NAME, image, args="ms=50 mb=4")
    out_a, out_b = k.Console("a", NAME), k.Console("b", NAME)
    k.wait_for("first lines",
               lambda: len(k.counters(out_a.lines())) > 5, 60)
    k.receive("b", log=LOG)
    k.protect("a", NAME)
    k.wait_state("a", NAME, "protected")
    last = k.counters(out_a.lines())[-1][1]
    k.wait_for("lines under protection",
               lambda: k.counters(out_a.lines())[-1][1] > last + 20, 120)
    k.lab("power-off", "a")
    last = k.counters(out_a.lines())[-1][1]
    k.wait_for("the counter on host b",
               lambda: any(x[1] > last + 20
                           for x in k.counters(out_b.lines())), 120)
    return out_b


def expect(what, true):
    if not true:
        raise k.DrillError(what)
    print("ok - " + what, flush=True)


def prove(out):
    domid = k.on("b", "xl domid " + NAME)
    expect("xl list has its name, and no standby",
           k.rc("b", "xl list | grep -q '^%s '" % NAME)[0] == 0 and
           k.rc("b", "xl list | grep -q standby")[0] != 0)
    # The guest's answer is its watch at work; sysrq h prints a help.
    code, text = k.rc("b", "xl sysrq %s h" % NAME)
    expect("it takes xl sysrq: " + text.strip(), code == 0)
    k.wait_for("the kernel's answer to sysrq",
               lambda: any("sysrq: HELP" in t or "sysrq: SysRq" in t
                           for _, t in out.lines()), 60)
    k.guest_says("b", NAME, "poweroff")
    k.wait_for("the guest reaped",
               lambda: k.rc("b", "grep -q 'domain %s was powered off; it was "
                            "destroyed; listening' %s" % (domid, LOG))[0] == 0,
               60)
    k.wait_for("the domain gone", lambda: not k.runs("b", NAME), 30)
    left = k.rc("b", "xenstore-ls -f | grep -e '/%s ' -e '/%s/'" % (
        domid, domid))[1].strip()
    expect("nothing is left of it in xenstore" + left, not left)
    expect("the receiver goes on",
           k.rc("b", "pidof kemari")[0] == 0)


def main():
    failed = 0
    drill.prepare()
    try:
        prove(take_over())
    except k.DrillError as e:
        print("not ok - afterlife: %s\n%s" % (
            e, k.rc("b", "tail -n 20 %s; xl list" % LOG)[1]))
        failed = 1
    drill.tidy()
    print("%d failed" % failed)
    return failed


if __name__ == "__main__":
    sys.exit(main())
