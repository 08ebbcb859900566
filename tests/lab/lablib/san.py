# SPDX-License-Identifier: GPL-2.0-or-later
"""san.py - the storage server: an nbdkit for each host, on the same disks.

A disk is a file in LAB_DIR/san.  As each host has a server process of its own,
the fence of one host is the end of its process: once that is reaped, each of
its requests has either been done or never will be.  Both processes write
through the one page cache of this machine's kernel: a completed write is there
for the other host at once.
"""

import contextlib
import mmap
import os
import re
import shutil
import signal
import socket
import struct
import threading
import time

from . import conf
from .conf import LabError

KINDS = ("read", "write", "flush")	# in the order of san/slow.c
HOLD = 0xffffffff
LAYOUT = struct.Struct("=Q" + "II" * len(KINDS) + "QQ" * len(KINDS))
SERVE_TIMEOUT_S = 20.0


def disk_dir():
    return os.path.join(conf.lab_dir(), "san")


def disk_path(name):
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", name):
        raise LabError(f"'{name}' is no name for a disk: letters, digits, "
                       "_ . -")
    return os.path.join(disk_dir(), name)


def parse_size(text):
    """Bytes of "4096", "64M", "1G"."""
    m = re.fullmatch(r"(\d+)([KMG]?)", text)
    size = int(m[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[m[2]] if m else 0
    if not size or size % 4096:
        raise LabError(f"'{text}' is no size: a multiple of 4096, as 64M")
    return size


@contextlib.contextmanager
def new_disk(name, size):
    """Path of a file of zeros, to fill, which becomes the disk @name."""
    path = disk_path(name)
    os.makedirs(disk_dir(), exist_ok=True)
    part = path + ".part"
    with open(part, "wb") as f:
        f.truncate(size)
    try:
        yield part
        os.rename(part, path)
    except BaseException:
        os.unlink(part)
        raise


def fill_disk(path, size, source):
    """Put what the file @source holds at the disk's beginning."""
    if os.stat(source).st_size > size:
        raise LabError(f"{source} is longer than {size} bytes")
    with open(source, "rb") as old, open(path, "r+b") as f:
        shutil.copyfileobj(old, f, 1 << 20)


def parse_delay(text):
    """(min, max) in ms of "5", "5-80"; "hold" waits until that changes."""
    if text == "hold":
        return HOLD, HOLD
    m = re.fullmatch(r"(\d{1,7})(?:-(\d{1,7}))?", text)
    if not m or int(m[2] or m[1]) < int(m[1]):
        raise LabError(f"'{text}' is no delay: MS, MIN-MAX or hold")
    return int(m[1]), int(m[2] or m[1])


class Server:
    """The server of one host; @cond guards all of it.

    It runs while the host has power and is not fenced.
    """

    def __init__(self, host, slow_filter):
        self.host = host
        self.cond = threading.Condition()
        self.pid = 0			# of nbdkit; 0: nobody serves
        self.powered = False
        self.fenced = False
        directory = os.path.join(conf.lab_dir(), host)
        self.log = os.path.join(directory, "san.log")
        path = os.path.join(directory, "san.control")
        with open(path, "wb") as f:
            f.write(bytes(LAYOUT.size))
        with open(path, "r+b") as f:
            self.control = mmap.mmap(f.fileno(), LAYOUT.size)
        self.port = conf.SAN_PORTS[host]
        os.makedirs(disk_dir(), exist_ok=True)
        self.command = ["nbdkit", "--foreground", "--ipaddr", conf.SAN_ADDR,
                        "--port", str(self.port), f"--filter={slow_filter}",
                        "file", f"dir={disk_dir()}", f"slow-control={path}"]

    def want(self, powered=None, fenced=None):
        """Return when the server runs, or is gone, as is wanted now."""
        with self.cond:
            if powered is not None:
                self.powered = powered
            if fenced is not None:
                self.fenced = fenced
            if self.powered and not self.fenced:
                if not self.pid:
                    self._start()
            elif self.pid:
                os.kill(self.pid, signal.SIGKILL)
                while self.pid:
                    self.cond.wait()

    def _start(self):
        # What an earlier process had begun ended with it.
        LAYOUT.pack_into(self.control, 0, *self._delays(),
                         *[0] * (2 * len(KINDS)))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # It asks for SIGTERM when the thread that started it ends.
        self.pid = os.posix_spawnp(
            self.command[0], self.command, os.environ,
            setsigmask=[signal.SIGTERM], file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, self.log, flags, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2)])
        deadline = time.monotonic() + SERVE_TIMEOUT_S
        while True:
            try:
                socket.create_connection((conf.SAN_ADDR, self.port)).close()
                return
            except OSError as e:
                self.cond.wait(0.01)
                if not self.pid or time.monotonic() > deadline:
                    raise LabError(f"the storage server of host {self.host} "
                                   f"does not serve ({e}): see {self.log}"
                                   ) from e

    def ended(self):
        """The process is gone and reaped.  @cond is held."""
        self.pid = 0
        self.cond.notify_all()

    def _delays(self):
        return LAYOUT.unpack_from(self.control)[:1 + 2 * len(KINDS)]

    def delay(self, seed, delays):
        """Set (min, max) in ms of the kinds in @delays, and @seed if any."""
        with self.cond:
            if seed is not None:
                struct.pack_into("=Q", self.control, 0, seed)
            for kind, (low, high) in delays.items():
                struct.pack_into("=II", self.control, 8 + 8 *
                                 KINDS.index(kind), low, high)

    def status(self):
        with self.cond:
            values = LAYOUT.unpack_from(self.control)
            counts = values[1 + 2 * len(KINDS):]
            return {"serving": bool(self.pid), "fenced": self.fenced,
                    "address": f"{conf.SAN_ADDR}:{self.port}",
                    "in_flight": {k: counts[2 * i] - counts[2 * i + 1]
                                if self.pid else 0
                                for i, k in enumerate(KINDS)},
                    "done": {k: counts[2 * i + 1]
                             for i, k in enumerate(KINDS)}}
