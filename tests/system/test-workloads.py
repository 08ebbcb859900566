#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-workloads.py - the judges of the drills notice what they are there for

Each judge is fed an honest history, which passes, and each kind of violation,
which must not.  Then the guest's programs and the client run on this machine,
without a lab, and what they left is judged, damaged, and judged again.
"""

import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

import accounts
import labkit as k
import workloads as w

MS = 1000000
WORK = os.path.join(k.ROOT, "build", "check", "workloads")
BIN = os.path.join(k.ROOT, "build", "guest-bin")


class Server:
    """What tcpserve.c answers; a copy of it is a checkpoint."""

    def __init__(self):
        self.number, self.mono = 0, 1000
        self.conns = {}		# id: (count, hash)

    def tick(self):
        self.number += 1
        self.mono += 10
        return self.number, self.mono

    def request(self, line):
        name, seq, nonce = line.decode().split()
        count, digest = self.conns.get(name, (0, accounts.FNV_OFFSET))
        count, digest = count + 1, accounts.fnv(line, digest)
        self.conns[name] = (count, digest)
        return "%s %s %s %d %d %d %016x\n" % (
            name, seq, nonce, count, *self.tick(), digest)

    def probe(self, packet):
        return "%s %d %d\n" % (packet.decode(), *self.tick())


class TestStream(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        numbers = accounts.Numbers()
        self.a, self.b = (accounts.Stream(n, numbers, []) for n in "ab")

    def ask(self, stream, times=1, change=lambda line: line):
        for _ in range(times):
            line = self.server.request(stream.request(1))
            stream.reply(2, change(line))

    def faults(self):
        return [(s.wrong, s.contradicted) for s in (self.a, self.b)]

    def test_honest(self):
        self.ask(self.a, 3)
        lines = [self.a.request(1) for _ in range(3)]
        self.ask(self.b, 3)
        for line in lines:
            self.a.reply(2, self.server.request(line))
        self.assertEqual(self.faults(), [(0, 0), (0, 0)])
        self.assertEqual((self.a.replies, self.a.open), (6, []))

    def test_revived_without_the_last_request(self):
        self.ask(self.a, 3)
        past = copy.deepcopy(self.server)
        self.ask(self.a)
        self.server = past
        self.ask(self.a)
        self.assertGreater(self.a.contradicted, 0)

    def test_number_given_to_two(self):
        self.ask(self.a)
        self.server.number -= 1
        self.ask(self.b)
        self.assertGreater(self.b.contradicted, 0)

    def test_number_back_on_a_connection(self):
        self.ask(self.a, 3)
        self.server.number = -5
        self.ask(self.a)
        self.assertEqual(self.a.contradicted, 1)

    def test_clock_back(self):
        self.ask(self.a)
        self.server.mono -= 100
        self.ask(self.b)
        self.assertEqual(self.b.contradicted, 1)

    def test_count(self):
        def less(line):
            words = line.split()
            words[3] = "1"
            return " ".join(words)
        self.ask(self.a, 2, less)
        self.assertEqual(self.a.contradicted, 1)

    def test_wrong_replies(self):
        self.ask(self.a, 1, lambda line: "hello\n")
        self.ask(self.b, 1, lambda line: line.replace(line[:4], "zzzz"))
        self.assertEqual(self.faults(), [(1, 0), (1, 0)])

    def test_reply_twice(self):
        line = self.server.request(self.a.request(1))
        self.a.reply(2, line)
        self.a.reply(3, line)
        self.assertEqual(self.a.wrong, 1)

    def test_reset(self):
        self.a.request(1)
        self.a.reset("reset")
        self.ask(self.a)
        s = self.a.summary()
        self.assertEqual((s["resets"], s["unanswered"], s["contradicted"]),
                         (1, 1, 0))

    def test_gap(self):
        for t in (5, 6, 90, 95):
            self.a.reply(t * MS, self.server.request(self.a.request(1)))
        s = self.a.summary()
        self.assertEqual((s["gap_ms"], s["gap_end_ns"], s["last_ns"]),
                         (84.0, 90 * MS, 95 * MS))


class TestProbes(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.probes = accounts.Probes(accounts.Numbers(), [])

    def ask(self):
        answer = self.server.probe(self.probes.probe(1))
        self.probes.reply(2, answer)
        return answer

    def test_honest_lost_late_and_repeated(self):
        self.ask()
        self.probes.probe(1)
        late = self.server.probe(self.probes.probe(1))
        again = self.ask()
        for packet in (late, again, again):
            self.probes.reply(3, packet)
        s = self.probes.summary()
        self.assertEqual((s["sent"], s["answered"], s["repeated"]), (4, 3, 2))
        self.assertEqual((s["wrong"], s["contradicted"]), (0, 0))

    def test_number_again(self):
        past = copy.deepcopy(self.server)
        self.ask()
        self.server = past
        self.ask()
        self.assertEqual(self.probes.contradicted, 1)

    def test_number_not_above(self):
        # Nothing was seen of the number that is given again.
        self.probes.probe(1)
        self.server.tick()
        self.ask()
        self.server.number = 0
        self.ask()
        self.assertEqual(self.probes.contradicted, 1)

    def test_probe_answered_twice(self):
        packet = self.probes.probe(1)
        for _ in range(2):
            self.probes.reply(2, self.server.probe(packet))
        self.assertEqual(self.probes.contradicted, 1)

    def test_clock_back(self):
        self.ask()
        self.server.mono = 0
        self.ask()
        self.assertEqual(self.probes.contradicted, 1)

    def test_wrong(self):
        self.probes.probe(1)
        for packet in ("", "1 2", "x y 1 2", "1 0123456789abcdef 1 2",
                       "9 0123456789abcdef 1 2"):
            self.probes.reply(2, packet)
        self.assertEqual(self.probes.wrong, 5)


class TestReports(unittest.TestCase):
    def faults(self, *lines):
        r = accounts.Reports([])
        for line in lines:
            r.report(1, line.split())
        return r.wrong, r.contradicted

    def test_reports(self):
        self.assertEqual(self.faults("0 7 10 a", "1 1 11 b", "0 8 12 c"),
                         (0, 0))
        self.assertEqual(self.faults("0 7 10 a", "0 9 12 c"), (0, 1))
        self.assertEqual(self.faults("0 7 10 a", "0 7 12 c"), (0, 1))
        self.assertEqual(self.faults("0 7", "0 x 1 a"), (2, 0))


CUT = 100 * MS


def history():
    """A client's summary and log over a cut, all well."""
    party = {"wrong": 0, "contradicted": 0, "resets": 0}
    summary = {
        "connections": [dict(party, name="tcp%d" % i, unanswered=0)
                        for i in range(2)],
        "udp": dict(party), "disk": dict(party, table=True), "redis": None,
        "problems": []}
    events = []
    for t in (90, 101, 400):
        # That of 101 left before the cut.
        sent = (t - 5) * MS
        events += [{"ev": "udp", "t": t * MS, "sent": sent},
                   {"ev": "tcp", "t": t * MS + 1, "sent": sent,
                    "conn": "tcp0"},
                   {"ev": "tcp", "t": t * MS + 200 * MS, "sent": sent + 1,
                    "conn": "tcp1"},
                   {"ev": "done", "t": t * MS, "record": [0, t, 1, 2]}]
    events[2]["t"] = 95 * MS
    return summary, events


class TestClient(unittest.TestCase):
    def violates(self, pattern, summary, events, cut=CUT):
        problems = w.judge_client(summary, events, cut)["problems"]
        self.assertRegex("; ".join(problems) or "all well", pattern)

    def test_honest(self):
        verdict = w.judge_client(*history(), CUT)
        self.assertEqual(verdict, {"problems": [], "outage_ms": 300.0,
                                   "tcp_resume_ms": [300.0, 500.0]})
        self.assertEqual(w.judge_client(*history()), {"problems": []})

    def test_faults(self):
        for who in ("tcp0", "tcp1", "udp", "disk"):
            for fault in ("wrong", "contradicted", "resets", "unanswered"):
                summary, events = history()
                party = (summary["connections"][int(who[3])]
                         if who.startswith("tcp") else summary[who])
                party[fault] = 1
                self.violates("^%s: 1 %s$" % (who, fault), summary, events)
                self.violates(fault, summary, events, None)

    def test_silence(self):
        for who in ("tcp0", "tcp1", "udp", "disk"):
            def theirs(e, name=who):
                return (e.get("conn") or e["ev"].replace("done", "disk")) == \
                    name
            summary, events = history()
            gone = [e for e in events if not theirs(e) or e["t"] <= CUT]
            self.violates("^%s: did not go on" % who, summary, gone)
            late = [e for e in events if not theirs(e) or e["t"] > CUT]
            self.violates("^%s: no answer before" % who, summary, late)
            self.violates("%s: did not go on" % who, summary,
                          [e for e in events if not theirs(e)])

    def test_what_left_before_is_no_sign_of_life(self):
        summary, events = history()
        self.violates("udp: did not", summary,
                      [e for e in events if e["t"] < 102 * MS])

    def test_no_table(self):
        summary, events = history()
        summary["disk"]["table"] = False
        self.violates("table", summary, events)


def records(*numbers, window=4, writer=0):
    """Notes and disk of a writer that has issued records up to each."""
    notes = {(writer, n): (1000 + n, n * 77, True)
             for n in range(1, max(numbers) + 1)}
    disk = {(writer, slot): None for slot in range(window)}
    for (_, n), (mono, word, _) in notes.items():
        disk[writer, (n - 1) % window] = (n, mono, word)
    return notes, disk


class TestDisk(unittest.TestCase):
    def setUp(self):
        self.notes, self.disk = records(10)
        self.reports = [(0, n, *self.notes[0, n][:2]) for n in range(2, 11)]

    def durable(self):
        verdict = w.judge_durable(self.reports, self.notes, self.disk, 4)
        return "; ".join(verdict["problems"])

    def fence(self):
        return "; ".join(w.judge_fence(self.disk, self.notes)["problems"])

    def test_honest(self):
        self.assertEqual((self.durable(), self.fence()), ("", ""))

    def test_report_unknown(self):
        self.reports.append((0, 11, 1011, 5))
        self.assertRegex(self.durable(), "record 11 .* unknown")

    def test_report_contradicted(self):
        for new in ((0, 9, 1009, 5), (0, 9, 8, 9 * 77)):
            self.setUp()
            self.reports[7] = new
            self.assertRegex(self.durable(), "reported record 9 ")

    def test_report_not_completed(self):
        self.notes[0, 5] = (*self.notes[0, 5][:2], False)
        self.assertRegex(self.durable(), "record 5 .* completed")

    def test_nothing_reported(self):
        self.reports = []
        self.assertRegex(self.durable(), "no record was")

    def test_not_on_the_disk(self):
        for found in (None, "torn", (6, 1006, 6 * 77), (10, 1010, 1)):
            self.disk[0, 1] = found
            self.assertRegex(self.durable(), "slot 1: the disk has")
            self.assertEqual(w.judge_durable(self.reports, self.notes,
                                             self.disk, 4)["lost"], 1)
        del self.disk[0, 1]
        self.assertRegex(self.durable(), "slot 1: the disk has")

    def test_fence_older_is_well(self):
        # Writes may be missing on the fenced disk, of the future none.
        self.disk[0, 1] = (6, 1006, 6 * 77)
        self.disk[0, 2] = None
        self.assertEqual(self.fence(), "")

    def test_fence_executed_again(self):
        self.notes[0, 10] = (2000, 770, True)
        self.assertRegex(self.fence(), "record 10 .* has clock 1010")
        self.notes[0, 10] = (1010, 5, True)
        self.assertRegex(self.fence(), "record 10 ")

    def test_fence_unknown(self):
        del self.notes[0, 10]
        self.assertRegex(self.fence(), "record 10 .* unknown")

    def test_fence_torn(self):
        self.disk[0, 1] = "torn"
        self.assertRegex(self.fence(), "slot 1: torn")

    def test_fence_nothing(self):
        self.disk = {(0, 0): None}
        self.assertRegex(self.fence(), "no record on")


class TestPrograms(unittest.TestCase):
    """The real ones, on this machine's loopback and file system."""

    def setUp(self):
        shutil.rmtree(WORK, ignore_errors=True)
        os.makedirs(WORK)
        self.disk = os.path.join(WORK, "disk")
        with open(self.disk, "wb") as f:
            f.truncate(w.WRITERS * w.WINDOW * w.RECORD)
        self.ports = []
        for _ in range(2):
            with socket.create_server(("127.0.0.1", 0)) as s:
                self.ports.append(s.getsockname()[1])
        self.guest = []
        self.boot()
        self.client = w.Client(
            os.path.join(WORK, "client"), "127.0.0.1", prefix=(), args=(
                "--port", str(self.ports[0]), "--disk", str(self.ports[1]),
                "--rate", "20"))
        self.client.wait_for("ready", 60)

    def boot(self):
        for argv in (["tcpserve", "tcpport=%d" % self.ports[0]],
                     ["diskwrite", self.disk, "every=5",
                      "diskport=%d" % self.ports[1]]):
            self.guest.append(subprocess.Popen([os.path.join(BIN, argv[0]),
                                                *argv[1:]]))

    def tell_guest(self, number):
        for p in self.guest:
            p.send_signal(number)

    def tearDown(self):
        for p in (*self.guest, self.client.process):
            p.kill()
            p.wait()

    def run_until_past(self, cut):
        k.wait_for("answers", lambda: self.client.answered_after(cut), 60)

    def test_well_and_damaged(self):
        until = time.monotonic_ns() + 2000 * MS
        self.run_until_past(until)
        self.tell_guest(signal.SIGSTOP)
        cut = time.monotonic_ns()
        time.sleep(1)
        self.tell_guest(signal.SIGCONT)
        self.run_until_past(cut)
        summary = self.client.stop(60)
        verdict = w.judge_client(summary, self.client.events(), cut)
        self.assertEqual(verdict["problems"], [])
        self.assertGreater(verdict["outage_ms"], 900)
        self.assertTrue(all(c["requests"] > 10
                            for c in summary["connections"]))

        reports, notes = w.reported(self.client.events()), self.client.notes()
        with open(self.disk, "rb") as f:
            data = f.read()
        disk = w.parse_disk(data)
        self.assertEqual(w.judge_durable(reports, notes, disk)["problems"], [])
        self.assertEqual(w.judge_fence(disk, notes)["problems"], [])

        # The newest records of two writers changed places; one bit flipped.
        one, other = 3 * w.RECORD, (w.WINDOW + 3) * w.RECORD
        swapped = bytearray(data)
        swapped[one:one + w.RECORD] = data[other:other + w.RECORD]
        flipped = bytearray(data)
        flipped[one + 2000] ^= 4
        for bad in (swapped, flipped):
            disk = w.parse_disk(bytes(bad))
            for problems in (w.judge_durable(reports, notes, disk)["problems"],
                             w.judge_fence(disk, notes)["problems"]):
                self.assertEqual(len(problems), 1, problems)

    def test_another_guest(self):
        """One that never knew of the first one's answers."""
        with open(self.disk, "rb") as f:
            before = w.parse_disk(f.read())
        self.tell_guest(signal.SIGKILL)
        cut = time.monotonic_ns()
        for p in self.guest:
            p.wait()
        self.boot()
        self.run_until_past(cut)
        summary = self.client.stop(60)
        problems = w.judge_client(summary, self.client.events(),
                                  cut)["problems"]
        for name in ("tcp0: 1 resets", "tcp7: 1 resets", "disk: 1 resets",
                     "udp: [0-9]+ contradicted"):
            self.assertRegex("; ".join(problems), name)
        notes = self.client.notes()
        self.assertTrue(w.judge_durable(w.reported(self.client.events()),
                                        notes, w.read_disk(self.disk))
                        ["problems"])
        self.assertTrue(w.judge_fence(before, notes)["problems"])

    def test_silent_for_good(self):
        self.tell_guest(signal.SIGSTOP)
        cut = time.monotonic_ns()
        time.sleep(1)
        summary = self.client.stop(1)
        problems = w.judge_client(summary, self.client.events(),
                                  cut)["problems"]
        for name in ("tcp3: [0-9]+ unanswered", "udp: did not go on",
                     "tcp3: did not go on", "the guest's table was not had"):
            self.assertRegex("; ".join(problems), name)
        json.dumps(summary)


if __name__ == "__main__":
    unittest.main()
