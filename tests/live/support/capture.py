"""Captures at the server: what really arrived there, packet by packet."""

from __future__ import annotations

import ipaddress
import signal
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from .proc import wait_until

SNAPSHOT = 66_000  # Bytes: a frame as large as segmentation offload makes them.
DROPPED = "packets dropped by kernel"
SENTINEL_PORT = 49_999
SENTINEL_HOST = 250  # An address that nobody has, with a made-up hardware address: the datagram ends on the link.

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


@dataclass
class Packet:
    time: float
    family: int
    protocol: int  # IANA number.
    src: str
    dst: str
    sport: int = 0
    dport: int = 0
    flags: int = 0
    seq: int = 0
    payload: bytes = b""

    def __str__(self) -> str:
        return (f"{self.time:.6f} proto {self.protocol} {self.src} {self.sport} > {self.dst} {self.dport} "
                f"flags {self.flags:#04x} {len(self.payload)} bytes {self.payload[:24]!r}")


def parse_frame(moment: float, frame: bytes, linktype: int) -> Packet | None:
    """parse_frame reads Ethernet or raw IP; None for what is not IP."""
    if linktype == 1:
        if len(frame) < 14 or frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
            return None
        frame = frame[14:]
    if len(frame) < 20:
        return None
    if frame[0] >> 4 == 4:
        header, total = (frame[0] & 15) * 4, struct.unpack("!H", frame[2:4])[0]
        family, protocol = 4, frame[9]
        src, dst = str(ipaddress.IPv4Address(frame[12:16])), str(ipaddress.IPv4Address(frame[16:20]))
        # A segmentation offload frame above 64 kB has length 0.
        body = frame[header:total] if total else frame[header:]
    elif frame[0] >> 4 == 6 and len(frame) >= 40:
        family, protocol, length = 6, frame[6], struct.unpack("!H", frame[4:6])[0]
        src, dst = str(ipaddress.IPv6Address(frame[8:24])), str(ipaddress.IPv6Address(frame[24:40]))
        body = frame[40:40 + length] if length else frame[40:]
        while protocol in (0, 43, 60) and len(body) >= 8:
            protocol, body = body[0], body[(body[1] + 1) * 8:]
    else:
        return None
    packet = Packet(moment, family, protocol, src, dst, payload=body)
    if protocol == 6 and len(body) >= 20:
        packet.sport, packet.dport, packet.seq = struct.unpack("!HHI", body[:8])
        packet.flags = body[13]
        packet.payload = body[(body[12] >> 4) * 4:]
    elif protocol == 17 and len(body) >= 8:
        packet.sport, packet.dport = struct.unpack("!HH", body[:4])
        packet.payload = body[8:]
    return packet


def read_pcap(path: Path) -> list[Packet]:
    """read_pcap reads a classic capture file, as far as it is written."""
    data = path.read_bytes() if path.exists() else b""
    if len(data) < 24:
        return []
    magic = data[:4]
    order = "<" if magic in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    scale = 1e-9 if magic in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1e-6
    linktype = struct.unpack(order + "I", data[20:24])[0]
    packets, offset = [], 24
    while offset + 16 <= len(data):
        seconds, fraction, captured, _length = struct.unpack(order + "IIII", data[offset:offset + 16])
        frame = data[offset + 16:offset + 16 + captured]
        if len(frame) < captured:
            break
        packet = parse_frame(seconds + fraction * scale, frame, linktype)
        if packet:
            packets.append(packet)
        offset += 16 + captured
    return packets


class Capture:
    """Capture runs tcpdump on one interface of the testbed. Positions are packet counts: nothing is missed
    between two of them, whatever the clocks say."""

    def __init__(self, bed, where: str = "server", interface: str = "west", name: str = "capture", expression: str = ""):
        self.bed = bed
        self.where = where
        self.interface = interface
        self.path = bed.scratch / f"{name}.pcap"
        self._sentinels = 0
        self._address = bed.server_address(4).rsplit(".", 1)[0] + f".{SENTINEL_HOST}"
        # In immediate mode each packet takes a slot of the snapshot length, however small it is: 4096 slots.
        self.process = bed.spawn(where, name, ["tcpdump", "-i", interface, "-U", "--immediate-mode", "-n",
                                              "-s", str(SNAPSHOT), "-B", str(4096 * SNAPSHOT // 1024), "-Z", "root",
                                              "-w", str(self.path), *expression.split()])
        node_device = ["dev", interface]
        bed.run(where, ["ip", "neigh", "replace", self._address, "lladdr", "02:00:00:00:fa:ce", *node_device])
        if not wait_until(lambda: "listening on" in self.process.err(), 10.0):
            raise RuntimeError(f"tcpdump did not start: {self.process.err()}")

    def flush(self) -> None:
        """flush returns when everything that crossed the interface before the call is in the file."""
        self._sentinels += 1
        token = f"sentinel {self._sentinels}".encode()
        code = ("import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); "
                f"s.sendto({token!r},({self._address!r},{SENTINEL_PORT}))")
        sent = self.bed.run(self.where, [sys.executable, "-c", code])
        if sent.code != 0:
            raise RuntimeError(sent.describe())
        if not wait_until(lambda: any(p.dport == SENTINEL_PORT and p.payload == token for p in read_pcap(self.path)), 10.0):
            raise RuntimeError("the capture does not keep up")
        reports = self.process.err().count(DROPPED)
        self.process.signal(signal.SIGUSR1)
        if not wait_until(lambda: self.process.err().count(DROPPED) > reports, 10.0, 0.01):
            raise RuntimeError("tcpdump does not say what it dropped")
        if self.process.err().count(f" 0 {DROPPED}") <= reports:
            raise RuntimeError(f"the capture is not complete: {self.process.err()}")

    def mark(self) -> int:
        """mark returns the position of the next packet."""
        self.flush()
        return len(read_pcap(self.path))

    def packets(self, since: int = 0) -> list[Packet]:
        self.bed.settle()
        self.flush()
        return [p for p in read_pcap(self.path)[since:] if p.dport != SENTINEL_PORT]

    def streams(self, since: int, port: int) -> list[bytes]:
        """streams returns what each TCP connection sent to a server port, in sequence order: the network may have
        repeated or reordered segments on the way."""
        connections: dict[tuple[str, int], list[Packet]] = {}
        for packet in self.packets(since):
            if packet.protocol == 6 and packet.dport == port:
                connections.setdefault((packet.src, packet.sport), []).append(packet)
        result = []
        for packets in connections.values():
            origin, data = packets[0].seq + bool(packets[0].flags & SYN), bytearray()
            for packet in packets:
                offset = (packet.seq - origin) % 2**32 if packet.payload else 2**31
                if offset < 2**24:  # Beyond are probes and what the connection left from before the mark.
                    data.extend(bytes(max(0, offset + len(packet.payload) - len(data))))
                    data[offset:offset + len(packet.payload)] = packet.payload
            result.append(bytes(data))
        return result

    def stop(self) -> None:
        self.process.stop()
