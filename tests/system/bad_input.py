#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bad_input.py - bad input ends in a clear error and an untouched guest

INV-32: the message names the thing, the value and the rule; the exit status
is 1 (2 for usage); the guest runs on, unprotected, as if nobody had asked.
"""

import os
import struct
import sys
import time

import drill
import labkit as k

NAME = "input"
TO = k.REPL["b"]
results = []


def verdict(name, problem):
    print("ok - " + name if not problem else "not ok - %s: %s" % (
        name, problem), flush=True)
    results.append(not problem)


def refused(name, command, status, *words, host="a"):
    """The command must fail with that status, naming all the words."""
    code, text = k.rc(host, "timeout 60 " + command, timeout=90)
    missing = [w for w in words if w not in text]
    problem = None
    if code != status:
        problem = "exit %d, wanted %d: %s" % (code, status, text)
    elif missing:
        problem = "message lacks %s: %r" % (missing, text)
    verdict(name, problem)


def alive(name):
    """The guest prints, is not tapped, has no standby."""
    n = len(k.counters(OUT.lines()))
    try:
        k.wait_for("guest prints", lambda: len(k.counters(OUT.lines())) > n + 5,
                   20)
        gone = k.rc("b", "xl list | grep -q %s" % NAME)[0] != 0
        verdict(name + ": guest untouched",
                None if gone else "a standby is left on host b")
    except k.DrillError as e:
        verdict(name + ": guest untouched", str(e))


def usage():
    for name, args, words in (
            ("no verb", "", ["usage"]),
            ("unknown verb", "protekt g", ["protekt"]),
            ("no domain", "protect --to %s --plaintext" % TO, ["domain"]),
            ("no --to", "protect input --plaintext", ["--to"]),
            ("--plaintext and a name to be checked",
             "protect input --to %s --plaintext --peer b" % TO,
             ["--plaintext", "--peer"]),
            ("unknown option", "protect input --frobnicate", ["--frobnicate"]),
            ("bad number", "protect input --to %s --plaintext --max-epoch 1x" % TO,
             ["--max-epoch", "1x", "60000"]),
            ("number out of range",
             "protect input --to %s --plaintext --max-epoch 0" % TO,
             ["--max-epoch", "0", "60000"]),
            ("bad port", "protect input --to %s:99999 --plaintext" % TO,
             ["99999", "65535"]),
            ("receive without --listen", "receive --plaintext", ["--listen"]),
            ("one argument too many", "status input j", ["j"]),
            ("failover without --force", "failover input", ["--force"])):
        refused("usage: " + name, "kemari " + args, 2, *words)


def certificates():
    """Without them, or with a key that others can read, nothing is begun."""
    files = "/etc/kemari/pki"
    for args in ("protect input --to " + TO, "check input --to " + TO,
                 "receive --listen " + TO):
        refused("no certificates: " + args.split(maxsplit=1)[0],
                "kemari " + args, 1, files + "/ca.pem", "No such file",
                "--plaintext")
    k.on("a", "kemari pki /tmp/pki a %s" % k.REPL["a"])
    refused("a certificate is not made twice", "kemari pki /tmp/pki a", 1,
            "/tmp/pki/a", "exists")
    refused("a host's name is no path", "kemari pki /tmp/pki ../a", 1, "../a")
    options = " ".join("--tls-%s /tmp/pki/a/%s" % x for x in (
        ("ca", "ca.pem"), ("cert", "host.pem"), ("key", "host.key")))
    k.on("a", "chmod 640 /tmp/pki/a/host.key")
    refused("a key that others can read", "kemari protect input --to %s %s" % (
        TO, options), 1, "/tmp/pki/a/host.key", "0640", "chmod 600")
    k.on("a", "rm -r /tmp/pki")


def hello(version):
    """A secondary's first message, of another version of the protocol."""
    body = struct.pack("<QIIIIQ16s16s16s16sQQQ32sQII64s",
                       0x004952414d454b, version, version, 2, 4096, 1,
                       b"", b"h" * 16, b"b" * 16, b"", 0, 1 << 20, 0, b"", 0,
                       0, 0, b"")
    head = struct.pack("<IHHIIQ", 0x316d654b, 1, 1, 0, 0, len(body))
    total = xxh64(head + b"\0" * 8 + body)
    return head + struct.pack("<Q", total) + body


def xxh64(data):
    """XXH64 with seed 0 (the algorithm's public description)."""
    p = [11400714785074694791, 14029467366897019727, 1609587929392839161,
         9650029242287828579, 2870177450012600261]
    mask = (1 << 64) - 1
    rotl = lambda x, r: ((x << r) | (x >> (64 - r))) & mask
    lane = lambda acc, v: rotl((acc + v * p[1]) & mask, 31) * p[0] & mask
    n, i = len(data), 0
    if n >= 32:
        v = [(p[0] + p[1]) & mask, p[1], 0, -p[0] & mask]
        while i + 32 <= n:
            for j, w in enumerate(struct.unpack_from("<4Q", data, i)):
                v[j] = lane(v[j], w)
            i += 32
        h = sum(rotl(x, r) for x, r in zip(v, (1, 7, 12, 18))) & mask
        for x in v:
            h = ((h ^ lane(0, x)) * p[0] + p[3]) & mask
    else:
        h = p[4]
    h = (h + n) & mask
    while i + 8 <= n:
        h ^= lane(0, struct.unpack_from("<Q", data, i)[0])
        h = (rotl(h, 27) * p[0] + p[3]) & mask
        i += 8
    if i + 4 <= n:
        h ^= struct.unpack_from("<I", data, i)[0] * p[0] & mask
        h = (rotl(h, 23) * p[1] + p[2]) & mask
        i += 4
    for c in data[i:]:
        h = rotl(h ^ (c * p[4] & mask), 11) * p[0] & mask
    h = (h ^ (h >> 33)) * p[1] & mask
    h = (h ^ (h >> 29)) * p[2] & mask
    return h ^ (h >> 32)


def put_bytes(host, path, data):
    local = os.path.join(k.ROOT, "build", "check", "bytes")
    with open(local, "wb") as f:
        f.write(data)
    k.lab("put", host, local, path)


def peers():
    protect = "kemari protect %s --to %%s --plaintext" % NAME
    refused("unknown domain", "kemari protect nosuch --to %s --plaintext" % TO,
            1, "nosuch")
    refused("unreachable peer", protect % "10.78.0.99", 1, "10.78.0.99")
    refused("nobody listens", protect % (TO + ":7999"), 1, "7999")
    alive("unreachable peer")

    put_bytes("b", "/tmp/hello", hello(7))
    k.daemon("b", "/tmp/nc.log", ["sh", "-c",
             "{ cat /tmp/hello; sleep 20; } | nc -l -p 7998"])
    refused("another version", protect % (TO + ":7998"), 1, "version", "7")
    put_bytes("b", "/tmp/garbage", b"HTTP/1.0 400 Bad Request\r\n\r\n" * 8)
    k.daemon("b", "/tmp/nc.log", ["sh", "-c",
             "{ cat /tmp/garbage; sleep 20; } | nc -l -p 7997"])
    refused("not a kemari", protect % (TO + ":7997"), 1, "magic")
    alive("wrong peer")


def receiver():
    """Garbage to the receiver hurts nobody; the next session works."""
    k.receive("b")
    k.on("a", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 %s 7766 || true"
         % TO)
    k.on("a", "head -c 100000 /dev/urandom | nc -w 3 %s 7766 || true" % TO)
    code, text = k.rc("a", "kemari check %s --to %s --plaintext" % (
        NAME, TO), timeout=120)
    verdict("a corrupted stream leaves the receiver working",
            None if code == 0 else text)
    alive("check --to")


def memory():
    """A second guest takes what the standby would need."""
    free = int(k.on("b", "xl info free_memory"))
    k.on("b", "printf 'name=\"filler\"\\ntype=\"pvh\"\\n"
              "kernel=\"/boot/guest-vmlinuz\"\\nmemory=%d\\n' >/tmp/f.cfg; "
              "xl create -p /tmp/f.cfg" % (free - 110), timeout=120)
    refused("not enough memory on the secondary",
            "kemari protect %s --to %s --plaintext" % (NAME, TO), 1,
            "memory", "MiB")
    k.on("b", "xl destroy filler")
    alive("not enough memory")


def orphan():
    """Supervisors and workers killed: the guest is held until told otherwise,
    and its standby, forgotten by all, keeps its domain ID."""
    k.protect("a", NAME)
    k.wait_state("a", NAME, "protected")
    k.stop_kemari()
    n = len(k.counters(OUT.lines()))
    time.sleep(3)
    grown = len(k.counters(OUT.lines())) - n
    # What was on its way when they died may still come out.
    verdict("a guest without controllers is held (INV-30)",
            "%d lines left" % grown if grown > 3 else None)
    refused("it cannot be protected anew", "kemari protect %s --to %s "
            "--plaintext" % (NAME, TO), 1, "already", "unprotect --force")
    refused("it is not let go by the way", "kemari unprotect " + NAME, 1,
            NAME)
    code, text = k.rc("a", "kemari unprotect %s --force --standby-is-dead"
                      % NAME)
    verdict("an operator sets it free", text if code else None)
    k.receive("b")
    refused("domain ID taken, by whom",
            "kemari protect %s --to %s --plaintext" % (NAME, TO), 1,
            "domain ID", NAME + "--standby")
    k.on("b", "xl destroy %s--standby" % NAME)
    alive("set free")


def ineligible():
    k.on("a", "dd if=/dev/zero of=/root/local.disk bs=1M count=1 2>/dev/null; "
              "sed -e 's/\"%s\"/\"local\"/' /root/%s.cfg >/root/local.cfg; "
              "echo 'disk=[\"/root/local.disk,raw,xvda,rw\"]' "
              ">>/root/local.cfg; "
              "xl create /root/local.cfg" % (NAME, NAME), timeout=120)
    refused("a guest with a disk of this host", "kemari check local", 1,
            "xvda", "storage that both hosts see")
    refused("... and protect says the same",
            "kemari protect local --to %s --plaintext" % TO, 1,
            "xvda", "storage that both hosts see")
    k.on("a", "xl destroy local")
    refused("domain 0", "kemari check 0", 1, "0")


def main():
    global OUT
    drill.prepare()
    OUT = k.Console("a", NAME)
    k.create_counter("a", NAME, args="ms=50 mb=4")
    k.wait_for("first lines", lambda: len(k.counters(OUT.lines())) > 5, 60)
    for part in (usage, certificates, peers, receiver, memory, orphan, ineligible):
        try:
            part()
        except k.DrillError as e:
            verdict(part.__name__, str(e))
    k.stop_kemari()
    for host in "ab":
        k.destroy_all(host)
    print("%d passed, %d failed" % (results.count(True),
                                    results.count(False)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
