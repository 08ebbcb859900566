# SPDX-License-Identifier: GPL-2.0-or-later
"""remus.py - `xl remus` between the lab's two hosts

There is no ssh in the lab: socat on both sides is the transport.  Network
buffering and disk replication are off (-n -d), see refusals().
"""

import re

import benchkit as b
import labkit as k

INTERVAL_MS = 100
PORT = 7090
LOG, RECEIVE_LOG = "/var/log/remus.log", "/var/log/remus-receive.log"
# Said by libxl at each checkpoint.
CHECKPOINT = "guest has suspended"
FIRST = 3			# so many until it counts as running


def checkpoints():
    text = k.rc("a", "grep -c '%s' %s" % (CHECKPOINT, LOG))[1].strip()
    return int(text) if text.isdigit() else 0


def _runs():
    """On host a; each guest has an xl of its own."""
    return k.rc("a", r"""
for p in $(pidof xl); do
	tr '\0' ' ' </proc/$p/cmdline | grep -q ' remus ' && exit 0
done
exit 1""")[0] == 0


def _last_words():
    """What both sides said that is no debugging."""
    out = []
    for host, log in (("a", LOG), ("b", RECEIVE_LOG)):
        said = [line for line in k.rc(host, "cat " + log)[1].splitlines()
                if line.strip() and "debug:" not in line and
                "progress:" not in line]
        out.append("host %s: %s" % (host, " | ".join(said[-4:]) or "nothing"))
    return "; ".join(out)


def start():
    """The guest of the benchmark is checkpointed to host b."""
    k.daemon("b", RECEIVE_LOG, [
        "socat", "-b", "65536", "TCP-LISTEN:%d,bind=%s,reuseaddr,nodelay" % (
            PORT, k.REPL["b"]), "EXEC:xl migrate-receive -r"])
    k.daemon("a", LOG, [
        "xl", "-vvv", "remus", "-F", "-n", "-d", "-i", str(INTERVAL_MS), "-s",
        "", b.NAME, "exec socat -b 65536 - TCP:%s:%d,nodelay,retry=50,"
        "interval=0.2" % (k.REPL["b"], PORT)])

    def begun():
        if checkpoints() >= FIRST:
            return True
        if not _runs():
            raise k.DrillError("xl remus ended: " + _last_words())
        return False
    try:
        k.wait_for("checkpoints of xl remus", begun, 90, every=1)
    except k.DrillError as e:
        raise k.DrillError("%s; %s" % (e, _last_words())) from e


def stop():
    """Host b first: it would take the end of the stream for host a's death
    and start the guest, while that runs on host a."""
    k.rc("b", "killall -9 xl socat")
    k.destroy_all("b")
    k.wait_for("the end of xl remus on host a", lambda: not _runs(), 60)


def refusals():
    """What xl says when it is asked to protect network and disk, too.

    The guest may have suffered by that.
    """
    out = {}
    for what, options in (("network", "-d"), ("disk", "-n")):
        said = k.rc("a", "timeout 30 xl remus -F -b %s %s x" % (
            options, b.NAME))[1]
        errors = re.findall(r"error: \S+:\d+:\w+: *(?:Domain \d+:)?(.*)",
                            said)
        # Without the number of a process.
        out[what] = re.sub(r" \[\d+\]", "", errors[0] if errors else
                           said.strip()[-200:])
    return out
