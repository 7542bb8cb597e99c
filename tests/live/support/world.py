"""World: a testbed with servers, a capture at the server and the program in front of the client."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass

from .capture import Capture
from .clients import Clients
from .daemon import Sallyport, policy_text
from .proc import wait_until
from .servers import Servers
from .suite import Suite, expect, expect_equal
from .testbed import Testbed

TCP, UDP = 6, 17


@dataclass
class World:
    bed: Testbed
    servers: Servers
    clients: Clients
    capture: Capture | None
    firewall: Sallyport

    def mark(self) -> tuple[int, int]:
        """mark returns a position in the capture and in the events."""
        return (self.capture.mark() if self.capture else 0), self.firewall.mark()

    def reload(self, policy: str | None = None, code: int = 0) -> dict:
        """reload has the running service load the policy anew, or that one, and returns its report."""
        if policy is not None:
            self.firewall.policy_path.write_text(policy)
        result = self.firewall.command("reload", "--control", str(self.firewall.control), "--json")
        expect_equal(result.code, code, result.describe())
        return json.loads(result.out)

    def expect_event(self, mark: tuple[int, int], **wanted) -> dict:
        return self.firewall.wait_event(mark[1], **wanted)

    def expect_nothing_arrived(self, mark: tuple[int, int], protocol: int, port: int) -> None:
        """Not one byte of payload reached the server's port since the mark."""
        leaked = [p for p in self.capture.packets(mark[0]) if p.protocol == protocol and p.dport == port and p.payload]
        expect(not leaked, "payload of a denied flow at the server:\n" + "\n".join(str(p) for p in leaked[:5]))

    def expect_nothing_lingers(self, port: int, *ends: str) -> None:
        """Neither end of a refused connection to the server's port waits for the other; or that end alone does not."""
        def left() -> str:
            states = ("exclude", "listening", "exclude", "time-wait", "exclude", "closed")
            looked_at = [(node, which) for node, which in (("server", "sport"), ("client", "dport")) if node in (ends or (node,))]
            return "".join(self.bed.run(node, ["ss", "-Htan", *states, f"{which} = :{port}"]).out for node, which in looked_at)
        expect(wait_until(lambda: not left(), 3.0), "connections linger:\n" + left())

    def expect_never(self, mark: tuple[int, int], forbidden: bytes) -> None:
        """The given bytes are in no packet that reached the server since the mark."""
        leaked = [p for p in self.capture.packets(mark[0]) if forbidden in p.payload]
        expect(not leaked, f"{forbidden!r} at the server:\n" + "\n".join(str(p) for p in leaked[:5]))


@contextmanager
def world(suite: Suite, layout: str, rules: str, *start: str, hops: int | None = None, offload: bool = True, capture: bool = True,
          arguments: tuple[str, ...] = (), bulk_bytes: int = 0, **policy):
    """world starts the named servers (web, ssh, dns, quic, sink, upload) and the program with `rules`."""
    with Testbed(layout, hops, offload) as bed, Servers(bed) as servers:
        starters = {"web": lambda: servers.start_web(bulk_bytes), "ssh": servers.start_ssh, "dns": servers.start_dns,
                    "quic": servers.start_quic, "sink": servers.start_sink, "upload": servers.start_tls_upload}
        for name in start:
            starters[name]()
        recorded = Capture(bed) if capture else None
        with Sallyport(bed, policy_text(bed, rules, **policy), *arguments) as firewall:
            suite.on_failure = firewall.log
            try:
                yield World(bed, servers, Clients(bed, servers), recorded, firewall)
            finally:
                suite.on_failure = None


def modes_and_families():
    for mode in ("host", "gateway"):
        for family in (4, 6):
            yield mode, family
