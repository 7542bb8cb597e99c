#!/usr/bin/env python3
"""The policy is loaded again under traffic: no allowed connection fails, what lost permission dies at both ends, a broken file
changes nothing."""

import json
import signal
import subprocess
import sys
import time

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.proc import PATIENCE, wait_until
from support.world import World, world

RULES = allow("allowed.test", "tls", "443") + allow("allowed.test", "http", "80")
MORE = RULES + allow("denied.test", "tls", "443")
BULK = 200 << 20
EARLY_RESET = __file__.replace("test_reload", "support/early_reset")


def body(suite: Suite) -> None:
    for layout in ("host", "gateway"):
        with world(suite, layout, RULES, "web", bulk_bytes=BULK) as it:
            original = it.firewall.policy_path.read_text()
            it.servers.start_sink(9000)
            storm(suite, it, layout, original)
            broken(suite, it, layout, original)
            by_signal(suite, it, layout, original)
            for family in (4, 6):
                revoked(suite, it, f"{layout} v{family}", original, family)
                datagrams(suite, it, f"{layout} v{family}", original, family)
            if layout == "host":
                twins(suite, it, f"{layout} v4", original)
            else:
                believed_over(suite, it, f"{layout} v4", original)
            restarted(suite, it, layout)


# Reads little at a time, so that packets go to and fro all the while: curl's own limit looks at its socket now and then.
SIP = "import os,time\nwhile os.read(0, 65536): time.sleep({})"


def bulk(it: World, host: str, family: int, pause: float = 0.005):
    command = f"curl -sS -{family} --cacert {it.servers.ca} -m 40 https://{host}/bulk | /usr/bin/python3 -c '{SIP.format(pause)}'"
    client = it.bed.spawn("client", "bulk-" + host, ["sh", "-c", command])
    time.sleep(0.7 * PATIENCE)
    expect(client.running(), client.err())
    return client


def storm(suite: Suite, it: World, label: str, original: str) -> None:
    with suite.case(f"{label}: 20 reloads in a storm of connections: no allowed one fails"):
        script = f"for i in $(seq 60); do curl -sS --cacert {it.servers.ca} -m 8 -o /dev/null https://allowed.test/ || echo failed; done"
        storms = [it.bed.spawn("client", f"storm{i}", ["sh", "-c", script]) for i in range(4)]
        for i in range(20):
            report = it.reload(original if i % 2 else original + allow(f"host{i}.test", "tls"))
            expect_equal((report["changed"], report["cut"]), (True, 0), report)
            time.sleep(0.1)
        for each in storms:
            each.wait(60)
            expect_equal(each.out() + each.err(), "", "an allowed connection failed")


def broken(suite: Suite, it: World, label: str, original: str) -> None:
    with suite.case(f"{label}: a broken file changes nothing and says where it is broken"):
        it.firewall.policy_path.write_text(original + "\n[[rules]]\nto = [\"a.test\"]\nprot = 1\n")
        result = it.firewall.command("reload", "--control", str(it.firewall.control))
        expect_equal(result.code, 1, result.describe())
        expect(".toml:" in result.err and "prot" in result.err, result.describe())
        expect_equal(it.clients.curl("https://allowed.test/", 4).out.strip(), "vhost allowed.test", "what the policy in force allows")
        report = it.reload(original.replace("hooks =", "queues = 3\nhooks ="), 1)
        expect("deploy.queues" in report["error"], report)
        it.reload(original)


def by_signal(suite: Suite, it: World, label: str, original: str) -> None:
    with suite.case(f"{label}: SIGHUP, and a change of the file where that is asked for"):
        it.firewall.policy_path.write_text(original.replace(RULES, MORE))
        it.firewall.process.signal(signal.SIGHUP)
        expect(wait_until(lambda: it.clients.curl("https://denied.test/", 4, timeout=2).out.strip() == "vhost denied.test", 5.0), it.firewall.log())
        it.reload(original.replace("[deploy]\n", "[deploy]\nreload_on_change = true\n"))
        expect(it.clients.curl("https://denied.test/", 4, timeout=3).code != 0, "still allowed")
        it.firewall.policy_path.write_text(original.replace(RULES, MORE).replace("[deploy]\n", "[deploy]\nreload_on_change = true\n"))
        expect(wait_until(lambda: it.clients.curl("https://denied.test/", 4, timeout=2).out.strip() == "vhost denied.test", 6.0), it.firewall.log())
        it.reload(original)


def revoked(suite: Suite, it: World, label: str, original: str, family: int) -> None:
    with suite.case(f"{label}: a download that lost permission dies at once on both ends, an allowed one beside it lives"):
        it.reload(original.replace(RULES, MORE))
        lost, kept = bulk(it, "denied.test", family), bulk(it, "allowed.test", family)
        report = it.reload(original)
        behind = time.monotonic()
        expect_equal([flow["name"] for flow in report["cut_flows"]], ["denied.test"], report)
        port = report["cut_flows"][0]["client"].rsplit(":", 1)[1]
        for where, filter_ in (("client", f"sport = :{port}"), ("server", f"dport = :{port}")):
            alive = lambda: it.bed.run(where, ["ss", "-Htn", "state", "established", filter_]).out.strip()  # noqa: B023, E731
            # A gateway cuts with the next packet, and an emulated machine takes a second to make one.
            expect(wait_until(lambda: not alive(), 0.1 * PATIENCE, 0.01), f"{where}: the connection lives 100 ms behind the reload")  # noqa: B023
        print(f"     both sockets are gone {(time.monotonic() - behind) * 1000:.0f} ms behind the reload")
        expect(wait_until(lambda: not lost.running(), 3.0), "the download goes on")
        expect(kept.running(), kept.err())
        it.firewall.wait_event(reason="revoked")
        it.firewall.wait_event(event="reload", cut=1)
        it.firewall.wait_event(event="control", command="reload")
        kept.stop(1.0)


def believed_over(suite: Suite, it: World, label: str, original: str) -> None:
    with suite.case(f"{label}: a download that connection tracking takes for over, since it believes a reset, is cut all the same"):
        it.reload(original.replace(RULES, MORE))
        lost = bulk(it, "denied.test", 4, 0.02)

        def ports() -> list[str]:
            rows = it.firewall.command("flows", "--json", "--name", "denied.test", "--verdict", "allow", "--control", str(it.firewall.control))
            return [str(json.loads(row)["sport"]) for row in rows.out.splitlines()]

        port = ports()[0]

        def listed() -> bool:
            sent = it.bed.run("client", [sys.executable, "-B", EARLY_RESET, port])
            expect_equal(sent.code, 0, sent.describe())
            return port in ports()

        expect(wait_until(lambda: not listed(), 25.0, 1.0), "connection tracking did not believe it")
        expect(lost.running(), lost.err())
        report = it.reload(original)
        expect_equal([flow["name"] for flow in report["cut_flows"]], ["denied.test"], report)
        expect(wait_until(lambda: not lost.running(), 3.0), "the download goes on")


# Two connections from one port to one server: by an address that DNAT translates, and by the server's own. Says which of them live, each line.
TWINS = """import select, socket, ssl, sys
virtual, server, ca = sys.argv[1:4]
context = ssl.create_default_context(cafile=ca)
def connect(to, name, port):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.settimeout(5)
    s.bind(("", port)); s.connect((to, 443))
    return context.wrap_socket(s, server_hostname=name)
first = connect(virtual, "denied.test", 0)
second = connect(server, "allowed.test", first.getsockname()[1])
print("both", flush=True)
for line in sys.stdin:
    alive = []
    for s, name in ((first, "denied.test"), (second, "allowed.test")):
        try:
            s.settimeout(2)
            s.sendall(f"GET / HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
            if s.recv(4096): alive.append(name)
        except OSError: pass
    print("alive", *alive, flush=True)
"""
VIRTUAL = "10.91.77.7"


def twins(suite: Suite, it: World, label: str, original: str) -> None:
    with suite.case(f"{label}: of two connections from one port to one server, by DNAT and without, none that lost permission lives"):
        it.bed.run("firewall", ["iptables", "-t", "nat", "-A", "OUTPUT", "-d", VIRTUAL, "-p", "tcp", "-j", "DNAT", "--to-destination", it.bed.server_address(4)])
        it.reload(original.replace(RULES, MORE))
        argv = it.bed.argv("client", [sys.executable, "-c", TWINS, VIRTUAL, it.bed.server_address(4), str(it.servers.ca)])
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as both:
            def ask() -> str:
                both.stdin.write("\n")
                both.stdin.flush()
                return both.stdout.readline().strip()
            expect_equal(both.stdout.readline().strip(), "both", "connected")
            expect_equal(ask(), "alive denied.test allowed.test", "before the reload")
            report = it.reload(original)
            alive = ask()
            both.kill()
        it.bed.run("firewall", ["iptables", "-t", "nat", "-F", "OUTPUT"])
        expect("denied.test" not in alive, f"{alive}: {report}")


# Sends a datagram ten times a second until one is refused, and says by what.
BEAT = """import socket,sys,time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9000))
for i in range(100):
    try:
        s.send(b"beat %d" % i)
        time.sleep(0.1)
        s.recv(100, socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass
    except OSError as error:
        sys.exit(str(error.errno))
"""


def datagrams(suite: Suite, it: World, label: str, original: str, family: int) -> None:
    with suite.case(f"{label}: a UDP flow that lost permission: the client is told at its next datagram, and no more of it arrives"):
        address = it.bed.server_address(family)
        it.reload(original + allow(address, "udp", "9000"))
        client = it.bed.spawn("client", f"beat{family}", ["/usr/bin/python3", "-c", BEAT, address])
        time.sleep(1.0)
        expect(client.running(), client.err())
        report = it.reload(original)
        expect_equal(report["cut"], 1, report)
        mark = it.mark()
        expect(wait_until(lambda: not client.running(), 1.0, 0.02), "nobody told the client")
        # EACCES and EHOSTUNREACH by ICMP; on the host itself the kernel says EPERM to the send at once.
        expect(client.err().strip() in (("1", "13", "113") if label.startswith("host") else ("13", "113")), client.err())
        it.expect_never(mark, b"beat")


def restarted(suite: Suite, it: World, label: str) -> None:
    with suite.case(f"{label}: a restart with the policy that was loaded last interrupts nothing"):
        running = bulk(it, "allowed.test", 4)
        it.firewall.kill()
        it.firewall.start()
        time.sleep(1.0)
        expect(running.running(), running.err())
        before = it.firewall.queued_packets()
        time.sleep(0.5)
        expect(it.firewall.queued_packets() - before < 20, "the connection's packets are queued again")
        running.stop(1.0)
    original = it.firewall.policy_path.read_text()
    with suite.case(f"{label}: behind a restart, a change that is not about a connection leaves it alone, and one that is ends it"):
        running = bulk(it, "allowed.test", 4)
        it.firewall.kill()
        it.firewall.start()
        for text in (original, original + allow("other.test", "tls", "8443"), original):
            report = it.reload(text)
            expect_equal((report["changed"], report["cut"], report.get("unknown", 0)), (True, 0, 0), report)
        granted = it.firewall.command("allow", "granted.test", "--port", "8443", "--for", "1s", "--control", str(it.firewall.control))
        expect_equal(granted.code, 0, granted.describe())
        it.firewall.wait_event(event="grant", state="end")
        time.sleep(1.0)
        expect(running.running(), running.err() + it.firewall.log())
        report = it.reload(original.replace(RULES, allow("elsewhere.test", "tls", "443")))
        expect(report["unknown"] >= 1, report)
        expect(wait_until(lambda: not running.running(), 3.0), "the download goes on")
        it.reload(original)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx"))
    Suite("reload", 230).main(body)
