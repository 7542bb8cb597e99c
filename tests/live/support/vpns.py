"""Real VPNs between the client and the server: WireGuard (wireguard-go), OpenVPN, and IKE (strongSwan's charon).

Each end runs in a mount namespace with a /run of its own, where these programs insist on their sockets and pid files.
"""

from __future__ import annotations

import os
from pathlib import Path

from .proc import Process, Result, must, wait_until
from .servers import Servers

WIREGUARD_PORT, OPENVPN_PORT, IKE_PORT, IKE_NAT_PORT = 51820, 1194, 500, 4500
OWN_RUN = "mount -t tmpfs tmpfs /run && "


class Vpns:
    def __init__(self, servers: Servers):
        self.servers, self.bed = servers, servers.bed
        self.root: Path = servers.root / "vpn"
        self.root.mkdir()
        self._serial = 0

    def _shell(self, where: str, name: str, script: str, env: dict[str, str] | None = None) -> Process:
        return self.bed.spawn(where, name, ["sh", "-c", OWN_RUN + script], env={**os.environ, **(env or {})})

    # --- WireGuard ----------------------------------------------------------------------------------

    def start_wireguard(self) -> None:
        keys = {}
        for end in ("client", "server"):
            private = must(["wg", "genkey"]).out
            keys[end] = private.strip(), must(["wg", "pubkey"], stdin=private.encode()).out.strip()
        self._keys = keys
        config = self.root / "wg-server.conf"
        config.write_text(f"[Interface]\nPrivateKey = {keys['server'][0]}\nListenPort = {WIREGUARD_PORT}\n"
                          f"[Peer]\nPublicKey = {keys['client'][1]}\nAllowedIPs = 172.29.0.1/32\n")
        self._wireguard("server", "wg-server", config, "172.29.0.2")
        self.bed.wait_listening("server", "udp", WIREGUARD_PORT)

    def _wireguard(self, where: str, device: str, config: Path, inner: str) -> Process:
        return self._shell(where, device, f"{{ wireguard-go -f {device} & }}; until wg show {device} >/dev/null 2>&1; do sleep 0.05; done; "
                                          f"wg setconf {device} {config} && ip addr add {inner}/24 dev {device} && ip link set {device} up; wait")

    def wireguard(self, address: str, seconds: float = 4.0) -> bool:
        """wireguard tells whether a datagram came back through a tunnel to the address; a sink is on port 9000 there."""
        host = f"[{address}]" if ":" in address else address
        self._serial += 1
        device = f"wg{self._serial}"
        config = self.root / f"{device}.conf"
        config.write_text(f"[Interface]\nPrivateKey = {self._keys['client'][0]}\n[Peer]\nPublicKey = {self._keys['server'][1]}\n"
                          f"AllowedIPs = 172.29.0.0/24\nEndpoint = {host}:{WIREGUARD_PORT}\nPersistentKeepalive = 1\n")
        process = self._wireguard("client", device, config, "172.29.0.1")
        code = ("import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.settimeout(0.3)\n"
                f"for i in range({int(seconds / 0.3)}):\n"
                "    try:\n        s.sendto(b'inside',('172.29.0.2',9000)); s.recv(100); sys.exit(0)\n    except OSError: pass\nsys.exit(1)\n")
        if not wait_until(lambda: "172.29.0.1" in self.bed.run("client", ["ip", "addr", "show", "dev", device]).out, 5.0):
            raise RuntimeError(process.err())
        worked = self.bed.run("client", ["python3", "-c", code], seconds + 5).code == 0
        process.stop(1.0)
        return worked

    # --- OpenVPN ------------------------------------------------------------------------------------

    def start_openvpn(self) -> None:
        """start_openvpn starts a server for UDP and one for TCP."""
        for transport, proto in (("udp", "udp6"), ("tcp", "tcp6-server")):
            net = "172.28.0.0" if transport == "udp" else "172.27.0.0"
            self.bed.spawn("server", f"openvpn-{transport}", [
                "openvpn", "--dev", f"tun-{transport}", "--dev-type", "tun", "--proto", proto, "--port", str(OPENVPN_PORT), "--server", net, "255.255.255.0",
                "--topology", "subnet", "--dh", "none", "--duplicate-cn", "--keepalive", "1", "10",
                *(["--multihome"] if transport == "udp" else []), *self._certificates()])
            self.bed.wait_listening("server", transport, OPENVPN_PORT)

    def _certificates(self) -> list[str]:
        return ["--ca", str(self.servers.ca), "--cert", str(self.servers.cert), "--key", str(self.servers.key)]

    def openvpn(self, address: str, transport: str = "udp", seconds: float = 4.0) -> bool:
        """openvpn tells whether a client got through its handshake."""
        family = "6" if ":" in address else "4"
        proto = f"udp{family}" if transport == "udp" else f"tcp{family}-client"
        self._serial += 1
        process = self.bed.spawn("client", f"openvpn{self._serial}", [
            "openvpn", "--client", "--dev", f"ovpn{self._serial}", "--dev-type", "tun", "--proto", proto, "--remote", address, str(OPENVPN_PORT), "--nobind",
            "--connect-retry-max", "1", "--hand-window", "4", *self._certificates()])
        done = "Initialization Sequence Completed"
        wait_until(lambda: done in process.out() or not process.running(), seconds)
        worked = done in process.out()
        process.stop(1.0)
        return worked

    # --- IKE ----------------------------------------------------------------------------------------

    def start_ike(self) -> None:
        self._charon("server")
        self._swanctl("server", "--load-all", "--file", str(self._connections("server", "%any", "%any", "responder")))

    def _charon(self, where: str) -> None:
        config = self.root / f"strongswan-{where}.conf"
        config.write_text(f"""
charon {{
  load = random nonce aes sha1 sha2 hmac kdf gmp drbg pem pkcs1 pubkey kernel-netlink socket-default vici
  install_routes = no
  retransmit_tries = 1
  retransmit_timeout = 1
  plugins {{ vici {{ socket = unix://{self._vici(where)} }} }}
  filelog {{ stdout {{ default = 1 }} }}
}}
""")
        self._shell(where, f"charon-{where}", "exec /usr/lib/ipsec/charon", {"STRONGSWAN_CONF": str(config)})
        if not wait_until(lambda: Path(self._vici(where)).exists(), 5.0):
            raise RuntimeError(f"charon did not start: {self.bed.processes[-1].out()[-500:]} {self.bed.processes[-1].err()[-500:]}")

    def _vici(self, where: str) -> str:
        return f"{self.root}/{where}.vici"

    def _swanctl(self, where: str, *arguments: str, timeout: float = 10.0) -> Result:
        return self.bed.run(where, ["swanctl", *arguments, "--uri", f"unix://{self._vici(where)}"], timeout)

    def _connections(self, where: str, local: str, remote: str, name: str) -> Path:
        path = self.root / f"{name}.conf"
        here, there = ("client", "server") if where == "client" else ("server", "client")
        path.write_text(f"""
connections {{
  {name} {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes128-sha256-modp2048
    encap = yes
    local {{
      auth = psk
      id = {here}.test
    }}
    remote {{
      auth = psk
      id = {there}.test
    }}
  }}
}}
secrets {{
  ike {{
    secret = "not a secret"
  }}
}}
""")
        return path

    def ike(self, address: str, seconds: float = 4.0) -> bool:
        """ike tells whether both ends agreed on keys, first over UDP port 500, then 4500."""
        if not Path(self._vici("client")).exists():
            self._charon("client")
        self._serial += 1
        name = f"to{self._serial}"
        local = self.bed.client_address(6 if ":" in address else 4)
        self._swanctl("client", "--load-all", "--file", str(self._connections("client", local, address, name)))
        result = self._swanctl("client", "--initiate", "--ike", name, "--timeout", str(max(1, round(seconds))))
        self._swanctl("client", "--terminate", "--ike", name, "--force")
        return "established between" in result.out
