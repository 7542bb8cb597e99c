#!/usr/bin/env python3
"""What the running service may do: capabilities and the filter of system calls in every thread, what it still does with
them, and what it tells a service manager's watchdog."""

import re
import socket
import sys
import time
from pathlib import Path

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import Sallyport, allow, policy_text
from support.proc import wait_until
from support.refused import expect_printed_alert
from support.world import world

RULES = allow("allowed.test", "tls, http", "443, 80")
NAMES = ["CHOWN", "DAC_READ_SEARCH", "NET_ADMIN", "NET_RAW", "SYS_PTRACE"]
BITS = {"CHOWN": 0, "DAC_READ_SEARCH": 2, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_PTRACE": 19, "SYS_ADMIN": 21}
FILTERED = 2  # Seccomp: of /proc/PID/status.


def mask(*names: str) -> int:
    return sum(1 << BITS[name] for name in names)


def program_pid(process) -> int:
    """program_pid finds the program below `ip netns exec`, which execs it in place."""
    for pid in [process.pid, *map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())]:
        if Path(f"/proc/{pid}/comm").read_text().strip() == "sallyport":
            return pid
    raise RuntimeError("the program is not there")


def threads(pid: int) -> dict[str, dict[str, str]]:
    found = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        found[f"{fields['Name']} {status.parent.name}"] = fields
    return found


def expect_confined(pid: int, *more: str) -> None:
    wanted = mask(*NAMES, *more)
    found = threads(pid)
    expect(len(found) > 2, f"threads: {list(found)}")
    for name, fields in found.items():
        for field in ("CapPrm", "CapEff", "CapBnd"):
            expect_equal(f"{int(fields[field], 16):x}", f"{wanted:x}", f"{field} of {name}")
        for field in ("CapInh", "CapAmb"):
            expect_equal(int(fields[field], 16), 0, f"{field} of {name}")
        expect_equal((fields["Seccomp"], fields["NoNewPrivs"]), (str(FILTERED), "1"), name)


def body(suite: Suite) -> None:
    for layout in ("host", "gateway"):
        with world(suite, layout, RULES, "web") as it:
            pid = program_pid(it.firewall.process)
            with suite.case(f"{layout}: every thread has five capabilities, a filter, and no way to more"):
                expect_confined(pid)
            for family in (4, 6):
                with suite.case(f"{layout} v{family}: judging, refusing and resetting work"):
                    result = it.clients.curl("https://allowed.test/", family)
                    expect_equal(result.out.strip(), "vhost allowed.test", result.describe())
                    expect_printed_alert(it.clients.curl("https://denied.test/", family))
            with suite.case(f"{layout}: a reload works, and makes no thread with more"):
                result = it.firewall.command("reload", "--control", str(it.firewall.control))
                expect_equal(result.code, 0, result.describe())
                expect_confined(pid)
            with suite.case(f"{layout}: rules are removed and restored by the programs that it starts"):
                expect_equal(it.firewall.stop(), 0, it.firewall.process.err())
                rules = it.bed.run("firewall", ["iptables-save"]).out
                expect("SALLYPORT" not in rules, rules)
                it.firewall.start()
    with world(suite, "host", RULES, "web") as it:
        watchdog(suite, it)
        namespaces(suite, it)


def watchdog(suite: Suite, it) -> None:
    with suite.case("the service manager hears of the service four times in the time it waits; a service that stands still says nothing"):
        it.firewall.stop()
        path = it.bed.scratch / "manager"
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(str(path))
        manager.settimeout(5)
        environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "800000"}
        with Sallyport(it.bed, policy_text(it.bed, RULES), name="watched", environment=environment) as firewall:
            expect(manager.recv(4096).startswith(b"READY=1"), "not ready")

            def pings(seconds: float) -> int:
                count, end = 0, time.monotonic() + seconds
                while (left := end - time.monotonic()) > 0:
                    manager.settimeout(left)
                    try:
                        count += manager.recv(4096) == b"WATCHDOG=1"
                    except TimeoutError:
                        break
                return count

            count = pings(2.0)
            expect(5 <= count <= 11, f"{count} pings in two seconds")
            pid = program_pid(firewall.process)
            worker = next(name.split()[-1] for name in threads(pid) if name.startswith("queue"))
            tracer = it.bed.spawn("firewall", "tracer", [sys.executable, "-c", TRACER, worker])
            expect(wait_until(lambda: "stopped" in tracer.out(), 5.0), tracer.err())
            pings(0.5)
            count = pings(1.5)
            expect_equal(count, 0, "pings while a worker stands still")
            tracer.stop()
            expect(pings(2.0) > 3, "no pings when it goes on")
            expect(re.search(r"worker \d+ stands still", firewall.process.err()) is not None, firewall.process.err())


# Holds one thread of another process, which goes on when this one ends.
TRACER = """import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
thread = int(sys.argv[1])
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(thread, 0x40000000)
print("stopped", flush=True)
time.sleep(60)
"""


def namespaces(suite: Suite, it) -> None:
    with suite.case("who looks into other network namespaces may enter them, and has one capability more"):
        extra = '[listeners]\nallow = ["*:1-65535"]\nnetns = "all"\ninterval = "1s"\n'
        with Sallyport(it.bed, policy_text(it.bed, RULES, extra=extra), name="looking") as firewall:
            expect_confined(program_pid(firewall.process), "SYS_ADMIN")
            time.sleep(2.5)
            expect("setns" not in firewall.process.err() and "not permitted" not in firewall.process.err(), firewall.process.err())


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx"))
    Suite("privileges", 150).main(body)
