#!/usr/bin/env python3
"""STARTTLS and its kin with real servers and clients: SMTP, IMAP, POP3, FTP, PostgreSQL, MySQL, LDAP and XMPP.

At the first address of the server plaintext is allowed beside TLS, at the second a rule requires TLS. What must not arrive
is looked for in the capture at the server.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import allow
from support.hello import client_hello
from support.proc import PATIENCE
from support.refused import expect_end, expect_printed, expect_printed_alert, received
from support.upgrade_servers import PASSWORD, PORTS, TOOLS, USER, UpgradeServers
from support.world import World, world

LIAR = 2525  # Port of an SMTP server that injects.
OPEN, STRICT = 0, 1  # Indices of the server's addresses: allowed.test and second.test.
# The names' addresses are private ones.
DNS = '[dns]\nresolvers = ["10.91.9.2", "fd91:0:0:9::2"]\nprivate = "any"\n'
LDAP_BIND = b"cn=" + USER.encode() + b",dc=test"


@dataclass
class Talk:
    """What a raw client says: up to its request for TLS, that, and what a rule may keep in. Each waits for an answer."""
    starttls: str  # As openssl s_client calls it.
    before: tuple[bytes, ...]
    asks: bytes
    secret: bytes


def ldap_bind() -> bytes:
    content = b"\x02\x01\x03\x04" + bytes([len(LDAP_BIND)]) + LDAP_BIND + b"\x80" + bytes([len(PASSWORD)]) + PASSWORD.encode()
    message = b"\x02\x01\x01\x60" + bytes([len(content)]) + content
    return b"\x30" + bytes([len(message)]) + message


def mysql_packet(body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + b"\x01" + body


STARTUP = b"\0\3\0\0user\0" + PASSWORD.encode() + b"\0\0"
XMPP_OPEN = (b"<stream:stream to='allowed.test' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>")
MYSQL_FLAGS = (0x000FA685).to_bytes(4, "little")  # As the client library has them, without CLIENT_SSL.
MYSQL_SSL_FLAGS = (0x000FA685 | 0x800).to_bytes(4, "little")
FILLER = b"\0\0\0\1\x21" + bytes(23)

TALKS = {
    "smtp": Talk("smtp", (b"EHLO me.test\r\n",), b"STARTTLS\r\n", b"MAIL FROM:<" + PASSWORD.encode() + b"@me.test>\r\n"),
    "imap": Talk("imap", (b"a1 CAPABILITY\r\n",), b"a2 STARTTLS\r\n", b"a3 LOGIN " + USER.encode() + b" " + PASSWORD.encode() + b"\r\n"),
    "pop3": Talk("pop3", (b"CAPA\r\n",), b"STLS\r\n", b"USER " + PASSWORD.encode() + b"\r\n"),
    "ftp": Talk("ftp", (b"FEAT\r\n",), b"AUTH TLS\r\n", b"USER " + PASSWORD.encode() + b"\r\n"),
    "postgresql": Talk("postgres", (), b"\0\0\0\x08\x04\xd2\x16\x2f", (len(STARTUP) + 4).to_bytes(4, "big") + STARTUP),
    "mysql": Talk("mysql", (), b"", mysql_packet(MYSQL_FLAGS + FILLER + PASSWORD.encode() + b"\0\0")),
    "ldap": Talk("ldap", (), b"\x30\x1d\2\1\2\x77\x18\x80\x161.3.6.1.4.1.1466.20037", ldap_bind()),
    "xmpp": Talk("xmpp", (XMPP_OPEN,), b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
                 b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + PASSWORD.encode() + b"</auth>"),
}


def rules() -> str:
    text = allow("allowed.test", "smtp", str(LIAR))
    for word, port in PORTS.items():
        text += allow("allowed.test", word, str(port)) + allow("second.test", word, str(port), 'starttls = "require"\n')
    return text


def s_client(it: World, family: int, word: str, name: str | None, index: int):
    """s_client asks for TLS as its protocol does, and says whether it came about."""
    address = it.bed.server_address(family, index)
    target = f"[{address}]:{PORTS[word]}" if family == 6 else f"{address}:{PORTS[word]}"
    server_name = ["-servername", name] if name else ["-noservername"]
    more = ["-xmpphost", "allowed.test"] if word == "xmpp" else []
    return it.bed.run("client", ["openssl", "s_client", "-connect", target, "-starttls", TALKS[word].starttls, *server_name, *more, "-CAfile",
                                 str(it.servers.ca), "-verify_return_error", "-brief"], 10, stdin=b"")


def established(result) -> bool:
    return "CONNECTION ESTABLISHED" in result.out + result.err


def body(suite: Suite) -> None:
    for mode in ("host", "gateway"):
        with world(suite, mode, rules(), "dns", bind="strict", extra=DNS) as it:
            upgrade = UpgradeServers(it.servers)
            for start in (upgrade.smtp, upgrade.mail, upgrade.ftp, upgrade.postgresql, upgrade.mysql, upgrade.ldap, upgrade.xmpp):
                start()
            upgrade.liar(LIAR)
            for family in (4, 6):
                big_mail(suite, it, f"{mode} v{family}", family)
                liar(suite, it, f"{mode} v{family}", family)
                # How a session is followed does not depend on the layout: in the gateway two protocols are enough.
                for word in PORTS if mode == "host" else ("smtp", "postgresql"):
                    upgrades(suite, it, f"{mode} v{family} {word}", family, word)
                    plaintext(suite, it, f"{mode} v{family} {word}", family, word)
                if mode == "host":
                    clients(suite, it, f"{mode} v{family}", family)


MAIL_LINES = int(256_000 / PATIENCE)  # 20 MB; an emulated machine is given less.
BIG_MAIL = """
import smtplib, socket, sys
socket.getfqdn = lambda *_: "me.test"
smtp = smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=float(sys.argv[3]))
smtp.sendmail("a@mail.test", ["b@mail.test"], "Subject: big\\r\\n\\r\\n" + ("x" * 76 + "\\r\\n") * int(sys.argv[4]))
print("taken")
smtp.quit()
"""


def big_mail(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: a mail of {78 * MAIL_LINES // 1_000_000} MB in plaintext gets through, and in time"):
        mark = it.mark()
        command = ["/usr/bin/python3", "-c", BIG_MAIL, it.bed.server_address(family, OPEN), str(PORTS["smtp"]), str(10 * PATIENCE), str(MAIL_LINES)]
        result = it.bed.run("client", command, 40)
        expect("taken" in result.out and result.seconds < 20 * PATIENCE, result.describe())
        expect_equal(it.expect_event(mark, dport=PORTS["smtp"])["verdict"], "allow", "the event")


def liar(suite: Suite, it: World, label: str, family: int) -> None:
    with suite.case(f"{label}: the client of a server that says more behind its agreement is told at once"):
        mark = it.mark()
        answer = it.clients.raw(it.bed.server_address(family, OPEN), LIAR, b"", then=[b"EHLO me.test\r\n".hex(), b"STARTTLS\r\n".hex()], read=3.0, to_end=True)
        expect_equal(it.expect_event(mark, verdict="deny", dport=LIAR)["reason"], "ambiguous", "the event")
        expect(received(answer).startswith(b"220 liar.test ESMTP\r\n250-liar.test\r\n250 STARTTLS\r\n550 5.7.1 sallyport: allowed.test: "), str(answer))
        expect(received(answer).count(b"\r\n") == 4 and b"220 go" not in received(answer), str(answer))
        expect_end(answer)
        it.expect_nothing_lingers(LIAR)


def upgrades(suite: Suite, it: World, label: str, family: int, word: str) -> None:
    port = PORTS[word]
    for name, index in (("allowed.test", OPEN), ("second.test", STRICT), (None, STRICT)):
        with suite.case(f"{label}: TLS {'for ' + name if name else 'without a name'} at {'an open' if index == OPEN else 'a strict'} address"):
            mark = it.mark()
            result = s_client(it, family, word, name, index)
            expect(established(result), result.describe())
            expect_equal(it.expect_event(mark, verdict="allow", dport=port)["protocol"], word, "the event's protocol")
    for name, reason in (("denied.test", "name_not_allowed"), ("second.test", "address_not_bound")):
        with suite.case(f"{label}: TLS for {name} does not begin at the address of another name"):
            mark = it.mark()
            result = s_client(it, family, word, name, OPEN)
            expect(not established(result), result.describe())
            expect_printed_alert(result)
            it.expect_nothing_lingers(port)
            expect_equal(it.expect_event(mark, verdict="deny", dport=port)["reason"], reason, "the event")
            it.expect_never(mark, name.encode())


def expect_told(answer: dict, word: str, name: str, tag: bytes = b"") -> None:
    """The last that the client read is the refusal in its protocol; LDAP and XMPP have a reset."""
    if word in ("ldap", "xmpp"):
        return expect_equal(answer["error"], "ECONNRESET", str(answer))
    begin = {"smtp": b"550 5.7.1 ", "imap": b"* BYE ", "pop3": b"-ERR ", "ftp": b"530 ", "postgresql": b"", "mysql": b""}[word]
    expect(begin + b"sallyport: " + name.encode() + b": " in received(answer), str(answer))
    if word == "imap" and tag:
        expect(b"\r\n" + tag + b" NO [NOPERM] sallyport: " in received(answer), str(answer))
    expect_end(answer)


def plaintext(suite: Suite, it: World, label: str, family: int, word: str) -> None:
    talk, port = TALKS[word], PORTS[word]
    first = b"" if word in ("smtp", "imap", "pop3", "ftp", "mysql") else None

    def say(index: int, *said: bytes) -> bytes:
        lines = ([first] if first is not None else []) + list(said)
        return it.clients.raw(it.bed.server_address(family, index), port, lines[0], then=[line.hex() for line in lines[1:]], read=0.6,
                              to_end=index == STRICT or said[-1] != talk.secret)

    with suite.case(f"{label}: what a strict rule keeps in does not arrive in plaintext"):
        mark = it.mark()
        expect_told(say(STRICT, *talk.before, talk.secret), word, "second.test", b"a3")
        expect_equal(it.expect_event(mark, verdict="deny", dport=port)["reason"], "tls_required", "the event")
        it.expect_never(mark, PASSWORD.encode())
    with suite.case(f"{label}: the same arrives where plaintext is allowed"):
        mark = it.mark()
        say(OPEN, *talk.before, talk.secret)
        it.expect_event(mark, verdict="allow", dport=port)
        it.bed.settle()
        expect(any(PASSWORD.encode() in p.payload for p in it.capture.packets(mark[0])), "nothing arrived: the case before proves nothing")
    random = os.urandom(32)
    hello = client_hello("allowed.test", random=random)
    if word == "mysql":
        return  # Its client does not wait for an answer: the hello belongs behind the request.
    with suite.case(f"{label}: a hello behind the request for TLS, before the server's answer, does not arrive"):
        mark = it.mark()
        expect_told(say(OPEN, *talk.before, talk.asks + hello), word, "allowed.test")
        expect_equal(it.expect_event(mark, verdict="deny", dport=port)["reason"], "ambiguous", "the event")
        it.expect_never(mark, random)


def clients(suite: Suite, it: World, label: str, family: int) -> None:
    """Real clients, each once with TLS at the strict address and once without."""
    def case(what: str, word: str, command: list[str], wanted: str, told: str, env: dict[str, str] | None = None) -> None:
        for tls, index, works in ((True, STRICT, True), (False, OPEN, True), (False, STRICT, False)):
            with suite.case(f"{label}: {what} {'with' if tls else 'without'} TLS at {'an open' if index == OPEN else 'a strict'} address"):
                mark = it.mark()
                name = "second.test" if index == STRICT else "allowed.test"
                address = it.bed.server_address(family, index)
                filled = [part.replace("NAME", name).replace("ADDRESS", address) for part in command]
                filled = [one for part in filled for one in chosen(part, tls)]
                result = it.bed.run("client", ["env", *(f"{k}={v}" for k, v in (env or {}).items()), *filled], 12)
                expect((wanted in result.out) == works, result.describe())
                if not works:
                    if told:
                        expect_printed(result, told)
                    expect_equal(it.expect_event(mark, verdict="deny", dport=PORTS[word])["reason"], "tls_required", "the event")
                    it.expect_never(mark, PASSWORD.encode())

    REFUSED = "sallyport: second.test: mail, login or data in plaintext, where the rule wants TLS first"
    ca = str(it.servers.ca)
    login = f"{USER}:{PASSWORD}"
    curl = ["curl", "-sS", f"-{family}", "--cacert", ca, "-m", "8", "TLS:--ssl-reqd"]
    case("curl, a mailbox", "imap", [*curl, "-u", login, "imap://NAME/"], "INBOX", "Login denied")
    case("psql", "postgresql", ["psql", "-tA", "TLS:host=NAME hostaddr=ADDRESS user=" + USER + " dbname=postgres sslmode=verify-full sslrootcert=" + ca,
                                "PLAIN:host=NAME hostaddr=ADDRESS user=" + USER + " dbname=postgres sslmode=disable", "-c", "select 41 + 1"], "42", REFUSED)
    case("mariadb", "mysql", ["mariadb", "--no-defaults", "-h", "ADDRESS", "-u", USER, f"-p{PASSWORD}", "TLS:--ssl", "PLAIN:--skip-ssl", "-Ne",
                              "select 41 + 1"], "42", REFUSED)
    case("ldapsearch", "ldap", ["ldapsearch", "-x", "-H", "ldap://NAME/", "-D", f"cn={USER},dc=test", "-w", PASSWORD, "TLS:-ZZ", "-s", "base", "-b",
                                "", "namingContexts"], "dc=test", "Can't contact LDAP server", {"LDAPTLS_CACERT": ca, "LDAPTLS_REQCERT": "demand"})


def chosen(part: str, tls: bool) -> list[str]:
    for prefix, wanted in (("TLS:", True), ("PLAIN:", False)):
        if part.startswith(prefix):
            return [part[len(prefix):]] if tls == wanted else []
    return [part]


if __name__ == "__main__":
    skip_unless_possible(binary(), TOOLS)
    Suite("starttls", 280).main(body)
