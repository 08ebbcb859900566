#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""unprotected.py [SECONDS] - the workloads of the drills on a guest that
nobody protects, in the lab: the client and the judges find nothing wrong, also
over a pause; when the guest is gone they say so.
"""

import os
import shutil
import sys
import time

import labkit as k
import workloads as w

NAME = "plain"
FILE = "/root/plain.disk"
WORK = os.path.join(k.ROOT, "build", "check", "unprotected")
SILENCE_S = 10


def start_guest():
    image = os.path.join(WORK, "guest.img")
    w.services_image(image)
    k.on("a", "modprobe loop; dd if=/dev/zero of=%s bs=1M count=4 2>&1" % FILE)
    loop = k.on("a", "losetup -f")
    k.on("a", "losetup %s %s" % (loop, FILE))
    console = k.Console("a", NAME)
    k.create("a", NAME, image, args="ip=%s serve=1 disk=xvda count=1 ms=100"
             " mb=8" % w.GUEST, devices=w.devices(["phy:%s,xvda,w" % loop]))
    return loop, console


def verdicts(client, summary, cut):
    events, notes = client.events(), client.notes()
    k.on("a", "sync")
    copy = os.path.join(WORK, "disk")
    k.lab("get", "a", FILE, copy)
    disk = w.read_disk(copy)
    return {"client": w.judge_client(summary, events, cut),
            "durable": w.judge_durable(w.reported(events), notes, disk),
            "fence": w.judge_fence(disk, notes)}


def run(seconds, console):
    client = w.Client(os.path.join(WORK, "client"))
    try:
        client.wait_for("ready", 90)
        time.sleep(seconds / 2)
        k.on("a", "xl pause " + NAME)
        cut = time.monotonic_ns()
        time.sleep(SILENCE_S)
        k.on("a", "xl unpause " + NAME)
        k.wait_for("answers after the pause",
                   lambda: client.answered_after(cut), 120)
        time.sleep(seconds / 2)
        summary = client.stop(60)
    finally:
        client.process.terminate()
    result = verdicts(client, summary, cut)
    udp = summary["udp"]
    print("udp: %(answered)d of %(sent)d answered" % udp)
    print("tcp: %d replies" % sum(c["replies"]
                                  for c in summary["connections"]))
    for name, verdict in result.items():
        print("%s: %s" % (name, verdict))
    bad = [text for _, text in console.lines() if text.startswith("BAD")]
    for text in bad:
        print("the guest found: " + text)
    return not bad and not any(v["problems"] for v in result.values())


def run_destroyed():
    """Its end is noticed by all."""
    client = w.Client(os.path.join(WORK, "destroyed"),
                      args=("--connections", "8"))
    try:
        client.wait_for("ready", 90)
        k.on("a", "xl destroy " + NAME)
        cut = time.monotonic_ns()
        time.sleep(2)
        summary = client.stop(1)
    finally:
        client.process.terminate()
    problems = w.judge_client(summary, client.events(), cut)["problems"]
    print("destroyed: %s" % problems)
    return all(any(p.startswith(name + ": did not go on") for p in problems)
               for name in ("udp", "tcp0", "tcp7"))


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    k.lab("up", timeout=300)
    k.destroy_all("a")
    loop, console = start_guest()
    try:
        good = run(seconds, console) and run_destroyed()
    finally:
        k.destroy_all("a")
        k.on("a", "losetup -d %s; rm %s" % (loop, FILE), check=False)
    print("ok - workloads" if good else "not ok - workloads")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
