"""Real servers in the server's namespace: nginx, OpenSSH, dnsmasq, ngtcp2, and sinks that record what they get.

Names:  allowed.test, www.allowed.test, other.test, denied.test, blocked.test -> server address 0
        second.test                                             -> server address 1
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from pathlib import Path

from .proc import Process, must

NAMES = {"allowed.test": 0, "www.allowed.test": 0, "other.test": 0, "denied.test": 0, "blocked.test": 0,
         "second.test": 1}

TLS_PORT, ODD_TLS_PORT, RETRY_TLS_PORT, TLS12_PORT = 443, 4711, 4433, 4712
HTTP_PORT, ODD_HTTP_PORT = 80, 8081
SSH_PORT, DNS_PORT, QUIC_PORT, ODD_QUIC_PORT = 22, 53, 443, 4434
SINK_PORT, BULK_UPLOAD_PORT = 9000, 9443

DTLS_PORT, DTLS_COOKIE_PORT, H2C_PORT = 4444, 4445, 8083
GREETER_PORTS = {"smtp": 25, "imap": 143, "pop3": 110, "ftp": 21, "websocket": 8082, "mqtt": 1883, "postgres": 5432, "socks": 1080}

SINK = Path(__file__).with_name("sink.py")
GREETER = Path(__file__).with_name("greeter.py")
POISONER = Path(__file__).with_name("poisoner.py")


class Servers:
    def __init__(self, bed):
        self.bed = bed
        self.root: Path = bed.scratch / "servers"
        self.www = self.root / "www"
        self.www.mkdir(parents=True)
        self.root.chmod(0o755)
        self.ca = bed.scratch / "ca.pem"
        self.cert, self.key = self.root / "cert.pem", self.root / "key.pem"
        self._made_run_sshd = False
        self._run_sshd: int | None = None
        self._sshds: dict[int, Process] = {}
        bed.set_hosts(NAMES)
        self._make_certificates()

    def _make_certificates(self) -> None:
        ca_key, request = self.root / "ca-key.pem", self.root / "request.pem"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        must(["openssl", "req", "-x509", *curve, "-days", "2", "-subj", "/CN=throw-away test CA", "-keyout", str(ca_key), "-out",
              str(self.ca), "-addext", "keyUsage=critical,keyCertSign"])
        must(["openssl", "req", "-new", *curve, "-subj", "/CN=server.test", "-keyout", str(self.key), "-out", str(request)])
        addresses = [self.bed.server_address(family, index) for family in (4, 6) for index in range(4)]
        names = [f"DNS:{name}" for name in NAMES] + [f"IP:{address}" for address in addresses]
        extensions = self.root / "extensions"
        extensions.write_text("subjectAltName=" + ",".join(names) + "\n")
        must(["openssl", "x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(ca_key), "-CAcreateserial",
              "-days", "2", "-extfile", str(extensions), "-out", str(self.cert)])
        for readable in (self.ca, self.cert):
            readable.chmod(0o644)

    # --- nginx --------------------------------------------------------------------------------------

    def start_web(self, bulk_bytes: int = 0) -> None:
        """start_web starts nginx with TLS and HTTP vhosts that answer with their own name. With `bulk_bytes`, the path
        /bulk is a file of that many zero bytes (sparse: it takes no room on the disk)."""
        (self.www / "index.html").write_text("ok\n")
        if bulk_bytes:
            with open(self.www / "bulk", "wb") as file:
                file.truncate(bulk_bytes)
        listens = "".join(f" listen {port} ssl; listen [::]:{port} ssl;" for port in (TLS_PORT, ODD_TLS_PORT))
        plain = "".join(f" listen {port}; listen [::]:{port};" for port in (HTTP_PORT, ODD_HTTP_PORT))
        special = f"""
  server {{ listen {RETRY_TLS_PORT} ssl; listen [::]:{RETRY_TLS_PORT} ssl; ssl_ecdh_curve secp384r1;
    location / {{ return 200 "vhost $ssl_server_name\\n"; }} }}
  server {{ listen {TLS12_PORT} ssl; listen [::]:{TLS12_PORT} ssl; ssl_protocols TLSv1.2;
    location / {{ return 200 "vhost $ssl_server_name\\n"; }} }}"""
        config = self.root / "nginx.conf"
        temporary = "".join(f" {kind}_temp_path {self.root}/{kind};"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config.write_text(f"""
daemon off; worker_processes 1; pid {self.root}/nginx.pid; error_log {self.root}/nginx.log; user root;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type text/plain; root {self.www}; client_max_body_size 0;{temporary}
  ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {self.cert}; ssl_certificate_key {self.key};
  server {{{listens} server_name _; location = /bulk {{ }} location / {{ return 200 "vhost $ssl_server_name\\n"; }} }}
  server {{{plain} server_name _; location = /bulk {{ }} location / {{ return 200 "vhost $host\\n"; }} }}{special}
}}
""")
        self.bed.spawn("server", "nginx", ["nginx", "-c", str(config), "-e", f"{self.root}/nginx.log"])
        for port in (TLS_PORT, ODD_TLS_PORT, RETRY_TLS_PORT, TLS12_PORT, HTTP_PORT, ODD_HTTP_PORT):
            self.bed.wait_listening("server", "tcp", port)

    def start_h2c(self, port: int = H2C_PORT) -> None:
        """start_h2c starts an nginx that takes HTTP/2 with prior knowledge."""
        folder = self.root / "h2c"
        folder.mkdir()
        temporary = "".join(f" {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = folder / "nginx.conf"
        config.write_text(f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log; user root;
events {{ worker_connections 64; }}
http {{ access_log off; default_type text/plain;{temporary}
  server {{ listen {port} http2; listen [::]:{port} http2; location / {{ return 200 "vhost $host\\n"; }} }} }}
""")
        self.bed.spawn("server", "nginx-h2c", ["nginx", "-c", str(config), "-e", f"{folder}/nginx.log"])
        self.bed.wait_listening("server", "tcp", port)

    # --- DTLS, and servers that greet ----------------------------------------------------------------

    def start_dtls(self) -> None:
        """start_dtls starts two DTLS servers of OpenSSL; the second sends a HelloVerifyRequest first."""
        self._start_dtls(f"-4 -port {DTLS_PORT}", DTLS_PORT)
        self._start_dtls(f"-4 -port {DTLS_COOKIE_PORT} -listen", DTLS_COOKIE_PORT)

    def start_dtls_at(self, port: int, family: int, index: int) -> None:
        """start_dtls_at starts one at that address of the server alone, so that its answers come from there."""
        address = self.bed.server_address(family, index)
        self._start_dtls(f"-{family} -accept " + (f"[{address}]:{port}" if family == 6 else f"{address}:{port}"), port)

    def start_dtls_at_loopback(self, port: int) -> None:
        """start_dtls_at_loopback starts one that others reach only by what hands it on (ice_peer.py)."""
        self._start_dtls(f"-4 -accept 127.0.0.1:{port}", port)

    def _start_dtls(self, where: str, port: int) -> None:
        command = f"openssl s_server {where} -dtls1_2 -quiet -cert {self.cert} -key {self.key}"
        # It ends at the end of its standard input, so it gets one that stays open.
        fifo = self.root / f"dtls-{len(self.bed.processes)}"
        os.mkfifo(fifo)
        self.bed.spawn("server", f"dtls-{port}", ["sh", "-c", f"exec {command} 0<>{fifo}"])
        self.bed.wait_listening("server", "udp", port)

    def start_greeter(self, protocol: str) -> int:
        port = GREETER_PORTS[protocol]
        self.bed.spawn("server", f"greeter-{protocol}", [sys.executable, str(GREETER), protocol, str(port), str(self.cert), str(self.key)])
        self.bed.wait_listening("server", "tcp", port)
        return port

    # --- FTP and NTP ---------------------------------------------------------------------------------

    def start_ftp(self, port: int, data_port: int) -> None:
        """start_ftp starts vsftpd for anonymous users; its passive data connections are all on one port."""
        empty, config = self.root / "ftp-empty", self.root / "vsftpd.conf"
        empty.mkdir()
        (self.www / "index.html").write_text("ok\n")
        config.write_text(f"""
listen=YES
listen_port={port}
background=NO
anonymous_enable=YES
local_enable=NO
anon_root={self.www}
secure_chroot_dir={empty}
seccomp_sandbox=NO
xferlog_enable=NO
pasv_min_port={data_port}
pasv_max_port={data_port}
""")
        self.bed.spawn("server", "vsftpd", ["vsftpd", str(config)])
        self.bed.wait_listening("server", "tcp", port)

    def start_ntp(self) -> None:
        """start_ntp starts a time server of a few lines (RFC 5905 §7.3): each real one takes the place of the machine's own."""
        code = ("import socket, struct, time\n"
                "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                "s.bind(('', 123))\n"
                "now = lambda: int((time.time() + 2208988800) * 2**32)\n"
                "while True:\n"
                "    asked, peer = s.recvfrom(1024)\n"
                "    came = now()\n"
                "    if len(asked) >= 48:\n"
                "        head = struct.pack('!BBBbII4sQ', 0x24, 1, asked[2], -20, 0, 1, b'TEST', came)\n"
                "        s.sendto(head + asked[40:48] + struct.pack('!QQ', came, now()), peer)\n")
        self.bed.spawn("server", "ntp", [sys.executable, "-c", code])
        self.bed.wait_listening("server", "udp", 123)

    # --- OpenSSH ------------------------------------------------------------------------------------

    def start_ssh(self, port: int = SSH_PORT, more: str = "") -> None:
        """start_ssh starts sshd; each has a host key of its own. `more` is added to its configuration."""
        folder = self.root / "ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        if not (folder / "user").exists():
            must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "user")])
            (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
        self.start_another_ssh(port, more)

    def host_key(self, port: int) -> Path:
        """host_key returns the public host key of the server on the port."""
        return self.root / "ssh" / f"host-{port}.pub"

    def ssh_log(self, port: int) -> str:
        """ssh_log returns what the server on the port said, with its key exchange and authentication."""
        return self._sshds[port].err()

    def start_another_ssh(self, port: int, more: str = "") -> None:
        """start_another_ssh starts a server with a host key of its own, for the same users, beside that of start_ssh."""
        folder = self.root / "ssh"
        must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / f"host-{port}")])
        config = folder / f"sshd_config-{port}"
        config.write_text(f"""
{more}
Port {port}
LogLevel DEBUG1
HostKey {folder}/host-{port}
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
""")
        self._share_run_sshd()
        self._sshds[port] = self.bed.spawn("server", f"sshd-{port}", ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)])
        self.bed.wait_listening("server", "tcp", port)

    def ssh_command(self, host: str, command: str, port: int = SSH_PORT, more: tuple[str, ...] = ()) -> list[str]:
        folder = self.root / "ssh"
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=8", "LogLevel=ERROR",
                   "GlobalKnownHostsFile=/dev/null", *more]
        arguments = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "none", "-p", str(port), "-i", str(folder / "user"), *arguments, f"root@{host}", command]

    def start_lines(self, port: int, text: str) -> None:
        """start_lines starts a server that answers the first bytes of each connection with `text` and ends."""
        code = ("import socket\n"
                f"s = socket.create_server(('', {port}), family=socket.AF_INET6, dualstack_ipv6=True)\n"
                "while True:\n"
                "    c, _ = s.accept()\n"
                "    with c:\n"
                f"        c.recv(4096); c.sendall({text.encode()!r})\n")
        self.bed.spawn("server", "lines", [sys.executable, "-c", code])
        self.bed.wait_listening("server", "tcp", port)

    # --- dnsmasq ------------------------------------------------------------------------------------

    def start_dns(self, *more: str) -> None:
        """start_dns starts dnsmasq, which answers for every name below .test; `more` are arguments for it."""
        addresses = [f"--address=/{name}/{self.bed.server_address(family, index)}"
                     for name, index in {"test": 0, **NAMES}.items() for family in (4, 6)]
        self.bed.spawn("server", "dnsmasq", ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                                             "--user=root", "--pid-file=", "--log-facility=-", f"--port={DNS_PORT}", *addresses, *more])
        self.bed.wait_listening("server", "udp", DNS_PORT)
        self.bed.wait_listening("server", "tcp", DNS_PORT)

    def start_poisoner(self, index: int, names: dict[str, int], victim: str, attacker: int, families: tuple[int, ...] = (4, 6)) -> None:
        """start_poisoner starts the resolver that lies (poisoner.py) at the server's address of that index."""
        addresses = lambda which: [self.bed.server_address(family, which) for family in families]
        specification = {"listen": addresses(index), "names": {name: addresses(which) for name, which in names.items()}, "victim": victim,
                         "attacker": addresses(attacker)}
        self.bed.spawn("server", "poisoner", [sys.executable, str(POISONER), json.dumps(specification)])
        self.bed.wait_listening("server", "udp", DNS_PORT)

    # --- QUIC ---------------------------------------------------------------------------------------

    def start_quic(self, ports: tuple[int, ...] = (QUIC_PORT, ODD_QUIC_PORT)) -> None:
        """start_quic starts ngtcp2's HTTP/3 server, one for each port."""
        (self.www / "index.html").write_text("ok\n")
        for port in ports:
            self.bed.spawn("server", f"gtlsserver-{port}", ["/usr/sbin/gtlsserver", "-q", "-d", str(self.www), "*", str(port),
                                                           str(self.key), str(self.cert)])
            self.bed.wait_listening("server", "udp", port)

    # --- Sinks --------------------------------------------------------------------------------------

    def start_sink(self, port: int = SINK_PORT) -> Process:
        """start_sink listens on TCP and UDP, keeps what it gets, and answers each piece with `got N`."""
        sink = self.bed.spawn("server", f"sink-{port}", [sys.executable, str(SINK), "plain", str(port), str(self.sink_log(port))])
        self.bed.wait_listening("server", "tcp", port)
        self.bed.wait_listening("server", "udp", port)
        return sink

    def sink_log(self, port: int = SINK_PORT) -> Path:
        return self.root / f"sink-{port}.jsonl"

    def sink_records(self, port: int = SINK_PORT) -> list[dict]:
        path = self.sink_log(port)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def sink_bytes(self, port: int = SINK_PORT) -> bytes:
        return b"".join(bytes.fromhex(record["data"]) for record in self.sink_records(port))

    def start_tls_upload(self, port: int = BULK_UPLOAD_PORT) -> None:
        """start_tls_upload starts a TLS server that counts what it gets and answers with the count."""
        self.bed.spawn("server", "upload", [sys.executable, str(SINK), "tls", str(port), str(self.cert), str(self.key)])
        self.bed.wait_listening("server", "tcp", port)

    def _share_run_sshd(self) -> None:
        """sshd insists on its privilege separation folder, for each session. Suites that run at once share it by a lock."""
        while self._run_sshd is None:
            try:
                os.mkdir("/run/sshd", 0o755)
                self._made_run_sshd = True
            except FileExistsError:
                pass
            with contextlib.suppress(FileNotFoundError):  # Another suite has just removed it.
                folder = os.open("/run/sshd", os.O_RDONLY | os.O_DIRECTORY)
                fcntl.flock(folder, fcntl.LOCK_SH)
                if os.path.samestat(os.stat("/run/sshd"), os.fstat(folder)):
                    self._run_sshd = folder

    def close(self) -> None:
        if self._run_sshd is None:
            return
        try:
            fcntl.flock(self._run_sshd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._made_run_sshd:
                os.rmdir("/run/sshd")
        except OSError:
            pass  # Others use it.
        os.close(self._run_sshd)

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *_error) -> None:
        self.close()
