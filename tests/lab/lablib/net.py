# SPDX-License-Identifier: GPL-2.0-or-later
"""net.py - namespaces, bridges and taps of the lab; the emulators' command."""

import ctypes
import errno
import fcntl
import os
import socket
import struct
import subprocess

from . import conf
from .conf import LabError

CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1
DEBUG_PORT = 0x4b0	# lab-confwd.c writes there
CONSOLE_FD = 3		# where an emulator finds the pipe for guests' consoles

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result:
        err = ctypes.get_errno()
        raise OSError(err, f"{what}: {os.strerror(err)}")


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def setns(fd, kind):
    _check(_libc.setns(fd, kind), "setns")


def die_with_parent():
    _check(_libc.prctl(1, 9), "prctl")		# PR_SET_PDEATHSIG, SIGKILL


def _write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def new_namespaces():
    """Enter fresh network and pid namespaces (the latter for children)."""
    uid, gid = os.getuid(), os.getgid()
    try:
        unshare(CLONE_NEWNET | CLONE_NEWPID)
        return
    except OSError as e:
        if e.errno != errno.EPERM:
            raise
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    except OSError as e:
        raise LabError(f"no user namespace for the lab ({e}): allow them "
                       "(sysctl kernel.unprivileged_userns_clone=1), or run "
                       "as root") from e


def _ip(batch, fds=()):
    """Run lines of ip(8) commands, which may name the descriptors @fds."""
    run = subprocess.run(["ip", "-batch", "-"], input=batch, text=True,
                         capture_output=True, check=False, pass_fds=fds,
                         env=dict(os.environ, PATH=os.environ.get("PATH", "") +
                                  ":" + conf.SBIN))
    if run.returncode:
        raise LabError(f"network of the lab: {run.stderr.strip()}")


class Nets:
    """What keeps the lab's namespaces; the client has a network of its own."""

    def __init__(self, client):
        self.client = client		# file descriptor of its namespace

    def open_namespaces(self):
        """Descriptors for `lab client`: user, pid, client's network."""
        return [os.open("/proc/self/ns/user", os.O_RDONLY),
                os.open("/proc/self/ns/pid", os.O_RDONLY),
                os.dup(self.client)]


def create():
    """Make bridges, taps and the client's network; single-threaded yet."""
    if not os.path.exists("/dev/net/tun"):
        raise LabError("no /dev/net/tun: load the module tun")
    lab = os.open("/proc/self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    client = os.open("/proc/self/ns/net", os.O_RDONLY)
    _ip("link set lo up\n"
        "link add eth0 type veth peer name client "
        f"netns /proc/self/fd/{lab}\n"
        f"addr add {conf.CLIENT_ADDR}/24 dev eth0\n"
        "link set eth0 up\n", [lab])
    setns(lab, CLONE_NEWNET)
    os.close(lab)
    lines = ["link set lo up"]
    for net in conf.NETS:
        lines += [f"link add br-{net} type bridge stp_state 0 forward_delay 0"
                  " mcast_snooping 0",
                  f"link set br-{net} up"]
        for host in conf.HOSTS:
            lines += [f"tuntap add dev {tap(host, net)} mode tap",
                      f"link set {tap(host, net)} master br-{net} up"]
    lines += ["link set client master br-lan up",
              f"addr add {conf.SAN_ADDR}/24 dev br-san",
              f"addr add {conf.MGMT_ADDR}/24 dev br-mgmt"]
    _ip("\n".join(lines) + "\n")
    return Nets(client)


def tap(host, net):
    return f"{host}-{net}"


def _flags(sock, dev, flags=None):
    """Get (or with @flags set) the flags of interface @dev."""
    ask = struct.pack("16sH22x", dev.encode(), flags or 0)
    code = SIOCGIFFLAGS if flags is None else SIOCSIFFLAGS
    return struct.unpack("16sH22x", fcntl.ioctl(sock, code, ask))[1]


def is_up(dev):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return bool(_flags(sock, dev) & IFF_UP)


def set_up(dev, on):
    """Let packets of @dev pass, or vanish without a trace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        flags = _flags(sock, dev)
        _flags(sock, dev, flags | IFF_UP if on else flags & ~IFF_UP)


def _in_dir(directory, name, use):
    """A socket's path may be 107 bytes long; a directory's is not so bound."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return use(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)


def bind_in(directory, name, sock):
    try:
        os.unlink(os.path.join(directory, name))
    except FileNotFoundError:
        pass
    _in_dir(directory, name, sock.bind)


def connect_in(directory, name, sock):
    _in_dir(directory, name, sock.connect)


def qemu_command(host, xen, xen_args, dom0_kernel, dom0_image, xenstored):
    """The emulator of @host; guests' consoles leave through CONSOLE_FD."""
    log = conf.console_log(host)
    dom0_args = (f"console=hvc0 quiet rdinit=/init lab.host={host} "
                 f"lab.byte={conf.HOST_BYTE[host]} lab.xenstored={xenstored} "
                 f"lab.san={conf.SAN_ADDR}:{conf.SAN_PORTS[host]}")
    # QEMU splits the module list at commas, and options too: escape them.
    image = dom0_image.replace(",", ",,")
    command = [conf.QEMU, "-name", f"lab-{host}",
               "-accel", "tcg,thread=multi", "-cpu", "qemu64,+svm,+npt",
               "-smp", "1", "-m", str(conf.HOST_MEM_MB),
               "-nodefaults", "-no-user-config", "-no-reboot",
               "-display", "none", "-monitor", "none",
               "-chardev", f"file,id=com1,path={log.replace(',', ',,')},"
               "append=on",
               "-serial", "chardev:com1",
               "-chardev", f"file,id=guests,path=/dev/fd/{CONSOLE_FD}",
               "-device", f"isa-debugcon,chardev=guests,iobase={DEBUG_PORT}",
               "-kernel", xen, "-append", xen_args,
               "-initrd", f"{dom0_kernel} {dom0_args},{image}"]
    for slot, net in enumerate(conf.NETS, 3):
        command += ["-netdev", f"tap,id={net},ifname={tap(host, net)},"
                    "script=no,downscript=no",
                    "-device", f"e1000,netdev={net},romfile=,addr={slot},"
                    f"mac={conf.host_mac(host, net)}"]
    return command
