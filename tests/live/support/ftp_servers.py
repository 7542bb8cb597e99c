"""FTP servers in the server's namespace: vsftpd (with and without TLS), pyftpdlib, and one that lies (liar_ftp.py)."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

DATA_FIRST, DATA_LAST = 40_000, 40_100
LIAR = Path(__file__).with_name("liar_ftp.py")
CONTENT = "what the file holds\n"

PYFTPD = """
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import MultiprocessFTPServer
port, first, last, folder, address = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
authorizer = DummyAuthorizer()
authorizer.add_anonymous(folder, perm="elradfmwMT")
class Handler(FTPHandler):
    passive_ports = range(first, last)
Handler.authorizer = authorizer
MultiprocessFTPServer((address, port), Handler).serve_forever()
"""


class FtpServers:
    def __init__(self, servers):
        self.servers, self.bed = servers, servers.bed
        self.files = servers.root / "ftp"
        upload = self.files / "upload"
        upload.mkdir(parents=True, exist_ok=True)
        (self.files / "file").write_text(CONTENT)
        upload.chmod(0o777)
        self.empty = servers.root / "ftp-empty-dir"
        self.empty.mkdir(exist_ok=True)

    def start_vsftpd(self, port: int, tls: bool = False) -> None:
        encrypted = f"ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\nrequire_ssl_reuse=NO\n" \
                    f"rsa_cert_file={self.servers.cert}\nrsa_private_key_file={self.servers.key}\n"
        config = self.servers.root / f"vsftpd-{port}.conf"
        config.write_text(f"""
listen_ipv6=YES
listen_port={port}
background=NO
anonymous_enable=YES
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
anon_umask=022
anon_root={self.files}
secure_chroot_dir={self.empty}
connect_from_port_20=NO
port_promiscuous=NO
seccomp_sandbox=NO
xferlog_enable=NO
pasv_min_port={DATA_FIRST}
pasv_max_port={DATA_LAST}
{encrypted if tls else ""}
""")
        self.bed.spawn("server", f"vsftpd-{port}", ["vsftpd", str(config)])
        self.bed.wait_listening("server", "tcp", port)

    def start_pyftpd(self, port: int, family: int) -> None:
        self.bed.spawn("server", f"pyftpd-{port}", ["/usr/bin/python3", "-c", PYFTPD, str(port), str(DATA_FIRST), str(DATA_LAST), str(self.files),
                                                    self.bed.server_address(family)])
        self.bed.wait_listening("server", "tcp", port)

    def start_liar(self, port: int, kind: str) -> None:
        """start_liar starts a server whose answer to PASV or EPSV is not true (liar_ftp.py says how)."""
        self.bed.spawn("server", f"liar-{kind}", [sys.executable, str(LIAR), str(port), kind])
        self.bed.wait_listening("server", "tcp", port)

    def uploaded(self, name: str) -> str | None:
        path = self.files / "upload" / name
        return path.read_text() if path.exists() else None


def have_pyftpd() -> bool:
    return shutil.which("vsftpd") is not None and os.path.isdir("/usr/lib/python3/dist-packages/pyftpdlib")
