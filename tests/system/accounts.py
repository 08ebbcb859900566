# SPDX-License-Identifier: GPL-2.0-or-later
"""accounts.py - what an outside client was told by a guest, and may hold
against it (INV-2): no sockets, no clock, so that tests can feed any history.

tcpserve.c and diskwrite.c say what the lines of the guest mean.
"""

import random
import re
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
    """The longest time between two answers, and of one request, in ns."""

    def __init__(self):
        self.last = self.start = self.end = self.wait = 0

    def answer(self, t, sent=None):
        if sent is not None:
            self.wait = max(self.wait, t - sent)
        if self.last and t - self.last > self.end - self.start:
            self.start, self.end = self.last, t
        self.last = t

    def summary(self):
        return {"last_ns": self.last, "gap_start_ns": self.start,
                "gap_end_ns": self.end,
                "gap_ms": round((self.end - self.start) / 1e6, 1),
                "wait_ms": round(self.wait / 1e6, 1)}


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


class Conversation(Account):
    """A TCP connection, made again when it is lost, with answers in order."""

    def __init__(self, name, problems):
        super().__init__(problems)
        self.name = name
        self.requests = self.replies = self.resets = self.lost = 0
        self.open = []		# what is unanswered
        self.gaps = Gaps()
        self.begin()

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


class Stream(Conversation):
    """One TCP connection to tcpserve."""

    kind = "tcp"

    def __init__(self, name, numbers, problems):
        self.numbers = numbers
        super().__init__(name, problems)

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
        self.gaps.answer(t, sent)
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


class Keys:
    """The counters in a redis that all connections to it share."""

    def __init__(self, names):
        self.issued = dict.fromkeys(names, 0)	# INCRs ever sent
        self.known = dict.fromkeys(names, 0)	# the highest value heard of
        self.acks = {name: {} for name in names}	# value: who got it

    def contradiction(self, op, key, value, least, who):
        """What is wrong with an answer that may not be below @least."""
        if value < least:
            return "%s is %d, and was %d at least" % (key, value, least)
        if value > self.issued[key]:
            return "%s is %d, after %d INCRs" % (key, value, self.issued[key])
        if op == "INCR" and self.acks[key].setdefault(value, who) != who:
            return "%s: %d went to %s and to %s" % (
                key, value, self.acks[key][value], who)
        return None

    def summary(self, final):
        """@final: what was read at the end."""
        return {key: {"issued": self.issued[key], "highest": self.known[key],
                      "acked": len(self.acks[key]), "final": final.get(key)}
                for key in self.issued}


class KeyStream(Conversation):
    """One connection to redis: INCR and GET of keys, values never go back."""

    kind = "redis"

    def __init__(self, name, keys, problems):
        self.keys = keys
        super().__init__(name, problems)

    def begin(self):
        """A new connection."""
        self.open = []		# (seq, operation, key, t, known) unanswered
        self.last = {}		# values on this connection, which has an order
        self.bulk = None	# length of the value whose line comes next

    def request(self, t):
        """The next request as bytes to send."""
        return self.ask(random.choice(("INCR", "GET")),
                        random.choice(tuple(self.keys.issued)), t)

    def ask(self, op, key, t):
        self.requests += 1
        self.keys.issued[key] += op == "INCR"
        self.open.append((self.requests, op, key, t, self.keys.known[key]))
        return b"%s %s\r\n" % (op.encode(), key.encode())

    def _value(self, op, text):
        """The number that a whole reply to @op says, or None."""
        if op == "INCR":
            m = re.fullmatch(r":(\d{1,19})", text)
            return int(m[1]) if m else None
        if text == "$-1" and self.bulk is None:
            return 0		# there is no such key
        length, self.bulk = self.bulk, None
        if length == len(text) and re.fullmatch(r"\d{1,19}", text):
            return int(text)
        return None

    def reply(self, t, line):
        """A line from redis; (seq, time of request) if it ends an answer."""
        text = line[:-2] if line.endswith("\r\n") else line
        if not self.open:
            self.is_wrong("%s: nothing was asked: %r" % (self.name, line[:80]))
            return None
        op = self.open[0][1]
        if op == "GET" and self.bulk is None and re.fullmatch(
                r"\$\d{1,4}", text):
            self.bulk = int(text[1:])
            return None
        seq, op, key, sent, known = self.open.pop(0)
        value = self._value(op, text)
        if value is None:
            self.is_wrong("%s: no reply to %s: %r" % (self.name, op,
                                                      line[:80]))
            return None
        self.replies += 1
        self.gaps.answer(t, sent)
        what = self.keys.contradiction(
            op, key, value, max(known, self.last.get(key, 0)) +
            (op == "INCR"), "%s request %d" % (self.name, seq))
        if what:
            self.is_contradicted("%s: %s" % (self.name, what))
        self.last[key] = value
        self.keys.known[key] = max(self.keys.known[key], value)
        return seq, sent

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
