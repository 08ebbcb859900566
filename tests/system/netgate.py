#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""netgate.py - the gate of a guest's network cards, seen from outside

On host a, with the patched xen-netback, and without any checkpoint: what
leaves a guest while its gate is shut, frozen, released; whether its TCP
connections notice; and that each unsafe parameter is noticed.  Tests INV-33,
INV-34, INV-35, and INV-1 as far as a backend upholds it.
"""

import argparse
import os
import re
import subprocess
import sys
import time

import labkit as k

NAME = "netguest"
ADDRESS = "10.77.0.%d"
# The client remembers whose address it is from one guest to the next.
MAC = "00:16:3e:4b:4b:%02x"
# Whom the guest believes to be at the MAC address of its second card.
NOBODY = "10.77.0.250"
UDP = 7001
LOAD = os.path.join(k.ROOT, "build", "guest-bin", "netload")
WIRE = os.path.join(k.ROOT, "tests", "system", "wire.py")
WORK = os.path.join(k.ROOT, "build", "check", "netgate")
PARAMETERS = "/sys/module/kemari_gate/parameters/"
TX, RX = 2, 3
MIB = 1 << 20


class Failed(Exception):
    pass


def expect(what, true, detail=""):
    if not true:
        raise Failed("%s: %s" % (what, detail))
    print("ok - " + what + (" (%s)" % detail if detail else ""), flush=True)


# --- what works outside ----------------------------------------------------

def client(*argv):
    return subprocess.Popen([k.LAB, "client", "--", *argv], text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


class Loads:
    """Clients that check what they get; all must end well."""

    def __init__(self, *loads):
        self.procs = [client(LOAD, *map(str, load)) for load in loads]

    def end(self, what, timeout=300):
        said = [p.communicate(timeout=timeout)[0].strip() for p in self.procs]
        bad = any(p.returncode for p in self.procs)
        expect(what, not bad, "; ".join(said))


class Wire:
    """Frames of one MAC on the client's interface: [(ns, length, number)]."""

    def __init__(self, mac):
        self.path = os.path.join(WORK, "wire.txt")
        with open(self.path, "w", encoding="ascii") as out:
            self.proc = subprocess.Popen(
                [k.LAB, "client", "--", "python3", WIRE, "eth0", mac,
                 str(UDP)], stdin=subprocess.DEVNULL, stdout=out)
        k.wait_for("the wire's reader", lambda: self.lines(), 20)

    def lines(self):
        with open(self.path, encoding="ascii") as f:
            return f.read().split("\n")[:-1]

    def frames(self):
        out = []
        for line in self.lines()[1:]:
            ns, length, number = line.split()
            out.append((int(ns), int(length),
                        None if number == "-" else int(number)))
        return out

    def end(self):
        self.proc.terminate()
        self.proc.wait()


# --- host a ----------------------------------------------------------------

class Guest:
    def __init__(self, vifs, vcpus, split=True):
        self.vifs, self.queues, self.split = vifs, vcpus, split
        self.addresses = [ADDRESS % (100 + i) for i in range(vifs)]
        nets = ",".join("eth%d=%s" % x for x in enumerate(self.addresses))
        image = os.path.join(WORK, NAME + ".img")
        k.guest_image(image, "net-init", ["netload"])
        k.on("a", "xl destroy %s 2>/dev/null; rm -f "
             "/var/log/xen/console/guest-%s.log" % (NAME, NAME), check=False)
        self.console = k.Console("a", NAME)
        k.create("a", NAME, image, vcpus=vcpus, args="net=%s neigh=%s=%s" % (
                     nets, NOBODY, MAC % 1),
                 devices='vif = [%s]\n' % ", ".join(
                     '"bridge=xenbr0,mac=%s"' % (MAC % i)
                     for i in range(vifs)))
        self.domid = int(k.on("a", "xl domid " + NAME))
        # Whose addresses these were in the test before.
        k.lab("client", "--", "ip", "neigh", "flush", "dev", "eth0")
        k.wait_for("the guest's server", lambda: any(
            "netload: ready" in t for _, t in self.console.lines()), 120)
        self.mac = MAC % 0
        self.generation = 0

    def front(self):
        return "/local/domain/%d/device/vif" % self.domid

    def refs(self, *names):
        """Grants of the rings, as the frontend wrote them to xenstore."""
        nodes = k.on("a", "xenstore-ls -f " + self.front()).split("\n")
        return [line.split('"')[1] for line in nodes
                if line.split(" = ")[0].rsplit("/", 1)[1] in names]

    def gate(self, *argv, fails=False):
        code, text = k.rc("a", "netgate-test %d %d %s" % (
            self.domid, self.generation, " ".join(map(str, argv))),
            timeout=300)
        if code == 2 or (code and not fails):
            raise Failed("netgate-test %s: exit %d: %s" % (
                " ".join(map(str, argv)), code, text))
        return text if not fails else (code, text)

    def shut(self):
        self.generation += 1
        self.gate("shut")

    def query(self):
        words = self.gate("query").split()
        return {a: int(b) for a, b in zip(words[::2], words[1::2])}

    def rings(self):
        out = []
        for line in self.gate("rings").strip().split("\n"):
            words = line.split()
            out.append({a: int(b, 0) for a, b in
                        zip(words[::2], words[1::2])})
        return out

    def streams(self, mib):
        return [(what, a, mib * MIB // self.vifs) for a in self.addresses
                for what in ("source", "sink")]

    def echoes(self, count, ms=20):
        return [("echo", a, ms, count) for a in self.addresses]


def reload_netback(*parameters):
    k.destroy_all("a")
    k.wait_for("no backend left", lambda: not k.on(
        "a", "ls /sys/bus/xen-backend/devices"), 30)
    k.on("a", "dmesg -c >/dev/null; rmmod xen-netback && "
         "modprobe xen-netback " +
         " ".join(parameters))


def unsafe(name, on):
    k.on("a", "echo %d >%s%s" % (on, PARAMETERS, name))


def dmesg_clean(g):
    bad = k.rc("a", "dmesg | grep -E 'BUG:|WARNING:|Oops|Call Trace|alicious|"
               "fatal error|Impossible number|kemari-gate: .*req_prod'")[1]
    expect("dom0's kernel has nothing to complain about", not bad, bad)
    said = [t for _, t in g.console.lines()
            if re.search("BUG:|WARNING:|Oops|Call Trace|eth[0-9]: ", t)]
    expect("neither has the guest's", not said, "; ".join(said))


# --- the proofs ------------------------------------------------------------

def works_unprotected(g):
    for a in g.addresses:
        r = client("ping", "-c", "3", "-i", "0.2", "-W", "5", a)
        said = r.communicate()[0].strip().split("\n")[-1]
        expect("ping " + a, r.returncode == 0, said)
    Loads(*g.streams(4), *g.echoes(50)).end("unprotected: streams both ways")


def rings_are_told(g):
    rings = g.rings()
    ports = sorted(g.refs("event-channel-tx") if g.split
                   else g.refs("event-channel"))
    expect("the rings' ports are the frontend's",
           sorted(str(r["port"]) for r in rings if r["kind"] == TX) == ports,
           " ".join(ports))
    rx = sorted(g.refs("event-channel-rx") if g.split else ports)
    expect("RX has its own port only if it is split",
           sorted(str(r["port"]) for r in rings if r["kind"] == RX) == rx)
    expect("two rings for each queue of each card",
           len(rings) == 2 * g.vifs * g.queues, str(len(rings)))


def steps(frames):
    """Numbers of the datagrams: is each one more than the one before?"""
    n = [f[2] for f in frames if f[2] is not None]
    return all(b == a + 1 for a, b in zip(n, n[1:])), n


def leaks(wire, seconds):
    """Frames that arrive in that time, after what is under way did."""
    time.sleep(0.5)
    before = len(wire.frames())
    time.sleep(seconds)
    return len(wire.frames()) - before


def fence_holds(g):
    wire = Wire(g.mac)
    flood = client(LOAD, "flood", g.addresses[0], "500", "600", str(UDP))
    try:
        k.wait_for("datagrams", lambda: len(wire.frames()) > 200, 30)
        g.shut()
        expect("gate shut: nothing leaves the guest", not leaks(wire, 2))
        seen = len(wire.frames())
        g.gate("freeze")
        g.gate("capture", 1)
        g.gate("thaw")
        expect("captured: nothing leaves", not leaks(wire, 1))
        expect("the gate knows that requests wait", g.query()["waiting"] > 0)
        g.gate("release", 1)
        k.wait_for("released frames", lambda: len(wire.frames()) > seen, 10)
        expect("released: what was captured leaves, nothing else",
               not leaks(wire, 1), "%d frames" % (len(wire.frames()) - seen))
        seen = len(wire.frames())
        g.gate("freeze")
        g.gate("capture", 2)
        g.gate("release", 2)
        k.wait_for("frames that are released while frozen",
                   lambda: len(wire.frames()) > seen, 10)
        g.gate("thaw")
        for _ in range(20):
            g.gate("epoch")
        g.gate("open")
        seen = len(wire.frames())
        k.wait_for("frames of an open gate",
                   lambda: len(wire.frames()) > seen + 200, 10)
        good, n = steps(wire.frames())
        expect("no datagram missing, doubled or out of order", good,
               "%d of them" % len(n))
    finally:
        flood.terminate()
        wire.end()


def tcp_survives(g, cycles=200):
    g.shut()
    # A first epoch at once, so that the clients can connect.
    run = subprocess.Popen(
        [k.LAB, "exec", "a", "--", "netgate-test", str(g.domid),
         str(g.generation), "cycles", str(cycles), "50",
         *g.refs("tx-ring-ref")], text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    loads = Loads(*g.streams(4), *g.echoes(cycles // 8))
    said = run.communicate(timeout=300)[0].strip()
    expect("each capture holds whole packets, each once",
           run.returncode == 0, said)
    g.gate("open")
    loads.end("TCP through %d epochs at 20 Hz" % cycles)


def frozen_is_still(g):
    g.shut()
    loads = Loads(*g.streams(4), *[("echo", a, 1, 300) for a in g.addresses])
    for _ in range(20):
        g.gate("epoch")
    refs = g.refs("tx-ring-ref", "rx-ring-ref")
    for ms in (100, 300, 500):
        expect("frozen: no byte of a ring changes", True,
               g.gate("still", ms, *refs).strip())
        for _ in range(5):
            g.gate("epoch")
    g.gate("open")
    loads.end("and TCP goes on")


def toggles(g, count=100):
    loads = Loads(*g.streams(4), *g.echoes(100))
    g.generation += 1
    g.gate("toggle", count, 20)
    g.generation += count
    loads.end("%d times shut and opened under traffic" % count)


def interface_down(g):
    vif = "vif%d.0" % g.domid
    k.on("a", "ip link set %s down" % vif)
    g.shut()
    k.on("a", "ip link set %s up" % vif)
    g.gate("epoch")
    k.on("a", "ip link set %s down; ip link set %s up" % (vif, vif))
    g.gate("freeze")
    k.on("a", "ip link set %s down; ip link set %s up" % (vif, vif))
    g.gate("thaw")
    g.gate("open")
    # The bridge forgot the port's addresses; ARP brings them back.
    Loads(*g.streams(1)).end("after the interface was down, gated and frozen")


def fence_is_missed(g):
    wire = Wire(g.mac)
    flood = client(LOAD, "flood", g.addresses[0], "500", "600", str(UDP))
    unsafe("unsafe_no_fence", 1)
    try:
        k.wait_for("datagrams", lambda: len(wire.frames()) > 200, 30)
        g.shut()
        n = leaks(wire, 2)
        expect("without the fence frames leak, and it is seen", n, "%d" % n)
        g.gate("open")
    finally:
        unsafe("unsafe_no_fence", 0)
        flood.terminate()
        wire.end()


def held_up(g, what):
    """Packets that nobody takes: to the guest's second card, which is down in
    the guest, so that netback keeps them for ten seconds.  Small packets of
    the same ring overtake them in stock netback.  The gate is shut meanwhile;
    (exit status, output) of the test's look at the rings."""
    k.guest_says("a", NAME, "ip link set eth1 down")
    # Ports enough that each TX ring has some.
    to = [("1400", str(UDP + i), NOBODY) for i in range(4)]
    floods = [client(LOAD, "flood", g.addresses[0], "100", *x) for x in to]
    time.sleep(6)			# the card's receive buffers are used up
    for f in floods:
        f.terminate()
    g.shut()
    floods = [client(LOAD, "flood", g.addresses[0], "5", *x) for x in to]
    echo = Loads(("echo", g.addresses[0], 20, 100))
    try:
        said = g.gate("cycles", 200, 50, *g.refs("tx-ring-ref"), fails=True)
        g.gate("open")
        echo.end("the guest answers " + what)
        return said
    finally:
        for f in floods:
            f.terminate()
        k.guest_says("a", NAME, "ip link set eth1 up")


def nobody_waits(g):
    code, text = held_up(g, "while packets of its wait elsewhere")
    expect("in order even then", not code, text.strip())


def order_is_missed(g):
    unsafe("unsafe_no_order", 1)
    try:
        code, text = held_up(g, "though nothing is in order")
    finally:
        unsafe("unsafe_no_order", 0)
    expect("without order answers are wrong, and it is seen",
           code == 1, text.strip().split("\n")[0])


def unloads(g):
    k.on("a", "xl destroy " + NAME)
    k.wait_for("the vif gone", lambda: k.rc(
        "a", "ls -d /sys/class/net/vif%d.*" % g.domid)[0], 30)
    k.on("a", "rmmod xen-netback")
    k.on("a", "modprobe xen-netback")
    expect("the module unloads", True)


# Each guest: parameters of the module, cards, vcpus, and what is proved.
GUESTS = {
    "one": ((), 1, 1, (
        works_unprotected, rings_are_told, fence_holds, tcp_survives,
        frozen_is_still, toggles, interface_down, fence_is_missed,
        dmesg_clean, unloads)),
    "two": (("separate_tx_rx_irq=0", "max_queues=2"), 2, 2, (
        works_unprotected, rings_are_told, fence_holds, tcp_survives,
        frozen_is_still, toggles, nobody_waits, order_is_missed,
        dmesg_clean, unloads)),
}


def prove(name, only):
    parameters, vifs, vcpus, proofs = GUESTS[name]
    reload_netback(*parameters)
    g = Guest(vifs, vcpus, not parameters)
    for proof in proofs:
        if not only or proof.__name__ in only:
            proof(g)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--guest", choices=GUESTS, action="append")
    p.add_argument("--proof", action="append", help="only these")
    args = p.parse_args()
    os.makedirs(WORK, exist_ok=True)
    k.lab("up", timeout=300)
    try:
        for name in args.guest or GUESTS:
            prove(name, args.proof)
    except (Failed, k.DrillError) as e:
        print("not ok - " + str(e))
        print(k.rc("a", "dmesg | tail -n 30")[1])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
