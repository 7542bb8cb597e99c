#!/usr/bin/env python3
"""The recipes of docs/gateway-hardening.md: loopback, ufw, Docker's published ports, a VPN's interface alone, the audit.

The router of a testbed is the gateway: "west" is its network, "east" stands for its VPN, the server for a container. ufw is the real
one, with a copy of its configuration; Docker's chains are set up as Docker sets them up.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from support import Suite, Testbed, binary, expect, expect_equal, skip_unless_possible
from support.host_firewalls import UFW, Ufw
from support.proc import run
from test_audit import PLANT, plant

DOCS = Path(__file__).resolve().parents[2] / "docs"
PUBLISHED, CONTAINER_PORT, SERVICE = 8081, 80, 8080
ASK = """import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5); print("connected")
except OSError as error:
    print("refused")
"""


def reaches(bed: Testbed, where: str, address: str, port: int) -> bool:
    return bed.run(where, ["/usr/bin/python3", "-c", ASK, address, str(port)]).out.strip() == "connected"


def tables(bed: Testbed, *commands: str) -> None:
    for command in commands:
        result = bed.run("firewall", ["sh", "-c", command])
        expect_equal(result.code, 0, result.describe())


def body(suite: Suite) -> None:
    with Testbed("gateway") as bed:
        (bed.scratch / "planted.py").write_text(PLANT.read_text())
        inner, outer = "10.91.9.1", "10.91.0.254"  # The gateway's addresses on the VPN's side and on its network.
        with suite.case("a service on loopback is out of reach of the network; on 0.0.0.0 it is not"):
            service = plant(bed, "firewall", "gateway", f"tcp,127.0.0.1,{SERVICE}")
            expect(reaches(bed, "firewall", "127.0.0.1", SERVICE) and not reaches(bed, "client", outer, SERVICE), "loopback")
            service.stop()
            service = plant(bed, "firewall", "gateway", f"tcp,0.0.0.0,{SERVICE}")
            expect(reaches(bed, "client", outer, SERVICE), "the control: 0.0.0.0 is reached")
        vpn_only(suite, bed, inner, outer)
        docker(suite, bed, inner, outer)
        audit(suite, bed)
    documents(suite)


def vpn_only(suite: Suite, bed: Testbed, inner: str, outer: str) -> None:
    with suite.case("an address of the VPN alone is reached through the network as well, until it is closed by interface"):
        bound = plant(bed, "firewall", "vpn-service", f"tcp,{inner},8082")
        expect(reaches(bed, "client", inner, 8082) and reaches(bed, "server", inner, 8082), "the control")
        rule = f"INPUT ! -i east -d {inner} -p tcp --dport 8082 -j DROP"
        tables(bed, f"iptables -I {rule}")
        expect(not reaches(bed, "client", inner, 8082), "through the network")
        expect(reaches(bed, "server", inner, 8082), "through the VPN")
        tables(bed, f"iptables -D {rule}")
        bound.stop()
    if UFW is None:
        print("left out: ufw is not installed")
        return
    with suite.case("ufw: incoming denied, but for one port by one interface"):
        ufw = Ufw(bed)
        for line in ("default deny incoming", "default allow outgoing", f"allow in on east to any port {SERVICE} proto tcp", "--force enable"):
            ufw(*line.split())
        expect(not reaches(bed, "client", outer, SERVICE), "from the network")
        expect(reaches(bed, "server", inner, SERVICE), "by the VPN")
        expect(reaches(bed, "firewall", "127.0.0.1", SERVICE), "on loopback")


def docker(suite: Suite, bed: Testbed, inner: str, outer: str) -> None:
    container = plant(bed, "server", "container", f"tcp,0.0.0.0,{CONTAINER_PORT}")
    address = bed.server_address(4)
    tables(bed, "iptables -t nat -N DOCKER", "iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
           f"iptables -t nat -A DOCKER ! -i east -p tcp --dport {PUBLISHED} -j DNAT --to-destination {address}:{CONTAINER_PORT}",
           "iptables -N DOCKER", "iptables -N DOCKER-USER", "iptables -A DOCKER-USER -j RETURN",
           "iptables -I FORWARD -o east -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "iptables -I FORWARD -i east -j ACCEPT",
           "iptables -I FORWARD -o east -j DOCKER", f"iptables -A DOCKER -d {address} ! -i east -o east -p tcp --dport {CONTAINER_PORT} -j ACCEPT",
           "iptables -I FORWARD -j DOCKER-USER")
    if UFW is not None:
        with suite.case("a port that Docker publishes is reached although ufw denies it"):
            ufw = Ufw.__new__(Ufw)
            ufw.bed, ufw.etc, ufw.default = bed, bed.scratch / "etc-ufw", bed.scratch / "default-ufw"
            ufw("deny", str(PUBLISHED))
            expect(reaches(bed, "client", outer, PUBLISHED), "published")
    match = "-i west -p tcp -m conntrack {} -j DROP"
    with suite.case("DOCKER-USER closes it by the port that was asked for"):
        expect(reaches(bed, "client", outer, PUBLISHED), "the control")
        rule = match.format(f"--ctorigdstport {PUBLISHED} --ctdir ORIGINAL")
        tables(bed, f"iptables -I DOCKER-USER {rule}")
        expect(not reaches(bed, "client", outer, PUBLISHED), "closed")
        tables(bed, f"iptables -D DOCKER-USER {rule}")
    with suite.case("a rule there for the published port by --dport closes nothing: the address is translated by then"):
        tables(bed, f"iptables -I DOCKER-USER -i west -p tcp --dport {PUBLISHED} -j DROP")
        expect(reaches(bed, "client", outer, PUBLISHED), "still open")
    container.stop()


def audit(suite: Suite, bed: Testbed) -> None:
    def ask(allow: str, *more: str):
        path = bed.scratch / "hardening.toml"
        path.write_text(f'version = 1\n[listeners]\nallow = ["{allow}"]\n')
        return bed.run("firewall", [binary(), "audit", "--policy", str(path), *more])

    with suite.case("the audit that the timer starts: exit code 0 as declared, 1 for a service that went to 0.0.0.0"):
        expect_equal(ask(f"0.0.0.0:{SERVICE}/tcp@gateway").code, 0, "declared")
        result = ask(f"127.0.0.1:{SERVICE}/tcp@gateway")
        expect(result.code == 1 and "wider" in result.out, result.describe())


def documents(suite: Suite) -> None:
    """What the pages show is what programs take."""
    text = (DOCS / "gateway-hardening.md").read_text() + (DOCS / "listeners.md").read_text()
    with suite.case("the pages' policies load, all but guards, which have tests of their own"):
        blocks = [block for block in re.findall(r"```toml\n(.*?)```", text, re.S) if "[[guards]]" not in block]
        expect(len(blocks) >= 4, str(len(blocks)))
        with tempfile.TemporaryDirectory() as folder:
            for number, block in enumerate(blocks):
                path = Path(folder) / f"{number}.toml"
                path.write_text("version = 1\n" + block)
                result = run([binary(), "check", str(path)])
                expect_equal(result.code, 0, result.describe())
            path.write_text('version = 1\ninclude = ["preset:cloudflared", "preset:tailscale"]\n')
            expect_equal(run([binary(), "check", str(path)]).code, 0, "presets")
    if shutil.which("systemd-analyze") is None:
        print("left out: systemd-analyze is not installed")
        return
    with suite.case("systemd-analyze verify has nothing to say of the timer and its service"):
        with tempfile.TemporaryDirectory() as folder:
            names = []
            for name, unit in re.findall(r"```ini\n# /etc/systemd/system/(\S+)\n(.*?)```", text, re.S):
                unit = unit.replace("/usr/sbin/sallyport", binary()).replace("OnFailure=status-mail@%n.service\n", "")
                (Path(folder) / name).write_text(unit)
                names.append(str(Path(folder) / name))
            expect_equal(len(names), 2, str(names))
            result = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, timeout=30)
            expect(result.returncode == 0 and not re.search("sallyport-audit", result.stderr), result.stderr)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("unshare",))
    Suite("gateway_hardening", 150).main(body)
