"""early_reset.py PORT: a TCP reset in the name of a connection from this port, with the very number that its server waits for, which
dies on the way (TTL 1). The next router's connection tracking believes it; the server never sees it. IPv4."""

import socket
import struct
import sys

from crafted import checksum

ETH_P_ALL = 3
RST, SYN, ACK = 0x04, 0x02, 0x10


def main() -> int:
    port = int(sys.argv[1])
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    frames.settimeout(10)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    while True:
        packet = frames.recv(65535)
        if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            continue
        head = packet[(packet[0] & 15) * 4:]
        source, target, sequence, _, _, flags = struct.unpack("!HHIIBB", head[:14])
        if source != port or flags & (SYN | ACK) != ACK:
            continue
        ends = packet[12:20]
        reset = struct.pack("!HHIIBBHHH", source, target, sequence, 0, 5 << 4, RST, 0, 0, 0)
        sum_ = checksum(ends + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(reset)) + reset)
        reset = reset[:16] + struct.pack("!H", sum_) + reset[18:]
        raw.sendto(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(reset), 1, 0, 1, socket.IPPROTO_TCP, 0) + ends + reset, (socket.inet_ntoa(ends[4:]), 0))
        return 0


if __name__ == "__main__":
    sys.exit(main())
