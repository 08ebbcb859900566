# SPDX-License-Identifier: GPL-2.0-or-later
"""workloads.py - a guest with network and disk, its outside client, and the
judges of what the client saw and of what is on the disk.

The judges are functions of plain data; each returns {"problems": [...], ...}.
The guest runs services-init, tcpserve.c and diskwrite.c; its client is
netclient.py.  What runs from a file system of the guest: programs.py.
"""

import json
import os
import struct
import subprocess
import sys

import accounts
import labkit as k

GUEST = "10.77.0.101"
PROGRAMS = ["clockcheck", "tcpserve", "diskwrite"]
DISK_PORT = 7001
WRITERS, WINDOW = 4, 64		# diskwrite's defaults
RECORD = 4096
MAGIC = 0x64726f6365526b44
HEAD = struct.Struct("<5Q")	# magic, writer, number, mono, random
WORDS = struct.Struct("<%dQ" % (RECORD // 8))


def services_image(out):
    """A guest initramfs with all that services-init can start."""
    k.guest_image(out, "services-init", PROGRAMS, ["fio-rounds"])


def devices(disks=(), vifs=("bridge=xenbr0",)):
    """Lines for labkit.create()."""
    return "disk = %s\nvif = %s\n" % (json.dumps(list(disks)),
                                     json.dumps(list(vifs)))


# --- the client ----------------------------------------------------------

class Client:
    """netclient.py, in the network outside the hosts; its results in @out."""

    def __init__(self, out, guest=GUEST, args=("--disk", str(DISK_PORT)),
                 prefix=(k.LAB, "client", "--")):
        self.out = out
        os.makedirs(out, exist_ok=True)
        for name in ("log", "table", "summary"):
            if os.path.exists(os.path.join(out, name)):
                os.unlink(os.path.join(out, name))
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                               "netclient.py")
        self.process = subprocess.Popen(
            [*prefix, sys.executable, program, guest, "--out", out, *args],
            stdin=subprocess.PIPE)

    def _read(self, name):
        try:
            with open(os.path.join(self.out, name), encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def events(self):
        """What has happened so far; the last line may be half."""
        return [json.loads(line) for line in
                self._read("log").splitlines(True) if line.endswith("\n")]

    def wait_for(self, event, timeout):
        def seen():
            if self.process.poll() is not None:
                raise k.DrillError("the client ended: %d" %
                                   self.process.returncode)
            return any(e["ev"] == event for e in self.events())
        k.wait_for("the client's event " + event, seen, timeout)

    def probe(self, ms):
        """From now on a UDP probe each @ms."""
        self.process.stdin.write(b"probe %d\n" % ms)
        self.process.stdin.flush()

    def answered_after(self, cut):
        """Has everyone that was ever answered, since @cut (ns), too?"""
        asked = [e for e in self.events() if "sent" in e]
        every = {e.get("conn", e["ev"]) for e in asked}
        late = {e.get("conn", e["ev"]) for e in asked if e["sent"] > cut}
        return bool(late) and every <= late

    def stop(self, timeout):
        """Let it wait for what is open, for @timeout s; its summary."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(20)
        text = self._read("summary")
        if not text:
            raise k.DrillError("the client left no summary: exit %d" %
                               self.process.returncode)
        return json.loads(text)

    def notes(self):
        """The guest's own table, after stop()."""
        return parse_notes(self._read("table"))


def parse_notes(text):
    """{(writer, number): (mono, random, done)} of diskwrite's lines."""
    out = {}
    for line in text.splitlines():
        _, writer, number, mono, word, done = line.split()
        out[int(writer), int(number)] = (int(mono), int(word, 16),
                                         done == "1")
    return out


def reported(events):
    """[(writer, number, mono, random)] the world was told of."""
    return [tuple(e["record"]) for e in events if e["ev"] == "done"]


# --- judges --------------------------------------------------------------

def _first_after(events, cut, **match):
    """ms from @cut to the first answer to what was asked after it."""
    times = [e["t"] for e in events if e.get("sent", 0) > cut and
             all(e.get(name) == v for name, v in match.items())]
    return round((min(times) - cut) / 1e6, 1) if times else None


def judge_client(summary, events, cut=None):
    """Was the client answered, rightly, all the time, and after @cut (ns)?

    Redis' connections, too; programs.judge_redis() looks after what it keeps.
    "outage_ms" is the time to the first answer to a UDP probe that was sent
    after the cut; "tcp_resume_ms" the same for each connection, which includes
    TCP's own waiting between two retransmissions.
    """
    problems = []
    parties = {c["name"]: c for c in summary["connections"] +
               (summary["redis"] or {"connections": []})["connections"]}
    tcp = list(parties)
    parties.update((name, summary[name]) for name in ("udp", "disk")
                   if summary[name])
    for name, party in parties.items():
        for fault in ("wrong", "contradicted", "resets", "unanswered"):
            if party.get(fault):
                problems.append("%s: %d %s" % (name, party[fault], fault))
    if summary["disk"] and not summary["disk"]["table"]:
        problems.append("disk: the guest's table was not had")
    result = {"problems": problems}
    if cut is not None:
        spans = {}
        for e in events:
            name = e.get("conn") or {"done": "disk"}.get(e["ev"], e["ev"])
            first, last = spans.get(name, (e["t"], 0))
            # What the guest reports was not asked for.
            asked = e.get("sent", e["t"])
            spans[name] = (min(first, e["t"]), max(last, asked))
        for name in parties:
            first, last = spans.get(name, (cut, 0))
            if first >= cut:
                problems.append("%s: no answer before the cut" % name)
            if last <= cut:
                problems.append("%s: did not go on after the cut" % name)
        result["outage_ms"] = _first_after(events, cut, ev="udp")
        result["tcp_resume_ms"] = [_first_after(events, cut, conn=name)
                                   for name in tcp]
    if problems:
        problems += summary["problems"][:3]
    return result


def parse_disk(data, writers=WRITERS, window=WINDOW):
    """{(writer, slot): (number, mono, random), None if never written, or a
    sentence if it is not a record of that place}."""
    out = {}
    for i in range(writers * window):
        block = data[i * RECORD:(i + 1) * RECORD]
        place = (i // window, i % window)
        if block == bytes(RECORD):
            out[place] = None
            continue
        if len(block) < RECORD:
            out[place] = "the disk ends here"
            continue
        magic, writer, number, mono, word = HEAD.unpack_from(block)
        *words, checksum = WORDS.unpack(block)
        if magic != MAGIC or accounts.fnv(words) != checksum:
            out[place] = "no record, or a torn one"
        elif (writer, (number - 1) % window) != place:
            out[place] = "record %d of writer %d" % (number, writer)
        else:
            out[place] = (number, mono, word)
    return out


def read_disk(path, writers=WRITERS, window=WINDOW):
    with open(path, "rb") as f:
        return parse_disk(f.read(writers * window * RECORD), writers, window)


def _unlike(note, mono, word):
    """How a guest's note differs from a record of the same number."""
    if note is None:
        return "is unknown to the guest"
    if note[:2] != (mono, word):
        return ("has clock %d and random %x, the guest says %d and %x" % (
            mono, word, *note[:2]))
    return None


def judge_durable(reports, notes, disk, window=WINDOW):
    """Every reported record is known to the guest and on the disk, or there is
    a later one in its place; the writers rest."""
    problems = []
    if not reports:
        problems.append("no record was reported")
    for writer, number, mono, word in reports:
        note = notes.get((writer, number))
        what = _unlike(note, mono, word)
        if not what and not note[2]:
            what = "had not completed, says the guest"
        if what:
            problems.append("reported record %d of writer %d %s" % (
                number, writer, what))
    newest, told, lost = {}, {r[:2] for r in reports}, 0
    for (writer, number), note in notes.items():
        place = (writer, (number - 1) % window)
        newest[place] = max(newest.get(place, (0,)), (number, *note))
    for (writer, slot), (number, mono, word, done) in newest.items():
        found = disk.get((writer, slot))
        if found != (number, mono, word) or not done:
            lost += (writer, number) in told
            problems.append(
                "writer %d, slot %d: the disk has %s, the guest %s record "
                "%d, clock %d, random %x%s" % (
                    writer, slot, found, "reported" if (writer, number) in told
                    else "wrote", number, mono, word,
                    "" if done else ", which did not complete"))
    return {"problems": problems, "reports": len(reports), "lost": lost}


def judge_fence(disk, notes):
    """@disk: as it was after the host fence, before the take-over; @notes: of
    the revived guest at any later time.  Each record that left the dead host
    is one that the guest remembers to have issued: what it issued afresh under
    an old number has another clock."""
    problems = []
    records = 0
    for (writer, slot), found in disk.items():
        if found is None:
            continue
        if isinstance(found, str):
            problems.append("writer %d, slot %d: %s" % (writer, slot, found))
            continue
        records += 1
        number, mono, word = found
        what = _unlike(notes.get((writer, number)), mono, word)
        if what:
            problems.append("record %d of writer %d on the fenced disk %s" % (
                number, writer, what))
    if not records:
        problems.append("no record on the fenced disk")
    return {"problems": problems, "records": records}
