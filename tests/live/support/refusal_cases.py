"""What each real client is given to do, one denied thing each, and what it prints of the refusal (test_refusals.py)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

PYTHON = "/usr/bin/python3"  # The one that Debian's packages are for.
HERE = Path(__file__).resolve().parent
# Ports of the servers. No rule allows anything on NOBODYS; on STRICT a name must be bound to the address.
DNS, NOBODYS, STRICT, HOST_KEYS, OPAQUE, STUN, H2C, PROXY, SOCKS = 53, 9999, 2022, 2222, 9000, 3478, 8083, 3128, 1084
TCP, UDP, ICMP = 6, 17, 1
SAYS = r"sallyport: \S+ .*"


@dataclass(frozen=True)
class Place:
    """What a command needs to know of its surroundings."""
    family: int
    address: str   # Of denied.test and allowed.test.
    second: str    # Where rules demand TLS.
    ca: Path
    scratch: Path
    ssh: Callable[..., list[str]]
    key_hash: str

    @property
    def host(self) -> str:
        return f"[{self.address}]" if self.family == 6 else self.address


@dataclass(frozen=True)
class Shown:
    """What a client shows of a refusal."""
    code: int | tuple[int, ...]
    line: str       # A regular expression; what it is found in is the line of the table.


@dataclass(frozen=True)
class Case:
    group: str
    client: str
    what: str       # As the table has it.
    port: int
    command: Callable[[Place], list[str]]
    speak: Shown
    reset: Shown
    transport: int = TCP
    room: bool = True            # The client shows the text of a refusal that speaks.
    secret: bytes | None = None  # What must not arrive, where other bytes of the client may. None: no byte may.
    silent: bool = True          # The client's bytes are looked for at the server.
    starts: bool = False         # The program takes longer to start than the refusal may take: its time counts from the refusal.
    bound: float = 0.1           # Seconds until the client has ended.
    core: bool = False           # Also in gateway mode, and with IPv6.
    env: dict[str, str] = field(default_factory=dict)
    stdin: bytes | None = None
    reset_bound: float | None = None  # With refuse = "reset", where it differs.


def bound_of(case: Case, refuse: str) -> float:
    return case.reset_bound if refuse == "reset" and case.reset_bound else case.bound


def python(code: str, *words: str) -> list[str]:
    return [PYTHON, "-B", "-c", code, *words]


# --- TLS ----------------------------------------------------------------------------------------------

REQUESTS = ("import requests, sys\n"
            "try:\n    r = requests.get(sys.argv[1], verify=sys.argv[2], timeout=8)\n"
            "except requests.RequestException as error:\n    sys.exit(f'{type(error).__name__}: {error}')\n"
            "print(r.status_code, r.text)\nsys.exit(not r.ok)\n")
FETCH = ("fetch(process.argv[1], {signal: AbortSignal.timeout(8000)}).then(async r => { console.log(r.status, await r.text()); process.exitCode = r.ok ? 0 : 1; })"
         ".catch(e => { console.log(String(e), e.cause ? e.cause.code + ' ' + e.cause.message : ''); process.exitCode = 1; })")


# nghttp2's own clients and curl 7.88 send all streams of a connection to one host.
TWO_STREAMS = f"""
const session = require('http2').connect('http://allowed.test:{H2C}/');
session.on('goaway', (code, last, data) => console.log('GOAWAY', code, last, data ? data.toString() : ''));
session.on('error', e => console.log('session', String(e)));
const ask = (host, path, then) => {{
  const stream = session.request({{':authority': host, ':path': path}});
  let status, text = '';
  stream.on('response', head => {{ status = head[':status']; }});
  stream.on('data', data => {{ text += data; }});
  stream.on('error', e => {{ text += String(e); }});
  stream.on('close', () => {{ console.log(host, status, text.trim()); then(); }});
}};
ask('allowed.test', '/', () => ask('denied.test', '/stolen', () => session.close()));
setTimeout(() => process.exit(2), 5000).unref();
"""


def chromium(url: str, *more: str) -> Callable[[Place], list[str]]:
    return lambda p: ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-background-networking",
                      "--disable-component-update", f"--ignore-certificate-errors-spki-list={p.key_hash}", *more,
                      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE denied.test, EXCLUDE allowed.test",
                      f"--user-data-dir={p.scratch}/chromium", "--timeout=8000", "--dump-dom", url]


def curl(*words: str) -> Callable[[Place], list[str]]:
    return lambda p: ["curl", "-sS", "--cacert", str(p.ca), "-m", "8", *(w.replace("HOST", p.host).replace("SCRATCH", str(p.scratch)) for w in words)]


ALERT = r"alert access denied"
RESET = r"[Cc]onnection reset by peer"
TLS = [
    Case("TLS", "curl", "curl https://denied.test/", 443, curl("https://denied.test/"), Shown(35, r"curl: \(35\).*" + ALERT),
         Shown(35, r"curl: \(35\).*(" + RESET + "|SSL_connect)"), room=False, core=True),
    Case("TLS", "OpenSSL", "openssl s_client -servername denied.test", 443,
         lambda p: ["openssl", "s_client", "-connect", f"{p.host}:443", "-servername", "denied.test", "-CAfile", str(p.ca), "-brief"],
         Shown(1, ALERT + r".*SSL alert number 49"), Shown(1, r"errno=104|[Cc]onnection reset"), room=False, core=True),
    Case("TLS", "GnuTLS", "gnutls-cli denied.test", 443, lambda p: ["gnutls-cli", "--x509cafile", str(p.ca), "-p", "443", "denied.test"],
         Shown(1, r"Received alert \[49\]: .*"), Shown(1, r"Fatal error|pull function|reset"), room=False),
    Case("TLS", "wget", "wget https://denied.test/", 443, lambda p: ["wget", "-t1", "-T8", f"--ca-certificate={p.ca}", "-O-", "https://denied.test/"],
         Shown(4, r"GnuTLS: .*alert.*|Unable to establish SSL"), Shown(4, r"Unable to establish SSL"), room=False),
    Case("TLS", "Python requests", "requests.get('https://denied.test/')", 443, lambda p: python(REQUESTS, "https://denied.test/", str(p.ca)),
         Shown(1, r"SSLError.*ACCESS_DENIED"), Shown(1, r"ConnectionError.*Connection reset by peer"), room=False, starts=True, bound=0.3),
    Case("TLS", "node", "fetch('https://denied.test/')", 443, lambda p: ["node", "-e", FETCH, "https://denied.test/"],
         Shown(1, r"fetch failed.*ACCESS_DENIED"), Shown(1, r"fetch failed.*ECONNRESET"), room=False, starts=True, bound=0.3),
    Case("TLS", "git", "git ls-remote https://denied.test/repo", 443, lambda p: ["git", "ls-remote", "https://denied.test/repo"],
         Shown(128, r"fatal: unable to access.*(Access was denied|alert)"), Shown(128, r"fatal: unable to access.*"), room=False),
    Case("TLS", "Chromium", "chromium https://denied.test/", 443, chromium("https://denied.test/", "--disable-quic"),
         Shown(0, r"ERR_\w+"), Shown(0, r"ERR_CONNECTION_(RESET|CLOSED)"), room=False, starts=True, bound=4.0),
]

# --- HTTP ---------------------------------------------------------------------------------------------

HTTP = [
    Case("HTTP/1.1", "curl", "curl http://denied.test/", 80, curl("http://denied.test/"), Shown(0, SAYS), Shown(56, r"curl: \(56\) .*"), core=True),
    Case("HTTP/1.1", "curl", "curl -f http://denied.test/", 80, curl("-f", "http://denied.test/"), Shown(22, r"returned error: 403"),
         Shown(56, r"curl: \(56\) .*"), room=False),
    Case("HTTP/1.1", "curl", "curl -I http://denied.test/", 80, curl("-I", "http://denied.test/"), Shown(0, r"HTTP/1.1 403 Forbidden"),
         Shown(56, r"curl: \(56\) .*"), room=False),
    Case("HTTP/1.1", "curl", "POST of 200 kB", 80, curl("-H", "Expect:", "--data-binary", "@SCRATCH/200kB", "http://denied.test/"), Shown(0, SAYS),
         Shown((55, 56), r"curl: \(5[56]\) .*"), core=True),
    Case("HTTP/1.1", "curl", "second request of a connection, for another host", 80,
         curl("http://allowed.test/", "--next", "-sS", "-m", "8", "-H", "Host: denied.test", "http://allowed.test/stolen"), Shown(0, SAYS),
         Shown((52, 56), r"curl: \(5\d\) .*"), secret=b"stolen", core=True),
    Case("HTTP/1.1", "wget", "wget http://denied.test/", 80, lambda p: ["wget", "-t1", "-T8", "-O-", "http://denied.test/"],
         Shown(8, r"ERROR 403: Forbidden"), Shown(4, r"reset by peer|Giving up|No data"), room=False),
    Case("HTTP/1.1", "Python requests", "requests.get('http://denied.test/')", 80, lambda p: python(REQUESTS, "http://denied.test/", str(p.ca)),
         Shown(1, r"403 .*" + SAYS), Shown(1, r"ConnectionError.*Connection reset by peer"), starts=True, bound=0.3),
    Case("HTTP/1.1", "node", "fetch('http://denied.test/')", 80, lambda p: ["node", "-e", FETCH, "http://denied.test/"],
         Shown(1, r"403 .*" + SAYS), Shown(1, r"fetch failed.*ECONNRESET"), starts=True, bound=1.0),  # It lingers behind any answer.
    Case("HTTP/1.1", "git", "git ls-remote http://denied.test/repo", 80, lambda p: ["git", "ls-remote", "http://denied.test/repo"],
         Shown(128, r"fatal: unable to access.*403"), Shown(128, r"fatal: unable to access.*"), room=False),
    Case("HTTP/1.1", "Chromium", "chromium http://denied.test/", 80, chromium("http://denied.test/"), Shown(0, SAYS), Shown(0, r"ERR_\w+"),
         starts=True, bound=4.0),
    Case("HTTP/2", "curl", "curl --http2-prior-knowledge http://denied.test:8083/", H2C, curl("--http2-prior-knowledge", f"http://denied.test:{H2C}/"),
         Shown(0, SAYS), Shown((16, 56), r"curl: \(\d+\) .*"), core=True),
    Case("HTTP/2", "node", "second stream of a connection, for another host", H2C, lambda p: ["node", "-e", TWO_STREAMS],
         Shown(0, r"denied.test 403 .*" + SAYS), Shown(0, r"denied.test .*|session .*"), secret=b"stolen", starts=True, bound=1.0),
]

# --- QUIC ---------------------------------------------------------------------------------------------


def ngtcp2(*words: str) -> Callable[[Place], list[str]]:
    return lambda p: ["gtlsclient", "--exit-on-all-streams-close", "--timeout=4s", "--handshake-timeout=4s", "--no-quic-dump", *words, "denied.test", "443",
                      "https://denied.test/"]


def own_quic(version: str) -> Callable[[Place], list[str]]:
    return lambda p: [PYTHON, "-B", str(HERE / "quic_close_client.py"), p.address, "443", "denied.test", version]


QUIC = [
    Case("QUIC", "ngtcp2", "gtlsclient denied.test 443 (version 1)", 443, ngtcp2(), Shown((0, 1), r"CONNECTION_CLOSE.*|error_code=.*|reason=.*"),
         Shown((0, 1), r"ERR_\w+"), UDP, core=True, reset_bound=5.0),  # It does not look at ICMP errors.
    Case("QUIC", "own client", "version 1, by the test's own hands", 443, own_quic("1"), Shown(1, r"CONNECTION_CLOSE .*" + SAYS),
         Shown(1, r"No route to host|Permission denied"), UDP, starts=True, bound=0.1),
    Case("QUIC", "own client", "version 2, by the test's own hands", 443, own_quic("2"), Shown(1, r"CONNECTION_CLOSE .*" + SAYS),
         Shown(1, r"No route to host|Permission denied"), UDP, starts=True, bound=0.1),
    Case("QUIC", "Chromium", "chromium --origin-to-force-quic-on=denied.test:443", 443,
         chromium("https://denied.test/", "--enable-quic", "--origin-to-force-quic-on=denied.test:443"), Shown(0, r"ERR_\w+"), Shown(0, r"ERR_\w+"),
         UDP, room=False, starts=True, bound=4.0),
]

# --- DNS ----------------------------------------------------------------------------------------------


def dig(*words: str) -> Callable[[Place], list[str]]:
    return lambda p: ["dig", "+tries=1", "+time=4", f"@{p.address}", *words, "lookup.test", "A"]


EDE = r"EDE: 15 \(Blocked\): .*" + SAYS
LOOKUP = ("import socket, sys\ntry:\n    print(socket.getaddrinfo('lookup.test', 80))\n"
          "except socket.gaierror as error:\n    sys.exit(f'gaierror: {error}')\n")
LABEL = b"\x06lookup"  # The daemon asks for names of its own.
DNS_CASES = [
    Case("DNS", "dig", "dig +padding=128 lookup.test", DNS, dig("+padding=128"), Shown(0, EDE), Shown((9, 10), r"unreachable|permission denied|refused|no servers"), UDP,
         secret=LABEL),
    Case("DNS", "dig", "dig lookup.test", DNS, dig(), Shown(0, r"EDE: 15 \(Blocked\)"), Shown((9, 10), r"unreachable|permission denied|refused|no servers"), UDP,
         room=False, secret=LABEL, core=True),
    Case("DNS", "dig", "dig +tcp lookup.test", DNS, dig("+tcp"), Shown(0, EDE), Shown((9, 10), r"reset|end of file|no servers|communications error"), secret=LABEL, core=True),
    Case("DNS", "dig", "dig +noedns lookup.test", DNS, dig("+noedns"), Shown(0, r"status: REFUSED"), Shown((9, 10), r"unreachable|no servers"), UDP, secret=LABEL, room=False),
    Case("DNS", "getent", "getent ahosts lookup.test", DNS, lambda p: ["getent", "ahosts", "lookup.test"], Shown(2, r""), Shown(2, r""), UDP, secret=LABEL, room=False),
    Case("DNS", "Python", "socket.getaddrinfo('lookup.test', 80)", DNS, lambda p: python(LOOKUP), Shown(1, r"gaierror: .*"), Shown(1, r"gaierror: .*"),
         UDP, secret=LABEL, room=False, starts=True, bound=0.2),
    Case("DNS", "curl", "curl http://lookup.test/", DNS, curl("http://lookup.test/"), Shown(6, r"curl: \(6\) .*"), Shown(6, r"curl: \(6\) .*"), UDP, secret=LABEL, room=False),
]

# --- SSH ----------------------------------------------------------------------------------------------

DISCONNECT = r"Received disconnect from \S+ port \d+:1: " + SAYS
SSH_RESET = r"Connection reset by .*|Connection closed by .*|Broken pipe"
SSH = [
    Case("SSH", "OpenSSH", "ssh denied.test", 22, lambda p: p.ssh("denied.test", "true"), Shown(255, DISCONNECT), Shown(255, SSH_RESET), core=True),
    Case("SSH", "OpenSSH", "ssh -p 2222 to a server with another host key", HOST_KEYS, lambda p: p.ssh(p.address, "true", HOST_KEYS), Shown(255, DISCONNECT),
         Shown(255, SSH_RESET), silent=False, bound=0.6),  # The key exchange comes first.
    Case("SSH", "git", "git ls-remote ssh://denied.test/repo", 22, lambda p: ["git", "ls-remote", "ssh://root@denied.test/repo"], Shown(128, DISCONNECT),
         Shown(128, SSH_RESET)),
]

# --- What talks in lines ------------------------------------------------------------------------------

FTPLIB = ("import ftplib, sys\n"
          "try:\n    ftp = ftplib.FTP(sys.argv[1], timeout=8); ftp.login(); print(ftp.nlst())\n"
          "except (ftplib.Error, OSError, EOFError) as error:\n    sys.exit(f'{type(error).__name__}: {error}')\n")
SMTPLIB = ("import smtplib, sys\n"
           "try:\n    s = smtplib.SMTP(sys.argv[1], timeout=8); s.sendmail('me@secret.test', 'you@mail.test', 'text')\n"
           "except (smtplib.SMTPException, OSError) as error:\n    sys.exit(f'{type(error).__name__}: {error}')\n")
IMAPLIB = ("import imaplib, sys\n"
           "try:\n    m = imaplib.IMAP4(sys.argv[1], timeout=8); m.login('someone', 'the-secret')\n"
           "except (imaplib.IMAP4.error, OSError) as error:\n    sys.exit(f'{type(error).__name__}: {error}')\n")
POPLIB = ("import poplib, sys\n"
          "try:\n    m = poplib.POP3(sys.argv[1], timeout=8); m.user('the-secret')\n"
          "except (poplib.error_proto, OSError) as error:\n    sys.exit(f'{type(error).__name__}: {error}')\n")
def lftp(more: str) -> Callable[[Place], list[str]]:
    """lftp takes the answer to FEAT for none, and by default tries a thousand times."""
    return lambda p: ["lftp", "-c", f"{more}set net:timeout 8; set net:max-retries 1; set net:reconnect-interval-base 1; open denied.test; ls"]


SWAKS = lambda host: ["swaks", "--server", host, "--timeout", "8", "--from", "me@secret.test", "--to", "you@mail.test", "--helo", "me.test"]
ENDED = r"reset|closed|EOF|Errno|refused|unexpected"

LINES = [
    Case("FTP", "lftp", "lftp ftp://denied.test", 21, lftp(""), Shown(1, r"Fatal error: .*"), Shown(1, r"Fatal error: .*"), room=False),
    Case("FTP", "lftp", "the same with ftp:use-feat off, ftp:ssl-allow off", 21, lftp("set ftp:use-feat off; set ftp:ssl-allow off; "), Shown(1, SAYS),
         Shown(1, r"Fatal error: .*")),
    Case("FTP", "tnftp", "ftp ftp://denied.test/file", 21, lambda p: ["ftp", "-n", "ftp://denied.test/file"], Shown(1, SAYS), Shown(1, r"ftp: .*")),
    Case("FTP", "curl", "curl ftp://denied.test/file", 21, curl("ftp://denied.test/file"), Shown((8, 67), r"curl: \(\d+\) .*"), Shown((56, 8), r"curl: \(\d+\) .*"),
         room=False),
    Case("FTP", "Python ftplib", "FTP('denied.test').login()", 21, lambda p: python(FTPLIB, "denied.test"), Shown(1, SAYS), Shown(1, ENDED), starts=True, core=True),
    Case("FTP", "Python ftplib", "login() where TLS is demanded", 21, lambda p: python(FTPLIB, p.second), Shown(1, SAYS), Shown(1, ENDED),
         secret=b"anonymous", starts=True),
    Case("SMTP", "swaks", "swaks --server denied.test", 25, lambda p: SWAKS("denied.test"), Shown(22, SAYS), Shown((2, 6, 21, 29), r"\*\*\* .*"), starts=True, bound=0.2),
    Case("SMTP", "Python smtplib", "SMTP('denied.test').sendmail(...)", 25, lambda p: python(SMTPLIB, "denied.test"), Shown(1, SAYS), Shown(1, ENDED), starts=True, core=True),
    Case("SMTP", "swaks", "mail where TLS is demanded", 25, lambda p: SWAKS(p.second), Shown(tuple(range(1, 40)), SAYS), Shown(tuple(range(1, 40)), r"\*\*\* .*"),
         secret=b"secret", starts=True, bound=0.2),
    Case("SMTP", "Python smtplib", "sendmail(...) where TLS is demanded", 25, lambda p: python(SMTPLIB, p.second), Shown(1, SAYS), Shown(1, ENDED),
         secret=b"secret", starts=True),
    Case("IMAP", "Python imaplib", "IMAP4('denied.test')", 143, lambda p: python(IMAPLIB, "denied.test"), Shown(1, SAYS), Shown(1, ENDED), starts=True, core=True),
    Case("IMAP", "Python imaplib", "login() where TLS is demanded", 143, lambda p: python(IMAPLIB, p.second), Shown(1, SAYS), Shown(1, ENDED),
         secret=b"secret", starts=True),
    Case("POP3", "Python poplib", "POP3('denied.test')", 110, lambda p: python(POPLIB, "denied.test"), Shown(1, SAYS), Shown(1, ENDED), starts=True, core=True),
    Case("POP3", "Python poplib", "user() where TLS is demanded", 110, lambda p: python(POPLIB, p.second), Shown(1, SAYS), Shown(1, ENDED),
         secret=b"secret", starts=True),
]

# --- Databases and brokers ----------------------------------------------------------------------------


def psql(host: str, mode: str) -> Callable[[Place], list[str]]:
    return lambda p: ["psql", f"host={host} hostaddr={p.second if host == 'second.test' else p.address} user=secret dbname=postgres sslmode={mode} "
                              "gssencmode=disable connect_timeout=8", "-tAc", "select 6*7"]


def mariadb(which: str) -> Callable[[Place], list[str]]:
    return lambda p: ["mariadb", "--no-defaults", "--skip-ssl", "--connect-timeout=8", f"--host={getattr(p, which)}", "--user=secret", "-Nse", "select 6*7"]


PROTON = """
import sys
from proton.handlers import MessagingHandler
from proton.reactor import Container
class Sender(MessagingHandler):
    def on_start(self, event):
        event.container.create_sender(event.container.connect(sys.argv[1], reconnect=False, allowed_mechs="ANONYMOUS"), "queue")
    def on_connection_error(self, event):
        print(event.connection.remote_condition)
    def on_transport_error(self, event):
        print(event.transport.condition)
Container(Sender()).run()
"""
DATABASES = [
    Case("PostgreSQL", "psql", "psql host=denied.test", 5432, psql("denied.test", "disable"), Shown(2, SAYS), Shown(2, r"psql: error: .*"), starts=True,
         core=True),
    Case("PostgreSQL", "psql", "psql sslmode=prefer", 5432, psql("denied.test", "prefer"), Shown(2, r"server sent an error response during SSL exchange"),
         Shown(2, r"psql: error: .*"), room=False, starts=True),
    Case("PostgreSQL", "psql", "sslmode=disable where TLS is demanded", 5432, psql("second.test", "disable"), Shown(2, SAYS), Shown(2, r"psql: error: .*"),
         secret=b"secret", starts=True),
    Case("MySQL", "mariadb", "mariadb -h denied.test", 3306, mariadb("address"), Shown(1, SAYS), Shown(1, r"ERROR \d+ .*"), core=True),
    Case("MySQL", "mariadb", "--skip-ssl where TLS is demanded", 3306, mariadb("second"), Shown(1, SAYS), Shown(1, r"ERROR \d+ .*"), secret=b"secret"),
    Case("Redis", "redis-cli", "redis-cli -h denied.test PING", 6379, lambda p: ["redis-cli", "-h", p.address, "PING"], Shown((0, 1), SAYS),
         Shown(1, r"Error: .*"), core=True),
    Case("MQTT", "mosquitto_pub", "mosquitto_pub -h denied.test (3.1.1)", 1883, lambda p: ["mosquitto_pub", "-h", p.address, "-t", "t", "-m", "m"],
         Shown((5, 1), r"(?i)not authori[sz]ed.*"), Shown((1, 7, 14), r"Error: .*|Unable to.*"), room=False, core=True),
    Case("MQTT", "mosquitto_pub", "mosquitto_pub -V 5 -h denied.test", 1883, lambda p: ["mosquitto_pub", "-V", "5", "-d", "-h", p.address, "-t", "t", "-m", "m"],
         Shown(tuple(range(1, 256)), r"(?i)not authori[sz]ed.*"), Shown((1, 7, 14), r"Error: .*|Unable to.*"), room=False),
    Case("AMQP", "Qpid Proton", "a sender of Qpid Proton", 5672, lambda p: python(PROTON, f"{p.host}:5672"), Shown(0, r"Condition.*" + SAYS),
         Shown(0, r"Condition.*"), starts=True),
]

# --- Proxies ------------------------------------------------------------------------------------------

PROXIES = [
    Case("Proxies", "curl", "curl -x http://PROXY https://denied.test/", PROXY, curl("-x", f"http://HOST:{PROXY}", "https://denied.test/"),
         Shown(56, r"curl: \(56\) .*403"), Shown(56, r"curl: \(56\) .*"), room=False, secret=b"denied.test", core=True),
    Case("Proxies", "curl", "curl -x http://PROXY http://denied.test/", PROXY, curl("-x", f"http://HOST:{PROXY}", "http://denied.test/"), Shown(0, SAYS),
         Shown((52, 56), r"curl: \(5\d\) .*"), secret=b"denied.test"),
    Case("Proxies", "wget", "https_proxy=PROXY wget https://denied.test/", PROXY,
         lambda p: ["wget", "-t1", "-T8", "-e", f"https_proxy=http://{p.host}:{PROXY}", "-O-", "https://denied.test/"], Shown(4, r"Proxy tunneling failed: .*"),
         Shown(4, r"reset|failed|No data|Giving up|EOF"), room=False, secret=b"denied.test"),
    Case("Proxies", "curl", "curl --socks5-hostname PROXY http://denied.test/", SOCKS, curl("--socks5-hostname", f"HOST:{SOCKS}", "http://denied.test/"),
         Shown(97, r"curl: \(97\) .*\(2\)"), Shown((7, 56, 97), r"curl: \(\d+\) .*"), room=False, secret=b"denied.test", core=True),
    Case("Proxies", "curl", "curl --socks4a PROXY http://denied.test/", SOCKS, curl("--socks4a", f"HOST:{SOCKS}", "http://denied.test/"),
         Shown(97, r"curl: \(97\) .*\(91\)"), Shown((7, 56, 97), r"curl: \(\d+\) .*"), room=False, secret=b"denied.test"),
    Case("Proxies", "OpenSSL", "another server name inside CONNECT allowed.test:443", PROXY,
         lambda p: ["openssl", "s_client", "-proxy", f"{p.host}:{PROXY}", "-connect", "allowed.test:443", "-servername", "denied.test", "-CAfile", str(p.ca), "-brief"],
         Shown(1, ALERT + ".*SSL alert number 49"), Shown(1, r"errno=104|[Cc]onnection reset"), room=False, secret=b"denied.test"),
]

# --- The rest -----------------------------------------------------------------------------------------

UDP_ASKS = ("import socket, sys\ns = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.settimeout(4); s.connect((sys.argv[1], int(sys.argv[2])))\n"
            "try:\n    s.send(b'\\x99\\x01secret of nobody'); print(s.recv(99))\n"
            "except OSError as error:\n    sys.exit(f'{type(error).__name__}: {error}')\n")
OTHERS = [
    Case("STUN", "coturn", "turnutils_uclient, which asks for a relay", STUN, lambda p: ["timeout", "4", "turnutils_uclient", "-y", "-n", "1", "-m", "1", "-u", "u", "-w", "p",
                                                                                     p.address], Shown(255, r"error 403 \(sallyport: .*"), Shown((124, 255), r""), UDP,
         core=True, reset_bound=5.0),
    # 20 bytes ask, which is less than any error's answer; the client does not look at ICMP errors.
    Case("STUN", "coturn", "turnutils_stunclient", STUN, lambda p: ["timeout", "2", "turnutils_stunclient", "-p", str(STUN), p.address], Shown(124, r""),
         Shown(124, r""), UDP, room=False, bound=3.0),
    Case("Other TCP", "nc", "nc, bytes of no protocol", OPAQUE, lambda p: ["nc", "-w", "8", p.address, str(OPAQUE)], Shown((0, 1), r""), Shown((0, 1), r""),
         room=False, stdin=b"\x99\x01secret of nobody\n", core=True),
    Case("Other TCP", "nc", "nc, a port that no rule has (refused at its SYN)", NOBODYS, lambda p: ["nc", "-vN", "-w", "8", p.address, str(NOBODYS)],
         Shown(1, r"Connection refused"), Shown(1, r"Connection refused"), room=False),
    Case("Other TCP", "curl", "curl, a port that no rule has", NOBODYS, curl(f"https://denied.test:{NOBODYS}/"), Shown(7, r"curl: \(7\) .*"),
         Shown(7, r"curl: \(7\) .*"), room=False, core=True),
    Case("Other TCP", "OpenSSH", "a SYN that waited for a binding and has none", STRICT, lambda p: p.ssh(p.second, "true", STRICT),
         Shown(255, r"Connection refused"), Shown(255, r"Connection refused"), room=False, bound=0.6),
    Case("Other UDP", "nc", "nc -u, bytes of no protocol", OPAQUE, lambda p: ["nc", "-u", "-w", "1", p.address, str(OPAQUE)], Shown((0, 1), r""),
         Shown((0, 1), r""), UDP, room=False, stdin=b"\x99\x01secret of nobody\n", bound=1.2),
    Case("Other UDP", "Python socket", "send() and recv() of a connected socket", OPAQUE, lambda p: python(UDP_ASKS, p.address, str(OPAQUE)),
         Shown(1, r"No route to host|Permission denied"), Shown(1, r"No route to host|Permission denied"), UDP, room=False, starts=True, core=True),
    Case("ICMP", "ping", "ping -c 1 denied.test", 0, lambda p: ["ping", "-c1", "-W4", p.address],
         Shown(1, r"Packet filtered|administratively prohibited|Destination unreachable.*"), Shown(1, r"Packet filtered|prohibited|Destination unreachable.*"), ICMP,
         room=False, core=True, bound=1.2),  # With IPv6 it waits a second for another answer.
]

CASES = [*TLS, *HTTP, *QUIC, *DNS_CASES, *SSH, *LINES, *DATABASES, *PROXIES, *OTHERS]

# --- The other choice of words -------------------------------------------------------------------------

WORDING = '''[refusals]
tls_alert = "unrecognized_name"
dns = "nxdomain"
dns_error = "filtered"
show_rule = false
'''
# Asked to, and what is shown then instead.
WORDED = [replace(next(case for case in CASES if case.what == what), speak=Shown(code, line)) for what, code, line in (
    ("curl https://denied.test/", 35, r"curl: \(35\).*alert unrecognized name|curl: \(35\).*unrecognized name"),
    ("gnutls-cli denied.test", 1, r"Received alert \[112\]: .*"),
    ("chromium https://denied.test/", 0, r"ERR_\w+"),
    ("curl http://denied.test/", 0, r'"sallyport: denied.test[^()]*"'),
    ("version 1, by the test's own hands", 1, r"CONNECTION_CLOSE error_code=0x170 reason=sallyport: denied.test[^()]*$"),
    ("dig +padding=128 lookup.test", 0, r"EDE: 17 \(Filtered\): \(sallyport: lookup.test[^()]*\)$"),
    ("dig +noedns lookup.test", 0, r"status: NXDOMAIN"),
    ("socket.getaddrinfo('lookup.test', 80)", 1, r"Name or service not known|No address associated with hostname"),
    ("ssh denied.test", 255, r"Received disconnect from \S+ port \d+:1: sallyport: 10.91.9.2[^()]*$"),
)]
