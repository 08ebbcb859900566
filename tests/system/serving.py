# SPDX-License-Identifier: GPL-2.0-or-later
"""serving.py - the guest that serves the world, set up on host a: its disks on
the storage of both hosts, its cards, its client, and what weakens its host.

For services.py and its kin.
"""

import concurrent.futures
import os
import re

import labkit as k
import programs
import workloads as w

NAME = "s"
DISK = "records"
DISK_SIZE = "16M"
FILES = "files"			# with --programs: fio and redis
WORK = os.path.join(k.ROOT, "build", "check", "services")
# What two emulated hosts can serve while each output waits for its commit.
SLOW_PROBE_MS = 200
CLIENT = ("--disk", str(w.DISK_PORT), "--connections", "8", "--rate", "1",
          "--probe-ms", str(SLOW_PROBE_MS))
PARAMETERS = "/sys/module/kemari_gate/parameters"
# With --many: what the backends offer, and what the frontends are told.
SECOND = "10.77.0.102"		# address of the second card
BACKENDS = {"xen_blkback/parameters/max_queues": (1, 2),
            "xen_netback/parameters/max_queues": (1, 2),
            "xen_netback/parameters/separate_tx_rx_irq": ("Y", "N")}
FRONTENDS = "xen_blkfront.max_queues=2 xen_blkfront.max_ring_page_order=1 "
LOOP = "/dev/loop7"		# on top of the disk, with --buffered-loop


def attach(disk, number, hosts="ab"):
    """A disk of the storage, as the same device of both hosts."""
    command = "san-detach /dev/nbd%d 2>/dev/null; san-attach %s /dev/nbd%d" % (
        number, disk, number)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: k.on(host, command), hosts))


def buffered_loop():
    """The records' disk behind a page cache that dies with its host."""
    for host in "ab":
        k.on(host, "losetup %s /dev/nbd0" % LOOP)
        if k.on(host, "cat /sys/block/loop7/loop/dio") != "0":
            raise k.DrillError("%s of host %s has direct I/O" % (LOOP, host))
    return LOOP


def make_disks(opts):
    """Lines for labkit.create(): disks and network card."""
    for host in "ab":
        k.lab("unfence", host)
        k.lab("san-delay", host, "write=0", "flush=0")
        k.rc(host, "losetup -d " + LOOP)
    k.lab("disk", DISK, DISK_SIZE)
    attach(DISK, 0)
    disks = [buffered_loop() if opts.buffered_loop else "/dev/nbd0"]
    if opts.programs:
        programs.make_disk(FILES, fio=opts.programs == "all")
        attach(FILES, 1)
        disks.append("/dev/nbd1")
    return w.devices(["phy:%s,xvd%s,w" % x for x in zip(disks, "ab")],
                     ["bridge=xenbr0"] * (2 if opts.many else 1))


def offer(many, hosts="ab"):
    """What backends that connect from now on offer to their frontends."""
    for host in hosts:
        k.on(host, "; ".join("echo %s >/sys/module/%s" % (values[many], name)
                             for name, values in BACKENDS.items()))


def check_many():
    """Have the frontends taken what was offered?"""
    text = k.on("a", "xenstore-ls -f /local/domain/$(xl domid %s)/device" %
                NAME)
    for kind in ("vbd", "vif"):
        devices = set(re.findall(r"/device/%s/(\d+) =" % kind, text))
        queues = re.findall(r"/device/%s/\d+/multi-queue-num-queues = \"2\"" %
                            kind, text)
        if not devices or len(queues) != len(devices):
            raise k.DrillError("not all of the guest's %ss have 2 queues: %s"
                               % (kind, text))
    if "ring-ref1" not in text or "event-channel-tx" in text:
        raise k.DrillError("no ring of two pages, or split channels: " + text)


def start_guest(opts, more=""):
    """The guest on host a, and its client."""
    image = os.path.join(WORK, "guest.img")
    w.services_image(image)
    addresses = w.GUEST + ("," + SECOND if opts.many else "")
    args = "ip=%s serve=1 disk=xvda count=1 ms=500 mb=8 calm=100 " \
        "kmsg=1 writers=%d every=%d %s" % (addresses, w.WRITERS, opts.every_ms, more)
    offer(opts.many)
    if opts.many:
        args = FRONTENDS + args
    if opts.programs:
        args += " " + programs.args("xvdb", fio=opts.programs == "all")
    k.create("a", NAME, image, vcpus=opts.vcpus, args=args,
             memory=programs.MEMORY[opts.programs == "all"],
             devices=make_disks(opts))
    return w.Client(os.path.join(WORK, "client"), addresses, args=CLIENT + (
        programs.CLIENT_ARGS if opts.programs else ()))


def weaken(what):
    """For the negative drills: the gate of host a is not what it should be."""
    for name in ("unsafe_no_fence", "unsafe_no_order"):
        k.on("a", "echo %s >%s/%s" % ("Y" if name == what else "N",
                                      PARAMETERS, name))


def slow_backend():
    """Whoever else wants host a's CPU has it before the disk's backend, and
    somebody does: it sees its ring as the guest has filled it meanwhile."""
    k.on("a", "renice -n 19 -p $(grep -l '[.]xvda-' /proc/[0-9]*/comm |"
              " cut -d / -f 3)")
    k.daemon("a", "/dev/null", ["timeout", "150", "sh", "-c",
                                "while :; do :; done"])


def discards(host):
    """Of the records' disk, those that the storage has answered to @host."""
    return int(k.on(host, "cat /sys/block/nbd0/stat").split()[11])
