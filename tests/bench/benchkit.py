# SPDX-License-Identifier: GPL-2.0-or-later
"""benchkit.py - what benchmarks in the lab share: the guest, its client, what
comes of many samples.

The guest runs bench-init, with tcpserve.c and syncwrite.c; its client is
client.py.
"""

import glob
import json
import math
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

# pylint: disable=wrong-import-position
import drill
import labkit as k
import serving
import workloads as w

NAME = "bench"
VIF = "mac=00:16:3e:4b:00:65,bridge=xenbr0"	# the client remembers its MAC
DISK = "phy:/dev/nbd0,xvda,w"
DISK_SIZE = "16M"
OUT = os.path.join(k.ROOT, "build", "bench")


def prepare():
    """Both hosts up and empty, the disk attached to them."""
    drill.prepare()
    os.makedirs(OUT, exist_ok=True)
    for host in "ab":
        k.lab("unfence", host)
        k.lab("san-delay", host, "read=0", "write=0", "flush=0")
    k.lab("disk", "bench", DISK_SIZE)
    serving.attach("bench", 0)
    k.guest_image(os.path.join(OUT, "guest.img"), "bench-init",
                  ["tcpserve", "syncwrite"])


def start_guest():
    """One of 128 MB on host a."""
    k.create("a", NAME, os.path.join(OUT, "guest.img"), args="ip=" + w.GUEST,
             devices=w.devices([DISK], [VIF]))


def emulator(host):
    """Process ID of a host's emulator."""
    state = os.environ.get("LAB_DIR") or os.path.join(k.ROOT, "build", "lab")
    with open(os.path.join(state, "holder.pid"), encoding="ascii") as f:
        holder = f.read().split()[0]
    for path in glob.glob("/proc/%s/task/*/children" % holder):
        with open(path, encoding="ascii") as f:
            children = f.read().split()
        for pid in children:
            with open("/proc/%s/cmdline" % pid, encoding="utf-8") as f:
                if "\0-name\0lab-%s\0" % host in f.read():
                    return int(pid)
    raise k.DrillError("no emulator of host " + host)


def measure(seconds, settle=1):
    """What client.py finds; DrillError if the guest does not answer."""
    try:
        r = subprocess.run(
            [k.LAB, "client", "--", sys.executable,
             os.path.join(HERE, "client.py"), w.GUEST, "--seconds",
             str(seconds), "--settle", str(settle), "--cpu-of",
             str(emulator("a"))], capture_output=True, text=True,
            check=False, stdin=subprocess.DEVNULL, timeout=2 * seconds + 120)
    except subprocess.TimeoutExpired as e:
        raise k.DrillError("the guest did not answer in time") from e
    if r.returncode:
        raise k.DrillError("the client: " + (r.stderr.strip().splitlines() or
                                             ["it left no word"])[-1])
    found = json.loads(r.stdout)
    if not found["latencies_ms"] or not found["writes"]:
        raise k.DrillError("no request was answered, or nothing written")
    found["writes_per_s"] = found["writes"] / found["seconds"]
    return found


def quantile(values, part):
    """The value below which that @part of them lies."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def median(values):
    ordered = sorted(values)
    n = len(ordered)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def mean_and_error(values):
    """Their mean, and its standard error."""
    n = len(values)
    mean = sum(values) / n
    spread = sum((v - mean) ** 2 for v in values) / max(n - 1, 1)
    return mean, math.sqrt(spread / n)


def write_json(name, what):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        json.dump(what, f, indent=1)
        f.write("\n")


def carry_out(run):
    """Have run() done; a lab that was down before is down afterwards."""
    was_up = subprocess.run([k.LAB, "status"], capture_output=True,
                            check=False).returncode == 0
    try:
        return run()
    except k.DrillError as e:
        print("not carried out: %s" % e, file=sys.stderr)
        return 1
    finally:
        if not was_up:
            k.lab("down")
