"""forger.py: sends frames with another's source address from this link, as any process with CAP_NET_RAW can.

Reads a JSON object from standard input:
  interface, own_mac, to_mac   the link, and the next station on it; "lo": by a raw IP socket, to this host itself
  source, target               [address, port] in the forged datagrams
  payload (hex)                of the forged datagrams
  ask (hex)                    sent first, honestly, from `target` to `source`; its answer is awaited
  then (hex)                   sent last, honestly, from `target` to `source`
  seconds                      how long forged frames are sent, 200 a second
"""

import ipaddress
import json
import select
import socket
import struct
import sys
import time

ETH_IPV4, ETH_IPV6, UDP = 0x0800, 0x86DD, 17


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(source: list, target: list, payload: bytes) -> bytes:
    """datagram returns an IP packet; source and target are [address, port]."""
    src, dst = ipaddress.ip_address(source[0]), ipaddress.ip_address(target[0])
    length = 8 + len(payload)
    pseudo = src.packed + dst.packed + struct.pack("!II", length, UDP)
    head = struct.pack("!HHH", source[1], target[1], length)
    body = head + struct.pack("!H", checksum(pseudo + head + b"\0\0" + payload) or 0xFFFF) + payload
    if src.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, UDP, 64) + src.packed + dst.packed + body
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, UDP, 0) + src.packed + dst.packed
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + body


def received(honest: socket.socket) -> list:
    try:
        return [honest.recv(4096).hex()]
    except OSError:  # What an ICMP message said.
        return []


def main() -> int:
    request = json.loads(sys.stdin.readline())
    hexed = lambda key: bytes.fromhex(request.get(key, ""))
    mac = lambda key: bytes.fromhex(request[key].replace(":", ""))
    source, target = request["source"], request["target"]
    six = ":" in target[0]
    packet = datagram(source, target, hexed("payload"))
    if request["interface"] == "lo":
        raw = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        send = lambda: raw.sendto(packet, (target[0], 0))
    else:
        frame = mac("to_mac") + mac("own_mac") + struct.pack("!H", ETH_IPV6 if six else ETH_IPV4) + packet
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        link.bind((request["interface"], 0))
        send = lambda: link.send(frame)
    honest = None
    if hexed("ask") or hexed("then"):
        honest = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        honest.bind(("", target[1]))
    if hexed("ask"):
        honest.sendto(hexed("ask"), tuple(source))
    time.sleep(0.02)  # The question must have passed, else the forged frame begins a flow of its own.
    answers, end = [], time.monotonic() + request["seconds"]
    while time.monotonic() < end:
        send()
        if honest is None:
            time.sleep(0.005)
        elif select.select([honest], [], [], 0.005)[0]:
            answers += received(honest)
    if hexed("then"):
        honest.sendto(hexed("then"), tuple(source))
    print(json.dumps({"answers": answers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
