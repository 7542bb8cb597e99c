"""Tunnels between the client and the server, with real clients and servers at both ends."""

from __future__ import annotations

import sys
from pathlib import Path

from .proc import must, wait_until

END = Path(__file__).with_name("tunnel_end.py")
NETWORK = 7  # VXLAN's identifier.


class Tunnel:
    """A tunnel of `kind` (vxlan, gre, gre:KEY, ipip, teredo); `inner_client` and `inner_server` are its ends' addresses inside."""

    def __init__(self, bed, kind: str, index: int = 0):
        self.bed = bed
        self.kind = kind
        self.device = f"tunnel{index}"
        self.inner_client, self.inner_server = f"172.31.{index}.1", f"172.31.{index}.2"
        self.prefix = 24
        self.outer = (bed.client_address(4), bed.server_address(4))
        if kind == "teredo":
            self.inner_client, self.inner_server = f"2001:0:c000:201:{index:x}::1", f"2001:0:c000:201:{index:x}::2"
            self.prefix = 64
        self._end("client", self.inner_client, *self.outer)
        self._end("server", self.inner_server, *reversed(self.outer))

    def _end(self, where: str, inner: str, local: str, remote: str) -> None:
        node = self.bed.client if where == "client" else self.bed.server
        if self.kind == "vxlan":
            must(["ip", "-n", node, "link", "add", self.device, "type", "vxlan", "id", str(NETWORK), "local", local, "remote", remote,
                  "dstport", "4789"])
        else:
            process = self.bed.spawn(where, f"{self.device}-{where}", [sys.executable, "-B", str(END), self.kind, local, remote, self.device])
            if not wait_until(lambda: "ready" in process.out(), 5.0):
                raise RuntimeError(process.err())
        nodad = ["nodad"] if ":" in inner else []
        must(["ip", "-n", node, "link", "set", self.device, "mtu", "1400", "addrgenmode", "none"])
        must(["ip", "-n", node, "addr", "add", f"{inner}/{self.prefix}", "dev", self.device, *nodad])
        must(["ip", "-n", node, "link", "set", self.device, "up"])

    def remove(self) -> None:
        for node in (self.bed.client, self.bed.server):
            must(["ip", "-n", node, "link", "del", self.device])

    def resolve(self, name: str, port: int = 443) -> list[str]:
        """resolve returns curl's arguments that make it ask through the tunnel."""
        address = f"[{self.inner_server}]" if ":" in self.inner_server else self.inner_server
        return ["--resolve", f"{name}:{port}:{address}"]
