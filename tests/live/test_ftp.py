#!/usr/bin/env python3
"""FTP: what the control connection announces is open once, nothing else is; vsftpd, pyftpdlib, curl and lftp; FTPS by a range."""

import json
import sys

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.ftp_servers import CONTENT, FtpServers, have_pyftpd
from support.refused import expect_printed_alert
from support.world import TCP, World, world

PY4, PY6, TLS, LIARS = 2104, 2106, 2121, {"other": 2131, "twice": 2132, "system": 2133, "unasked": 2134, "inside": 2135}
SINKS = (45_000, 45_001)
# Behind TLS the data ports are not to be seen: the rule for second.test has the server's whole range.
RULES = (allow("allowed.test", "ftp", "21, 2104, 2106, 2131, 2132, 2133, 2134, 2135") + allow("second.test", "ftp", f"{TLS}")
         + allow("second.test", "tcp", '"40000-40100"'))
DNS = '[dns]\nresolvers = ["10.91.9.2", "fd91:0:0:9::2"]\nprivate = [".test"]\nmiss_wait = "200ms"\n'

# probe.py HOST PORT KIND: talks to a server by hand and tells in JSON what can be connected to then.
PROBE = """
import ftplib, json, socket, sys
host, port, ports, active = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:]
def reach(address, port):
    try:
        with socket.create_connection((address, port), 1.5) as s:
            s.sendall(b"secret"); s.settimeout(0.5)
            try: s.recv(10)
            except TimeoutError: pass
        return "connected"
    except OSError as error:
        return type(error).__name__
out = {}
try:
    ftp = ftplib.FTP(); ftp.connect(host, port, 4); ftp.login()
    command = active[0] if active else ("EPSV" if ":" in host else "PASV")
    out["reply"] = ftp.sendcmd(command)
except Exception as error:
    out["error"] = f"{type(error).__name__} {error}"
out["reached"] = {f"{a} {p}": reach(a, p) for a, p in ports}
print(json.dumps(out))
"""


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "dns", bind="strict", extra=DNS) as it:
            ftp = FtpServers(it.servers)
            ftp.start_vsftpd(21)
            ftp.start_vsftpd(TLS, tls=True)
            ftp.start_pyftpd(PY4, 4)
            ftp.start_pyftpd(PY6, 6)
            for kind, port in LIARS.items():
                ftp.start_liar(port, kind)
            for port in SINKS:
                it.servers.start_sink(port)
            for family in (4, 6):
                label = f"{mode} v{family}"
                transfers(suite, it, ftp, label, family)
                refusals(suite, it, label, family)
                encrypted(suite, it, ftp, label, family)


def url(family: int, port: int, path: str = "file") -> str:
    return f"ftp://allowed.test:{port}/{path}"


def transfers(suite: Suite, it: World, ftp: FtpServers, label: str, family: int) -> None:
    servers = {"vsftpd": 21, "pyftpdlib": PY4 if family == 4 else PY6}
    for name, port in servers.items():
        passive = [("EPSV", ())] + ([("PASV", ("--disable-epsv",))] if family == 4 else [])
        for kind, arguments in passive:
            with suite.case(f"{label}: curl gets a file and a listing from {name} by {kind}"):
                mark = it.mark()
                result = it.clients.curl(url(family, port), family, *arguments)
                expect_equal(result.out, CONTENT, result.describe())
                result = it.clients.curl(url(family, port, ""), family, *arguments)
                expect("upload" in result.out, result.describe())
                control = it.expect_event(mark, verdict="allow", dport=port)
                expect_equal((control["protocol"], control["reason"], control["name"]), ("ftp", "rule_allows", "allowed.test"), "the control connection")
                data = it.expect_event(mark, verdict="allow", reason="expected")
                expect(40_000 <= data["dport"] <= 40_100, str(data))
                expect_equal(data["rule"], control["rule"], "the rule")
    with suite.case(f"{label}: curl puts a file"):
        source = it.bed.scratch / "to-upload"
        source.write_text("uploaded " + label)
        name = label.replace(" ", "-")
        result = it.clients.curl(url(family, 21, f"upload/{name}"), family, "-T", str(source))
        expect_equal((result.code, ftp.uploaded(name)), (0, "uploaded " + label), result.describe())
    with suite.case(f"{label}: lftp mirrors a folder over several connections"):
        target = it.bed.scratch / f"mirror-{label.replace(' ', '-')}"
        address = it.bed.server_address(family)
        host = f"[{address}]" if family == 6 else address
        script = f"set net:timeout 5; set net:max-retries 2; open -p {servers['pyftpdlib']} ftp://{host}; mirror --parallel=3 . {target}; bye"
        result = it.bed.run("client", ["lftp", "-c", script], 20)
        expect((target / "file").exists() and (target / "file").read_text() == CONTENT, result.describe())
    with suite.case(f"{label}: an active connection comes in from the server"):
        arguments = ("-P", "-") if family == 4 else ("--ftp-port", "-")
        result = it.clients.curl(url(family, 21), family, *arguments)
        expect_equal(result.out, CONTENT, result.describe())


def refusals(suite: Suite, it: World, label: str, family: int) -> None:
    own = it.bed.server_address(family)
    other = it.bed.server_address(family, 1)
    with suite.case(f"{label}: without an announcement no data port is open"):
        mark = it.mark()
        answer = it.clients.raw(own, SINKS[0], b"secret")
        expect(not answer["connected"], str(answer))
        it.expect_nothing_arrived(mark, TCP, SINKS[0])
        it.expect_event(mark, verdict="deny", dport=SINKS[0])
    wanted = {"other": ("ftp_other_address", ()), "twice": ("ambiguous", ()), "system": ("ftp_other_address", ()), "unasked": (None, (SINKS[0],)), "inside": (None, ())}
    for kind, (reason, open_ports) in wanted.items():
        if kind == "other" and family == 6:
            continue  # EPSV has no address.
        with suite.case(f"{label}: a server that lies ({kind})"):
            mark = it.mark()
            result = probe(it, own, LIARS[kind], [(own, port) for port in SINKS] + [(other, SINKS[0])])
            reached = {int(key.split()[1]) for key, what in result["reached"].items() if what == "connected" and key.startswith(own)}
            expect_equal(reached, set(open_ports), str(result))
            expect(result["reached"][f"{other} {SINKS[0]}"] != "connected", str(result))
            if reason:
                it.expect_event(mark, verdict="deny", dport=LIARS[kind], reason=reason)
                expect_told(result, "allowed.test", reason)
            for port in set(SINKS) - set(open_ports):
                it.expect_nothing_arrived(mark, TCP, port)
    with suite.case(f"{label}: the server is not sent to another host (bounce)"):
        mark = it.mark()
        command = f"EPRT |2|{other}|{SINKS[0]}|" if family == 6 else f"PORT {other.replace('.', ',')},{SINKS[0] >> 8},{SINKS[0] & 255}"
        result = probe(it, own, 21, [], command)
        expect_told(result, "allowed.test", "ftp_other_address")
        it.expect_never(mark, command[:4].encode())
        it.expect_event(mark, verdict="deny", dport=21, reason="ftp_other_address")


WORDS = {"ftp_other_address": "an FTP data connection to another host", "ambiguous": "two readers could read the message differently"}


def expect_told(result: dict, name: str, reason: str) -> None:
    """The client has read the refusal in place of the server's reply."""
    expect("reply" not in result, f"the client has read what was refused: {result}")
    expect(result["error"].startswith(f"error_perm 530 sallyport: {name}: ") and WORDS[reason] in result["error"], str(result))


def encrypted(suite: Suite, it: World, ftp: FtpServers, label: str, family: int) -> None:
    with suite.case(f"{label}: FTPS by AUTH TLS, with a rule for the server's range of data ports"):
        mark = it.mark()
        result = it.clients.curl(f"ftp://second.test:{TLS}/file", family, "--ssl-reqd")
        expect_equal(result.out, CONTENT, result.describe())
        data = it.firewall.wait_event(mark[1], verdict="allow", reason="rule_allows", name="second.test", proto="tcp")
        expect(data["dport"] == TLS or 40_000 <= data["dport"] <= 40_100, str(data))
        expect(not any(event["reason"] == "expected" for event in it.firewall.events()[mark[1]:]), "nothing is announced behind TLS")
    with suite.case(f"{label}: another server name inside AUTH TLS is refused"):
        mark = it.mark()
        result = it.clients.curl(f"ftp://denied.test:{TLS}/file", family, "--ssl-reqd", "--resolve", f"denied.test:{TLS}:{it.bed.server_address(family, 1)}")
        expect_printed_alert(result)
        expect(CONTENT not in result.out, result.describe())
        it.expect_event(mark, verdict="deny", reason="name_not_allowed", dport=TLS)
        it.expect_never(mark, b"denied.test")


def probe(it: World, host: str, port: int, ports: list, *command: str) -> dict:
    result = it.bed.run("client", [sys.executable, "-c", PROBE, host, str(port), json.dumps(ports), *command], 20)
    expect_equal(result.code, 0, result.describe())
    return json.loads(result.out)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("vsftpd", "curl", "lftp", "dnsmasq"))
    if not have_pyftpd():
        print("SKIPPED: pyftpdlib is not installed")
        sys.exit(77)
    Suite("ftp", 220).main(body)
