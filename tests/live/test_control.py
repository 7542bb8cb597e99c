#!/usr/bin/env python3
"""The control socket and the metrics server as scripts and strangers meet them: documented requests, garbage, slow clients; Host, Origin."""

import json
import re
import shutil
import socket
import time

from support import Suite, expect, expect_equal, skip_unless_possible
from support.daemon import REPOSITORY, binary
from support.testbed import UNPRIVILEGED_UID
from support.world import World, world

RULES = """
[[rules]]
to = ["allowed.test"]
action = "allow"
"""
EXTRA = f"""
[metrics]
listen = "127.0.0.1:9718"
hosts = ["metrics.test"]
[scopes.agent]
users = [{UNPRIVILEGED_UID}]
"""


def body(suite: Suite) -> None:
    with world(suite, "host", RULES, "web", extra=EXTRA, capture=False) as it:
        documented(suite, it)
        hostile(suite, it)
        metrics(suite, it)
        explained(suite, it)
        refusals(suite, it)


def explained(suite: Suite, it: World) -> None:
    def explain(*arguments: str):
        return it.firewall.command("explain", "--policy", str(it.firewall.policy_path), *arguments)
    with suite.case("explain takes a 5-tuple to the flow that the service has, with its name"):
        it.clients.curl("https://allowed.test/", 4)
        it.clients.curl("https://denied.test/", 4)
        rows = {row["name"]: row for row in ask(it, {"command": "flows", "ended": True, "limit": 500})["flows"] if row["protocol"] == "tls"}
        for name, code, word in (("allowed.test", 0, "allow"), ("denied.test", 1, "deny")):
            row = rows[name]
            source, destination = f"{row['src']}:{row['sport']}", f"{row['dst']}:{row['dport']}"
            for ends in (f"tcp {source} {destination}", f"tcp {destination} {source}"):
                result = explain("--tuple", ends, "--control", str(it.firewall.control))
                expect((result.code, result.err) == (code, ""), result.describe())
                expect(result.out.startswith(f"event {row['id']} of the running service, ") and f"{word}  tls to {name}" in result.out, result.describe())
            told = json.loads(explain("--tuple", f"tcp {source} {destination}", "--json", "--control", str(it.firewall.control)).out)
            expect(told["verdict"] == word and name in told["subject"], str(told))
    with suite.case("explain says what it did of a 5-tuple that no service knows"):
        ends = "tcp 192.0.2.77:4711 192.0.2.78:443"
        result = explain("--tuple", ends, "--control", str(it.firewall.control))
        expect_equal((result.code, result.err), (1, "sallyport explain: the running service knows no such flow; judged by the policy alone, as tls without a name\n"), result.describe())
        result = explain("--tuple", ends, "--control", "/none/control.sock")
        expect(result.code == 1 and result.err.startswith("sallyport explain: no service runs here (/none/control.sock: "), result.describe())
        expect(result.err.endswith("; judged by the policy alone, as tls without a name\n") and "tls" in result.out, result.describe())
        result = explain("allowed.test", "--tuple", ends, "--control", str(it.firewall.control))
        expect_equal((result.code, result.err), (0, ""), result.describe())


def talk(it: World, data: bytes, timeout: float = 5.0) -> bytes:
    """talk sends and reads to the end. A unix socket is no matter of network namespaces."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        client.connect(str(it.firewall.control))
        client.sendall(data)
        answer = b""
        try:
            while block := client.recv(65536):
                answer += block
        except ConnectionResetError:  # Behind "too many clients": the request was not read.
            pass
        return answer


def ask(it: World, request: dict) -> dict:
    """ask returns the first line of the answer; those that stream have more."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10.0)
        client.connect(str(it.firewall.control))
        client.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(client.makefile().readline())


def documented(suite: Suite, it: World) -> None:
    with suite.case("every request of docs/control.md is answered"):
        text = (REPOSITORY / "docs/control.md").read_text()
        requests = [line for block in re.findall(r"```json\n(.*?)```", text, re.S) for line in block.splitlines() if line.startswith('{"command"')]
        expect(len(requests) >= 12, f"{len(requests)} requests")
        for line in requests:
            request = json.loads(line)
            if request["command"] == "revoke" and ("id" in request or "name" in request):
                made = ask(it, {"command": "allow", "name": request.get("name", "third.test")})
                if "id" in request:
                    request["id"] = made["id"]
            answer = ask(it, request)
            if request["command"] == "event":  # The page's is of another run.
                expect("no event of this id" in answer.get("error", ""), f"{line}: {answer}")
                continue
            expect(answer.get("ok") is True, f"{line}: {answer}")
        commands = ask(it, {"command": "help"})["commands"]
        expect_equal({json.loads(line)["command"] for line in requests} | {"watch"}, {*commands, "help"}, "commands of the page, and of the program")
    with suite.case("the shell's way works as the page says"):
        result = it.bed.run("firewall", ["sh", "-c", f"printf '{{\"command\":\"status\"}}\\n' | nc -U {it.firewall.control}"])
        expect(json.loads(result.out)["ok"] is True, result.describe())


def hostile(suite: Suite, it: World) -> None:
    with suite.case("garbage is answered by one line, and silence holds nobody up"):
        silent = []
        for _ in range(100):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(0.5)
            client.connect(str(it.firewall.control))
            silent.append(client)
        for client in silent[:60]:
            client.close()
        for data in (b"\n", b"\xff\x00\xfe\n", b"{}\n", b"[" * 60000 + b"\n", b'{"command":"status","x":1}\n', b"GET / HTTP/1.1\r\n\r\n"):
            began = time.monotonic()
            answer = talk(it, data)
            expect(b'"error"' in answer and answer.count(b"\n") == 1, f"{data[:20]!r}: {answer[:200]!r}")
            expect(time.monotonic() - began < 1.0, "it took too long")
        expect_equal(it.clients.curl("https://allowed.test/", 4).code, 0, "a flow meanwhile")
        for client in silent[60:]:
            client.close()
    with suite.case("a request that never ends is cut off"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5.0)
            client.connect(str(it.firewall.control))
            began = time.monotonic()
            try:
                while time.monotonic() - began < 5.0:
                    client.sendall(b" ")
                    time.sleep(0.1)
            except (BrokenPipeError, ConnectionResetError):
                pass
            expect(time.monotonic() - began < 4.0, "it is still served")


def scrape(it: World, *arguments: str, path: str = "/metrics"):
    return it.bed.run("firewall", ["curl", "-sS", "-m", "3", "-w", "\n%{http_code}", f"http://127.0.0.1:9718{path}", *arguments])


def metrics(suite: Suite, it: World) -> None:
    with suite.case("both ways give the same families, and they count"):
        before = it.firewall.command("metrics", "--control", str(it.firewall.control))
        expect_equal(before.code, 0, before.describe())
        it.clients.curl("https://allowed.test/", 4)
        it.clients.curl("https://denied.test/", 4)
        text, code = scrape(it).out.rsplit("\n", 1)
        expect_equal(code, "200", text[:300])

        def figures(source: str) -> dict[str, float]:
            return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in source.splitlines() if line and line[0] != "#"}
        old, new = figures(before.out), figures(text)
        expect_equal(set(old), set(new), "series")
        for series in ('sallyport_flows_total{verdict="allow"}', 'sallyport_flows_total{verdict="deny"}', "sallyport_flow_decision_seconds_count",
                       'sallyport_flow_verdicts_total{reason="rule_allows"}', 'sallyport_packets_by_protocol_total{protocol="tls"}'):
            expect(new[series] > old[series], f"{series}: {old[series]} -> {new[series]}")
        if shutil.which("promtool"):
            checked = it.bed.run("firewall", ["promtool", "check", "metrics"], stdin=text.encode() + b"\n")
            expect_equal((checked.code, checked.err.strip()), (0, ""), checked.describe())
    if shutil.which("promtool"):
        with suite.case("the alert rules and the dashboard's questions are well-formed"):
            rules = it.bed.run("firewall", ["promtool", "check", "rules", str(REPOSITORY / "docs/alerts/sallyport.rules.yml")])
            expect_equal(rules.code, 0, rules.describe())
            dashboard = json.loads((REPOSITORY / "docs/grafana/sallyport.json").read_text())
            asked = [target["expr"].replace("$__rate_interval", "5m") for panel in dashboard["panels"] for target in panel.get("targets", [])]
            path = it.bed.scratch / "asked.yml"
            path.write_text(json.dumps({"groups": [{"name": "asked", "rules": [{"record": f"asked:{i}", "expr": text} for i, text in enumerate(asked)]}]}))
            rules = it.bed.run("firewall", ["promtool", "check", "rules", str(path)])
            expect_equal(rules.code, 0, rules.describe())


def refusals(suite: Suite, it: World) -> None:
    with suite.case("only our Host and our Origin are answered, and only GET /metrics"):
        for arguments, wanted in (((), "200"), (("-H", "Host: localhost:9718"), "200"), (("-H", "Host: metrics.test"), "200"), (("-H", "Host: evil.test"), "403"),
                                  (("-H", "Host: 127.0.0.1.evil.test:9718"), "403"), (("-H", "Origin: http://evil.test"), "403"),
                                  (("-H", "Origin: http://127.0.0.1:9718"), "200"), (("-H", "Origin: null"), "403"), (("-X", "POST"), "405"),
                                  (("-H", "Host:"), "400")):
            result = scrape(it, *arguments)
            expect_equal(result.out.rsplit("\n", 1)[-1], wanted, f"{arguments}: {result.out[:200]}")
        expect_equal(scrape(it, path="/").out.rsplit("\n", 1)[-1], "404", "another path")
    with suite.case("nobody listens on another address"):
        table = it.bed.run("firewall", ["ss", "-ltn"]).out
        expect("127.0.0.1:9718" in table and "0.0.0.0:9718" not in table and "*:9718" not in table, table)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "nc"))
    Suite("control").main(body)
