#!/usr/bin/env python3
"""UDP that is not DNS: rules by bound name, by prefix and by range of ports, and NTP with chrony at both ends."""

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.services import CHRONYD, Services
from support.world import UDP, World, world

ODD_NTP = 1123
# The first address is that of allowed.test; a prefix covers the third and fourth. Neither has the second.
PREFIXES = "10.91.9.4/31, fd91:0:0:9::4/127"
RULES = (allow("allowed.test", "udp", '"9000-9010"') + allow(PREFIXES, "udp", '9100, "9101-9102"') + allow("allowed.test", "ntp")
         + allow("10.91.9.3, fd91:0:0:9::3", "ntp", '"1120-1130"') + allow("allowed.test", "tcp", '"any"'))
# Names of the servers' network may be private, and nobody waits long for a binding.
DNS = '[dns]\nresolvers = ["10.91.9.2", "fd91:0:0:9::2"]\nprivate = [".test"]\nmiss_wait = "200ms"\n'


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, RULES, "dns", bind="strict", extra=DNS) as it:
            for port in (8999, 9000, 9010, 9011, 9100, 9102, 9103):
                it.servers.start_sink(port)
            services = Services(it.servers)
            for port in (123, ODD_NTP) if CHRONYD else ():
                services.start_ntp(port)
            for family in (4, 6):
                by_name_and_prefix(suite, it, f"{mode} v{family}", family)
                if CHRONYD:
                    time_servers(suite, it, services, f"{mode} v{family}", family)
    if not CHRONYD:
        print("left out: NTP, since chronyd is not here")


def by_name_and_prefix(suite: Suite, it: World, label: str, family: int) -> None:
    for index, ports, what in ((0, (9000, 9010), "the first and last port of a bound name's range"), (2, (9100, 9102), "a port and the end of a range of a prefix"),
                               (3, (9100,), "the prefix's last address")):
        with suite.case(f"{label}: {what}: requests and their answers pass"):
            mark = it.firewall.mark()
            for port in ports:
                answer = it.clients.raw(it.bed.server_address(family, index), port, b"a request", transport="udp", then=[b"another".hex()])
                expect_equal(bytes.fromhex(answer["received"]), b"got 9got 7", str(answer))
                event = it.firewall.wait_event(mark, verdict="allow", dport=port, proto="udp")
                if index == 0:
                    expect_equal(event["name"], "allowed.test", "the name of the address")
    with suite.case(f"{label}: beside them the first datagram is refused with ICMP; none arrives, none is answered"):
        mark = it.mark()
        for index, port, reason in REFUSED:
            answer = it.clients.raw(it.bed.server_address(family, index), port, b"secret", transport="udp", then=[b"secret".hex()], read=1.0)
            expect(not answer["received"], str(answer))
            expect_equal(answer["error"], "EHOSTUNREACH" if family == 4 else "EACCES", f"{index} {port} {answer}")
            it.expect_event(mark, verdict="deny", dport=port, dst=it.bed.server_address(family, index), reason=reason)
        it.expect_never(mark, b"secret")


# Below and behind the name's range, behind the prefix's; an address that is not the name's, one outside the prefix.
REFUSED = ((0, 8999, "address_not_allowed"), (0, 9011, "address_not_allowed"), (2, 9103, "address_not_allowed"), (1, 9000, "address_not_bound"),
           (1, 9100, "address_not_allowed"))


def time_servers(suite: Suite, it: World, services: Services, label: str, family: int) -> None:
    for index, port, what in ((0, 123, "a bound name"), (1, ODD_NTP, "an address, on a port of a range")):
        with suite.case(f"{label}: chronyd asks chronyd for the time: {what}"):
            mark = it.mark()
            result = services.ask_time(it.bed.server_address(family, index), port)
            expect_equal(result.code, 0, result.describe())
            expect("System clock wrong by" in result.err + result.out, result.describe())
            it.expect_event(mark, verdict="allow", dport=port, protocol="ntp")
    with suite.case(f"{label}: NTP to an address that is not the name's gets no time, and nothing arrives"):
        mark = it.mark()
        result = services.ask_time(it.bed.server_address(family, 1), 123, 2)
        expect(result.code != 0, result.describe())
        it.expect_nothing_arrived(mark, UDP, 123)
        it.expect_event(mark, verdict="deny", dport=123, protocol="ntp", reason="address_not_bound")
    with suite.case(f"{label}: what is no NTP does not pass a rule for ntp"):
        mark = it.mark()
        answer = it.clients.raw(it.bed.server_address(family), 123, b"\x23 a tunnel that begins like a question for the time", transport="udp", read=1.0)
        expect(not answer["received"] and answer["error"], str(answer))
        it.expect_nothing_arrived(mark, UDP, 123)
        it.expect_event(mark, verdict="deny", dport=123, reason="unknown_protocol")


if __name__ == "__main__":
    skip_unless_possible(binary(), ("dnsmasq",))
    Suite("udp", 200).main(body)
