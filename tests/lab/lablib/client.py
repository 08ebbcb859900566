# SPDX-License-Identifier: GPL-2.0-or-later
"""client.py - the caller's side: holder requests, commands in a dom0."""

import json
import os
import selectors
import socket
import struct

from . import conf, net
from .conf import LabError

FRAME_MAX = 65536
STARTED_TIMEOUT_S = 30.0	# from connection to the agent's word "started"


class NotRunning(LabError):
    """No holder answers in this LAB_DIR."""


def request(verb, keep=False, **args):
    """Ask the holder; returns (answer, file descriptors[, connection])."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        net.connect_in(conf.lab_dir(), "ctl", sock)
        sock.sendall(json.dumps({"verb": verb, **args}).encode() + b"\n")
        line, fds, _, _ = socket.recv_fds(sock, 65536, 8)
        while line and not line.endswith(b"\n"):
            more = sock.recv(65536)
            if not more:
                break
            line += more
    except OSError as e:
        sock.close()
        raise NotRunning("the lab is not running (LAB_DIR "
                         f"{conf.lab_dir()}): `lab up`") from e
    if not line.endswith(b"\n"):
        sock.close()
        raise NotRunning("the lab ended while it was asked")
    answer = json.loads(line)
    if "error" in answer:
        sock.close()
        raise LabError(answer["error"])
    if keep:
        return answer, fds, sock
    sock.close()
    return answer, fds


def _frame(kind, body=b""):
    return kind + struct.pack(">I", len(body)) + body


class Command:
    """One command in a host's dom0; see lab-agent.c for the frames.

    @stdin: file descriptor or bytes; @on_data(kind, bytes) gets b"O", b"E".
    """

    def __init__(self, host, argv, stdin, on_data):
        self.host = host
        self.on_data = on_data
        _, fds, self.alive = request("connect", keep=True, host=host)
        self.sock = socket.socket(fileno=fds[0])
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 20),
                              (socket.TCP_KEEPINTVL, 5),
                              (socket.TCP_KEEPCNT, 8)):
            self.sock.setsockopt(socket.IPPROTO_TCP, option, value)
        self.sock.setblocking(False)
        self.tx = b"".join(_frame(b"A", os.fsencode(arg)) for arg in argv)
        self.tx += _frame(b"X")
        self.rx = b""
        self.stdin = stdin
        self.watching = False
        self.sel = selectors.DefaultSelector()
        if isinstance(stdin, bytes):
            self.tx += b"".join(_frame(b"I", stdin[i:i + FRAME_MAX])
                                for i in range(0, len(stdin), FRAME_MAX))
            self.tx += _frame(b"I")
            self.stdin = None
        self.started = False
        self.status = None

    def run(self):
        """Return the command's exit status."""
        sel = self.sel
        sel.register(self.sock, selectors.EVENT_READ)
        sel.register(self.alive, selectors.EVENT_READ)
        while self.status is None:
            self._watch_stdin()
            sel.modify(self.sock, selectors.EVENT_READ |
                       (selectors.EVENT_WRITE if self.tx else 0))
            events = sel.select(None if self.started else STARTED_TIMEOUT_S)
            if not events:
                raise LabError(f"host {self.host}: its agent does not answer")
            for key, mask in events:
                if key.fileobj is self.sock:
                    self._socket(mask)
                elif key.fileobj is self.alive:
                    raise LabError(f"host {self.host} lost its power while "
                                   "the command ran")
                else:
                    self._read_stdin()
        sel.close()
        self.sock.close()
        self.alive.close()
        return self.status

    def _watch_stdin(self):
        """Read our input only when what was read before has been sent."""
        want = self.started and self.stdin is not None and not self.tx
        if want and not self.watching:
            try:
                self.sel.register(self.stdin, selectors.EVENT_READ)
                self.watching = True
            except PermissionError:	# a plain file is always ready
                self._read_stdin()
        elif not want and self.watching:
            self.sel.unregister(self.stdin)
            self.watching = False

    def _read_stdin(self):
        data = os.read(self.stdin, FRAME_MAX)
        self.tx += _frame(b"I", data)
        if not data:
            if self.watching:
                self.sel.unregister(self.stdin)
                self.watching = False
            self.stdin = None

    def _socket(self, mask):
        try:
            if mask & selectors.EVENT_WRITE and self.tx:
                self.tx = self.tx[self.sock.send(self.tx):]
            if mask & selectors.EVENT_READ:
                data = self.sock.recv(4 * FRAME_MAX)
                if not data:
                    raise LabError(f"host {self.host}: connection closed "
                                   "before the command ended")
                self.rx += data
        except BlockingIOError:
            return
        except OSError as e:
            raise LabError(f"host {self.host}: connection lost while the "
                           f"command ran ({e})") from e
        while len(self.rx) >= 5:
            kind, length = self.rx[:1], struct.unpack(">I", self.rx[1:5])[0]
            if len(self.rx) < 5 + length:
                break
            body, self.rx = self.rx[5:5 + length], self.rx[5 + length:]
            if kind == b"S":
                self.status = body[0]
            elif kind == b"R":
                self.started = True
            else:
                self.on_data(kind, body)
