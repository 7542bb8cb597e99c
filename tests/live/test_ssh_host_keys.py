#!/usr/bin/env python3
"""SSH host keys: a server with the rule's key is reached, one with another key is cut before the client authenticates."""

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.clients import Clients
from support.daemon import Sallyport, allow, policy_text
from support.proc import must
from support.refused import expect_printed
from support.servers import SSH_PORT, Servers
from support.testbed import Testbed

# What sshd says of a client that went on behind the key exchange.
AUTHENTICATION = ("userauth-request", "Accepted publickey", "SSH2_MSG_NEWKEYS received")
OTHER_PORT, FILE_PORT, WEB_PORT = 2222, 2223, 2224


def fingerprint(key) -> str:
    return must(["ssh-keygen", "-lf", str(key)]).out.split()[1]


def rules(servers: Servers, address: str, folder) -> str:
    """Each server has a key of its own. That of 22 is pinned for 22 and 2222; 2223 goes by a known_hosts file."""
    first, second = servers.host_key(SSH_PORT), servers.host_key(FILE_PORT)
    known = folder / "known_hosts"
    key = " ".join(second.read_text().split()[:2])
    known.write_text(f"[{address}]:{FILE_PORT} {key}\n")
    def pinned(port: int, keys: str) -> str:
        return allow(address, "ssh", str(port), f'host_keys = ["{keys}"]\n')
    return (pinned(SSH_PORT, fingerprint(first)) + pinned(OTHER_PORT, fingerprint(first)) + pinned(FILE_PORT, f"known_hosts:{known}")
            + allow(address, "ssh", str(WEB_PORT)))


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        for family in (4, 6):
            with Testbed(mode) as bed, Servers(bed) as servers:
                address = bed.server_address(family)
                servers.start_ssh()
                for port in (OTHER_PORT, FILE_PORT):
                    servers.start_another_ssh(port)
                servers.start_lines(WEB_PORT, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                with Sallyport(bed, policy_text(bed, rules(servers, address, bed.scratch))) as firewall:
                    suite.on_failure = firewall.log
                    each(suite, servers, Clients(bed, servers), firewall, f"{mode} v{family}", address)
                    suite.on_failure = None


def each(suite: Suite, servers: Servers, clients: Clients, firewall: Sallyport, label: str, address: str) -> None:
    for port, what in ((SSH_PORT, "a fingerprint"), (FILE_PORT, "a known_hosts file")):
        with suite.case(f"{label}: a server with the key of {what} is reached"):
            mark = firewall.mark()
            result = clients.ssh(address, "head -c 500000 /dev/zero | wc -c; echo reached", port)
            expect_equal(result.out.split(), ["500000", "reached"], result.describe())
            event = firewall.wait_event(mark, verdict="allow", dport=port)
            expect_equal("SHA256:" + event["hostkey_sha256"], fingerprint(servers.host_key(port)), "the event's key")
            for word in AUTHENTICATION:
                expect(word in servers.ssh_log(port), f"no {word!r} in the log of a server that was reached: the next case proves nothing")
    with suite.case(f"{label}: a server with another key is cut before the client authenticates"):
        mark = firewall.mark()
        result = clients.ssh(address, "echo reached", OTHER_PORT)
        expect_printed(result, "Received disconnect from ", f"sallyport: {address}: the server's host key is none of those that the rule has (")
        expect("reached" not in result.out, result.describe())
        event = firewall.wait_event(mark, verdict="deny", dport=OTHER_PORT)
        expect_equal(event["reason"], "host_key_not_allowed", "the event")
        expect_equal("SHA256:" + event["hostkey_sha256"], fingerprint(servers.host_key(OTHER_PORT)), "the event's key")
        log = servers.ssh_log(OTHER_PORT)
        expect("expecting SSH2_MSG_KEX_ECDH_INIT" in log, "the server took part in no key exchange:\n" + log[-1500:])
        for word in AUTHENTICATION:
            expect(word not in log, f"{word!r} in the server's log:\n" + log[-1500:])
    with suite.case(f"{label}: a server that is no SSH server is cut"):
        mark = firewall.mark()
        result = clients.ssh(address, "echo reached", WEB_PORT)
        expect_printed(result, "Received disconnect from ", f"sallyport: {address}: no rule allows this protocol to this destination (")
        event = firewall.wait_event(mark, verdict="deny", dport=WEB_PORT)
        expect_equal(event["reason"], "protocol_not_allowed", "the event")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("sshd", "ssh", "ssh-keygen"))
    Suite("ssh_host_keys", 170).main(body)
