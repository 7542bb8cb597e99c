"""Real servers whose sessions begin in plaintext and go over to TLS, in the server's namespace: aiosmtpd, Dovecot, vsftpd,
PostgreSQL, MariaDB, OpenLDAP and Prosody. Each takes the throw-away certificate of Servers."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

from .proc import must
from .servers import Servers

PORTS = {"smtp": 25, "imap": 143, "pop3": 110, "ftp": 21, "postgresql": 5432, "mysql": 3306, "ldap": 389, "xmpp": 5222}
USER, PASSWORD = "someone", "the-secret-password"
PG_BIN = "/usr/lib/postgresql/15/bin"

TOOLS = ("dovecot", "vsftpd", "mariadbd", "mariadb", "mariadb-install-db", "slapd", "ldapsearch", "psql", "prosody", "openssl")


class UpgradeServers:
    def __init__(self, servers: Servers, folder: str = "upgrade"):
        self.servers, self.bed = servers, servers.bed
        self.root: Path = servers.root / folder
        self.root.mkdir()
        self.bed.scratch.chmod(0o755)
        self.root.chmod(0o777)

    def _own(self, folder: str, user: str) -> Path:
        """_own makes a folder with the certificate that belongs to `user`."""
        path = self.root / folder
        path.mkdir()
        entry = pwd.getpwnam(user)
        for source in (self.servers.cert, self.servers.key):
            shutil.copy(source, path / source.name)
        for one in (path, path / "cert.pem", path / "key.pem"):
            os.chown(one, entry.pw_uid, entry.pw_gid)
        (path / "key.pem").chmod(0o600)
        path.chmod(0o700)
        return path

    def _spawn(self, protocol: str, command: list[str], user: str | None = None) -> None:
        uid = pwd.getpwnam(user).pw_uid if user else None
        self.bed.spawn("server", f"upgrade-{protocol}", command, uid)

    def _wait(self, protocol: str) -> None:
        self.bed.wait_listening("server", "tcp", PORTS[protocol], 25.0)

    def smtp(self) -> None:
        code = ("import asyncio, ssl, sys\n"
                "from aiosmtpd.smtp import SMTP\n"
                "from aiosmtpd.handlers import Sink\n"
                "port, cert, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]\n"
                "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
                "context.load_cert_chain(cert, key)\n"
                "async def main():\n"
                "    make = lambda: SMTP(Sink(), tls_context=context, hostname='mail.test')\n"
                "    server = await asyncio.get_running_loop().create_server(make, None, port)\n"
                "    await server.serve_forever()\n"
                "asyncio.run(main())\n")
        self._spawn("smtp", ["/usr/bin/python3", "-c", code, str(PORTS["smtp"]), str(self.servers.cert), str(self.servers.key)])
        self._wait("smtp")

    def liar(self, port: int) -> None:
        """liar starts an SMTP server that says more behind its agreement to STARTTLS."""
        code = ("import socketserver, sys\n"
                "class Liar(socketserver.StreamRequestHandler):\n"
                "    def handle(self):\n"
                "        self.wfile.write(b'220 liar.test ESMTP\\r\\n')\n"
                "        for line in self.rfile:\n"
                "            self.wfile.write(b'220 go\\r\\n250 x\\r\\n' if line == b'STARTTLS\\r\\n' else b'250-liar.test\\r\\n250 STARTTLS\\r\\n')\n"
                "class Server(socketserver.ThreadingTCPServer):\n"
                "    allow_reuse_address = daemon_threads = True\n"
                "    address_family = socketserver.socket.AF_INET6\n"
                "Server(('::', int(sys.argv[1])), Liar).serve_forever()\n")
        self.bed.spawn("server", "liar-smtp", ["/usr/bin/python3", "-c", code, str(port)])
        self.bed.wait_listening("server", "tcp", port)

    def mail(self) -> None:
        """mail starts Dovecot for IMAP and POP3."""
        folder = self.root / "dovecot"
        folder.mkdir()
        (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}:65534:65534::{folder}/mail\n")
        (folder / "mail").mkdir(mode=0o777)
        (folder / "mail").chmod(0o777)
        config = folder / "dovecot.conf"
        config.write_text(f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap pop3
ssl = yes
ssl_cert = <{self.servers.cert}
ssl_key = <{self.servers.key}
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:~/mail
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3s {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
""")
        self._spawn("mail", ["dovecot", "-F", "-c", str(config)])
        self._wait("imap")
        self._wait("pop3")

    def ftp(self) -> None:
        empty, config = self.root / "ftp-empty", self.root / "vsftpd.conf"
        empty.mkdir()
        config.write_text(f"""
listen_ipv6=YES
listen=NO
listen_port={PORTS["ftp"]}
background=NO
anonymous_enable=YES
local_enable=NO
anon_root={self.servers.www}
secure_chroot_dir={empty}
seccomp_sandbox=NO
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=NO
force_anon_data_ssl=NO
ssl_ciphers=HIGH
rsa_cert_file={self.servers.cert}
rsa_private_key_file={self.servers.key}
""")
        self._spawn("ftp", ["vsftpd", str(config)])
        self._wait("ftp")

    def postgresql(self) -> None:
        folder = self._own("postgresql", "postgres")
        data = folder / "data"
        must(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", f"{PG_BIN}/initdb", "-D", str(data), "-A", "trust", "-U",
              USER, "--no-sync"], timeout=60)
        (data / "pg_hba.conf").write_text("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
        self._spawn("postgresql", ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", f"{PG_BIN}/postgres", "-D", str(data),
                                   "-c", "listen_addresses=*", "-c", f"port={PORTS['postgresql']}", "-c", "ssl=on", "-c",
                                   f"ssl_cert_file={folder}/cert.pem", "-c", f"ssl_key_file={folder}/key.pem", "-c",
                                   f"unix_socket_directories={folder}", "-c", "fsync=off"])
        self._wait("postgresql")

    def mysql(self) -> None:
        folder = self._own("mysql", "nobody")
        data = folder / "data"
        must(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=nobody", "--skip-test-db", "--auth-root-authentication-method=normal"],
             timeout=60)
        setup = folder / "setup.sql"
        setup.write_text(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n")
        setup.chmod(0o644)
        self._spawn("mysql", ["mariadbd", "--no-defaults", f"--datadir={data}", "--user=nobody", "--bind-address=*", f"--port={PORTS['mysql']}",
                              f"--socket={folder}/socket", f"--ssl-cert={folder}/cert.pem", f"--ssl-key={folder}/key.pem",
                              f"--init-file={setup}", f"--pid-file={folder}/pid", "--innodb-buffer-pool-size=8M", "--skip-name-resolve"])
        self._wait("mysql")

    def ldap(self) -> None:
        folder = self.root / "ldap"
        (folder / "db").mkdir(parents=True)
        config = folder / "slapd.conf"
        config.write_text(f"""
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCertificateFile {self.servers.cert}
TLSCertificateKeyFile {self.servers.key}
database mdb
maxsize 10485760
suffix "dc=test"
rootdn "cn={USER},dc=test"
rootpw {PASSWORD}
directory {folder}/db
""")
        self._spawn("ldap", ["slapd", "-d", "0", "-f", str(config), "-h", f"ldap://:{PORTS['ldap']}/"])
        self._wait("ldap")

    def xmpp(self) -> None:
        folder = self._own("prosody", "prosody")
        config = folder / "prosody.cfg.lua"
        config.write_text(f"""
pidfile = "{folder}/pid"
data_path = "{folder}"
run_as_root = false
modules_enabled = {{ "saslauth"; "tls"; "disco"; }}
modules_disabled = {{ "s2s"; }}
interfaces = {{ "*", "::" }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
ssl = {{ certificate = "{folder}/cert.pem"; key = "{folder}/key.pem"; }}
log = {{ info = "{folder}/log" }}
VirtualHost "allowed.test"
""")
        config.chmod(0o644)
        self._spawn("xmpp", ["setpriv", "--reuid=prosody", "--regid=prosody", "--clear-groups", "prosody", "-F", "--config", str(config)])
        self._wait("xmpp")
