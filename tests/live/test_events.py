#!/usr/bin/env python3
"""Events: each output for real (files that are rotated and full disks, a collector's socket, the journal), folding, and whose a flow is."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from support import Servers, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.clients import Clients
from support.daemon import Sallyport, allow
from support.event_schema import check_schema
from support.proc import PATIENCE, wait_until

JOURNALD = Path("/lib/systemd/systemd-journald")
USER = 4714


def rows(path: Path) -> list[dict]:
    """rows returns the whole lines of a file; each must be JSON."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def denials(events: list[dict]) -> int:
    return sum(event.get("count", 1) for event in events if event["verdict"] == "deny")


class Collector:
    """A collector that listens at a unix socket and keeps what it gets."""

    def __init__(self, path: Path, kind: int = socket.SOCK_STREAM):
        self.path, self.data, self.kind = path, b"", kind
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, kind)
        self.socket.bind(str(path))
        self.peers: list[socket.socket] = []
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            source = self.socket
            if self.kind == socket.SOCK_STREAM:
                source, _ = self.socket.accept()
                self.peers.append(source)
            while data := source.recv(65536):
                self.data += data
        except OSError:
            pass

    def rows(self) -> list[dict]:
        return [json.loads(line) for line in self.data.decode().split("\n")[:-1]]

    def close(self) -> None:
        for one in (*self.peers, self.socket):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        self.path.unlink(missing_ok=True)


class It:
    def __init__(self, bed, servers):
        self.bed, self.servers = bed, servers
        self.clients = Clients(bed, servers)

    def policy(self, events: str, **more) -> str:
        return policy_text(self.bed, allow("allowed.test", "tls"), extra="[scopes.user]\nusers = [%d]\n[events]\n%s\n" % (USER, events), **more)

    @contextmanager
    def running(self, events: str, *arguments: str, **more):
        with Sallyport(self.bed, self.policy(events, **more), *arguments, json_lines=False) as firewall:
            yield firewall

    def file(self, name: str) -> Path:
        return self.bed.scratch / name

    def page(self, name: str, uid: int | None = None):
        return self.clients.curl(f"https://{name}/", 4, uid=uid)


def counted(firewall: Sallyport, verdict: str) -> int:
    return json.loads(firewall.status("--json").out)["flows"].get(verdict, 0)


def outputs(suite: Suite, it: It) -> None:
    plain, eve, collector_path = it.file("events.json"), it.file("eve.json"), it.file("collector.sock")
    events = f'output = ["stdout", "file:{plain}", {{to = "file:{eve}", format = "eve"}}, "unix:{collector_path}"]\nfold = "0s"'
    collector = Collector(collector_path)
    with it.running(events) as firewall:
        with suite.case("each output gets each flow, in its own form"):
            expect_equal(it.page("allowed.test").out.strip(), "vhost allowed.test", "allowed")
            it.page("denied.test")
            expect(wait_until(lambda: len(rows(plain)) >= 2 and len(rows(eve)) >= 2 and len(collector.rows()) >= 2, 4.0), f"{rows(plain)} {collector.data}")
            for row in rows(plain):
                check_schema(row)
            expect_equal([row["verdict"] for row in rows(plain)], ["allow", "deny"], "file")
            expect_equal(collector.rows(), rows(plain), "the collector has the same lines")
            expect_equal([row["event_type"] for row in rows(eve)], ["tls", "alert"], "eve")
            expect_equal([row["tls"]["sni"] for row in rows(eve)], ["allowed.test", "denied.test"], "eve")
            expect_equal(rows(eve)[1]["alert"]["action"], "blocked", "eve")
            expect_equal([row["sallyport"]["id"] for row in rows(eve)], [row["id"] for row in rows(plain)], "one id everywhere")
            expect(re.search(r"denied\.test .* deny \(name_not_allowed", firewall.process.out()), firewall.process.out())
            expect_equal(plain.stat().st_mode & 0o777, 0o640, "mode")
        with suite.case("a file that was renamed is begun anew within a second, and no line is lost or cut"):
            plain.rename(it.file("events.json.1"))
            time.sleep(1.3)
            it.page("denied.test")
            expect(wait_until(lambda: len(rows(plain)) == 1, 4.0), f"{rows(plain)}")
            expect_equal(len(rows(it.file("events.json.1"))), 2, "the old file is left alone")
        with suite.case("a collector that goes and comes back gets what came meanwhile"):
            before = len(collector.rows())
            collector.close()
            for _ in range(3):
                it.page("denied.test")
            expect(wait_until(lambda: "takes no events" in firewall.process.err(), 4.0), firewall.process.err())
            second = Collector(collector_path)
            expect(wait_until(lambda: before + len(second.rows()) >= 6 - 1, 8.0), f"{before} {second.data}")
            ids = [row["id"] for row in second.rows()]
            expect_equal(len(ids), len(set(ids)), "no line twice")
            second.close()
    with suite.case("datagrams: a line each"):
        datagrams = Collector(collector_path, socket.SOCK_DGRAM)
        with it.running(f'output = "unix:{collector_path}"'):
            it.page("denied.test")
            expect(wait_until(lambda: len(datagrams.rows()) == 1, 4.0), f"{datagrams.data}")
        datagrams.close()


WINDOW = int(3 * PATIENCE**2)  # On an emulated machine each page takes seconds.


def folding(suite: Suite, it: It) -> None:
    path = it.file("folded.json")
    with suite.case("repeated denials: the first at once, the rest in one line of their number, none lost"):
        with it.running(f'output = ["stdout", "file:{path}"]\nfold = "{WINDOW}s"') as firewall:
            begun = time.monotonic()
            it.page("denied.test")
            expect(wait_until(lambda: len(rows(path)) == 1, 2.5), "the first is not told at once")
            for _ in range(7):
                it.page("denied.test")
            it.page("other.test")
            it.page("allowed.test")
            it.page("allowed.test")
            expect(time.monotonic() - begun < WINDOW, "too slow to be in one window")
            expect(wait_until(lambda: any("count" in row for row in rows(path)), 2.0 * WINDOW), f"{rows(path)}")
            denied = [row for row in rows(path) if row["name"] == "denied.test"]
            expect_equal([row.get("count", 1) for row in denied], [1, 7], "denied.test")
            expect_equal(denied[1]["of"], denied[0]["id"], "of")
            expect(denied[0]["time"] < denied[1]["first"] <= denied[1]["last"], f"{denied}")
            expect_equal(len([row for row in rows(path) if row["verdict"] == "allow"]), 2, "allowed flows are not folded")
            expect(wait_until(lambda: "(7 times)" in firewall.process.out(), 2.0), firewall.process.out())
            expect_equal(denials(rows(path)), counted(firewall, "deny"), "as many as the service counted")
            for row in rows(path):
                check_schema(row)
    with suite.case("what is counted when the service ends is told"):
        path.unlink()
        with it.running(f'output = "file:{path}"\nfold = "60s"') as firewall:
            for _ in range(9):
                it.page("denied.test")
            total = counted(firewall, "deny")
        expect_equal([row.get("count", 1) for row in rows(path)], [1, total - 1], f"{rows(path)}")
        expect_equal(total, 9, "denials")


def full_disk(suite: Suite, it: It) -> None:
    disk, path = it.file("disk"), it.file("disk") / "events.json"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=32", "none", str(disk)], check=True)
    try:
        with suite.case("a full disk is said once, costs no packet, and goes on when there is room: every line is whole"):
            beside = it.file("beside.json")
            filler = disk / "filler"
            # The name of the file is in the mount namespace of the test; `ip netns exec` makes one below it.
            with it.running(f'output = ["file:{path}", "file:{beside}"]\nfold = "0s"') as firewall:
                it.page("denied.test")
                expect(wait_until(lambda: len(rows(path)) == 1, 4.0), firewall.process.err())
                with filler.open("wb") as out:
                    try:
                        while os.write(out.fileno(), b"x" * 512):
                            pass
                    except OSError:
                        pass
                for _ in range(12):
                    it.page("denied.test")
                expect(wait_until(lambda: "No space left" in firewall.process.err(), 4.0), firewall.process.err())
                expect_equal(it.page("allowed.test").out.strip(), "vhost allowed.test", "judging goes on")
                expect(wait_until(lambda: len(rows(beside)) == 14, 4.0), f"another output is not hurt: {len(rows(beside))}")
                expect_equal(firewall.process.err().count("No space left"), 1, firewall.process.err())
                filler.unlink()
                expect(wait_until(lambda: len(rows(path)) == 14, 6.0), f"{len(rows(path))} lines; {firewall.process.err()}")
                expect_equal(rows(path), rows(beside), "the same lines")
                expect(wait_until(lambda: "takes events again" in firewall.process.err(), 3.0), firewall.process.err())
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def processes(suite: Suite, it: It) -> None:
    path = it.file("processes.json")
    with it.running(f'output = "file:{path}"\nfold = "0s"') as firewall:
        with suite.case("whose a flow is: curl as another user"):
            total = 40
            for number in range(total):
                it.page("allowed.test" if number % 2 else "denied.test", uid=USER)
            expect(wait_until(lambda: len(rows(path)) >= total, 5.0), f"{len(rows(path))}")
            found = [row for row in rows(path) if "pid" in row]
            print(f"    the process of {len(found)} of {total} flows of curl was found", flush=True)
            expect(len(found) >= total * 0.6, f"{len(found)} of {total}")  # A curl is over in 10 ms; beside a build a quarter of them is gone by then.
            for row in found:
                check_schema(row)
                expect_equal((row["process"], row["uid"], row["scopes"]), ("curl", USER, ["user"]), f"{row}")
                expect_equal(Path(row["program"]).name, "curl", f"{row}")
                expect(row["cgroup"].startswith("/"), f"{row}")
                expect(row["decision_us"] >= 0 and row["packets"] > 0 and row["bytes"] > 0, f"{row}")
            expect_equal(len({row["pid"] for row in found}), len(found), "each curl is a process of its own")
        with suite.case("a process that calls itself something hostile breaks no line"):
            hostile = it.file("a\n{\"v\":2}")
            shutil.copy(shutil.which("curl"), hostile)
            hostile.chmod(0o755)
            before = len(rows(path))
            it.bed.run("client", [str(hostile), "-sS", "-m", "3", "--cacert", str(it.servers.ca), "https://allowed.test/"], 8.0)
            expect(wait_until(lambda: len(rows(path)) > before, 4.0), "no line")
            expect_equal(rows(path)[-1].get("process"), r'a\x0a{"v":2}', f"{rows(path)[-1]}")


def journal(suite: Suite, it: It) -> None:
    label = "the journal gets each event with its fields"
    if not JOURNALD.exists() or shutil.which("journalctl") is None:
        print(f"  SKIPPED  {label}: systemd-journald is not installed", flush=True)
        return
    # The journal's socket and files are of a mount namespace of their own: this machine's journal is left alone.
    policy = it.file("journal.toml")
    policy.write_text(it.policy('output = "journald"\nfold = "0s"'))
    script = f"""
        mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir -p /run/systemd/journal
        mount -t tmpfs none /run/log 2>/dev/null || {{ mkdir -p /run/log && mount -t tmpfs none /run/log; }}
        {JOURNALD} >/dev/null 2>{it.file('journald.err')} & journald=$!
        for i in $(seq 50); do [ -S /run/systemd/journal/socket ] && break; sleep 0.1; done
        [ -S /run/systemd/journal/socket ] || {{ echo NOJOURNAL; exit 0; }}
        '{binary()}' run --policy {policy} & firewall=$!
        trap 'kill $firewall $journald 2>/dev/null' EXIT
        while read -r line; do
          case $line in
            journal) journalctl -D /run/log/journal -t sallyport -o json --no-pager 2>/dev/null || true; echo END ;;
            *) break ;;
          esac
        done
        kill $firewall; wait $firewall"""
    with suite.case(label):
        # Not `ip netns exec`, which takes /sys/fs/cgroup out of sight: journald does not run without.
        argv = ["nsenter", f"--net=/run/netns/{it.bed.firewall}", "unshare", "-m", "--propagation", "private", "bash", "-c", script]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=it.bed.scratch) as process:
            try:
                first = process.stdout.readline()
                if "NOJOURNAL" in first:
                    print(f"  SKIPPED  {label}: systemd-journald does not run here: {it.file('journald.err').read_text()[-300:]}", flush=True)
                    return
                time.sleep(1.0)
                it.page("allowed.test", uid=USER)
                it.page("denied.test", uid=USER)
                entries: list[dict] = []
                for _ in range(20):
                    time.sleep(0.3)
                    process.stdin.write("journal\n")
                    process.stdin.flush()
                    entries = []
                    while (line := process.stdout.readline()) and line != "END\n":
                        if line.startswith("{"):
                            entries.append(json.loads(line))
                    if len([e for e in entries if e.get("SALLYPORT_EVENT") == "flow"]) >= 2:
                        break
                flows = [entry for entry in entries if entry.get("SALLYPORT_EVENT") == "flow"]
                expect_equal([(e["SALLYPORT_NAME"], e["SALLYPORT_VERDICT"], e["PRIORITY"]) for e in flows],
                             [("allowed.test", "allow", "6"), ("denied.test", "deny", "4")], f"{entries}")
                expect_equal(flows[1]["SALLYPORT_SCOPES"], "user", f"{flows[1]}")
                expect("denied.test" in flows[1]["MESSAGE"], f"{flows[1]}")
            finally:
                try:
                    process.stdin.write("end\n")
                    process.stdin.flush()
                    process.wait(8)
                except (OSError, subprocess.TimeoutExpired):
                    process.kill()


def body(suite: Suite) -> None:
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        it = It(bed, servers)
        for part in (outputs, folding, processes, full_disk, journal):
            part(suite, it)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "bash"))
    Suite("events", 160).main(body)
