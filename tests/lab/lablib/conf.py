# SPDX-License-Identifier: GPL-2.0-or-later
"""conf.py - names, addresses and places of the lab, in one file."""

import os
import re

LAB_SRC = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(LAB_SRC))

HOSTS = ("a", "b")
# Last byte of each host's address, the same on every network.
HOST_BYTE = {"a": 11, "b": 12}
# Networks in the order of the hosts' PCI slots; third byte of the address.
NETS = {"lan": 77, "repl": 78, "san": 79, "mgmt": 80}
CLIENT_ADDR = "10.77.0.1"
SAN_ADDR = "10.79.0.1"
MGMT_ADDR = "10.80.0.1"
SWITCH_PORT = 7071		# power switch, on MGMT_ADDR
SAN_PORTS = {"a": 10809, "b": 10810}	# storage servers, on SAN_ADDR
AGENT_PORT = 7070		# agent in each dom0, on its mgmt address

QEMU = "qemu-system-x86_64"
HOST_MEM_MB = 2048
DOM0_MEM_MB = 768
XEN_ARGS = (f"console=com1 com1=115200 dom0_mem={DOM0_MEM_MB}M,"
            f"max:{DOM0_MEM_MB}M sched=credit bootscrub=0 noreboot")
# For our own Xen only: hosts prepared for Kemari, with domain IDs that do not
# collide.  LAB_XEN_ARGS_A and LAB_XEN_ARGS_B replace them.
KEMARI_ARGS = {"a": "kemari=on kemari-domids=1-9999",
               "b": "kemari=on kemari-domids=10000-19999"}
STOCK_XEN = "/boot/xen-4.17-amd64.gz"

BOOT_TIMEOUT_S = float(os.environ.get("LAB_BOOT_TIMEOUT", "120"))
CONNECT_TIMEOUT_S = 6.0		# to a dom0's agent
SBIN = "/usr/sbin:/sbin"	# not in the PATH of ordinary users


class LabError(Exception):
    """Something the user must read; ends the command, not with a trace."""


def lab_dir():
    """Absolute path of this lab's state."""
    return os.path.abspath(os.environ.get("LAB_DIR") or
                           os.path.join(ROOT, "build/lab"))


def host_addr(host, net):
    return f"10.{NETS[net]}.0.{HOST_BYTE[host]}"


def host_mac(host, net):
    return f"52:54:00:4b:{NETS[net]:02x}:{HOST_BYTE[host]:02x}"


def check_host(host):
    if host not in HOSTS:
        raise LabError(f"no host '{host}': hosts are {', '.join(HOSTS)}")
    return host


def check_net(net):
    if net not in NETS:
        raise LabError(f"no link '{net}': links are {', '.join(NETS)}")
    return net


def console_log(host):
    return os.path.join(lab_dir(), host, "console.log")


def guest_log(host, guest):
    """A guest's name is not trusted: nothing of it may leave the directory."""
    guest = re.sub(r"[^A-Za-z0-9_.+-]", "_", guest[:100])
    return os.path.join(lab_dir(), host, f"guest-{guest}.log")
