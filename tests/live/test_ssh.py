#!/usr/bin/env python3
"""SSH by address rule: the server's address decides, and the bytes must be SSH."""

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.hello import client_hello
from support.refused import ALERT, expect_printed, received
from support.world import TCP, World, world

ALLOWED, OTHER = 0, 1  # Indices of the server's addresses.


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        for family in (4, 6):
            address = "10.91.9.2" if family == 4 else "fd91:0:0:9::2"
            with world(suite, mode, allow(address, "ssh", "22"), "ssh") as it:
                each(suite, it, f"{mode} v{family}", family)


def each(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: ssh to the allowed address"):
        mark = it.mark()
        result = it.clients.ssh(it.bed.server_address(family, ALLOWED), "head -c 3000000 /dev/zero | wc -c; echo reached")
        expect_equal(result.out.split(), ["3000000", "reached"], result.describe())
        event = it.expect_event(mark, verdict="allow", dport=22)
        expect_equal(event["protocol"], "ssh", "the event")
    with suite.case(f"{label}: ssh to another address is reset at once, and no byte arrives"):
        mark = it.mark()
        result = it.clients.ssh(it.bed.server_address(family, OTHER))
        expect_printed(result, "Connection refused")
        it.expect_nothing_arrived(mark, TCP, 22)
        it.expect_event(mark, verdict="deny", dport=22)
    with suite.case(f"{label}: TLS to the SSH port is not SSH"):
        mark = it.mark()
        answer = it.clients.raw(it.bed.server_address(family, ALLOWED), 22, client_hello("allowed.test"), to_end=True)
        expect(received(answer).endswith(ALERT), str(answer))  # sshd greets whoever comes.
        it.expect_nothing_arrived(mark, TCP, 22)
    with suite.case(f"{label}: bytes of no protocol to the SSH port do not arrive"):
        mark = it.mark()
        answer = it.clients.raw(it.bed.server_address(family, ALLOWED), 22, b"my secret is 42\r\n" * 20, to_end=True)
        expect(b"sallyport" not in received(answer) and answer["error"] == "ECONNRESET", str(answer))
        it.expect_nothing_arrived(mark, TCP, 22)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("sshd", "ssh", "ssh-keygen"))
    Suite("ssh", 150).main(body)
