#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""endings.py - a guest that ends on purpose is never revived (INV-7, INV-29)

Power-off, reboot, crash and `xl destroy` on the primary end the session:
the standby is destroyed, the receiver is ready for the next guest.  And
`kemari unprotect` leaves the guest running where it is.
"""

import sys

import drill
import labkit as k

NAME = "ending"


def standby_gone():
    return k.rc("b", "xl list | grep -q '%s'" % NAME)[0] != 0


def case(how, end, still_runs):
    out = k.Console("a", NAME)
    # The case before may have left it, or its successor, running.
    if not k.runs("a", NAME):
        k.create_counter("a", NAME, args="ms=50 mb=4")
    k.wait_for("first lines", lambda: len(k.counters(out.lines())) > 5, 60)
    log = "/var/log/kemari-%s.log" % how
    k.protect("a", NAME, log=log)
    k.wait_state("a", NAME, "protected")
    if standby_gone():
        raise k.DrillError("xl list on b shows no standby")
    end()
    k.wait_for("%s: standby destroyed" % how, standby_gone, 60)
    k.wait_for("%s: kemari protect ended" % how,
               lambda: k.rc("a", "pidof kemari")[0] != 0, 60)
    if k.runs("a", NAME) != still_runs:
        k.wait_for("%s: guest %s on a" % (
            how, "running" if still_runs else "gone"),
            lambda: k.runs("a", NAME) == still_runs, 60)
    if still_runs:
        n = len(k.counters(out.lines()))
        k.wait_for("%s: guest goes on printing" % how,
                   lambda: len(k.counters(out.lines())) > n + 20, 60)
    if k.runs("b", NAME):
        raise k.DrillError("%s: the guest was revived on host b" % how)
    print("ok - " + how, flush=True)


def main():
    drill.prepare()
    k.receive("b")
    passed = failed = 0
    for how, end, still_runs in (
            ("unprotect", lambda: k.on("a", "kemari unprotect " + NAME),
             True),
            ("reboot", lambda: k.guest_says("a", NAME, "reboot"), True),
            ("poweroff", lambda: k.guest_says("a", NAME, "poweroff"), False),
            ("crash", lambda: k.guest_says("a", NAME, "crash"), False),
            ("destroy", lambda: k.on("a", "xl destroy " + NAME), False)):
        try:
            case(how, end, still_runs)
            passed += 1
        except k.DrillError as e:
            print("not ok - %s: %s" % (how, e), flush=True)
            for host, log in (("a", how), ("b", "receive")):
                print(k.rc(host, "tail -n 8 /var/log/kemari-%s.log" %
                           log)[1])
            failed += 1
            drill.prepare()
            k.receive("b")
    k.stop_kemari()
    for host in "ab":
        k.destroy_all(host)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
