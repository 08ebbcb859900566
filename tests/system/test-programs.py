#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-programs.py - the judges of fio, redis and the file system notice what
they are there for

As test-workloads.py: honest histories, each kind of violation, and the real
programs on this machine, whose data are damaged.
"""

import copy
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

import accounts
import labkit as k
import programs as p
import workloads as w

MS = 1000000
WORK = os.path.join(k.ROOT, "build", "check", "programs")
AOF = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n" + \
    b"*2\r\n$4\r\nINCR\r\n$3\r\none\r\n" * 3


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)


class TestKeys(unittest.TestCase):
    def setUp(self):
        self.values = {}	# redis' own; a copy of it is a checkpoint
        keys = accounts.Keys(["one"])
        self.a, self.b = (accounts.KeyStream(n, keys, []) for n in "ab")

    def answer(self, stream, packet, t=2):
        op, key = packet.decode().split()
        if op == "INCR":
            self.values[key] = self.values.get(key, 0) + 1
            lines = [":%d\r\n" % self.values[key]]
        elif key in self.values:
            text = str(self.values[key])
            lines = ["$%d\r\n" % len(text), text + "\r\n"]
        else:
            lines = ["$-1\r\n"]
        for line in lines:
            out = stream.reply(t, line)
        return out

    def ask(self, stream, *ops):
        for op in ops:
            self.answer(stream, stream.ask(op, "one", 1))

    def faults(self):
        return [(s.wrong, s.contradicted) for s in (self.a, self.b)]

    def test_honest(self):
        self.ask(self.a, "GET", "INCR", "GET")
        packets = [self.a.ask(op, "one", 1) for op in ("INCR", "GET", "INCR")]
        self.ask(self.b, "INCR", "GET")
        for packet in packets:
            self.answer(self.a, packet)
        for i in range(20):
            self.assertEqual(self.answer(self.b, self.b.request(5), 9),
                             (3 + i, 5))
        self.assertEqual(self.faults(), [(0, 0), (0, 0)])
        self.assertEqual(self.b.gaps.wait, 4)
        s = self.a.keys.summary(self.a.last)["one"]
        self.assertEqual(s["acked"], s["issued"])

    def test_value_back(self):
        for op in ("GET", "INCR"):
            for stream in (self.a, self.b):
                self.setUp()
                self.ask(self.a, "INCR", "INCR")
                self.values["one"] -= 1
                self.ask(stream, op)
                self.assertEqual(stream.contradicted, 1, op)

    def test_back_within_a_connection(self):
        # Sent before anything was known, answered in the wrong order.
        packets = [self.a.ask("INCR", "one", 1) for _ in range(3)]
        self.answer(self.a, packets[0])
        self.answer(self.a, packets[1])
        self.values["one"] = 1
        self.answer(self.a, packets[2])
        self.assertEqual(self.a.contradicted, 1)

    def test_key_gone(self):
        self.ask(self.a, "INCR")
        self.values = {}
        self.ask(self.a, "GET")
        self.assertEqual(self.a.contradicted, 1)

    def test_value_to_two(self):
        packet = self.b.ask("INCR", "one", 1)
        self.ask(self.a, "INCR")
        self.values["one"] -= 1
        self.answer(self.b, packet)
        self.assertEqual(self.b.contradicted, 1)

    def test_value_from_nowhere(self):
        self.ask(self.a, "INCR")
        self.values["one"] = 7
        self.ask(self.b, "GET")
        self.assertEqual(self.b.contradicted, 1)

    def test_wrong(self):
        self.a.reply(2, ":1\r\n")
        for op, line in (("INCR", "-ERR no\r\n"), ("INCR", "$1\r\n"),
                         ("INCR", ":x\r\n"), ("GET", ":1\r\n"),
                         ("GET", "-LOADING\r\n"), ("INCR", ":1")):
            self.a.ask(op, "one", 1)
            self.a.reply(2, line)
        self.a.ask("GET", "one", 1)
        self.a.reply(2, "$2\r\n")
        self.a.reply(2, "123\r\n")
        self.assertEqual(self.faults()[0], (7, 0))

    def test_reset(self):
        self.ask(self.a, "INCR")
        self.a.ask("INCR", "one", 1)
        self.a.reset("reset")
        # It may have been done, or not.
        past = copy.deepcopy(self.values)
        self.ask(self.a, "GET")
        self.values = past
        self.ask(self.a, "INCR", "GET")
        s = self.a.summary()
        self.assertEqual((s["resets"], s["unanswered"], s["contradicted"]),
                         (1, 1, 0))


def history(**changes):
    """A client's summary; @changes of its only key."""
    party = {"requests": 50, "replies": 50, "wrong": 0, "contradicted": 0,
             "resets": 0, "unanswered": 0, "wait_ms": 20.0}
    key = {"issued": 30, "highest": 30, "acked": 30, "final": 30}
    return {"redis": {"connections": [dict(party, name="redis0")],
                      "read_back": dict(party, requests=1, replies=1),
                      "keys": {"one": dict(key, **changes)}}}


class TestRedis(unittest.TestCase):
    def violates(self, pattern, summary, aof=None):
        problems = p.judge_redis(summary, aof)["problems"]
        self.assertRegex("; ".join(problems) or "all well", pattern)

    def test_honest(self):
        for aof in (None, {"one": 30, "of another client": 4}):
            self.assertEqual(p.judge_redis(history(), aof),
                             {"problems": [], "acked": 30})
        # A lost connection: some were never acknowledged.
        for final in (28, 29, 30):
            verdict = p.judge_redis(history(acked=28, highest=28, final=final))
            self.assertEqual(verdict["problems"], [])

    def test_faults(self):
        for fault in ("wrong", "contradicted", "resets", "unanswered"):
            summary = history()
            summary["redis"]["read_back"][fault] = 1
            self.violates("reading back: 1 " + fault, summary)

    def test_not_there(self):
        self.violates("not read back", history(final=None))
        self.violates("is 29 read back; 30", history(final=29))
        self.violates("is 31 read back", history(final=31))
        self.violates("is 28 read back", history(acked=28, final=28))
        self.violates("is 29 in the file", history(), {"one": 29})
        self.violates("is 0 in the file", history(), {})

    def test_nothing(self):
        self.violates("no INCR", history(issued=0, highest=0, acked=0,
                                         final=0))

    def test_account(self):
        numbers = p.account(history())
        self.assertEqual(numbers, {
            "connections": 1, "asked": 51, "answered": 51, "wrong": 0,
            "longest_wait_ms": 20.0, "lost": 0, "broken": 0, "counted": 30})
        self.assertIn("lost     none", "\n".join(p.in_words(numbers)))
        summary = history(final=27)
        summary["redis"]["connections"][0].update(
            wrong=1, contradicted=2, unanswered=5, resets=4)
        numbers = p.account(summary)
        self.assertEqual((numbers["wrong"], numbers["lost"],
                          numbers["broken"]), (3, 8, 4))
        self.assertIn("lost     8", "\n".join(p.in_words(numbers)))

    def test_aof(self):
        self.assertEqual(p.parse_aof(AOF), {"one": 3})
        for bad in (AOF[:-1], AOF[:-9], b"x" + AOF, AOF + b"*1\r\n",
                    AOF.replace(b"$3", b"$2")):
            with self.assertRaises(ValueError):
                p.parse_aof(bad)


class TestFio(unittest.TestCase):
    END = ["FIO stopped", "DISK clean"]

    def violates(self, pattern, *consoles):
        problems = p.judge_fio(*consoles)["problems"]
        self.assertRegex("; ".join(problems) or "all well", pattern)

    def test_honest(self):
        for consoles, rounds in (
                ((["FIO 1", "hello", "FIO 2", *self.END],), 2),
                ((["FIO 1", "FIO 2"], ["FIO 3", *self.END]), 3),
                # A line may leave twice.
                ((["FIO 1", "FIO 2"], ["FIO 2", "FIO 3", *self.END]), 3)):
            self.assertEqual(p.judge_fio(*consoles),
                             {"problems": [], "rounds": rounds})

    def test_violations(self):
        one, end = ["FIO 1"], self.END
        self.violates("BAD fio", [*one, "BAD fio: round 2", *end])
        self.violates("BAD umount", one, ["FIO 2", "BAD umount", *end])
        self.violates("round 3 after 1 on", ["FIO 1", "FIO 3", *end])
        self.violates("first round is 2", ["FIO 2", *end])
        self.violates("no round verified on the first", end)
        self.violates("no round verified on the second", one, end)
        self.violates("round 3 after the cut, 1", one, ["FIO 3", *end])
        self.violates("did not go on", one, ["FIO 1", *end])
        self.violates("round 2 after 2", one, ["FIO 2", "FIO 2", *end])
        self.violates("FIO stopped", one, ["FIO 2", "DISK clean"])
        self.violates("DISK clean", [*one, "FIO stopped"])
        # Before the cut it is no end.
        self.violates("FIO stopped", [*one, *end], ["FIO 2"])


class TestFileSystem(unittest.TestCase):
    def setUp(self):
        fresh(WORK)
        tree = os.path.join(WORK, "tree")
        path = tree + p.AOF
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as f:
            f.write(AOF)
        self.disk = os.path.join(WORK, "disk")
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-d", tree, self.disk, "16M"],
                       check=True, capture_output=True)

    def change(self, request):
        subprocess.run([p.DEBUGFS, "-w", "-R", request, self.disk], check=True,
                       capture_output=True)
        return p.judge_file_system(self.disk)["problems"]

    def test_clean(self):
        self.assertEqual(p.judge_file_system(self.disk), {"problems": []})
        self.assertEqual(p.read_aof(self.disk), {"one": 3})

    def test_damaged(self):
        self.assertRegex(self.change("set_inode_field %s links_count 9" %
                                     p.AOF)[0], "fsck: status 4")

    def test_journal(self):
        self.assertIn("fsck: the journal was not written back",
                      self.change("feature needs_recovery"))


class TestPrograms(unittest.TestCase):
    """The real ones, on this machine's loopback and file system."""

    def setUp(self):
        fresh(WORK)
        self.processes = []

    def tearDown(self):
        for process in self.processes:
            process.kill()
            process.wait()

    def run_program(self, *argv, **more):
        # pylint: disable=consider-using-with
        self.processes.append(subprocess.Popen(argv, cwd=WORK, **more))
        return self.processes[-1]

    # --- redis

    def boot(self, port):
        data = os.path.join(WORK, "data")
        os.makedirs(data, exist_ok=True)
        name = os.path.join(WORK, "redis-server")
        if not os.path.exists(name):
            os.symlink("/usr/bin/redis-check-rdb", name)
        return self.run_program(
            name, "--port", str(port), "--dir", data, "--save", "",
            "--appendonly", "yes", "--appendfsync", "always",
            "--auto-aof-rewrite-percentage", "0", "--logfile", "redis.log")

    def redis(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        server = self.boot(port)
        client = w.Client(os.path.join(WORK, "client"), "127.0.0.1", prefix=(),
                          args=("--connections", "0", "--probe-ms", "0",
                                "--rate", "20", "--redis", str(port)))
        self.processes.append(client.process)
        client.wait_for("ready", 60)
        return server, client, port

    def aof(self):
        with open(os.path.join(WORK, p.AOF[1:]), "rb") as f:
            return p.parse_aof(f.read())

    def answered_past(self, client, cut):
        k.wait_for("answers", lambda: client.answered_after(cut), 60)

    def test_redis_well(self):
        server, client, _ = self.redis()
        server.send_signal(signal.SIGSTOP)
        cut = time.monotonic_ns()
        time.sleep(1)
        server.send_signal(signal.SIGCONT)
        self.answered_past(client, cut)
        summary = client.stop(60)
        server.terminate()
        self.assertEqual(server.wait(60), 0)
        verdict = w.judge_client(summary, client.events(), cut)
        self.assertEqual(verdict["problems"], [])
        self.assertEqual(len(verdict["tcp_resume_ms"]), 4)
        aof = self.aof()
        self.assertEqual(p.judge_redis(summary, aof)["problems"], [])
        self.assertGreater(p.account(summary)["longest_wait_ms"], 900)
        self.assertEqual(p.account(summary)["lost"], 0)
        key = next(iter(summary["redis"]["keys"]))
        aof[key] -= 1
        self.assertEqual(len(p.judge_redis(summary, aof)["problems"]), 1)

    def test_redis_of_the_past(self):
        """One that comes back without the last of its file."""
        server, client, port = self.redis()
        k.wait_for("answers", lambda: len(client.events()) > 200, 60)
        server.kill()
        server.wait()
        cut = time.monotonic_ns()
        path = os.path.join(WORK, p.AOF[1:])
        with open(path, "rb") as f:
            data = f.read()
        # Whole commands: it starts with what there is.
        with open(path, "wb") as f:
            f.write(data[:data.rindex(b"*2", 0, len(data) // 4)])
        self.boot(port)
        self.answered_past(client, cut)
        summary = client.stop(60)
        problems = "; ".join(w.judge_client(summary, client.events(),
                                            cut)["problems"])
        for what in ("[0-9]+ resets", "[0-9]+ contradicted"):
            self.assertRegex(problems, "redis[0-3]: " + what)
        self.assertGreater(p.account(summary)["lost"], 0)
        self.assertRegex("; ".join(p.judge_redis(summary, self.aof())
                                   ["problems"]), "in the file")

    # --- fio

    def rounds(self):
        """fio-rounds, and the end of its first round."""
        run = self.run_program(
            os.path.join(k.ROOT, "tests", "guest", "fio-rounds"), "fio",
            "--directory=" + WORK, "--size=1m", stdout=subprocess.PIPE,
            text=True)
        self.addCleanup(run.stdout.close)
        self.assertEqual(run.stdout.readline(), "FIO 1\n")
        return run

    def test_fio_well(self):
        run = self.rounds()
        self.assertEqual(run.stdout.readline(), "FIO 2\n")
        run.terminate()
        lines = ["FIO 1", "FIO 2", *run.stdout.read().splitlines(),
                 "DISK clean"]
        self.assertEqual(run.wait(60), 0)
        self.assertEqual(p.judge_fio(lines)["problems"], [])

    def test_fio_lost_writes(self):
        """A disk that forgets the writes to one place, valid before."""
        for name, size in (("small", 4096), ("large", 131072)):
            run = self.rounds()
            with open(os.path.join(WORK, name), "r+b", buffering=0) as f:
                old = f.read(size)
                while run.poll() is None:
                    f.seek(0)
                    f.write(old)
            self.assertRegex(run.stdout.read(), "BAD fio: round [0-9]+ ended")
            self.assertEqual(run.returncode, 1)


if __name__ == "__main__":
    unittest.main()
