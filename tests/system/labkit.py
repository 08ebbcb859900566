# SPDX-License-Identifier: GPL-2.0-or-later
"""labkit.py - what drills share: the lab, a guest, both ends of kemari."""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
LAB = os.path.join(ROOT, "tests", "lab", "lab")
REPL = {"a": "10.78.0.11", "b": "10.78.0.12"}
OTHER = {"a": "b", "b": "a"}
# Reports itself off only when the emulator's process is gone.
FENCE = "/usr/local/bin/fence-by-power-switch"
# Says that storage has shut a host out, which may run on.
STORAGE_FENCE = "/usr/local/bin/fence-by-storage"
RECEIVE_LOG = "/var/log/kemari-receive.log"


class DrillError(Exception):
    """The drill could not be carried out (as opposed to: the proof failed)."""


class NotSurvived(Exception):
    """The power was cut, and what had to come then did not."""


@contextlib.contextmanager
def survival():
    """Whatever goes wrong in here is the guest's, not the drill's."""
    try:
        yield
    except DrillError as e:
        raise NotSurvived("after the cut: %s" % e) from e


def teller():
    """say(text): a line with the time since now."""
    start = time.monotonic()
    return lambda text: print("[%5.1f s] %s" % (
        time.monotonic() - start, text), flush=True)


def lab(*args, check=True, timeout=120):
    """Run a verb of the lab; its standard output, stripped."""
    r = subprocess.run([LAB, *args], capture_output=True, text=True,
                       timeout=timeout, stdin=subprocess.DEVNULL)
    if check and r.returncode:
        raise DrillError("lab %s: exit %d: %s" % (
            " ".join(args), r.returncode, (r.stderr or r.stdout).strip()))
    return r.stdout.strip()


def lab_status():
    return json.loads(lab("status", "--json"))


def on(host, command, check=True, timeout=120):
    """Run a shell command in a host's dom0."""
    return lab("exec", host, "--", "sh", "-c", command, check=check,
               timeout=timeout)


def rc(host, command, timeout=120):
    """(exit status, stdout + stderr) of a shell command in dom0."""
    r = subprocess.run([LAB, "exec", host, "--", "sh", "-c", command],
                       capture_output=True, text=True, timeout=timeout,
                       stdin=subprocess.DEVNULL)
    return r.returncode, r.stdout + r.stderr


def wait_for(what, fn, timeout, every=0.3):
    """Poll fn() until it is true; its value.

    Not too often: a look into a host takes its only CPU from what it does.
    """
    end = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            raise DrillError("timed out after %d s: %s" % (timeout, what))
        time.sleep(every)


def daemon(host, log, argv):
    """Start a program in dom0 that outlives the call; its output in log."""
    on(host, "setsid %s >%s 2>&1 </dev/null &" % (
        " ".join(shlex.quote(a) for a in argv), log))


# --- hosts ---------------------------------------------------------------

def put_programs(host):
    """Bring the programs just built into a running dom0."""
    bindir = os.path.join(ROOT, "build", "dom0-bin")
    lab("put", host, os.path.join(bindir, "kemari"), "/usr/local/bin/kemari")
    for hook in (FENCE, STORAGE_FENCE):
        lab("put", host, os.path.join(ROOT, "tests", "system",
                                      os.path.basename(hook)), hook)
    if not transport:
        put_certificates(host)


# As an operator makes them (docs/SECURITY.md), on the machine that runs this.
CERTIFICATES = os.path.join(ROOT, "build", "check", "pki")
PKI = "/etc/kemari/pki"
transport = ["--plaintext"]	# of both sides; [] TLS


def use_tls():
    """From now on both sides use TLS, with certificates made here and now."""
    shutil.rmtree(CERTIFICATES, ignore_errors=True)
    os.makedirs(os.path.dirname(CERTIFICATES), exist_ok=True)
    for host in "ab":
        subprocess.run([os.path.join(ROOT, "build", "kemari"), "pki",
                        CERTIFICATES, host, REPL[host]], check=True)
    transport.clear()


def put_certificates(host):
    on(host, "mkdir -p %s" % PKI)
    for name in ("ca.pem", "host.pem", "host.key"):
        lab("put", host, os.path.join(CERTIFICATES, host, name),
            "%s/%s" % (PKI, name))


def up():
    lab("up", timeout=300)
    for host in "ab":
        put_programs(host)


# --- the guest -----------------------------------------------------------

CONFIG = """name = "%(name)s"
type = "%(type)s"
kernel = "/boot/guest-vmlinuz"
ramdisk = "/root/%(name)s.img"
memory = %(memory)d
maxmem = %(memory)d
vcpus = %(vcpus)d
cmdline = "console=hvc0 quiet %(args)s"
on_poweroff = "destroy"
on_reboot = "restart"
on_crash = "destroy"
%(devices)s%(machine)s"""

# What an HVM guest's machine must not have (docs/GUESTS.md).
MACHINE = {"pvh": "", "hvm": """vga = "none"
vnc = 0
usb = 0
vkb_device = 0
serial = "none"
"""}
# Its firmware reads the kernel byte by byte from the device model: minutes on
# an emulated processor.
BOOT_S = {"pvh": 60, "hvm": 600}


def guest_image(out, init, programs, scripts=()):
    """A guest initramfs: programs from build/guest-bin, scripts' sources."""
    args = []
    for p in programs:
        args += ["--add", os.path.join(ROOT, "build", "guest-bin", p)]
    for s in scripts:
        args += ["--add", os.path.join(ROOT, "tests", "guest", s)]
    lab("guest-image", out, *args, "--init",
        os.path.join(ROOT, "tests", "guest", init))


def create(host, name, image, vcpus=1, memory=128, args="", devices="",
           kind="pvh"):
    """Put image and configuration on a host and start the guest.

    @args: words for its kernel; @devices: lines of disks and network cards;
    @kind: pvh or hvm.
    """
    conf = CONFIG % {"name": name, "memory": memory, "vcpus": vcpus,
                     "args": args, "devices": devices, "type": kind,
                     "machine": MACHINE[kind]}
    path = os.path.join(ROOT, "build", "check", name + ".cfg")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(conf)
    lab("put", host, image, "/root/%s.img" % name)
    lab("put", host, path, "/root/%s.cfg" % name)
    on(host, "xl create /root/%s.cfg" % name, timeout=120)


def create_counter(host, name, vcpus=1, args="", kind="pvh"):
    """Start a guest that counts (tests/guest/drill-init) on a host."""
    image = os.path.join(ROOT, "build", "check", "drill-guest.img")
    os.makedirs(os.path.dirname(image), exist_ok=True)
    guest_image(image, "drill-init", ["clockcheck", "dmload"])
    create(host, name, image, vcpus=vcpus, args=args, kind=kind)


def runs(host, name):
    """Is a domain of that name on the host (standby shells excluded)?"""
    return rc(host, "xl list | awk 'NR>1 {print $1}' | grep -qx %s" %
              shlex.quote(name))[0] == 0


class Console:
    """What left a host on a guest's console: [(arrival ns, line)]."""

    def __init__(self, host, name):
        self.path = lab("log", host, name)
        self.skip = self._size()

    def _size(self):
        try:
            return os.path.getsize(self.path)
        except FileNotFoundError:
            return 0

    def lines(self):
        try:
            with open(self.path, "rb") as f:
                f.seek(self.skip)
                data = f.read()
        except FileNotFoundError:
            return []
        out = []
        # The last piece may be half a line: it is not complete output.
        for raw in data.split(b"\n")[:-1]:
            stamp, _, text = raw.partition(b" ")
            if stamp.isdigit():
                out.append((int(stamp),
                            text.decode("utf-8", "replace").rstrip("\r")))
        return out


COUNTER = re.compile(r"^N (\d+) mono=(\d+) real=(\d+)$")


def counters(lines):
    """[(arrival ns, counter, mono ns, real ns, text)] of the full lines."""
    out = []
    for stamp, text in lines:
        m = COUNTER.match(text)
        if m:
            out.append((stamp, int(m[1]), int(m[2]), int(m[3]), text))
    return out


# --- kemari --------------------------------------------------------------

def receive(host, fence=FENCE, extra=()):
    daemon(host, RECEIVE_LOG, [
        "kemari", "receive", "--listen", REPL[host], *transport,
        "--fence", "%s %s" % (fence, OTHER[host]), *extra])
    wait_for("kemari receive listening on " + host,
             lambda: rc(host, "grep -q listening " + RECEIVE_LOG)[0] == 0, 20)


def protect(host, name, log="/var/log/kemari-protect.log", extra=()):
    daemon(host, log, ["kemari", "protect", name, "--to", REPL[OTHER[host]],
                       *transport, *extra])


def status(host, name):
    """The status object of a guest on a host, or None."""
    code, text = rc(host, "kemari status --json " + shlex.quote(name))
    if code:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise DrillError("kemari status --json is not JSON: %r" % text)


def wait_state(host, name, state, timeout=120):
    def reached():
        s = status(host, name)
        return s if s and s.get("state") == state else None
    return wait_for("%s %s on host %s" % (name, state, host), reached,
                    timeout)


def kill_worker(host, verb):
    """SIGKILL the worker (the supervisor's child) of a running verb."""
    code, text = rc(host, r"""
for p in $(pidof kemari); do
	parent=$(awk '/^PPid:/ {print $2}' /proc/$p/status)
	tr '\0' ' ' </proc/$p/cmdline | grep -q '^[^ ]* %s ' || continue
	tr '\0' ' ' </proc/$parent/cmdline 2>/dev/null |
		grep -q '^[^ ]*kemari %s ' || continue
	kill -9 $p && exit 0
done
exit 1""" % (verb, verb))
    if code:
        raise DrillError("no worker of kemari %s on host %s: %s" % (
            verb, host, text))


def guest_says(host, name, line):
    """Type a line at a guest's console."""
    on(host, "echo %s >$(xenstore-read /local/domain/$(xl domid %s)"
             "/console/tty)" % (shlex.quote(line), shlex.quote(name)))


def stop_kemari():
    """End every kemari on both hosts, as an operator who cleans up would.

    The receiver first: it would take the end of the primary for its death,
    and have the power of host a cut.
    """
    for host in "ba":
        # Supervisors start workers anew: until nobody is left.
        rc(host, "while killall -9 kemari; do sleep 0.2; done 2>/dev/null;"
                 " rm -rf /run/kemari")


def destroy_all(host):
    """Destroy every guest and every standby on a host."""
    rc(host, "for d in $(xl list | awk 'NR>2 {print $2}'); do"
             " xl destroy $d; done")
