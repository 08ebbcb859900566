#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""client.py - ask a guest with tcpserve and syncwrite how fast it is

First one TCP connection, one request at a time: from the request to its
answer.  Then the guest's synchronous writes in a second.  All time is taken
here.  Prints a JSON object: "latencies_ms" in the order in which they came,
"writes" and the "seconds" that they took; with --cpu-of also what a process,
the guest's emulated host, has computed for each: "request_cpu_ms" and
"write_cpu_ms".  Other load on the machine changes that much less.
"""

import argparse
import json
import os
import secrets
import socket
import sys
import time

PATIENCE_S = 60		# for an answer


def connect(address, port, patience):
    """A connection to a guest that may only be booting."""
    end = time.monotonic() + patience
    while True:
        try:
            s = socket.create_connection((address, port), timeout=5)
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
    s.settimeout(PATIENCE_S)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def cpu_s(pid):
    """Processor time that process @pid has had, all threads."""
    if not pid:
        return 0
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(opts):
    """ms of each request of tcpserve within the time, CPU ms for each."""
    s = connect(opts.guest, opts.port, opts.patience)
    lines = s.makefile("r")
    name, out, seq, cpu = secrets.token_hex(8), [], 0, 0
    begin = time.monotonic() + opts.settle
    while time.monotonic() < begin + opts.seconds:
        seq += 1
        asked = [name, str(seq), secrets.token_hex(8)]
        start = time.monotonic()
        if start >= begin and not cpu:
            cpu = cpu_s(opts.cpu_of)
        s.sendall((" ".join(asked) + "\n").encode())
        line = lines.readline()
        end = time.monotonic()
        if line.split()[:3] != asked:
            raise OSError("%r is no answer to request %d" % (line, seq))
        if start >= begin:
            out.append(round((end - start) * 1000, 3))
    s.close()
    return out, 1000 * (cpu_s(opts.cpu_of) - cpu) / max(len(out), 1)


def count_writes(opts):
    """Synchronous writes, the time they took, CPU ms for each."""
    s = connect(opts.guest, opts.sync_port, opts.patience)
    lines = s.makefile("r")

    def count():
        start = time.monotonic()
        s.sendall(b"\n")
        line = lines.readline()
        if not line.endswith("\n"):
            raise OSError("the guest writes no more")
        # When it was counted: about half the way.
        return int(line), (start + time.monotonic()) / 2

    time.sleep(opts.settle)
    first, start = count()
    cpu = cpu_s(opts.cpu_of)
    time.sleep(opts.seconds)
    last, end = count()
    cpu = cpu_s(opts.cpu_of) - cpu
    s.close()
    return last - first, end - start, 1000 * cpu / max(last - first, 1)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("guest", help="its address")
    p.add_argument("--seconds", type=float, default=6, help="for each part")
    p.add_argument("--settle", type=float, default=1,
                   help="seconds before each part that do not count")
    p.add_argument("--patience", type=float, default=30,
                   help="seconds until it must have accepted a connection")
    p.add_argument("--port", type=int, default=7000, help="of tcpserve")
    p.add_argument("--sync-port", type=int, default=7002, help="of syncwrite")
    p.add_argument("--cpu-of", type=int, default=0, metavar="PID")
    opts = p.parse_args()
    latencies, request_cpu = ask(opts)
    writes, seconds, write_cpu = count_writes(opts)
    json.dump({"latencies_ms": latencies, "request_cpu_ms": request_cpu,
               "writes": writes, "seconds": round(seconds, 3),
               "write_cpu_ms": write_cpu}, sys.stdout)


if __name__ == "__main__":
    main()
