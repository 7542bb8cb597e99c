"""ice_peer.py PORT [DTLS_PORT]: an ICE peer that answers every connectivity check with success, and repeats each other datagram back.

With DTLS_PORT what is DTLS (RFC 7983) goes to the server on that port of this host, and its answers come back.
"""

import select
import socket
import struct
import sys
import zlib


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def message(kind: int, identifier: bytes, attributes: bytes, sign: bool = True) -> bytes:
    """message makes a STUN message; its integrity has no key that anybody knows."""
    def head(length: int) -> bytes:
        return struct.pack("!HHI", kind, length, 0x2112A442) + identifier
    if sign:
        attributes += attribute(0x0008, b"i" * 20)
        crc = zlib.crc32(head(len(attributes) + 8) + attributes) ^ 0x5354554E
        attributes += attribute(0x8028, struct.pack("!I", crc))
    return head(len(attributes)) + attributes


def check(identifier: bytes = b"a check here") -> bytes:
    return message(1, identifier, attribute(0x0006, b"theirs:mine") + attribute(0x0024, b"\x6e\0\x1e\xff") + attribute(0x802A, b"tiebreak"))


def main(port: int, dtls: int | None) -> None:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.IPPROTO_IP, 8, 1)     # IP_PKTINFO: answers come from the address that was asked.
    sock.setsockopt(socket.IPPROTO_IPV6, 49, 1)  # IPV6_RECVPKTINFO
    sock.bind(("::", port))
    behind: dict[tuple, tuple[socket.socket, list]] = {}
    while True:
        inner = {one: (peer, packet_info) for peer, (one, packet_info) in behind.items()}
        for ready in select.select([sock, *inner], [], [])[0]:
            if ready is not sock:
                peer, packet_info = inner[ready]
                sock.sendmsg([ready.recv(65536)], packet_info, 0, peer)
                continue
            data, ancillary, _flags, peer = sock.recvmsg(65536, 512)
            packet_info = [one for one in ancillary if one[1] == 50]  # IPV6_PKTINFO
            if len(data) >= 20 and data[:2] == b"\0\1":
                sock.sendmsg([message(0x0101, data[8:20], b"")], packet_info, 0, peer)
            elif dtls and data and 20 <= data[0] <= 63:
                if peer not in behind:
                    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    one.connect(("127.0.0.1", dtls))
                    behind[peer] = (one, packet_info)
                behind[peer][0].send(data)
            else:
                sock.sendmsg([data], packet_info, 0, peer)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
