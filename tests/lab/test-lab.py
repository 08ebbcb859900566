#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-lab.py - self test of the lab, on Debian's own Xen.

Prints a line "ok NAME" or "FAIL NAME: why" per case; exit status 1 if one
failed.  Leaves nothing running.  State in a directory of its own.
With names as arguments only these cases; most need "up" before.  Without
--all those are left out that boot hosts once more, or that every drill shows.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LAB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lab")
FENCE = os.path.join(os.path.dirname(LAB), "../system/fence-by-storage")
HANG_S = 120		# guards against a hang; nothing is judged by time
GUEST_INIT = """#!/bin/sh
export PATH=/bin
guest-setup
ip addr add 10.77.0.$(sed -n 's/.*addr=\\([0-9]*\\).*/\\1/p' \\
	/proc/cmdline)/24 dev eth0
ip link set eth0 up
exec >/dev/hvc0 2>&1
echo "hello, this is a guest"
i=0
while :; do
	i=$((i + 1))
	echo "line $i"
	usleep 10000
done
"""
GUEST_CFG = """name = "hello"
type = "pvh"
kernel = "/boot/guest-vmlinuz"
ramdisk = "/root/guest.img"
cmdline = "console=hvc0 quiet loglevel=1 addr={addr}"
memory = 128
vcpus = 1
vif = ["bridge=xenbr0"]
on_poweroff = "destroy"
on_crash = "destroy"
"""


class Failed(Exception):
    pass


def check(condition, why):
    if not condition:
        raise Failed(why)


class Lab:
    """The program under test, with its own LAB_DIR."""

    def __init__(self, directory, command=(LAB,)):
        self.dir = directory
        self.command = command
        self.env = dict(os.environ, LAB_DIR=directory)

    def run(self, *args, stdin=b""):
        return subprocess.run([*self.command, *args], input=stdin,
                              env=self.env, capture_output=True,
                              timeout=HANG_S, check=False)

    def ok(self, *args, stdin=b""):
        run = self.run(*args, stdin=stdin)
        check(run.returncode == 0, f"lab {' '.join(args)}: status "
              f"{run.returncode}: {run.stderr.decode(errors='replace')}")
        return run.stdout

    def sh(self, host, script):
        return self.ok("exec", host, "--", "sh", "-c", script).decode()

    def fails(self, want, *args):
        """The lab refuses, and says @want."""
        run = self.run(*args)
        check(run.returncode != 0, f"lab {' '.join(args)}: did not fail")
        check(want in run.stderr.decode(), f"lab {' '.join(args)}: says "
              f"'{run.stderr.decode().strip()}', not '{want}'")

    def guest_lines(self, host, guest="hello"):
        """[(ns, text)] that left @host from @guest."""
        path = self.ok("log", host, guest).decode().strip()
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")[:-1]
        return [(int(ns), text) for ns, _, text in
                (line.partition(" ") for line in lines)]

    def counters(self, host, guest="hello"):
        return [int(text.split()[1])
                for _, text in self.guest_lines(host, guest)
                if text.startswith("line ")]

    def processes(self):
        """Processes (not zombies) that name this lab's directory."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if f"LAB_DIR={self.dir}\0".encode() in f.read() and \
                            int(pid) != os.getpid():
                        found.append(int(pid))
            except OSError:
                continue
        return found


def until(condition, why):
    deadline = time.monotonic() + HANG_S
    while not condition():
        check(time.monotonic() < deadline, f"never: {why}")
        time.sleep(0.05)


def test_usage(lab):
    lab.fails("'shape' is not in this version", "shape", "lan", "a")
    lab.fails("no verb 'fly'", "fly")
    lab.fails("no host 'c'", "exec", "c", "--", "true")
    lab.fails("expected: HOST -- CMD", "exec", "a", "true")
    lab.fails("not running", "exec", "a", "--", "true")
    lab.env["LAB_XEN"] = "/nonexistent/xen"
    lab.fails("make xen", "up")
    lab.fails("--stock", "up")
    del lab.env["LAB_XEN"]


def test_up(lab):
    lab.ok("up", "--stock")
    lab.ok("up", "--stock")
    lab.fails("lab down", "up")
    status = json.loads(lab.ok("status", "--json"))
    check(status["running"] and status["stock"], "status: not running stock")
    for host in "ab":
        check(status["hosts"][host]["state"] == "on", f"host {host} not on")
        check(status["hosts"][host]["boots"] == 1, f"host {host} rebooted")
        check("Domain-0" in lab.sh(host, "xl list"), "no Domain-0")
        check(lab.sh(host, "hostname").strip() == host, "wrong host")


def test_exec(lab):
    run = lab.run("exec", "a", "--", "sh", "-c", "echo o; echo e >&2; exit 7")
    check((run.returncode, run.stdout, run.stderr) == (7, b"o\n", b"e\n"),
          f"status, stdout, stderr: {run}")
    check(lab.run("exec", "a", "--", "no-such").returncode == 127, "127")
    check(lab.run("exec", "a", "--", "sh", "-c", "kill -9 $$").returncode ==
          137, "status of a killed command")
    args = ["a b", "q'\"$x", "", "*", "\n", "\u00e4"]
    out = lab.ok("exec", "a", "--", "printf", "%s|", *args)
    check(out.decode() == "".join(a + "|" for a in args), f"arguments: {out}")
    data = os.urandom(3 << 20)
    check(lab.ok("exec", "b", "--", "cat", stdin=data) == data, "binary data")
    # A command that reads nothing does not wait for its input.
    lab.ok("exec", "b", "--", "true", stdin=data)


def test_exec_concurrent(lab):
    runs = [subprocess.Popen([LAB, "exec", "ab"[i % 2], "--", "sh", "-c",
                              f"sleep 1; echo {i}"], env=lab.env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            for i in range(16)]
    for i, run in enumerate(runs):
        check(run.communicate(timeout=HANG_S)[0] == f"{i}\n".encode(), "output")


def test_exec_killed(lab):
    with subprocess.Popen([LAB, "exec", "a", "--", "sleep", "7654"],
                          env=lab.env, stdin=subprocess.DEVNULL) as run:
        running = "ps | grep '[s]leep 7654' || true"
        try:
            until(lambda: lab.sh("a", running), "the command starts")
        finally:
            run.kill()
    until(lambda: not lab.sh("a", running), "the command ends")


def test_copy(lab):
    src, back = os.path.join(lab.dir, "src"), os.path.join(lab.dir, "back")
    for size in (0, 2000000):
        data = os.urandom(size)
        with open(src, "wb") as f:
            f.write(data)
        os.chmod(src, 0o750)
        lab.ok("put", "a", src, "/tmp/file name")
        lab.ok("get", "a", "/tmp/file name", back)
        with open(back, "rb") as f:
            check(f.read() == data, f"{size} bytes differ")
    check("750" == lab.sh("a", "stat -c %a '/tmp/file name'").strip(), "mode")
    lab.fails("No such file", "get", "a", "/nonexistent", back)
    lab.fails("No such file", "put", "a", "/nonexistent", "/tmp/")


def test_client(lab):
    check(lab.run("client", "--", "sh", "-c", "exit 9").returncode == 9, "9")
    for host in "12":
        lab.ok("client", "--", "ping", "-c1", "-W9", f"10.77.0.1{host}")
    check(lab.run("client", "--", "ping", "-c1", "-W1", "10.80.0.11")
          .returncode != 0, "the client reaches mgmt")


def test_guests(lab):
    init = os.path.join(lab.dir, "init")
    img, cfg = os.path.join(lab.dir, "g.img"), os.path.join(lab.dir, "g.cfg")
    with open(init, "w", encoding="utf-8") as f:
        f.write(GUEST_INIT)
    os.chmod(init, 0o755)
    lab.ok("guest-image", img, "--add", "/usr/bin/env", "--init", init)
    check(os.path.exists(lab.ok("guest-kernel").decode().strip()), "kernel")
    for host, addr in (("a", 100), ("b", 101)):
        with open(cfg, "w", encoding="utf-8") as f:
            f.write(GUEST_CFG.format(addr=addr))
        lab.ok("put", host, img, "/root/guest.img")
        lab.ok("put", host, cfg, "/root/guest.cfg")
        lab.ok("exec", host, "--", "xl", "create", "/root/guest.cfg")
    for host, addr in (("a", 100), ("b", 101)):
        until(lambda h=host: len(lab.counters(h)) > 100, "guest's lines")
        check("hello, this is a guest" in
              [text for _, text in lab.guest_lines(host)], "no hello")
        numbers = lab.counters(host)
        check(numbers == list(range(1, len(numbers) + 1)), "lines are missing")
        times = [ns for ns, _ in lab.guest_lines(host)]
        check(times == sorted(times), "times go back")
        check(times[-1] <= time.monotonic_ns(), "a time in the future")
        lab.ok("client", "--", "ping", "-c1", "-W9", f"10.77.0.{addr}")


def test_guest_again(lab):
    before = len(lab.counters("b"))
    lab.ok("exec", "b", "--", "xl", "destroy", "hello")
    lab.ok("exec", "b", "--", "xl", "create", "/root/guest.cfg")
    until(lambda: lab.counters("b")[before:].count(50) == 1, "second guest")
    check(lab.counters("b")[:before] == list(range(1, before + 1)), "not kept")


def test_console_order(lab):
    """As fast as the host can, beside a guest: nothing lost, all in order."""
    lab.sh("a", "seq 20000 | sed 's/^/line /' "
           ">>/var/log/xen/console/guest-many.log")
    until(lambda: lab.counters("a", "many")[-1:] == [20000], "20000 lines")
    check(lab.counters("a", "many") == list(range(1, 20001)), "order")


def test_freeze(lab):
    lab.ok("freeze", "a")
    lab.fails("frozen", "exec", "a", "--", "true")
    lab.ok("exec", "b", "--", "true")
    time.sleep(0.5)		# what had left before is on its way
    before = len(lab.guest_lines("a"))
    time.sleep(1)
    check(len(lab.guest_lines("a")) == before, "a frozen host speaks")
    lab.ok("thaw", "a")
    until(lambda: len(lab.guest_lines("a")) > before + 20, "it goes on")
    lab.ok("exec", "a", "--", "true")


def test_cut(lab):
    for net, addr in (("lan", 77), ("repl", 78), ("san", 79)):
        ping = f"ping -c1 -W1 10.{addr}.0.12 >/dev/null && echo yes || true"
        check(lab.sh("a", ping), f"{net}: no answer before")
        lab.ok("cut", net, "b")
        check(not lab.sh("a", ping), f"{net}: an answer though cut")
        check(json.loads(lab.ok("status", "--json"))["hosts"]["b"]["cut"] ==
              [net], "status does not show it")
        lab.ok("heal", net, "b")
        until(lambda p=ping: lab.sh("a", p), f"{net}: an answer after")
    lab.ok("cut", "mgmt", "b")
    lab.fails("no answer", "exec", "b", "--", "true")
    lab.ok("heal", "mgmt", "b")
    lab.ok("exec", "b", "--", "true")


def test_power(lab):
    before = time.monotonic_ns()
    when = int(lab.ok("power-off", "a"))
    check(before < when < time.monotonic_ns(), f"time of the cut: {when}")
    kept = lab.guest_lines("a")
    lab.fails("is off", "exec", "a", "--", "true")
    check(json.loads(lab.ok("status", "--json"))["hosts"]["a"]["state"] ==
          "off", "status")
    lab.ok("cut", "repl", "a")
    lab.ok("power-on", "a")
    check("hello" not in lab.sh("a", "xl list"), "guests survived")
    check(lab.guest_lines("a") == kept, "lines lost or invented")
    ping = "ping -c1 -W1 10.78.0.12 >/dev/null && echo yes || true"
    check(not lab.sh("a", ping), "a power cycle heals a link")
    lab.ok("heal", "repl", "a")
    until(lambda: lab.sh("a", ping), "healed")


def test_power_while_exec(lab):
    with subprocess.Popen([LAB, "exec", "b", "--", "sh", "-c",
                           "echo go; sleep 1000"], env=lab.env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as run:
        try:
            run.stdout.readline()
            lab.ok("power-off", "b")
            _, err = run.communicate(timeout=HANG_S)
        finally:
            run.kill()
        check(run.returncode == 255 and b"lost its power" in err, str(err))


def test_switch(lab):
    def ask(words):
        return lab.sh("a", "socat -T9 -t9 - tcp:10.80.0.1:7071 <<'E'\n"
                      f"{words}\nE")
    check(ask("status b") == "off\n", "status of a host that is off")
    check(ask("off b") == "off\n", "off twice")
    lab.ok("power-on", "b")
    check(ask("status b\noff b\nstatus b") == "on\noff\noff\n", "off")
    check(ask("fly b").startswith("error"), "nonsense")
    check(not [p for p in lab.processes() if emulates(p, "lab-b")],
          "off, and the emulator lives")


def block_of(lab, disk):
    with open(lab.ok("disk-path", disk).decode().strip(), "rb") as f:
        return f.read(4096)


def in_flight(lab, host):
    status = json.loads(lab.ok("status", "--json"))["hosts"][host]["san"]
    return status["in_flight"]


@contextlib.contextmanager
def writing(lab, host, dev, letter):
    """While one block full of @letter is on its way to the disk."""
    with subprocess.Popen(
            [LAB, "exec", host, "--", "sh", "-c", f"tr '\\0' {letter} "
             "</dev/zero | dd bs=4096 count=1 iflag=fullblock "
             f"of={dev} oflag=direct"], env=lab.env, stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE) as run:
        try:
            yield run
        finally:
            run.kill()


def write_block(lab, host, dev, letter):
    """Exit status and stderr of a write of one block full of @letter."""
    with writing(lab, host, dev, letter) as run:
        return ended(run)


def read_block(lab, host, dev):
    return lab.ok("exec", host, "--", "dd", f"if={dev}", "bs=4096", "count=1",
                  "iflag=direct")


def ended(run):
    err = run.communicate(timeout=HANG_S)[1].decode()
    return run.returncode, err


def test_storage(lab):
    if json.loads(lab.ok("status", "--json"))["hosts"]["b"]["state"] == "off":
        lab.ok("power-on", "b")
    lab.fails("no name", "disk", "../x", "1M")
    lab.fails("no size", "disk", "x", "1000")
    lab.fails("no delay", "san-delay", "a", "write=9-5")
    lab.fails("expected: NAME SIZE", "disk", "x", "1M", "--add")
    lab.fails("expected: NAME SIZE", "disk", "x", "1M", "--from", LAB,
              "--from", LAB)
    lab.fails("mkfs.ext4", "disk", "x", "1M", "--add", "/bin/busybox")
    lab.ok("disk", "files", "32M", "--add", "/bin/dd", "--add", "/bin/sync")
    disk = lab.ok("disk-path", "files").decode().strip()
    tree = subprocess.run(["/sbin/debugfs", "-R", "ls -p /usr/bin", disk],
                          capture_output=True, text=True, check=True).stdout
    check("/dd/" in tree and "/sync/" in tree, f"--add: {tree}")
    subprocess.run(["/sbin/fsck.ext4", "-fn", disk], check=True,
                   capture_output=True)
    lab.ok("disk", "d0", "16M")
    lab.ok("disk", "d1", "8M", "--from", LAB)
    with open(LAB, "rb") as f:
        check(block_of(lab, "d1").startswith(f.read(100)), "--from")
    for host in "ab":
        lab.ok("exec", host, "--", "san-attach", "d0", "/dev/nbd0")
        lab.ok("exec", host, "--", "san-attach", "d1", "/dev/nbd1")
        sizes = lab.sh(host, "cat /sys/block/nbd[01]/size").split()
        check(sizes == ["32768", "16384"], f"sizes {sizes}")
    check(lab.sh("a", "cat /sys/block/nbd0/queue/fua").strip() == "1", "FUA")
    for host, other, letter in (("a", "b", "x"), ("b", "a", "y")):
        check(write_block(lab, host, "/dev/nbd0", letter)[0] == 0,
              "write")
        want = letter.encode() * 4096
        check(read_block(lab, other, "/dev/nbd0") == want, "other host")
        check(block_of(lab, "d0") == want, "file")


def test_storage_delay(lab):
    """A held request has no effect yet, and others overtake it."""
    before = block_of(lab, "d0")
    lab.ok("san-delay", "a", "write=hold", "read=5-20", "seed=7")
    with writing(lab, "a", "/dev/nbd0", "h") as run:
        until(lambda: in_flight(lab, "a")["write"] == 1, "a held write")
        check(read_block(lab, "a", "/dev/nbd0") == before, "read overtakes")
        check(read_block(lab, "b", "/dev/nbd0") == before, "b sees it")
        # What a frozen host has sent takes effect all the same.
        lab.ok("freeze", "a")
        lab.ok("san-delay", "a", "write=0", "read=0")
        until(lambda: block_of(lab, "d0") == b"h" * 4096, "an old write")
        lab.ok("thaw", "a")
        check(ended(run)[0] == 0, "the write's own end")


def test_fence(lab):
    """Nothing that the host had sent takes effect, and nothing more."""
    before = block_of(lab, "d0")
    lab.ok("san-delay", "a", "write=hold")
    with writing(lab, "a", "/dev/nbd0", "f") as run:
        until(lambda: in_flight(lab, "a")["write"] == 1, "a held write")
        lab.ok("freeze", "a")
        lab.ok("put", "b", FENCE, "/tmp/fence")
        check("error" in lab.run("exec", "b", "--", "/tmp/fence",
                                 "c").stderr.decode(), "fence of nobody")
        lab.ok("exec", "b", "--", "/tmp/fence", "a")
        lab.ok("san-delay", "a", "write=0")
        check(in_flight(lab, "a")["write"] == 0, "still held")
        check(block_of(lab, "d0") == before, "a fenced write")
        check(write_block(lab, "b", "/dev/nbd0", "b")[0] == 0,
              "b's write")
        lab.ok("thaw", "a")
        code, err = ended(run)
        check(code != 0 and "error" in err, f"the fenced write: {err}")
    lab.fails("refused", "exec", "a", "--", "san-attach", "d1", "/dev/nbd2")
    lab.ok("power-off", "a")
    lab.ok("power-on", "a")
    lab.fails("refused", "exec", "a", "--", "san-attach", "d0", "/dev/nbd0")
    lab.ok("unfence", "a")
    lab.ok("exec", "a", "--", "san-attach", "d0", "/dev/nbd0")
    check(read_block(lab, "a", "/dev/nbd0") == b"b" * 4096, "b's data")


def test_fence_and_back(lab):
    """A host that lives on can attach again after the fence was lifted."""
    lab.ok("fence", "b")
    until(lambda: write_block(lab, "b", "/dev/nbd0", "n")[0],
          "host b's disk is dead")
    check(block_of(lab, "d0") == b"b" * 4096, "a fenced write")
    lab.ok("unfence", "b")
    lab.ok("exec", "b", "--", "san-detach", "/dev/nbd0")
    lab.ok("exec", "b", "--", "san-attach", "d0", "/dev/nbd0")
    check(write_block(lab, "b", "/dev/nbd0", "u")[0] == 0, "write")
    check(read_block(lab, "a", "/dev/nbd0") == b"u" * 4096, "other host")


def test_storage_power(lab):
    """Power off: what the host had sent and storage had not done is gone."""
    lab.ok("san-delay", "b", "write=hold")
    with writing(lab, "b", "/dev/nbd0", "p") as run:
        until(lambda: in_flight(lab, "b")["write"] == 1, "a held write")
        lab.ok("power-off", "b")
        lab.ok("san-delay", "b", "write=0")
        check(ended(run)[0] == 255, "exec")
    lab.ok("power-on", "b")
    lab.ok("exec", "b", "--", "san-attach", "d0", "/dev/nbd0")
    check(read_block(lab, "b", "/dev/nbd0") == b"u" * 4096, "an old write")


def emulates(pid, name):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return name.encode() in f.read().split(b"\0")
    except OSError:
        return False


def test_holder_dies(lab):
    with open(os.path.join(lab.dir, "holder.pid"), encoding="ascii") as f:
        os.kill(int(f.read().split()[0]), 9)
    until(lambda: not lab.processes(), "all processes end with the holder")
    lab.fails("not running", "exec", "a", "--", "true")
    lab.ok("down")
    lab.ok("down")


def test_ordinary_user(lab):
    """As an ordinary user if we are root; also with the other xenstored."""
    command = (LAB,)
    if os.getuid() == 0:
        os.chmod(lab.dir, 0o777)
        copy = os.path.join(lab.dir, "tree/tests/lab")	# ours may be private
        shutil.copytree(os.path.dirname(LAB), copy)
        command = ("setpriv", "--reuid=65534", "--regid=65534",
                   "--clear-groups", os.path.join(copy, "lab"))
    user = Lab(os.path.join(lab.dir, "user"), command)
    user.env["LAB_XENSTORED"] = "xenstored"
    try:
        user.ok("up", "--stock")
        user.ok("exec", "a", "--", "xl", "list")
        user.ok("client", "--", "ping", "-c1", "-W9", "10.77.0.12")
        lab.fails("not running", "exec", "a", "--", "true")
    finally:
        user.run("down")
    check(not user.processes(), "processes left")


CASES = (test_usage, test_up, test_exec, test_exec_concurrent,
         test_exec_killed, test_copy, test_client, test_guests,
         test_guest_again, test_console_order, test_freeze, test_cut,
         test_power, test_power_while_exec, test_switch,
         test_storage, test_storage_delay, test_fence, test_fence_and_back,
         test_storage_power, test_holder_dies, test_ordinary_user)
LONG = (test_guests, test_guest_again, test_console_order, test_freeze,
        test_power, test_power_while_exec, test_switch, test_fence_and_back,
        test_storage_power, test_ordinary_user)


def main(only):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    failed, every = 0, "--all" in only
    only = [name for name in only if name != "--all"]
    with tempfile.TemporaryDirectory(prefix="lab-test-") as directory:
        lab = Lab(directory)
        try:
            for case in CASES:
                name = case.__name__.removeprefix("test_")
                if only and name not in only or \
                        case in LONG and not only and not every:
                    continue
                try:
                    case(lab)
                    print(f"ok lab/{name}", flush=True)
                except (Failed, subprocess.TimeoutExpired, OSError,
                        ValueError, LookupError) as e:
                    failed += 1
                    print(f"FAIL lab/{name}: {e}", flush=True)
        finally:
            lab.run("down")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
