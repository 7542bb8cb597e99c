#!/usr/bin/env python3
"""The program dies under traffic: in enforce mode nothing new passes and decided flows go on; in observe mode nobody
notices; a restart resumes."""

import json
import re
import signal
import sys
import time

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.proc import PATIENCE, wait_until
from support.refused import expect_printed_alert
from support.world import TCP, World, world

RULES = allow("allowed.test", "tls", "443") + allow("allowed.test", "http", "80")
BULK = 80 << 20


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "web", "sink", bulk_bytes=BULK) as it:
            for family in (4, 6):
                killed(suite, it, f"{mode} v{family}", family)
        with world(suite, mode, RULES, "web", "sink", mode="observe", bulk_bytes=BULK) as it:
            for family in (4, 6):
                observing(suite, it, f"{mode} v{family}", family)
    with world(suite, "host", RULES, "web") as it:
        full_socket(suite, it)
        full_disk(suite, it)


def start_bulk(it: World, family: int):
    client = it.bed.spawn("client", "curl", ["curl", "-sS", f"-{family}", "--cacert", str(it.servers.ca), "-m", f"{60 * PATIENCE:.0f}", "--limit-rate", "20M", "-o",
                                             "/dev/null", "-w", "%{size_download}", "https://allowed.test/bulk"])
    received = lambda: it.bed.run("client", ["ss", "-Htin", "state", "established", "dport", "=", ":443"]).out
    expect(wait_until(lambda: any(int(size) > 1 << 20 for size in re.findall(r"bytes_received:(\d+)", received())), 10.0), "no download")
    expect(client.running(), client.err())
    return client


def killed(suite: Suite, it: World, label: str, family: int) -> None:
    address = it.bed.server_address(family)
    with suite.case(f"{label}: kill -9 under traffic: nothing new passes, the decided flow goes on"):
        bulk = start_bulk(it, family)
        mark = it.capture.mark()
        it.firewall.kill()
        for url in ("https://allowed.test/", "https://denied.test/", "http://denied.test/"):
            result = it.clients.curl(url, family, timeout=1.5)
            expect(result.code != 0, f"passed without a judge: {result.describe()}")
        it.clients.raw(address, 9000, b"secret", transport="udp", read=0.3)
        it.clients.raw(address, 9000, b"secret", read=0.3, connect=1.0)
        new = [p for p in it.capture.packets(mark) if p.payload and p.protocol in (6, 17) and p.dport in (80, 9000) or b"denied.test" in p.payload]
        expect(not new, f"the server saw {new[:1]}")
        code = bulk.wait(40)
        expect_equal((code, bulk.out()), (0, str(BULK)), bulk.err())
    with suite.case(f"{label}: a restart resumes"):
        expect(it.firewall.status().code != 0, "status says ready while nothing runs")
        it.firewall.start()
        result = it.clients.curl("https://allowed.test/", family)
        expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
        mark = it.mark()
        expect_printed_alert(it.clients.curl("https://denied.test/", family))
        it.expect_nothing_arrived(mark, TCP, 443)
    with suite.case(f"{label}: killed with a half hello held: no byte of it ever arrives"):
        mark = it.capture.mark()
        client = it.bed.spawn("client", "half", [sys.executable, "-c", "import socket,time\n"
                                                 f"s=socket.create_connection(({address!r},443)); s.sendall(b'\\x16\\x03\\x01\\x02\\x00secret'); time.sleep(4)"])
        time.sleep(0.7)
        it.firewall.kill()
        client.wait(8)
        it.firewall.start()
        time.sleep(1.0)
        leaked = [p for p in it.capture.packets(mark) if b"secret" in p.payload]
        expect(not leaked, f"the server saw {leaked[:1]}")


def observing(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: observe mode lets all through and says what it would deny"):
        mark = it.mark()
        result = it.clients.curl("https://denied.test/", family)
        expect_equal(result.out.strip(), "vhost denied.test", result.describe())
        it.expect_event(mark, name="denied.test", verdict="deny")
        answer = it.clients.raw(it.bed.server_address(family), 9000, b"anything", transport="udp")
        expect(answer["received"], str(answer))
        answer = it.clients.raw(it.bed.server_address(family), 9000, b"anything")
        expect(answer["received"], str(answer))
    with suite.case(f"{label}: kill -9 in observe mode: traffic is untouched"):
        bulk = start_bulk(it, family)
        it.firewall.kill()
        for url in ("https://allowed.test/", "https://denied.test/", "http://denied.test/"):
            result = it.clients.curl(url, family, timeout=6 * PATIENCE)
            expect(result.code == 0 and result.within(3), result.describe())
        code = bulk.wait(40)
        expect_equal((code, bulk.out()), (0, str(BULK)), bulk.err())
        it.firewall.start()


# Five thousand datagrams of 8,000 octets, from a socket whose own buffer holds what waits in the queue.
FLOOD = """
import socket, sys
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flood.setsockopt(socket.SOL_SOCKET, 32, 1 << 29)  # SO_SNDBUFFORCE
flood.setblocking(False)
sent = 0
for _ in range(5000):
    try:
        flood.sendto(bytes(8000), (sys.argv[1], 7777))
        sent += 1
    except OSError: pass
print(sent)
"""


def full_socket(suite: Suite, it: World) -> None:
    with suite.case("the buffer of the queue's socket overflows: it is counted, and judging goes on"):
        def figures(name: str, label: str = "") -> int:
            lines = it.firewall.command("metrics", "--control", str(it.firewall.control)).out.splitlines()
            return sum(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{") and label in line)

        expect_equal(figures("sallyport_queue_overruns_total"), 0, "before")
        it.firewall.process.signal(signal.SIGSTOP)
        flood = it.bed.run("firewall", ["/usr/bin/python3", "-c", FLOOD, it.bed.server_address(4)])
        it.firewall.process.signal(signal.SIGCONT)
        lost = figures("sallyport_queue_dropped_packets_total", 'full="socket"')
        expect(figures("sallyport_queue_overruns_total") >= lost > 100, f"{lost} lost, {flood.describe()} {it.firewall.status('--json').out}")
        expect_equal(it.clients.curl("https://allowed.test/", 4).out.strip(), "vhost allowed.test", "a connection behind it")


def full_disk(suite: Suite, it: World) -> None:
    with suite.case("a log that takes no more events: they are counted, judging goes on"):
        it.firewall.stop(signal.SIGTERM)
        command = f'exec "{binary()}" run --json --policy {it.firewall.policy_path.name} >/dev/full'
        full = it.bed.spawn("firewall", "full", ["sh", "-c", command])
        expect(wait_until(lambda: it.firewall.status().code == 0, 15.0), full.err())
        for _ in range(2):
            result = it.clients.curl("https://allowed.test/", 4)
            expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
            expect_printed_alert(it.clients.curl("https://denied.test/", 4))
        expect(wait_until(lambda: json.loads(it.firewall.status("--json").out)["events_lost"] >= 4, 5.0), "not counted")
        expect_equal(full.err().count("standard output takes no more events"), 1, full.err())
        full.stop()


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx"))
    Suite("failure", 280).main(body)
