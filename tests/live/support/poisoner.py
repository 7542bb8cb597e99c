"""poisoner.py SPECIFICATION: a resolver that lies, each time in another way, and says the truth besides.

The argument is a JSON object: listen (addresses), names (name -> addresses), victim (a name), attacker (addresses). Any name below
poison.test exists, with the addresses of poison.test; its first label says which lie comes with the answer:

  wrong-id         before the answer, one with another id gives the attacker's address
  wrong-question   before it, one with the right id to a question for the victim, which nobody asked
  other-port       before it, one from another port of this server
  second-answer    behind it, another answer to the same question
  unsolicited      behind it, an answer to a question for the victim
  extra-answer, extra-authority, extra-additional   in it, a record that gives the victim the attacker's address
  owned            none, but the name's address is the attacker's
"""

from __future__ import annotations

import ipaddress
import json
import selectors
import socket
import struct
import sys
import time

ZONE = "poison.test"
OTHER_PORT = 5300
PAUSE = 0.05  # Between two messages, so that they arrive in order.
A, AAAA, IN = 1, 28, 1


def wire_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def question(name: str, kind: int) -> bytes:
    return wire_name(name) + struct.pack("!HH", kind, IN)


def records(name: str, kind: int, addresses: list[str]) -> list[bytes]:
    """records returns the address records of the asked type."""
    packed = [ipaddress.ip_address(address).packed for address in addresses]
    return [wire_name(name) + struct.pack("!HHIH", kind, IN, 60, len(data)) + data
            for data in packed if len(data) == {A: 4, AAAA: 16}.get(kind)]


def message(number: int, asked: bytes, *sections: list[bytes], code: int = 0) -> bytes:
    answer, authority, additional = (*sections, [], [], [])[:3]
    counts = [len(section) for section in (answer, authority, additional)]
    return struct.pack("!HHHHHH", number, 0x8580 | code, 1, *counts) + asked + b"".join(answer + authority + additional)


class Poisoner:
    def __init__(self, specification: dict):
        self.names: dict[str, list[str]] = specification["names"]
        self.victim: str = specification["victim"]
        self.attacker: list[str] = specification["attacker"]

    def addresses(self, name: str) -> list[str] | None:
        return self.names[ZONE] if name.endswith("." + ZONE) else self.names.get(name)

    def messages(self, query: bytes) -> list[tuple[bool, bytes]]:
        """messages returns what goes back, in order, and for each whether another port sends it."""
        number, labels, offset = struct.unpack("!H", query[:2])[0], [], 12
        while query[offset]:
            labels.append(query[offset + 1:offset + 1 + query[offset]].decode("ascii").lower())
            offset += 1 + query[offset]
        asked, kind = query[12:offset + 5], struct.unpack("!H", query[offset + 1:offset + 3])[0]
        name, lie = ".".join(labels), labels[0]
        addresses = self.addresses(name)
        if addresses is None:
            return [(False, message(number, asked, code=3))]
        truth = records(name, kind, addresses)
        honest = (False, message(number, asked, truth))
        if not name.endswith("." + ZONE):
            return [honest]
        forged = records(name, kind, self.attacker)
        about_victim = records(self.victim, kind, self.attacker)
        return {
            "wrong-id": [(False, message(number ^ 1, asked, forged)), honest],
            "wrong-question": [(False, message(number, question(self.victim, kind), about_victim)), honest],
            "other-port": [(True, message(number, asked, forged)), honest],
            "second-answer": [honest, (False, message(number, asked, forged))],
            "unsolicited": [honest, (False, message(number ^ 0x5555, question(self.victim, kind), about_victim))],
            "extra-answer": [(False, message(number, asked, truth + about_victim))],
            "extra-authority": [(False, message(number, asked, truth, about_victim))],
            "extra-additional": [(False, message(number, asked, truth, [], about_victim))],
            "owned": [(False, message(number, asked, forged))],
        }.get(lie, [honest])


def bound(address: str, port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))
    return server


def main() -> None:
    specification = json.loads(sys.argv[1])
    poisoner, selector = Poisoner(specification), selectors.DefaultSelector()
    for address in specification["listen"]:
        selector.register(bound(address, 53), selectors.EVENT_READ, bound(address, OTHER_PORT))
    while True:
        for key, _events in selector.select():
            query, peer = key.fileobj.recvfrom(4096)
            try:
                answers = poisoner.messages(query)
            except (IndexError, UnicodeDecodeError, struct.error):
                continue  # No question of a resolver's client.
            for i, (elsewhere, data) in enumerate(answers):
                time.sleep(PAUSE if i else 0)
                (key.data if elsewhere else key.fileobj).sendto(data, peer)


if __name__ == "__main__":
    main()
