# SPDX-License-Identifier: GPL-2.0-or-later
"""life.py - the lab's beginning and end."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import time

from . import client, conf, holder as holder_mod, image, net
from .conf import LabError

HOLDER_TIMEOUT_S = 20.0


@contextlib.contextmanager
def _locked():
    """One `up` or `down` at a time in a LAB_DIR."""
    os.makedirs(conf.lab_dir(), exist_ok=True)
    with open(os.path.join(conf.lab_dir(), "lock"), "w",
              encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def _start_time(pid):
    """Tells one process @pid from a later one; None: there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return int(f.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return None


def _holder_pidfd():
    """A pidfd of the running holder, or None."""
    try:
        with open(os.path.join(conf.lab_dir(), "holder.pid"),
                  encoding="ascii") as f:
            pid, started = map(int, f.read().split())
        fd = os.pidfd_open(pid)
    except (OSError, ValueError):
        return None
    if _start_time(pid) == started:
        return fd
    os.close(fd)
    return None


def _xen_args(host, stock):
    extra = [os.environ.get("LAB_XEN_ARGS", "")]
    if not stock:
        extra.append(os.environ.get(f"LAB_XEN_ARGS_{host.upper()}",
                                    conf.KEMARI_ARGS[host]))
    return " ".join([conf.XEN_ARGS, *extra]).strip()


def _setup(stock):
    """What this `up` asks for; the holder reads it from setup.json."""
    for program in (conf.QEMU, "nbdkit"):
        if not shutil.which(program):
            raise LabError(f"{program} is not installed: run `make deps`")
    xen = image.hypervisor(stock)
    xenstored = os.environ.get("LAB_XENSTORED", "oxenstored")
    if xenstored not in ("oxenstored", "xenstored"):
        raise LabError(f"LAB_XENSTORED={xenstored}: must be oxenstored or "
                       "xenstored")
    dom0 = os.path.relpath(image.dom0_image(), conf.lab_dir())
    kernel = os.path.relpath(image.dom0_kernel(), conf.lab_dir())
    return {"stock": stock, "xen": conf.STOCK_XEN if stock else xen,
            "slow_filter": image.slow_filter(), "commands": {host: net.qemu_command(
                host, xen, _xen_args(host, stock), kernel, dom0, xenstored)
                for host in conf.HOSTS}}


def _start_holder(setup):
    """Run `lab _holder` as first process of its own namespaces."""
    directory = conf.lab_dir()
    with open(os.path.join(directory, "setup.json"), "w",
              encoding="utf-8") as f:
        json.dump(setup, f, indent=1)
    rd, wr = os.pipe()
    known_rd, known_wr = os.pipe()	# "your pid is in the file"
    log = os.open(os.path.join(directory, "holder.log"),
                  os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    middle = os.fork()
    if not middle:
        try:
            os.close(rd)
            os.setsid()
            net.new_namespaces()
            first = os.fork()
            if not first:
                os.close(known_wr)
                if not os.read(known_rd, 1):
                    os._exit(1)		# `down` could not find us
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.closerange(3, 65536)
                lab = os.path.join(conf.LAB_SRC, "lab")
                os.execv(sys.executable, [sys.executable, lab, "_holder"])
            with open(os.path.join(directory, "holder.pid"), "w",
                      encoding="ascii") as f:
                f.write(f"{first} {_start_time(first)}\n")
            os.write(known_wr, b"+")
        except BaseException as e:	# told to the parent, never raised here
            os.write(wr, str(e).encode())
        finally:
            os._exit(0)
    for fd in (wr, known_rd, known_wr, log):
        os.close(fd)
    with os.fdopen(rd, "rb") as f:
        problem = f.read().decode()
    os.waitpid(middle, 0)
    if problem:
        raise LabError(problem)
    _wait_holder()


def _wait_holder():
    deadline = time.monotonic() + HOLDER_TIMEOUT_S
    while True:
        try:
            client.request("status")
            return
        except client.NotRunning:
            fd = _holder_pidfd()
            if fd is None or time.monotonic() > deadline:
                raise LabError("the lab's holder did not start:\n" + _tail(
                    os.path.join(conf.lab_dir(), "holder.log"))) from None
            os.close(fd)
            time.sleep(0.02)


def _tail(path, count=15):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-count:]).rstrip()
    except OSError as e:
        return str(e)


def up(stock):
    with _locked():
        try:
            running = client.request("setup")[0]["setup"]
        except client.NotRunning:
            _end_holder()
            running = None
        if running is None:
            _start_holder(_setup(stock))
        elif running["stock"] != stock:
            raise LabError(f"this lab runs {running['xen']} already: "
                           "`lab down` first")
        for host in conf.HOSTS:
            client.request("power-on", host=host)
        wait_ready(conf.HOSTS)


def wait_ready(hosts):
    """Return when `xl list` answers on each of @hosts."""
    deadline = time.monotonic() + conf.BOOT_TIMEOUT_S
    for host in hosts:
        while True:
            output = []
            problem = "xl list failed"
            try:
                if not client.Command(host, ["xl", "list"], b"", lambda _, d,
                                      out=output: out.append(d)).run():
                    break
            except client.NotRunning:
                raise
            except LabError as e:
                problem = str(e)
            state = client.request("status")[0]["hosts"][host]["state"]
            if state != "on" or time.monotonic() > deadline:
                raise LabError(
                    f"host {host} did not boot ({problem}); the end of "
                    f"{conf.console_log(host)}:\n"
                    f"{_tail(conf.console_log(host))}")
            time.sleep(0.1)


def _end_holder():
    """Kill the namespaces' first process: the kernel ends all the others."""
    fd = _holder_pidfd()
    if fd is not None:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        select.select([fd], [], [])
        os.close(fd)
    for name in ("ctl", "holder.pid"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(conf.lab_dir(), name))


def down():
    if not os.path.isdir(conf.lab_dir()):
        return
    with _locked():
        _end_holder()


def holder(_args):
    """`lab _holder`: not for people."""
    holder_mod.main()
