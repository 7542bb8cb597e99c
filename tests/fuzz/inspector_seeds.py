#!/usr/bin/python3
"""inspector_seeds.py CASE_FOLDER[:POLICY]...: writes tests/fuzz/corpus/inspector/NAME for each replay case.

A seed is the case's packets in the form that inspector_fuzz reads: control byte (direction in bits 0-1,
time step in bits 3-7), 16-bit length, IP packet. With the word of one of its policies the seed begins with the step
that chooses it and the one that binds allowed.test where a binding is missed; and the inspector is asked after each packet.
"""
import pathlib
import struct
import sys

ORIGINAL, REPLY = 1, 2
LINK_HEADER = {1: 14, 101: 0, 12: 0, 113: 16, 276: 20}  # DLT_EN10MB, RAW, RAW, LINUX_SLL, LINUX_SLL2
SEED_MAX = 16 * 1024
POLICIES = ("claimed", "strict", "any-name", "at-once")
MISS_BINDS_ALLOWED = bytes([3 | 4 << 3 | 1 << 6, 1])
ASK = bytes([7])


def packets(path):
    data = path.read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    link = struct.unpack(order + "I", data[20:24])[0] & 0xFFFF
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack(order + "I", data[at + 8:at + 12])[0]
        yield data[at + 16 + LINK_HEADER[link]:at + 16 + length]
        at += 16 + length


def source_of(packet):
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def main():
    target = pathlib.Path(__file__).parent / "corpus" / "inspector"
    target.mkdir(parents=True, exist_ok=True)
    for argument in sys.argv[1:]:
        folder, _, policy = argument.partition(":")
        case, clients = pathlib.Path(folder), {}
        seed = bytes([3 | POLICIES.index(policy) << 6]) + MISS_BINDS_ALLOWED if policy else b""
        for packet in packets(case / "input.pcap"):
            client = clients.setdefault(packet[0] >> 4, source_of(packet))  # Of each family.
            control = (ORIGINAL if source_of(packet) == client else REPLY) | 1 << 3
            if len(seed) + len(packet) + 3 > SEED_MAX:
                break
            seed += struct.pack(">BH", control, len(packet)) + packet + (ASK if policy else b"")
        (target / (f"{case.name}-{policy}" if policy else case.name)).write_bytes(seed)


if __name__ == "__main__":
    main()
