#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""announcements.py INTERFACE - what a guest's card is said to be

Prints a line for each frame that arrives and announces an address, until it is
ended: "<ns> rarp MAC", "<ns> arp MAC IP" (sender and target are the same), or
"<ns> neighbour MAC IP" (unsolicited).  The time is CLOCK_MONOTONIC.
"""

import ipaddress
import socket
import struct
import sys
import time

ETH_P_ALL = 3
RARP, ARP, IPV6 = 0x8035, 0x0806, 0x86DD
ICMPV6, ADVERTISEMENT, SOLICITED = 58, 136, 0x40


def mac_str(raw):
    """A hardware address as people write it."""
    return ":".join(f"{byte:02x}" for byte in raw)


def announcement(frame):
    """What @frame announces, or None."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == RARP and len(frame) >= 42:
        return f"rarp {mac_str(frame[22:28])}"
    if kind == ARP and len(frame) >= 42 and frame[28:32] == frame[38:42]:
        return f"arp {mac_str(frame[22:28])} {ipaddress.ip_address(frame[28:32])}"
    if (kind == IPV6 and len(frame) >= 86 and frame[20] == ICMPV6 and
            frame[54] == ADVERTISEMENT and not frame[58] & SOLICITED):
        return (f"neighbour {mac_str(frame[80:86])} "
                f"{ipaddress.ip_address(frame[62:78])}")
    return None


def main():
    """Listen until ended."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                         socket.htons(ETH_P_ALL))
    sock.bind((sys.argv[1], 0))
    while True:
        frame, where = sock.recvfrom(2048)
        if where[2] == socket.PACKET_OUTGOING or len(frame) < 14:
            continue
        what = announcement(frame)
        if what:
            print(time.monotonic_ns(), what, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
