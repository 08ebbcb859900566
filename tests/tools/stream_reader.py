#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""stream_reader.py FILE - a second reader of what a primary sent

Reads a recording (the messages one primary sent, end to end, one or more
connections), checks all that docs/PROTOCOL.md says about them, and rebuilds the
guest's memory. It shares no code with the engine: only that page. Prints a JSON
summary; exit status 1 and a sentence if the stream breaks a rule.
"""
import hashlib
import json
import struct
import sys

PAGE = 4096
MAGIC = 0x316D654B
HELLO_MAGIC = b"KEMARI\0\0"
BODY_MAX = 0x110000
GFN_MAX = 1 << 30
MASK = (1 << 64) - 1

# type: name, shortest body, longest body; those that a primary sends
TYPES = {
    1: ("HELLO", 232, 4096),
    2: ("ERROR", 1032, 1032),
    3: ("HEARTBEAT", 64, 64),
    8: ("SHELL", 25, 24 + (1 << 20)),
    10: ("RESUME", 64, 64),
    16: ("COPY_BEGIN", 24, 24),
    17: ("COPY", 16, 16 + 256 * (16 + PAGE)),
    18: ("COPY_END", 48, 48),
    32: ("CKPT_BEGIN", 104, 104),
    33: ("PAGES", 16, 16 + 256 * (16 + PAGE)),
    34: ("STATE", 17, 16 + (1 << 20)),
    35: ("CKPT_END", 64, 64),
    48: ("END", 24, 24),
    50: ("ALONE", 16, 16),
}


class Broken(Exception):
    """The stream breaks a rule."""


def need(ok, sentence):
    if not ok:
        raise Broken(sentence)


# --- XXH64, from its description ------------------------------------------------

P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
    0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def rotl(x, n):
    return ((x << n) | (x >> (64 - n))) & MASK


def lane(acc, word):
    return rotl((acc + word * P2) & MASK, 31) * P1 & MASK


def xxh64(data):
    n = len(data)
    at = n & ~31
    if n >= 32:
        a, b, c, d = (P1 + P2) & MASK, P2, 0, -P1 & MASK
        for w, x, y, z in struct.iter_unpack("<4Q", data[:at]):
            a, b, c, d = lane(a, w), lane(b, x), lane(c, y), lane(d, z)
        h = (rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18)) & MASK
        for v in (a, b, c, d):
            h = ((h ^ lane(0, v)) * P1 + P4) & MASK
    else:
        h = P5
    h = (h + n) & MASK
    while n - at >= 8:
        word = int.from_bytes(data[at:at + 8], "little")
        h = (rotl(h ^ lane(0, word), 27) * P1 + P4) & MASK
        at += 8
    if n - at >= 4:
        word = int.from_bytes(data[at:at + 4], "little")
        h = (rotl(h ^ (word * P1 & MASK), 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        h = rotl(h ^ (byte * P5 & MASK), 11) * P1 & MASK
    h = (h ^ (h >> 33)) * P2 & MASK
    h = (h ^ (h >> 29)) * P3 & MASK
    return h ^ (h >> 32)


# --- XXH3, 128 bits, of a page: only its branch for long inputs --------------------

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")

W1, W2, W3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D


def fold(a, b):
    return (a * b & MASK) ^ (a * b >> 64)


def merge(acc, secret, start):
    words = struct.unpack("<8Q", secret)
    h = start + sum(fold(acc[i] ^ words[i], acc[i + 1] ^ words[i + 1])
                    for i in (0, 2, 4, 6)) & MASK
    h = (h ^ (h >> 37)) * 0x165667919E3779F9 & MASK
    return h ^ (h >> 32)


def xxh3_128(data, seed):
    """Its 16 bytes on the wire: the low half, then the high one."""
    secret = b"".join(
        struct.pack("<2Q", (a + seed) & MASK, (b - seed) & MASK)
        for a, b in struct.iter_unpack("<2Q", SECRET))
    acc = [W3, P1, P2, P3, P4, W2, P5, W1]

    def stripe(at, key_at):
        words = struct.unpack_from("<8Q", data, at)
        keys = struct.unpack_from("<8Q", secret, key_at)
        for i in range(8):
            k = words[i] ^ keys[i]
            acc[i ^ 1] = acc[i ^ 1] + words[i] & MASK
            acc[i] = acc[i] + (k & 0xFFFFFFFF) * (k >> 32) & MASK

    def scramble():
        keys = struct.unpack_from("<8Q", secret, 192 - 64)
        for i in range(8):
            a = acc[i] ^ (acc[i] >> 47) ^ keys[i]
            acc[i] = a * W1 & MASK

    per_block = (192 - 64) // 8
    for n in range((len(data) - 1) // 64):
        stripe(n * 64, n % per_block * 8)
        if n % per_block == per_block - 1:
            scramble()
    stripe(len(data) - 64, 192 - 64 - 7)
    return struct.pack(
        "<2Q", merge(acc, secret[11:75], len(data) * P1 & MASK),
        merge(acc, secret[192 - 64 - 11:192 - 11],
              ~(len(data) * P2) & MASK))


# --- LZ4 block, from its description ----------------------------------------------

def lz4_block(data, size):
    out = bytearray()
    at = 0

    def more(length, at):
        while True:
            need(at < len(data), "LZ4: length runs out of the block")
            length += data[at]
            at += 1
            if data[at - 1] != 255:
                return length, at

    while True:
        need(at < len(data), "LZ4: no token")
        token = data[at]
        at += 1
        literals = token >> 4
        if literals == 15:
            literals, at = more(literals, at)
        need(at + literals <= len(data), "LZ4: literals run out of the block")
        out += data[at:at + literals]
        at += literals
        need(len(out) <= size, "LZ4: page is too long")
        if at == len(data):
            break
        need(at + 2 <= len(data), "LZ4: no offset")
        offset = data[at] | data[at + 1] << 8
        at += 2
        need(0 < offset <= len(out), f"LZ4: offset {offset} before the page")
        length = token & 15
        if length == 15:
            length, at = more(length, at)
        length += 4
        need(len(out) + length <= size, "LZ4: page is too long")
        while length:
            piece = out[-offset:][:length]
            out += piece
            length -= len(piece)
    need(len(out) == size, f"LZ4: {len(out)} bytes, not {size}")
    return bytes(out)


# --- parts of messages ---------------------------------------------------------------

def text(field, what):
    head, _, tail = field.partition(b"\0")
    need(len(head) < len(field) and not any(tail), f"{what}: not terminated")
    return head.decode("utf-8", "replace")


def referring(gfn, encoding, data, before):
    """A page made from the same frame in the checkpoint before."""
    old = before.pages.get(gfn)
    need(old is not None, f"batch: gfn {gfn:#x} refers to nothing")
    need(xxh3_128(old, before.seed) == data[:16],
         f"batch: gfn {gfn:#x} refers to another page")
    if encoding == 3:
        return old
    xor = lz4_block(data[16:], PAGE)
    return (int.from_bytes(xor, "little") ^
            int.from_bytes(old, "little")).to_bytes(PAGE, "little")


class Before:
    """What pages of a checkpoint may refer to."""

    def __init__(self, pages, seed):
        self.pages, self.seed = pages, seed


def pages_of(body, before=None, kinds=None):
    """(of, round, [(gfn, bytes)]) of a batch."""
    of, count, rnd = struct.unpack_from("<QII", body)
    need(1 <= count <= 256, f"batch: count {count}")
    at, pages = 16, []
    for _ in range(count):
        need(at + 16 <= len(body), "batch: ends within a page")
        gfn, encoding, zero, length = struct.unpack_from("<QHHI", body, at)
        at += 16
        need(gfn < GFN_MAX and not zero, f"batch: gfn {gfn:#x}")
        data = body[at:at + length]
        end = at + (length + 7) // 8 * 8
        need(end <= len(body), f"batch: gfn {gfn:#x} exceeds the message")
        need(not any(body[at + length:end]), "batch: padding is not zero")
        at = end
        if encoding == 0:
            need(length == 0, f"batch: zero page of {length}")
            page = bytes(PAGE)
        elif encoding == 1:
            need(length == PAGE, f"batch: raw page of {length}")
            page = data
        elif encoding == 2:
            need(0 < length < PAGE, f"batch: LZ4 page of {length}")
            page = lz4_block(data, PAGE)
        else:
            need((encoding == 3 and length == 16) or
                 (encoding == 4 and 16 < length < PAGE),
                 f"batch: encoding {encoding}, length {length}")
            need(before, f"batch: gfn {gfn:#x} refers, codec state is 0")
            page = referring(gfn, encoding, data, before)
        if kinds is not None:
            kinds[KINDS[encoding]] += 1
        pages.append((gfn, page))
    need(at == len(body), "batch: bytes after the last page")
    return of, rnd, pages


KINDS = ("zero", "raw", "lz4", "same", "delta")


def records_of(data):
    """[(type, flags, instance, bytes)] of a list of records."""
    at, records = 0, []
    while at < len(data):
        need(at + 16 <= len(data), "records: end within a head")
        kind, flags, instance, length, zero = struct.unpack_from(
            "<HHIII", data, at)
        at += 16
        end = at + (length + 7) // 8 * 8
        need(not flags & ~3 and not zero and length <= 4 << 20 and
             end <= len(data), f"records: type {kind:#x} is malformed")
        need(not any(data[at + length:end]), "records: padding is not zero")
        records.append((kind, flags, instance, data[at:at + length]))
        at = end
    return records


def merged(old, sent):
    """State of a checkpoint: sticky ones of before, then its own."""
    named = {(k, i) for k, f, i, _ in sent if f & 2}
    need(len(named) == sum(1 for r in sent if r[1] & 2),
         "records: the same sticky one twice")
    return ([r for r in old if r[1] & 2 and (r[0], r[2]) not in named] +
            [r for r in sent if not (r[1] & 2 and not r[3])])


class Chain:
    """Digest of a checkpoint or copy."""

    def __init__(self, previous):
        self.hash = hashlib.sha256(previous)
        self.messages = 0

    def add(self, total):
        self.hash.update(struct.pack("<Q", total))
        self.messages += 1

    def check(self, digest, what):
        need(self.hash.digest() == digest, f"{what}: digest is wrong")


class Stream:
    """The rules between messages."""

    def __init__(self):
        self.memory = {}
        self.state = []
        self.counts = {}
        self.encoded = 0
        self.guest = None
        self.checkpoints = []
        self.end = None
        self.committed, self.digest = 0, bytes(32)
        self.copied = self.paired = False
        self.copy = self.ckpt = self.shell = None
        self.greeted = False
        self.seed = 0
        self.codec = 0      # epoch that pages may refer to; 0 none
        self.kinds = dict.fromkeys(KINDS, 0)

    def message(self, kind, body, total):
        name = TYPES[kind][0]
        self.counts[name] = self.counts.get(name, 0) + 1
        self.encoded += 32 + len(body)
        need(self.greeted or kind == 1, f"{name} before HELLO")
        need(self.end is None or kind in (1, 2, 3), f"{name} after END")
        getattr(self, "take_" + name.lower())(body, total)

    def take_hello(self, body, _):
        need(body[:8] == HELLO_MAGIC, "HELLO: magic")
        version, compatible, role, page = struct.unpack_from("<4I", body, 8)
        need(compatible <= 1 <= version and role == 1 and page == PAGE,
             f"HELLO: version {version}, role {role}, page size {page}")
        name = text(body[168:232], "HELLO: name")
        guest = body[32:48].hex()
        need(self.guest in (None, guest), "HELLO: another guest")
        self.guest, self.name = guest, name
        # A new connection: what was under way is dropped.
        self.greeted, self.copied, self.codec = True, False, 0
        self.seed, = struct.unpack_from("<Q", body, 80)
        self.copy = self.ckpt = self.shell = None

    def take_error(self, body, _):
        need(not any(body[4:8]), "ERROR: reserved")
        text(body[8:], "ERROR: text")

    def take_heartbeat(self, _body, _):
        pass

    def take_resume(self, body, _):
        epoch, = struct.unpack_from("<Q", body, 24)
        last = [c for c in self.checkpoints if c["epoch"] == epoch]
        need(last and last[-1]["digest"] == body[32:64].hex(),
             f"RESUME: epoch {epoch} was not sent, or with another digest")

    def take_copy_begin(self, body, total):
        _, number, _ = struct.unpack("<3Q", body)
        need(number and not self.copy and not self.ckpt, "COPY_BEGIN: place")
        self.copy = {"number": number, "pages": 0, "round": 1,
                     "chain": Chain(bytes(32))}
        self.copied = self.paired = False
        self.memory, self.codec = {}, 0
        self.copy["chain"].add(total)

    def take_copy(self, body, total):
        need(self.copy, "COPY: place")
        of, rnd, pages = pages_of(body)
        need(of == self.copy["number"] and rnd >= self.copy["round"],
             f"COPY: copy {of} round {rnd}")
        self.copy["round"] = rnd
        self.copy["pages"] += len(pages)
        self.memory.update(pages)
        self.copy["chain"].add(total)

    def take_copy_end(self, body, _):
        need(self.copy, "COPY_END: place")
        number, pages = struct.unpack_from("<2Q", body)
        need((number, pages) == (self.copy["number"], self.copy["pages"]),
             f"COPY_END: {pages} pages")
        self.copy["chain"].check(body[16:48], "COPY_END")
        self.digest = body[16:48]
        self.copied, self.copy, self.state = True, None, []

    def take_ckpt_begin(self, body, total):
        (_, epoch, previous) = struct.unpack_from("<3Q", body)
        guest_time, _, pages, codec, part, parts, cause, zero = \
            struct.unpack_from("<4Q4I", body, 56)
        what = f"checkpoint {epoch}"
        need(not self.copy and not self.ckpt, f"{what}: place")
        need(self.copied or self.paired, f"{what}: no copy before it")
        need(epoch > previous, f"{what}: does not follow {previous}")
        need((part, parts, zero) == (0, 1, 0), f"{what}: reserved")
        need(1 <= cause <= 7 and (cause == 1) == self.copied,
             f"{what}: cause {cause}")
        # A checkpoint that was sent and not acknowledged comes again.
        if self.checkpoints and epoch == self.checkpoints[-1]["epoch"] and \
           not self.copied:
            again = self.checkpoints.pop()
            self.committed, self.digest, self.memory, self.state = \
                again["before"]
            self.codec = 0
        need(codec in (0, self.codec), f"{what}: codec state {codec}, "
             f"not 0 or {self.codec}")
        need(body[24:56] == self.digest, f"{what}: digest of the one before")
        need(self.copied or previous == self.committed,
             f"{what}: follows {previous}, not {self.committed}")
        before = Before(self.memory, self.seed) if codec else None
        self.ckpt = {"epoch": epoch, "cause": cause, "announced": pages,
                     "before": before,
                     "guest_time": guest_time, "pages": [], "state": b"",
                     "chain": Chain(self.digest)}
        self.ckpt["chain"].add(total)

    def take_pages(self, body, total):
        need(self.ckpt, "PAGES: place")
        of, rnd, pages = pages_of(body, self.ckpt["before"], self.kinds)
        need(of == self.ckpt["epoch"] and rnd == 0, f"PAGES: of {of}")
        self.ckpt["pages"] += pages
        self.ckpt["chain"].add(total)

    def take_state(self, body, total):
        need(self.ckpt, "STATE: place")
        of, offset = struct.unpack_from("<2Q", body)
        need(of == self.ckpt["epoch"] and offset == len(self.ckpt["state"]),
             f"STATE: of {of} at {offset}")
        self.ckpt["state"] += body[16:]
        self.ckpt["chain"].add(total)

    def take_ckpt_end(self, body, _):
        need(self.ckpt, "CKPT_END: place")
        c = self.ckpt
        want = (c["epoch"], len(c["pages"]), len(c["state"]),
                c["chain"].messages)
        need(struct.unpack_from("<4Q", body) == want and
             len(c["pages"]) == c["announced"],
             f"CKPT_END: counts of checkpoint {c['epoch']}")
        c["chain"].check(body[32:64], f"checkpoint {c['epoch']}")
        before = (self.committed, self.digest, dict(self.memory), self.state)
        self.state = merged(self.state, records_of(c["state"]))
        unknown = [g for g, _ in c["pages"] if g not in self.memory]
        need(not unknown, f"checkpoint {c['epoch']}: gfn {unknown[:1]} was "
             "not in the copy")
        self.memory.update(c["pages"])
        self.committed, self.digest = c["epoch"], body[32:64]
        if self.checkpoints:
            self.checkpoints[-1].pop("before", None)
        self.checkpoints.append(
            {"epoch": c["epoch"], "cause": c["cause"],
             "pages": len(c["pages"]), "records": len(self.state),
             "digest": self.digest.hex(), "before": before})
        self.paired, self.copied, self.ckpt = True, False, None
        self.codec = self.committed

    def take_end(self, body, _):
        reason, zero = struct.unpack_from("<2I", body, 16)
        need(1 <= reason <= 5 and not zero, f"END: reason {reason}")
        self.end = reason

    def take_alone(self, _body, _):
        self.paired, self.codec = False, 0

    def take_shell(self, body, _):
        _, total, offset = struct.unpack_from("<3Q", body)
        part = body[24:]
        if self.shell is None:
            self.shell = (total, b"")
        need(total == self.shell[0] and total <= 16 << 20 and
             offset == len(self.shell[1]) and offset + len(part) <= total,
             f"SHELL: part at {offset} of {total}")
        self.shell = (total, self.shell[1] + part)
        if len(self.shell[1]) == total:
            records_of(self.shell[1])
            self.shell = None

    def summary(self):
        image = hashlib.sha256()
        for gfn in sorted(self.memory):
            image.update(struct.pack("<Q", gfn) + self.memory[gfn])
        return {"guest": self.guest, "messages": self.counts,
                "bytes": self.encoded, "pages": self.kinds, "frames": len(self.memory),
                "committed": self.committed, "digest": self.digest.hex(),
                "memory_sha256": image.hexdigest(), "end": self.end,
                "records": [[k, i, d.hex()] for k, _, i, d in self.state
                            if len(d) <= 64],
                "checkpoints": [{k: v for k, v in c.items() if k != "before"}
                                for c in self.checkpoints]}



def messages(data):
    """(offset, type, body, sum) of each message, all of the header checked."""
    at = 0
    while at < len(data):
        need(at + 32 <= len(data), "ends within a header")
        magic, kind, flags, group, stream, length, total = \
            struct.unpack_from("<IHHIIQQ", data, at)
        need(magic == MAGIC, f"magic {magic:#x}")
        need(not flags & ~1 and not group and not stream, "reserved field")
        need(length <= BODY_MAX, f"length {length}")
        need(at + 32 + length <= len(data), "ends within a body")
        body = data[at + 32:at + 32 + length]
        need(xxh64(data[at:at + 24] + bytes(8) + body) == total,
             f"type {kind}: sum is wrong")
        if kind in TYPES:
            name, low, high = TYPES[kind]
            need(low <= length <= high, f"{name}: length {length}")
            yield at, kind, body, total
        else:
            need(not flags & 1, f"type {kind} is unknown and mandatory")
        at += 32 + length


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    stream, where = Stream(), 0
    try:
        for where, kind, body, total in messages(data):
            stream.message(kind, body, total)
        need(stream.greeted, "no HELLO")
    except Broken as e:
        print(f"{sys.argv[1]}: message at or after {where}: {e}",
              file=sys.stderr)
        return 1
    json.dump(stream.summary(), sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
