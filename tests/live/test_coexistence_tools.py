#!/usr/bin/env python3
"""Beside the firewalls of distributions and Docker's bridges: ufw and firewalld are the programs themselves, with a copy of their
configuration; Docker's chains are set up as Docker 28 sets them up, for workloads behind a bridge."""

import re
import shutil
import sys
from pathlib import Path

from support import Sallyport, Servers, Suite, Testbed, binary, expect, expect_equal, policy_text, skip_unless_possible
from support.beside import WG_QUICK, Beside, load, shell
from support.clients import Clients
from support.daemon import allow
from support.host_firewalls import FIREWALLD, UFW, Firewalld, Ufw

RULES = allow("allowed.test", "tls", "443")
SERVICE = 8080  # The recipe's.
DOCS = Path(__file__).resolve().parents[2] / "docs"
ASK = """import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5); print("connected")
except OSError as error:
    print("refused")
"""
DNS = """import socket, sys
def question(number, name):
    return bytes([0, number, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + bytes([0, 0, 1, 0, 1])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((sys.argv[1], 53)); s.settimeout(2)
for number, name in enumerate(("allowed.test", "allowed.test", "denied.test", "denied.test")):
    s.send(question(number, name))
    try: print(name, s.recv(600)[3] & 15)
    except OSError as error: print(name, error)
"""
# Docker 28 with one bridge and one published port, as `iptables-save` shows it, less the addresses.
DOCKER = """*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.91.0.0/24 ! -o docker0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
COMMIT
"""


def body(suite: Suite) -> None:
    chosen = sys.argv[1:]  # Names of tests; none: all.
    for test, mode in ((ufw, "host"), (firewalld, "host"), (docker, "gateway"), (restored_marks, "gateway")):
        if chosen and test.__name__ not in chosen:
            continue
        with Testbed(mode) as bed, Servers(bed) as servers:
            servers.start_web()
            test(suite, bed, Clients(bed, servers))


def reaches(bed, where: str, address: str, port: int) -> bool:
    return bed.run(where, ["/usr/bin/python3", "-c", ASK, address, str(port)]).out.strip() == "connected"


def listen(bed, where: str, port: int):
    process = bed.spawn(where, "service", ["/usr/bin/python3", "-m", "http.server", str(port)])
    bed.wait_listening(where, "tcp", port)
    return process


def ufw(suite: Suite, bed, clients: Clients) -> None:
    if UFW is None:
        print("left out: ufw is not installed")
        return
    tool = Ufw(bed)
    for line in ("default deny incoming", "default allow outgoing", f"allow in on east to any port {SERVICE} proto tcp", "--force enable"):
        tool(*line.split())
    listen(bed, "firewall", SERVICE)
    listen(bed, "firewall", SERVICE + 1)

    def still_closed() -> None:
        address = bed.client_address(4)
        expect(reaches(bed, "server", address, SERVICE) and not reaches(bed, "server", address, SERVICE + 1), "what ufw opens and closes")

    Beside(suite, bed, clients, "ufw").run(policy_text(bed, RULES), [
        ("`ufw reload`", lambda: tool("reload")),
        ("`ufw disable` and `ufw enable`", lambda: (tool("disable"), tool("--force", "enable"), still_closed())),
        ("`ufw deny out 26/tcp`, and its deletion", lambda: (tool("deny", "out", "26/tcp"), tool("delete", "deny", "out", "26/tcp"))),
    ])


def firewalld(suite: Suite, bed, clients: Clients) -> None:
    if FIREWALLD is None or shutil.which("dbus-daemon") is None:
        print("left out: firewalld or dbus-daemon is not installed")
        return
    with Firewalld(bed) as tool:
        listen(bed, "firewall", SERVICE)
        listen(bed, "firewall", SERVICE + 1)
        with suite.case("firewalld: the recipe of docs/gateway-hardening.md closes every interface but one"):
            recipe = re.search(r"### firewalld .*?```\n(.*?)```", (DOCS / "gateway-hardening.md").read_text(), re.S).group(1)
            for line in recipe.replace("wg0", "east").splitlines():
                expect(line.startswith("firewall-cmd "), line)
                tool(*line.split()[1:])
            address = bed.client_address(4)
            expect(reaches(bed, "server", address, SERVICE), "the port that is opened")
            expect(not reaches(bed, "server", address, SERVICE + 1), "another port")
        Beside(suite, bed, clients, "firewalld").run(policy_text(bed, RULES), [
            ("`firewall-cmd --reload`", lambda: tool("--reload")),
            ("`firewall-cmd --complete-reload`", lambda: tool("--complete-reload")),
        ])


def bridge(bed) -> None:
    """bridge puts the workload behind docker0, as a container's link is."""
    commands = ["ip link add docker0 type bridge", "ip link set docker0 up"]
    for line in bed.run("firewall", ["ip", "-o", "addr", "show", "dev", "west", "scope", "global"]).out.splitlines():
        words = line.split()
        commands += [f"ip addr del {words[3]} dev west", f"ip addr add {words[3]} dev docker0" + (" nodad" if words[2] == "inet6" else "")]
    shell(bed, *commands, "ip link set west master docker0")


def docker(suite: Suite, bed, clients: Clients) -> None:
    bridge(bed)
    load(bed, DOCKER)
    shell(bed, "ip6tables -P FORWARD ACCEPT")

    def restart() -> None:  # What dockerd does when it starts: its chains emptied and filled, its jumps deleted and inserted first.
        for jump in ("DOCKER-FORWARD", "DOCKER-USER"):
            shell(bed, f"iptables -D FORWARD -j {jump}", f"iptables -I FORWARD -j {jump}")

    policy = policy_text(bed, RULES).replace('inside = ["west"]', 'inside = ["docker0"]')
    Beside(suite, bed, clients, "Docker's chains").run(policy, [("its jumps inserted first, as its start does", restart)])


def restored_marks(suite: Suite, bed, clients: Clients) -> None:
    """Rules that copy the whole ct mark to packets must not make them look judged: names are asked over one socket."""
    load(bed, WG_QUICK)
    with Sallyport(bed, policy_text(bed, allow("allowed.test", "dns, tls"))) as firewall:
        suite.on_failure = firewall.log
        with suite.case("wg-quick's restored marks: a second question of an allowed DNS flow is judged for itself"):
            clients.servers.start_dns()
            out = bed.run("client", ["/usr/bin/python3", "-c", DNS, bed.server_address(4)]).out
            expect_equal(out.split("\n")[:4], ["allowed.test 0", "allowed.test 0", "denied.test 5", "denied.test 5"], "answers")
        with suite.case("`sallyport doctor` tells of them"):
            result = firewall.command("doctor", "--policy", str(firewall.policy_path), timeout=60)
            expect("copies our verdict from the ct mark" in result.out and "wg-quick" in result.out, result.describe())


if __name__ == "__main__":
    skip_unless_possible(binary(), ("curl", "nginx", "nft", "unshare", "nsenter"))
    Suite("coexistence_tools", 170).main(body)
