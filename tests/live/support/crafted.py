"""crafted.py: sends IP packets of any content and mark by a raw socket, and prints the error of each as a JSON list.

Reads a JSON list from standard input, one object a packet: mark, source and target ([address, port]), payload (hex);
for TCP also flags, seq and ack.
"""

import errno
import ipaddress
import json
import socket
import struct
import sys

SO_MARK = 36
TCP, UDP = 6, 17


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(wanted: dict) -> bytes:
    source, target = (ipaddress.ip_address(wanted[end][0]) for end in ("source", "target"))
    ports = struct.pack("!HH", wanted["source"][1], wanted["target"][1])
    payload = bytes.fromhex(wanted.get("payload", ""))
    protocol = TCP if "flags" in wanted else UDP
    if protocol == TCP:
        head = ports + struct.pack("!IIBBHHH", wanted["seq"], wanted.get("ack", 0), 5 << 4, wanted["flags"], 8192, 0, 0)
        place = 16
    else:
        head = ports + struct.pack("!HH", 8 + len(payload), 0)
        place = 6
    body = head + payload
    pseudo = source.packed + target.packed + struct.pack("!II", len(body), protocol)
    body = body[:place] + struct.pack("!H", checksum(pseudo + body) or 0xFFFF) + body[place + 2:]
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + source.packed + target.packed + body
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + source.packed + target.packed
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + body


def main() -> int:
    errors = []
    for wanted in json.loads(sys.stdin.readline()):
        family = socket.AF_INET6 if ":" in wanted["target"][0] else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        raw.setsockopt(socket.SOL_SOCKET, SO_MARK, struct.pack("I", wanted["mark"]))
        try:
            raw.sendto(packet(wanted), (wanted["target"][0], 0))
            errors.append("")
        except OSError as error:
            errors.append(errno.errorcode[error.errno])
    print(json.dumps(errors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
