#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""services.py - the guest with every service, unprotected: all judges pass

What the drills with disks and network demand of a guest that lost its host,
they get from one that lost nothing: tcpserve, records on a raw disk, fio and
redis on an ext4, for some seconds; then it shuts down.
"""

import argparse
import os
import sys
import time

import labkit as k
import programs as p
import workloads as w

NAME = "services"
WORK = os.path.join(k.ROOT, "build", "check", NAME)
IMAGE = os.path.join(WORK, "guest.img")
DISKS = ("svc-raw", "svc-files")	# xvda, xvdb


def start():
    """Storage, guest; its console."""
    os.makedirs(WORK, exist_ok=True)
    w.services_image(IMAGE)
    k.lab("disk", DISKS[0], "4M")
    p.make_disk(DISKS[1])
    for i, disk in enumerate(DISKS):
        k.on("a", "san-attach %s /dev/nbd%d" % (disk, i))
    out = k.Console("a", NAME)
    k.create("a", NAME, IMAGE, memory=256,
             args="ip=%s serve=1 disk=xvda %s" % (w.GUEST, p.ARGS % "xvdb"),
             devices=w.devices(["phy:/dev/nbd%d,xvd%s,w" % (i, "ab"[i])
                                for i in range(len(DISKS))]))
    return out


def stop():
    k.on("a", "xl shutdown -w " + NAME)
    for i in range(len(DISKS)):
        k.on("a", "san-detach /dev/nbd%d" % i)


def verdicts(client, summary, out):
    """(name, verdict) of each judge."""
    raw, files = (k.lab("disk-path", d) for d in DISKS)
    yield "client", w.judge_client(summary, client.events())
    yield "durable", w.judge_durable(w.reported(client.events()),
                                     client.notes(), w.read_disk(raw))
    yield "fence", w.judge_fence(w.read_disk(raw), client.notes())
    yield "fio", p.judge_fio([text for _, text in out.lines()])
    yield "redis", p.judge_redis(summary, p.read_aof(files))
    yield "file system", p.judge_file_system(files)


def main():
    o = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    o.add_argument("--seconds", type=int, default=30)
    opts = o.parse_args()
    try:
        k.lab("up", timeout=300)
        out = start()
        client = w.Client(os.path.join(WORK, "client"), args=(
            "--disk", str(w.DISK_PORT), *p.CLIENT_ARGS))
        client.wait_for("ready", 120)
        time.sleep(opts.seconds)
        summary = client.stop(60)
        stop()
    except k.DrillError as e:
        print("services: %s" % e, file=sys.stderr)
        return 1
    bad = 0
    for name, verdict in verdicts(client, summary, out):
        bad += bool(verdict["problems"])
        print("%s - %s: %s" % ("not ok" if verdict["problems"] else "ok", name,
                               verdict))
    print("\n".join(p.in_words(p.account(summary))))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
