# SPDX-License-Identifier: GPL-2.0-or-later
"""programs.py - real programs in a guest, fio and redis on an ext4 of the
storage, the judges of what they leave, and the client's account in words.

The judges are functions of plain data, as those of workloads.py, and of the
disk's file when the guest has stopped.  The guest runs services-init with
args(); the client is workloads.Client with CLIENT_ARGS besides its own.
"""

import re
import subprocess
import tempfile

import labkit as k

REDIS_PORT = 6379
CLIENT_ARGS = ("--redis", str(REDIS_PORT))
DISK_SIZE = {False: "48M", True: "192M"}	# without fio, with it
MEMORY = {False: 128, True: 256}		# of the guest, in MB
AOF = "/data/appendonlydir/appendonly.aof.1.incr.aof"
# e2fsprogs is not in the PATH of ordinary users.
FSCK, DEBUGFS = "/sbin/fsck.ext4", "/sbin/debugfs"


def args(disk, fio):
    """Words for the guest's kernel; @disk: its name in the guest.

    An emulated host takes about a minute for the first round of fio, whose
    libraries are 80 MB: see MEMORY.
    """
    return "ext4=%s redis=1%s" % (disk, " fio=2" if fio else "")


def make_disk(name, fio):
    """A disk of the storage with the programs and room for their data."""
    k.lab("disk", name, DISK_SIZE[fio], "--add", "/usr/bin/redis-check-rdb",
          *(("--add", "/usr/bin/fio") if fio else ()))


# --- fio -----------------------------------------------------------------

def _rounds(who, texts, problems):
    """Numbers of the rounds that verified, which must be without a gap."""
    said = [int(m[1]) for m in (re.fullmatch(r"FIO (\d+)", t) for t in texts)
            if m]
    if not said:
        problems.append("fio: no round verified on " + who)
    for a, b in zip(said, said[1:]):
        if b != a + 1:
            problems.append("fio: round %d after %d on %s" % (b, a, who))
    return said


def judge_fio(texts, revived=None):
    """Did every round verify, to the clean end?

    @texts: lines on the console of the host where the guest began, @revived:
    on the other one after the cut, if there was one.  There the round goes on
    that had begun; its host may have died before its line left.
    """
    problems = []
    every = [*texts, *(revived or ())]
    problems += [t for t in every if t.startswith("BAD")]
    said = _rounds("the first host", texts, problems)
    if said and said[0] != 1:
        problems.append("fio: the first round is %d" % said[0])
    if revived is not None:
        again = _rounds("the second host", revived, problems)
        if said and again:
            if again[0] > said[-1] + 1:
                problems.append("fio: round %d after the cut, %d before" % (
                    again[0], said[-1]))
            if again[-1] <= said[-1]:
                problems.append("fio: did not go on after the cut")
        said += again
    for line in ("FIO stopped", "DISK clean"):
        if line not in (texts if revived is None else revived):
            problems.append("fio: no clean end: '%s' is missing" % line)
    return {"problems": problems, "rounds": max(said, default=0)}


# --- the file system -----------------------------------------------------

def judge_file_system(path):
    """Is the ext4 clean that a stopped guest has left in the file @path?"""
    run = subprocess.run([FSCK, "-fn", path], text=True, capture_output=True,
                         check=False)
    problems = []
    if run.returncode:
        problems.append("fsck: status %d: %s" % (
            run.returncode, (run.stdout + run.stderr).strip()[-300:]))
    # Not an error to fsck -n.
    if "skipping journal recovery" in run.stdout + run.stderr:
        problems.append("fsck: the journal was not written back")
    return {"problems": problems}


# --- redis ---------------------------------------------------------------

def parse_aof(data):
    """{key: INCRs} of an append-only file; ValueError if it is none."""
    counts, at = {}, 0

    def number(kind):
        nonlocal at
        end = data.index(b"\r\n", at)
        if data[at:at + 1] != kind:
            raise ValueError("no %r at byte %d" % (kind, at))
        value = int(data[at + 1:end])
        at = end + 2
        return value

    while at < len(data):
        words = []
        for _ in range(number(b"*")):
            size = number(b"$")
            words.append(data[at:at + size].decode())
            if data[at + size:at + size + 2] != b"\r\n":
                raise ValueError("torn at byte %d" % at)
            at += size + 2
        if words and words[0].upper() == "INCR":
            counts[words[1]] = counts.get(words[1], 0) + 1
    return counts


def read_aof(path):
    """parse_aof() of what redis has left on the disk in the file @path."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([DEBUGFS, "-R", "dump %s %s" % (AOF, out.name), path],
                       check=True, capture_output=True)
        return parse_aof(out.read())


def judge_redis(summary, aof=None):
    """Is every acknowledged INCR there, when the keys were read back, and in
    the file @aof (of read_aof()) of the stopped guest?"""
    redis, problems = summary["redis"], []
    for fault in ("wrong", "contradicted", "resets", "unanswered"):
        if redis["read_back"][fault]:
            problems.append("redis: reading back: %d %s" % (
                redis["read_back"][fault], fault))
    for key, had in redis["keys"].items():
        ends = {"read back": had["final"]}
        if aof is not None:
            ends["in the file"] = aof.get(key, 0)
        for where, value in ends.items():
            if value is None:
                problems.append("redis: %s was not read back" % key)
            elif not max(had["acked"], had["highest"]) <= value <= \
                    had["issued"]:
                problems.append(
                    "redis: %s is %d %s; %d INCRs were acknowledged, up to "
                    "%d, of %d" % (key, value, where, had["acked"],
                                   had["highest"], had["issued"]))
    acked = sum(had["acked"] for had in redis["keys"].values())
    if not acked:
        problems.append("redis: no INCR was acknowledged")
    return {"problems": problems, "acked": acked}


# --- the account ---------------------------------------------------------

def account(summary):
    """What the client of redis can say, in numbers.

    "lost": requests never answered, and acknowledged INCRs that are not there
    at the end; "longest_wait_ms": from a request to its answer.
    """
    redis = summary["redis"]
    parties = [*redis["connections"], redis["read_back"]]

    def total(name):
        return sum(p[name] for p in parties)
    gone = sum(max(had["acked"] - (had["final"] or 0), 0)
               for had in redis["keys"].values())
    return {"connections": len(redis["connections"]),
            "asked": total("requests"), "answered": total("replies"),
            "longest_wait_ms": max(p["wait_ms"] for p in parties),
            "wrong": total("wrong") + total("contradicted"),
            "lost": total("unanswered") + gone,
            "broken": total("resets"),
            "counted": sum(had["acked"] for had in redis["keys"].values())}


def in_words(numbers):
    """An account() for people, in lines."""
    def count(n):
        return "none" if n == 0 else "%d" % n
    return [
        "asked    %(asked)d times, over %(connections)d connections" % numbers,
        "answered %(answered)d times, the longest wait was %(wait).1f s" % dict(
            numbers, wait=numbers["longest_wait_ms"] / 1000),
        "wrong    " + count(numbers["wrong"]),
        "lost     %s of the answers and of %d acknowledged increments" % (
            count(numbers["lost"]), numbers["counted"]),
        "broken   %s of the connections" % count(numbers["broken"])]
