"""Real servers of the protocols that carry no name, and of those that speak TLS from the first byte, in the server's namespace."""

from __future__ import annotations

import pwd
import shutil
import sys
from pathlib import Path

from .daemon import binary
from .proc import Result, must
from .servers import GREETER, Servers

NTP, REDIS, MQTT, MQTTS, AMQP, POSTGRESQL, MYSQL = 123, 6379, 1883, 8883, 5672, 5432, 3306
SMTPS, IMAPS, POP3S, LDAPS, DOT = 465, 993, 995, 636, 853

# Of this machine, or unpacked beside the program (tools/packages.sh): installed it would take the clock over.
CHRONYD = next((str(path) for path in (Path(binary()).parent / "chrony/usr/sbin/chronyd", Path("/usr/sbin/chronyd")) if path.exists()), None)
OPAQUE = Path(__file__).with_name("opaque.py")
AMQP_SERVER = Path(__file__).with_name("amqp_peer.py")


class Services:
    """Services starts them; every file of theirs is in the testbed's scratch folder, and they end with it."""

    def __init__(self, servers: Servers):
        self.servers, self.bed = servers, servers.bed

    def folder(self, name: str, owner: str | None = None) -> Path:
        folder = self.servers.root / name
        folder.mkdir(exist_ok=True)
        if owner:
            user = pwd.getpwnam(owner)
            shutil.chown(folder, user.pw_uid, user.pw_gid)
        return folder

    def spawn(self, name: str, command: list[str], *ports: int, transport: str = "tcp") -> None:
        self.bed.spawn("server", name, command)
        for port in ports:
            self.bed.wait_listening("server", transport, port, 20.0)

    # --- Time ---------------------------------------------------------------------------------------

    def start_ntp(self, port: int = NTP) -> None:
        """start_ntp starts chronyd, which serves its own time and leaves the clock alone."""
        folder = self.folder(f"chrony-{port}")
        config = folder / "chrony.conf"
        config.write_text(f"port {port}\nallow 0/0\nallow ::/0\nlocal stratum 3\ncmdport 0\nbindcmdaddress /\npidfile {folder}/pid\n")
        self.spawn(f"chronyd-{port}", [CHRONYD, "-x", "-d", "-u", "root", "-f", str(config)], port, transport="udp")

    def ask_time(self, address: str, port: int = NTP, seconds: int = 3) -> Result:
        """ask_time asks once with chronyd as a client, which tells the time and leaves the clock alone."""
        pid = self.bed.scratch / "chrony-client.pid"
        return self.bed.run("client", [CHRONYD, "-Q", "-t", str(seconds), "-u", "root", f"server {address} port {port} iburst maxsamples 1",
                                       "cmdport 0", "bindcmdaddress /", f"pidfile {pid}"], seconds + 8)

    # --- TLS from the first byte ----------------------------------------------------------------------

    def start_greeter(self, protocol: str, port: int) -> None:
        """start_greeter starts the scripted server of smtp or pop3 behind TLS."""
        self.spawn(f"{protocol}s", [sys.executable, str(GREETER), f"{protocol}s", str(port), str(self.servers.cert), str(self.servers.key)], port)

    def start_dovecot(self) -> None:
        folder = self.folder("dovecot")
        config = folder / "dovecot.conf"
        config.write_text(f"""
base_dir = {folder}/run
log_path = {folder}/log
protocols = imap
listen = *, ::
ssl = yes
ssl_cert = <{self.servers.cert}
ssl_key = <{self.servers.key}
mail_location = maildir:{folder}/mail
first_valid_uid = 1
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail
}}
""")
        (folder / "mail").mkdir()
        (folder / "mail").chmod(0o777)
        self.spawn("dovecot", ["dovecot", "-F", "-c", str(config)], IMAPS)

    def start_slapd(self) -> None:
        folder = self.folder("slapd")
        config = folder / "slapd.conf"
        config.write_text(f"""
pidfile {folder}/pid
modulepath /usr/lib/ldap
moduleload back_ldif
include /etc/ldap/schema/core.schema
TLSCertificateFile {self.servers.cert}
TLSCertificateKeyFile {self.servers.key}
database ldif
suffix "dc=test"
rootdn "cn=admin,dc=test"
directory {folder}
""")
        self.spawn("slapd", ["slapd", "-d", "0", "-f", str(config), "-h", f"ldap://:389/ ldaps://:{LDAPS}/"], LDAPS, 389)

    def start_dot(self, *more_ports: int) -> None:
        """start_dot starts unbound, which answers for allowed.test over TLS."""
        folder = self.folder("unbound")
        config = folder / "unbound.conf"
        interfaces = "".join(f"  interface: {host}@{port}\n" for host in ("0.0.0.0", "::") for port in (DOT, *more_ports))
        also = "".join(f"  additional-tls-port: {port}\n" for port in more_ports)
        config.write_text(f"""
server:
{interfaces}{also}  do-daemonize: no
  chroot: ""
  directory: "{folder}"
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  tls-service-key: "{self.servers.key}"
  tls-service-pem: "{self.servers.cert}"
  local-zone: "test." static
  local-data: "hidden.test. A 192.0.2.7"
remote-control:
  control-enable: no
""")
        self.spawn("unbound", ["unbound", "-d", "-p", "-c", str(config)], DOT, *more_ports)

    def start_web_with_quic(self, page: str) -> None:
        """start_web_with_quic starts an nginx that offers QUIC for the names of its page (RFC 7838) and closes each connection."""
        folder = self.folder("alternative")
        (folder / "index.html").write_text(page)
        (folder / "bulk").write_text("bulk")
        temporary = "".join(f" {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = folder / "nginx.conf"
        config.write_text(f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log; user root;
events {{ worker_connections 64; }}
http {{ access_log off; default_type text/html; root {folder};{temporary} keepalive_timeout 0;
  ssl_certificate {self.servers.cert}; ssl_certificate_key {self.servers.key};
  server {{ listen 443 ssl; listen [::]:443 ssl; add_header Alt-Svc 'h3=":443"; ma=3600' always; }} }}
""")
        self.spawn("nginx-alternative", ["nginx", "-c", str(config), "-e", f"{folder}/nginx.log"], 443)

    # --- Brokers and databases ------------------------------------------------------------------------

    def start_mosquitto(self, *more_ports: int) -> None:
        folder = self.folder("mosquitto")
        config = folder / "mosquitto.conf"
        plain = "".join(f"listener {port}\n" for port in (MQTT, *more_ports))
        config.write_text(f"user root\nallow_anonymous true\npersistence false\n{plain}listener {MQTTS}\ncertfile {self.servers.cert}\n"
                          f"keyfile {self.servers.key}\n")
        self.spawn("mosquitto", ["mosquitto", "-c", str(config)], MQTT, MQTTS, *more_ports)

    def start_redis(self) -> None:
        self.spawn("redis", ["redis-server", "--port", str(REDIS), "--bind", "*", "-::*", "--protected-mode", "no", "--save", "", "--appendonly", "no",
                             "--dir", str(self.folder("redis"))], REDIS)

    def start_postgresql(self) -> None:
        """start_postgresql starts PostgreSQL without TLS; it does not run as root."""
        data = self.folder("postgresql", "postgres") / "data"
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        must(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", f"{programs}/initdb", "-D", str(data), "-A", "trust", "-N",
              "--no-instructions"], 60.0, cwd=data.parent)
        with open(data / "pg_hba.conf", "a", encoding="ascii") as file:
            file.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
        user = pwd.getpwnam("postgres").pw_uid
        process = self.bed.spawn("server", "postgresql", [f"{programs}/postgres", "-D", str(data), "-p", str(POSTGRESQL), "-k", str(data.parent), "-c",
                                                          "listen_addresses=*", "-c", "fsync=off"], uid=user)
        assert process
        self.bed.wait_listening("server", "tcp", POSTGRESQL, 20.0)

    def start_mariadb(self) -> None:
        folder = self.folder("mariadb", "nobody")
        data = folder / "data"
        must(["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=nobody", "--auth-root-authentication-method=normal", "--skip-test-db"],
             60.0)
        self.spawn("mariadb", ["mariadbd", "--no-defaults", "--user=nobody", f"--datadir={data}", f"--socket={folder}/socket", f"--pid-file={folder}/pid",
                               f"--port={MYSQL}", "--bind-address=*", "--skip-grant-tables", "--skip-networking=0", "--skip-name-resolve",
                               "--innodb-buffer-pool-size=8M"], MYSQL)

    def start_amqp(self) -> None:
        """start_amqp starts a peer of AMQP 1.0, with Qpid Proton."""
        self.spawn("amqp", ["/usr/bin/python3", str(AMQP_SERVER), "serve", str(AMQP)], AMQP)

    # --- What has no name ------------------------------------------------------------------------------

    def start_opaque(self, kind: str, port: int) -> None:
        """start_opaque starts a server of a protocol that nobody knows; see opaque.py."""
        self.spawn(f"opaque-{port}", [sys.executable, str(OPAQUE), kind, str(port)], port)
