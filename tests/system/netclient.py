#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""netclient.py - the outside client of a guest with tcpserve, diskwrite, redis

Asks over TCP connections and by UDP probes, follows the reports of the disk
records, counts in a redis up and reads there, checks every answer.  It never gives up waiting.  In the directory
--out it writes

    log      JSON lines, as things happen: {"t": CLOCK_MONOTONIC in ns,
             "ev": "tcp", "redis", "udp", "done", "lost", "ready", "drained", ...}
    table    what the guest knows of its records: "note" lines of diskwrite
    summary  a JSON object, at the end

Its standard input takes lines "probe MS": the time between two probes from now
on.  When it ends the client asks nothing new, waits for all answers, has the
writers stopped, takes the table, reads redis' keys back and ends.  SIGTERM
ends it at once.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time

import accounts

RETRY_S = 0.3
KEYS = 4


class Client:
    def __init__(self, opts):
        self.opts = opts
        self.problems = []
        addresses = opts.guest.split(",")
        self.guest = addresses[0]
        numbers = accounts.Numbers()
        self.streams = [accounts.Stream("tcp%d" % i, numbers, self.problems)
                        for i in range(opts.connections)]
        for i, stream in enumerate(self.streams):
            stream.address = addresses[i % len(addresses)]
        word = accounts.nonce()		# keys of an earlier client are not ours
        self.keys = accounts.Keys(["kemari:%s:%d" % (word, i)
                                   for i in range(KEYS)])
        self.key_streams = [accounts.KeyStream("redis%d" % i, self.keys,
                                               self.problems)
                            for i in range(opts.redis_connections
                                           if opts.redis else 0)]
        self.read_back = accounts.KeyStream("redis-back", self.keys,
                                            self.problems)
        self.probes = accounts.Probes(numbers, self.problems)
        self.reports = accounts.Reports(self.problems)
        self.draining = asyncio.Event()
        self.table_taken = False
        self.ready = False
        self.udp = None
        self.file = open(self.path("log"), "w", encoding="utf-8", buffering=1)

    def path(self, name):
        return os.path.join(self.opts.out, name)

    def log(self, ev, t=None, **more):
        self.file.write(json.dumps({"t": t or time.monotonic_ns(), "ev": ev,
                                    **more}) + "\n")

    def check_ready(self):
        if not self.ready and all(s.replies for s in
                                  self.streams + self.key_streams) and (
                self.probes.answers or not self.opts.probe_ms) and (
                self.reports.count or not self.opts.disk):
            self.ready = True
            self.log("ready")

    # --- TCP -------------------------------------------------------------

    async def connected(self, port, account, use):
        """Have @use(reader, writer) on a connection, again when it is lost."""
        while True:
            writer = None
            try:
                reader, writer = await asyncio.open_connection(
                    getattr(account, "address", self.guest), port)
                await use(account, reader, writer)
                return
            except OSError as e:
                if writer:
                    account.reset(str(e))
                    self.log("lost", who=getattr(account, "name", "disk"),
                             why=str(e))
            finally:
                if writer:
                    writer.close()
            await asyncio.sleep(RETRY_S)

    async def lines(self, reader):
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("closed by the guest")
            yield time.monotonic_ns(), line.decode("utf-8", "replace")

    async def ask(self, account, writer):
        """Requests at their pace; @depth of them may be unanswered."""
        due = time.monotonic()
        while not self.draining.is_set():
            if len(account.open) < self.opts.depth:
                writer.write(account.request(time.monotonic_ns()))
            due = max(due + 1 / self.opts.rate, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        while account.open:
            await asyncio.sleep(0.02)

    async def hear(self, account, reader):
        async for t, line in self.lines(reader):
            answer = account.reply(t, line)
            if answer:
                self.log(account.kind, t, conn=account.name, seq=answer[0],
                         sent=answer[1])
                self.check_ready()

    async def converse(self, account, reader, writer):
        """Until all is answered at the end, or the connection is lost."""
        both = [asyncio.create_task(self.ask(account, writer)),
                asyncio.create_task(self.hear(account, reader))]
        try:
            done, _ = await asyncio.wait(
                both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in both:
                task.cancel()

    async def stop_writers(self, writer):
        await self.draining.wait()
        writer.write(b"stop\n")

    async def follow(self, account, reader, writer):
        writer.write(b"follow\n")
        stopping = asyncio.create_task(self.stop_writers(writer))
        table = None
        try:
            async for t, line in self.lines(reader):
                word, *fields = line.split() or [""]
                if word == "done":
                    what = account.report(t, fields)
                    if what:
                        self.log("done", t, record=what)
                        self.check_ready()
                elif word == "stopped" and not table:
                    table = open(self.path("table"), "w", encoding="utf-8")
                    writer.write(b"table\n")
                elif word == "note" and table:
                    table.write(line)
                elif word == "end" and table:
                    self.table_taken = True
                    return
                else:
                    account.is_wrong("disk: not expected: %r" % line)
        finally:
            stopping.cancel()
            if table:
                table.close()

    # --- redis -----------------------------------------------------------

    async def get_all(self, account, reader, writer):
        """Each key once, one by one."""
        lines = self.lines(reader)
        for key in self.keys.issued:
            writer.write(account.ask("GET", key, time.monotonic_ns()))
            while account.open:
                account.reply(*await lines.__anext__())

    async def count_up(self):
        await asyncio.gather(*[
            self.connected(self.opts.redis, s, self.converse)
            for s in self.key_streams])
        await self.connected(self.opts.redis, self.read_back, self.get_all)

    # --- UDP -------------------------------------------------------------

    def connection_made(self, transport):
        self.udp = transport

    def connection_lost(self, _):
        pass

    def error_received(self, _):
        """No guest there just now; what was sent is lost."""

    def datagram_received(self, data, _):
        t = time.monotonic_ns()
        answer = self.probes.reply(t, data.decode("utf-8", "replace"))
        if answer:
            self.log("udp", t, seq=answer[0], sent=answer[1])
            self.check_ready()

    async def probe(self):
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, remote_addr=(self.guest, self.opts.port))
        while not self.draining.is_set():
            self.udp.sendto(self.probes.probe(time.monotonic_ns()))
            await asyncio.sleep(self.opts.probe_ms / 1000)

    # --- the whole -------------------------------------------------------

    async def input_ends(self):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            self.opts.probe_ms = int(line.split()[1])
        self.log("draining")
        self.draining.set()

    async def run(self):
        work = [self.connected(self.opts.port, s, self.converse)
                for s in self.streams]
        if self.opts.probe_ms:
            work.append(self.probe())
        if self.opts.disk:
            work.append(self.connected(self.opts.disk, self.reports,
                                       self.follow))
        if self.opts.redis:
            work.append(self.count_up())
        loop = asyncio.get_running_loop()
        everything = asyncio.gather(self.input_ends(), *work)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, everything.cancel)
        try:
            await everything
            self.log("drained")
        except asyncio.CancelledError:
            self.log("ended")
        with open(self.path("summary"), "w", encoding="utf-8") as f:
            json.dump(self.summary(), f, indent=1)

    def summary(self):
        return {"connections": [s.summary() for s in self.streams],
                "udp": self.probes.summary() if self.opts.probe_ms else None,
                "disk": dict(self.reports.summary(), table=self.table_taken)
                if self.opts.disk else None,
                "redis": {"connections": [s.summary()
                                          for s in self.key_streams],
                          "read_back": self.read_back.summary(),
                          "keys": self.keys.summary(self.read_back.last)}
                if self.opts.redis else None,
                "problems": self.problems}


def options():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("guest", help="its address, or several with commas between "
                   "them: the connections of --port are spread over them")
    p.add_argument("--out", required=True, help="directory of the results")
    p.add_argument("--port", type=int, default=7000, help="of tcpserve")
    p.add_argument("--connections", type=int, default=8)
    p.add_argument("--rate", type=float, default=5.0,
                   help="requests a second on each connection")
    p.add_argument("--depth", type=int, default=8,
                   help="requests that may be unanswered on a connection")
    p.add_argument("--probe-ms", type=int, default=10,
                   help="time between two UDP probes; 0: none")
    p.add_argument("--disk", type=int, default=0, metavar="PORT",
                   help="of diskwrite; 0: no reports")
    p.add_argument("--redis", type=int, default=0, metavar="PORT",
                   help="of redis-server; 0: none")
    p.add_argument("--redis-connections", type=int, default=4)
    return p.parse_args()


async def main():
    await Client(options()).run()

if __name__ == "__main__":
    asyncio.run(main())
