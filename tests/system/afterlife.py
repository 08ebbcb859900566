# SPDX-License-Identifier: GPL-2.0-or-later
"""afterlife.py - a guest that was taken over is an ordinary domain

It has its name, a console that takes input, hears xl, and when it powers off
it is cleaned up by the receiver, which then listens for the next one
(docs/GUEST.md).
"""

import labkit as k


def expect(what, true):
    if not true:
        raise k.DrillError(what)


def prove(host, name, out):
    domid = k.on(host, "xl domid " + name)
    expect("xl list shows a standby",
           k.rc(host, "xl list | grep -q standby")[0] != 0)
    # The guest's answer is its watch at work; sysrq h prints a help.
    code, text = k.rc(host, "xl sysrq %s h" % name)
    expect("xl sysrq: " + text.strip(), code == 0)
    k.wait_for("the kernel's answer to sysrq",
               lambda: any("sysrq: HELP" in t or "sysrq: SysRq" in t
                           for _, t in out.lines()), 60)
    k.guest_says(host, name, "poweroff")
    k.wait_for("the guest reaped",
               lambda: k.rc(host, "grep -q 'domain %s was powered off; it was "
                            "destroyed; listening' %s" % (
                                domid, k.RECEIVE_LOG))[0] == 0, 60)
    k.wait_for("the domain gone", lambda: not k.runs(host, name), 30)
    left = k.rc(host, "xenstore-ls -f | grep -e '/%s ' -e '/%s/'" % (
        domid, domid))[1].strip()
    expect("left of it in xenstore: " + left, not left)
    expect("the receiver is gone", k.rc(host, "pidof kemari")[0] == 0)


def problems(host, name, out):
    """What is wrong with the guest on @host, whose console is @out."""
    try:
        prove(host, name, out)
    except k.DrillError as e:
        return ["after the take-over: %s" % e]
    return []
