"""Real clients in the client's namespace, and the raw one."""

from __future__ import annotations

import sys
import json
from pathlib import Path

from .proc import Result
from .servers import NAMES, SSH_PORT

RAW_CLIENT = Path(__file__).with_name("raw_client.py")


def http3_worked(result: Result) -> bool:
    """http3_worked says whether the page of 3 bytes came back."""
    return "body 3 bytes" in result.out + result.err


class Clients:
    def __init__(self, bed, servers, timeout: float = 8.0):
        self.bed = bed
        self.servers = servers
        self.timeout = timeout

    def curl(self, url: str, family: int, *arguments: str, timeout: float | None = None, uid: int | None = None) -> Result:
        limit = timeout or self.timeout
        return self.bed.run("client", ["curl", "-sS", f"-{family}", "--cacert", str(self.servers.ca), "-m", str(limit), url, *arguments],
                            limit + 5, uid)

    def s_client(self, name: str | None, family: int, port: int, *arguments: str, index: int = 0) -> Result:
        server_name = ["-servername", name] if name else ["-noservername"]
        address = self.bed.server_address(family, index)
        target = f"[{address}]:{port}" if family == 6 else f"{address}:{port}"
        request = f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode()
        return self.bed.run("client", ["openssl", "s_client", "-connect", target, *server_name, "-CAfile", str(self.servers.ca), "-quiet",
                                       *arguments], self.timeout, stdin=request)

    def http3(self, name: str, family: int, port: int = 443, *arguments: str, seconds: int = 3, index: int | None = None) -> Result:
        """http3 asks ngtcp2's client for /. It takes the name and not --sni for the server name, so for the call the name has
        addresses of one family only; with `index` that address of the server and no other."""
        self.bed.set_hosts(NAMES if index is None else {name: index}, (family,))
        try:
            return self.bed.run("client", ["gtlsclient", "--exit-on-all-streams-close", f"--timeout={seconds}s", "--no-quic-dump",
                                           f"--handshake-timeout={seconds}s", *arguments, name, str(port), f"https://{name}/"], seconds + 8)
        finally:
            self.bed.set_hosts(NAMES)

    def dig(self, name: str, family: int, *arguments: str, kind: str = "A") -> Result:
        return self.bed.run("client", ["dig", "+tries=1", "+time=2", f"@{self.bed.server_address(family)}", *arguments, name, kind], self.timeout)

    def ssh(self, address: str, command: str = "echo reached", port: int = SSH_PORT) -> Result:
        return self.bed.run("client", self.servers.ssh_command(address, command, port), self.timeout + 4)

    def raw(self, address: str, port: int, data: bytes, uid: int | None = None, timeout: float = 20.0, **options) -> dict:
        request = {"address": address, "port": port, "data": data.hex(), **options}
        result = self.bed.run("client", [sys.executable, str(RAW_CLIENT)], timeout, uid, stdin=json.dumps(request).encode() + b"\n")
        if result.code != 0:
            raise RuntimeError(result.describe())
        return json.loads(result.out)
