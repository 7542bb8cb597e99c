#!/usr/bin/env python3
"""tunnel_end.py KIND LOCAL REMOTE DEVICE: one end of a tunnel, made of a TUN device and a socket.

For tunnels that not every kernel can make: gre (protocol 47), ipip (4) over IPv4, and teredo's way of putting IPv6 into UDP.
KIND may be gre:KEY. The peer's end runs the same. Says "ready" when the device is there.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
IPIP, GRE = 4, 47
TEREDO_PORT = 3544


def open_tun(name: str) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def main() -> int:
    kind, local, remote, device = sys.argv[1:]
    kind, _, key = kind.partition(":")
    if kind == "teredo":
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wire.bind((local, TEREDO_PORT))
        destination, header, skip = (remote, TEREDO_PORT), b"", lambda packet: packet
    else:
        wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, GRE if kind == "gre" else IPIP)
        wire.bind((local, 0))
        header = b"" if kind == "ipip" else struct.pack("!HH", 0x2000 if key else 0, 0x0800) + (struct.pack("!I", int(key)) if key else b"")
        destination, skip = (remote, 0), lambda packet: packet[(packet[0] & 15) * 4 + len(header):]
    tun = open_tun(device)
    print("ready", flush=True)
    selector = selectors.DefaultSelector()
    selector.register(tun, selectors.EVENT_READ)
    selector.register(wire, selectors.EVENT_READ)
    while True:
        for entry, _ in selector.select():
            try:
                if entry.fd == tun:
                    wire.sendto(header + os.read(tun, 65_536), destination)
                else:
                    os.write(tun, skip(wire.recv(65_536)))
            except OSError as error:  # A refusal that came back by ICMP, or bytes that are no packet.
                print(error, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
