#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""io.py [CASE...] - disk and network card of a protected guest, while its host
lives

The guest writes numbered blocks and answers pings.  Under protection both go
on; with the replication link cut no request reaches the disk and no packet the
network (INV-1, INV-34), and nothing of it is lost when the link is back; a
killed controller changes nothing (INV-30); a guest that gets another disk is
given up in order (INV-36); and an unprotected one has no fence any more
(INV-37).  After CYCLES protections (3) nothing of them is left on either host.
"""

import collections
import os
import re
import sys
import time

import drill
import labkit as k

NAME = "io"
GUEST = "10.77.0.100"
DISK = "/root/io.disk"
DEVICES = 'disk = ["%s,raw,xvda,rw"]\nvif = ["bridge=xenbr0"]\n' % DISK
UNSAFE = ["--unsafe-storage"]	# files of each host: good enough to be written to
LOG = "/var/log/kemari-protect.log"
QUIET_S = 2
CYCLES = int(os.environ.get("CYCLES", "3"))
# What a host consists of: whatever a protection leaves is one line more here,
# but for the directories that the first one makes.
TRACES = r"""
xenstore-ls -fp | grep -vE '^/(libxl|vm|local/domain/0/backend(/v..)?) = ""'
xl list | awk '{print "domain", $1, $2, $3, $4}'
xl info | grep free_memory
awk '{print "module", $1, $3, $4}' /proc/modules
awk '{print "interrupt", $NF}' /proc/interrupts
cat /proc/[0-9]*/status 2>/dev/null | awk '
	/^Name:/ {name = $2}
	/^State:/ && ($2 == "D" || name !~ /^kworker/) {
		print "process", name, $2 == "D" ? "stuck" : ""}'
for p in $(pidof kemari); do echo "files of kemari" $(ls /proc/$p/fd | wc -l); done
find /run/xen /run/kemari/* 2>/dev/null | sed 's/^/file /'
dmesg | grep -E 'WARNING|BUG|Call Trace|refcount|hung|kemari-gate:'
true"""


def blocks(out):
    """Number of the last block that the guest says it has written."""
    said = [int(m[1]) for _, t in out.lines()
            for m in [re.match(r"IO (\d+)$", t)] if m]
    return said[-1] if said else -1


def bad(out):
    return [t for _, t in out.lines() if t.startswith("BAD")]


def goes_on(out, what):
    """The disk and the network do, from now on."""
    n = blocks(out)
    k.wait_for(what + ": the disk goes on", lambda: blocks(out) > n + 20, 60)
    k.wait_for(what + ": the network goes on", answers, 30)
    if bad(out):
        raise k.DrillError("%s: the guest found: %s" % (what, bad(out)[0]))


def answers():
    return "1 packets received" in k.lab(
        "client", "--", "ping", "-c", "1", "-W", "1", GUEST, check=False) or \
        "1 received" in k.lab("client", "--", "ping", "-c", "1", "-W", "1",
                              GUEST, check=False)


def writes():
    """Requests to write that host a's disk has seen."""
    return k.on("a", "awk '{print $5}' /sys/block/loop0/stat")


def ok(what):
    print("ok - " + what, flush=True)


def start(out):
    k.guest_image(IMAGE, "io-init", ["clockcheck", "ioload"])
    for host in "ab":
        k.on(host, "dd if=/dev/zero of=%s bs=1M count=16 2>/dev/null" % DISK)
    k.create("a", NAME, IMAGE, args="ms=50 mb=4", devices=DEVICES)
    goes_on(out, "unprotected")


def refusals():
    """What speaks against it is named; nothing is changed."""
    code, text = k.rc("a", "kemari check " + NAME)
    if not code or "storage that both hosts see" not in text:
        raise k.DrillError("a disk of this host is not refused: " + text)
    ok("a disk of this host alone is refused")
    text = k.on("a", "kemari check %s --unsafe-storage" % NAME)
    ok("without that rule: " + text)


def protect(out):
    k.protect("a", NAME, log=LOG, extra=UNSAFE)
    s = k.wait_state("a", NAME, "protected")
    if (s["rings"], s["rings_fenced"]) not in ((2, 2), (3, 2)):
        raise k.DrillError("%d rings, %d fenced" % (
            s["rings"], s["rings_fenced"]))
    goes_on(out, "protected")
    s = k.status("a", NAME)
    print("  %d checkpoints: %s; pause %.2f ms, freeze %.3f ms (medians)" % (
        s["checkpoints"], s["causes"], s["pause_ms_p50"],
        s["freeze_ms_p50"]))
    ok("disk and network go on under protection, %d rings" % s["rings"])


def stall(out):
    """Nothing leaves that the standby does not know."""
    k.lab("cut", "repl", "a")
    k.wait_state("a", NAME, "paused", 30)
    before, silent = writes(), not answers()
    time.sleep(QUIET_S)
    if writes() != before or not silent or answers():
        raise k.DrillError("the link is cut, and %s -> %s writes reached the "
                           "disk, pings were answered: %s" % (
                               before, writes(), answers()))
    k.lab("heal", "repl", "a")
    k.wait_state("a", NAME, "protected", 60)
    goes_on(out, "link back")
    ok("no request and no packet leaves while the link is cut")


def restarts(out):
    for i in range(5):
        time.sleep(0.3 * i)
        k.kill_worker("a", "protect")
        k.wait_state("a", NAME, "protected", 60)
        goes_on(out, "restart %d" % i)
    ok("a killed controller finds the gate as it was")


def ended():
    return k.rc("a", "pidof kemari")[0] != 0


def another_disk(out):
    k.on("a", "dd if=/dev/zero of=/root/io2.disk bs=1M count=1 2>/dev/null; "
              "xl block-attach %s /root/io2.disk,raw,xvdb,rw" % NAME)
    k.wait_for("the protection ended", ended, 60)
    said = k.on("a", "cat " + LOG)
    if not re.search("the protection ends: .*(not those of its protection|"
                     "xvdb)", said):
        raise k.DrillError("it is not said why: " + said[-600:])
    goes_on(out, "given up")
    k.wait_for("the standby gone",
               lambda: k.rc("b", "xl list | grep -q " + NAME)[0] != 0, 60)
    k.on("a", "xl block-detach %s xvdb" % NAME)
    ok("a guest that gets another disk is given up, and runs on")


def unprotect(out):
    k.on("a", "kemari unprotect " + NAME)
    k.wait_for("the protection ended", ended, 60)
    goes_on(out, "unprotected again")
    ok("unprotected, nothing is fenced any more")


def traces():
    return {host: collections.Counter(k.on(host, TRACES).split("\n"))
            for host in "ab"}


def changes(before):
    """Since then: lines of host:+ that are new, of host:- that are gone."""
    now = traces()
    return ["%s:%s %s" % (host, sign, line) for host in "ab"
            for sign, lines in (("+", now[host] - before[host]),
                                ("-", before[host] - now[host]))
            for line in sorted(lines)]


def cycles(out):
    """Protected and unprotected again and again."""
    before = traces()
    for _ in range(CYCLES):
        protect(out)
        unprotect(out)
    try:
        k.wait_for("no trace", lambda: not changes(before), 30, every=2)
    except k.DrillError:
        raise k.DrillError("after %d cycles: %s" % (
            CYCLES, "; ".join(changes(before))))
    ok("%d cycles leave nothing on either host" % CYCLES)


def unload():
    """Nobody holds the modules any more."""
    for host in "ab":
        k.wait_for("no backend on host " + host, lambda: not k.on(
            host, "ls /sys/bus/xen-backend/devices"), 30)
        k.on(host, "rmmod xen-netback xen-blkback kemari-gate && "
             "modprobe xen-blkback && modprobe xen-netback && "
             "test -c /dev/kemari-gate")
    ok("the modules come and go")


def shutdown(_out):
    """A guest lets go of its devices before it says that it shuts down."""
    k.on("a", "xl shutdown " + NAME)
    k.wait_for("the protection ended", ended, 60)
    said = k.on("a", "tail -n 3 " + LOG)
    if "io: ended" not in said:
        raise k.DrillError("not an end in order: " + said)
    k.wait_for("the standby gone",
               lambda: k.rc("b", "xl list | grep -q " + NAME)[0] != 0, 60)
    if k.runs("b", NAME):
        raise k.DrillError("the guest was revived on host b")
    ok("a shutdown ends it as that of a guest without devices")


# Each but the first begins protected; those that end the protection.
CASES = {"cycles": cycles, "stall": stall, "restarts": restarts, "another-disk": another_disk,
         "unprotect": unprotect, "shutdown": shutdown}
ENDING = ("cycles", "another-disk", "unprotect")


def main():
    global IMAGE
    wanted = sys.argv[1:] or list(CASES)
    IMAGE = os.path.join(k.ROOT, "build", "check", "io-guest.img")
    os.makedirs(os.path.dirname(IMAGE), exist_ok=True)
    drill.prepare()
    out = k.Console("a", NAME)
    try:
        start(out)
        refusals()
        # Nobody takes over here.
        k.receive("b", extra=["--fence", "false", *UNSAFE])
        protected = False
        for case in wanted:
            if protected != (case != "cycles"):
                (unprotect if protected else protect)(out)
            CASES[case](out)
            protected = case not in ENDING
    except k.DrillError as e:
        print("not ok - %s" % e)
        for host, log in (("a", "protect"), ("b", "receive")):
            print(k.rc(host, "tail -n 15 /var/log/kemari-%s.log" % log)[1])
        return 1
    finally:
        k.lab("heal", "repl", "a", check=False)
    k.stop_kemari()
    for host in "ab":
        k.destroy_all(host)
    if "cycles" in wanted:
        unload()
    return 0


if __name__ == "__main__":
    sys.exit(main())
