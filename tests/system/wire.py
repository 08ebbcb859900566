#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""wire.py - the frames that leave a guest, one line each, as they arrive

usage: wire.py INTERFACE MAC PORT.  A line: CLOCK_MONOTONIC in ns, length, and
the number in the datagram if it is one of netload's to PORT, else "-".
"""

import socket
import struct
import sys
import time

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33


def number(frame, port):
    """First eight bytes of an IPv4 datagram to @port."""
    if len(frame) < 50 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return "-"
    udp = 14 + (frame[14] & 15) * 4
    if int.from_bytes(frame[udp + 2:udp + 4], "big") != port:
        return "-"
    return str(struct.unpack_from("<Q", frame, udp + 8)[0])


def main():
    interface, mac, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    source = bytes.fromhex(mac.replace(":", ""))
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                      socket.htons(ETH_P_ALL))
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    s.bind((interface, 0))
    print("listening", flush=True)
    while True:
        frame, address = s.recvfrom(65536)
        if frame[6:12] == source and address[2] != socket.PACKET_OUTGOING:
            print(time.monotonic_ns(), len(frame), number(frame, port),
                  flush=True)


main()
