# SPDX-License-Identifier: GPL-2.0-or-later
"""accounts.py - what an outside client was told by a guest, and may hold
against it (INV-2): no sockets, no clock, so that tests can feed any history.

tcpserve.c and diskwrite.c say what the lines of the guest mean.
"""

import secrets

FNV_OFFSET, FNV_PRIME = 0xcbf29ce484222325, 0x100000001b3
U64 = (1 << 64) - 1


def fnv(data, value=FNV_OFFSET):
    """FNV-1a, 64 bits, of bytes or of 64-bit words; @value continues one."""
    for item in data:
        value = (value ^ item) * FNV_PRIME & U64
    return value


def nonce():
    return secrets.token_hex(8)


class Account:
    """Counts of what went wrong, the first few in words."""

    def __init__(self, problems):
        self.problems = problems	# shared by the accounts of a client
        self.wrong = self.contradicted = 0

    def note(self, text):
        if len(self.problems) < 20:
            self.problems.append(text)

    def is_wrong(self, text):
        self.wrong += 1
        self.note(text)

    def is_contradicted(self, text):
        self.contradicted += 1
        self.note(text)


class Gaps:
    """The longest time between two answers, all in ns."""

    def __init__(self):
        self.last = self.start = self.end = 0

    def answer(self, t):
        if self.last and t - self.last > self.end - self.start:
            self.start, self.end = self.last, t
        self.last = t

    def summary(self):
        return {"last_ns": self.last, "gap_start_ns": self.start,
                "gap_end_ns": self.end,
                "gap_ms": round((self.end - self.start) / 1e6, 1)}


class Numbers:
    """The server's answers are numbered: no number twice, no clock back."""

    def __init__(self):
        self.owner = {}
        self.top, self.mono = 0, 0

    def contradiction(self, number, mono, owner):
        """What is wrong with an answer of this number, or None."""
        if self.owner.setdefault(number, owner) != owner:
            return "number %d went to %s and to %s" % (
                number, self.owner[number], owner)
        if number > self.top:
            if mono < self.mono:
                return "clock %d with number %d, after %d with %d" % (
                    mono, number, self.mono, self.top)
            self.top, self.mono = number, mono
        return None


class Stream(Account):
    """One TCP connection to tcpserve."""

    def __init__(self, name, numbers, problems):
        super().__init__(problems)
        self.name, self.numbers = name, numbers
        self.requests = self.replies = self.resets = 0
        self.lost = 0
        self.gaps = Gaps()
        self.begin()

    def begin(self):
        """A new connection: its history is empty."""
        self.id, self.hash, self.count, self.number = nonce(), FNV_OFFSET, 0, 0
        self.open = []		# (seq, nonce, t, count, hash) unanswered

    def request(self, t):
        """The next request as bytes to send."""
        self.requests += 1
        self.count += 1
        word = nonce()
        line = b"%s %d %s\n" % (self.id.encode(), self.requests,
                                word.encode())
        self.hash = fnv(line, self.hash)
        self.open.append((self.requests, word, t, self.count, self.hash))
        return line

    def reply(self, t, line):
        """A line from the server; (seq, time of request) if it is an answer."""
        try:
            name, seq, word, count, number, mono, digest = line.split()
            seq, count, number, mono, digest = (
                int(seq), int(count), int(number), int(mono), int(digest, 16))
        except ValueError:
            self.is_wrong("%s: no reply: %r" % (self.name, line[:80]))
            return None
        if not self.open or (name, seq, word) != (self.id, *self.open[0][:2]):
            self.is_wrong("%s: reply to what was not asked: %r" % (
                self.name, line))
            return None
        _, _, sent, my_count, my_hash = self.open.pop(0)
        self.replies += 1
        self.gaps.answer(t)
        if (count, digest) != (my_count, my_hash):
            self.is_contradicted(
                "%s: the server knows %d requests of hash %016x, sent were "
                "%d of hash %016x" % (self.name, count, digest, my_count,
                                      my_hash))
        if number <= self.number:
            self.is_contradicted("%s: number %d after %d" % (
                self.name, number, self.number))
        self.number = number
        what = self.numbers.contradiction(number, mono, "%s request %d" % (
            self.name, seq))
        if what:
            self.is_contradicted(what)
        return seq, sent

    def reset(self, why):
        self.resets += 1
        self.lost += len(self.open)
        self.note("%s: connection lost: %s" % (self.name, why))
        self.begin()

    def summary(self):
        return {"name": self.name, "requests": self.requests,
                "replies": self.replies, "wrong": self.wrong,
                "contradicted": self.contradicted, "resets": self.resets,
                "unanswered": self.lost + len(self.open),
                **self.gaps.summary()}


class Probes(Account):
    """UDP probes: packets may be lost, repeated, late."""

    def __init__(self, numbers, problems):
        super().__init__(problems)
        self.numbers = numbers
        self.asked = {}		# seq: (nonce, t)
        self.answers = {}	# seq: (number, mono)
        self.repeated = 0
        self.newest = (0, 0)	# (number, seq) of the highest number
        self.gaps = Gaps()

    def probe(self, t):
        seq, word = len(self.asked) + 1, nonce()
        self.asked[seq] = (word, t)
        return b"%d %s" % (seq, word.encode())

    def reply(self, t, packet):
        """A packet of the server; (seq, time of probe) if it is new."""
        try:
            seq, word, number, mono = packet.split()
            seq, number, mono = int(seq), int(number), int(mono)
        except ValueError:
            self.is_wrong("udp: no reply: %r" % packet[:80])
            return None
        asked = self.asked.get(seq, (None, 0))
        if asked[0] != word:
            self.is_wrong("udp: reply to what was not asked: %r" % packet)
            return None
        if seq in self.answers:
            # The same answer once more is allowed.
            self.repeated += 1
            if self.answers[seq] != (number, mono):
                self.is_contradicted("udp: probe %d got %s and %s" % (
                    seq, self.answers[seq], (number, mono)))
            return None
        self.answers[seq] = (number, mono)
        self.gaps.answer(t)
        what = self.numbers.contradiction(number, mono, "probe %d" % seq)
        if what:
            self.is_contradicted(what)
        elif number <= self.newest[0] and seq > self.newest[1]:
            self.is_contradicted("udp: number %d for probe %d, after %d for "
                                 "%d" % (number, seq, *self.newest))
        self.newest = max(self.newest, (number, seq))
        return seq, asked[1]

    def summary(self):
        return {"sent": len(self.asked), "answered": len(self.answers),
                "repeated": self.repeated, "wrong": self.wrong,
                "contradicted": self.contradicted, **self.gaps.summary()}


class Reports(Account):
    """Records that diskwrite says are on the disk."""

    def __init__(self, problems):
        super().__init__(problems)
        self.last = {}		# writer: number
        self.count = self.resets = 0
        self.gaps = Gaps()

    def report(self, t, fields):
        """Words of a "done" line; (writer, number, mono, random) or None."""
        try:
            writer, number, mono = (int(x) for x in fields[:3])
            what = (writer, number, mono, int(fields[3], 16))
        except (ValueError, IndexError):
            self.is_wrong("disk: no report: %r" % fields)
            return None
        self.count += 1
        self.gaps.answer(t)
        before = self.last.get(writer)
        if before is not None and number != before + 1:
            self.is_contradicted("disk: writer %d reports %d after %d" % (
                writer, number, before))
        self.last[writer] = number
        return what

    def reset(self, why):
        self.resets += 1
        self.note("disk: connection lost: %s" % why)

    def summary(self):
        return {"reports": self.count, "wrong": self.wrong,
                "contradicted": self.contradicted, "resets": self.resets,
                **self.gaps.summary()}
