"""What a denied client was told in its own protocol, from the bytes that it read or from what its program printed."""

from __future__ import annotations

import json

from .proc import Result
from .quic_initial import open_server_initial
from .suite import expect, expect_equal

ALERT = bytes.fromhex("15030300020231")  # A record with the fatal alert access_denied, RFC 8446 §5.1, §6.2.
FAST = 3.0  # Seconds; the machine of a test may be busy, and a client that is not told waits longer.


def received(answer: dict) -> bytes:
    return bytes.fromhex(answer["received"])


def expect_end(answer: dict, seconds: float = FAST) -> None:
    """The connection ended behind what was read, at once; the raw client was asked to read `to_end`."""
    expect(answer["eof"] and not answer["error"] and answer["seconds"] < seconds, str(answer))


def expect_alert(answer: dict, before: bytes = b"", seconds: float = FAST) -> None:
    """The client read an alert behind what the server said `before`, and the end."""
    expect_equal(received(answer), before + ALERT, str(answer))
    expect_end(answer, seconds)


def expect_printed_alert(result: Result) -> None:
    """OpenSSL, or a program on it, failed and named the alert."""
    expect(result.code not in (0, None) and "alert access denied" in result.err and result.within(FAST), result.describe())


def expect_problem(head: bytes, body: bytes, name: str, reason: str, status: int = 403) -> None:
    """These are the head and the content of a refusal in HTTP/1."""
    lines = head.split(b"\r\n")
    expect(lines[0].startswith(f"HTTP/1.1 {status} ".encode()), str(lines))
    expect_equal(len(body), next(int(line[15:]) for line in lines if line.startswith(b"Content-Length:")), str(lines))
    expect(b"Connection: close" in lines, str(lines))
    expect_problem_text(body.decode(), name, reason, status)


def expect_problem_text(text: str, name: str, reason: str, status: int = 403) -> None:
    """The content is RFC 9457's, of this refusal."""
    problem = json.loads(text)
    expect_equal((problem["status"], problem["name"], problem["reason"]), (status, name, reason), text)
    expect(problem["detail"].startswith(f"sallyport: {name}") and f"({problem['rule']})" in problem["detail"], text)


def expect_forbidden(answer: dict, name: str, reason: str, status: int = 403, responses: int = 0) -> None:
    """The raw client read `responses` of the server, then the refusal, and the end."""
    read = received(answer)
    start = read.rfind(b"HTTP/1.1 ")
    head, _, body = read[max(start, 0):].partition(b"\r\n\r\n")
    expect_problem(head, body, name, reason, status)
    expect_equal(read[:start].count(b"HTTP/1.1 200 "), responses, str(read))
    expect_end(answer)


def expect_printed_forbidden(result: Result, name: str, reason: str, status: int = 403, before: str = "") -> None:
    """curl, which was given WITH_STATUS, printed what the server said `before`, the refusal and its status."""
    expect(result.code == 0 and result.out.startswith(before) and result.within(FAST), result.describe())
    text, _, code = result.out[len(before):].rpartition("\n")
    expect_equal(code, str(status), result.describe())
    expect_problem_text(text, name, reason, status)


def expect_printed(result: Result, *words: str) -> None:
    """The program failed at once and said these words, in any of its outputs."""
    printed = result.out + result.err
    missing = [word for word in words if word not in printed]
    expect(result.code not in (0, None) and not missing and result.within(FAST), f"{missing}: {result.describe()}")


def expect_dig_refused(result: Result, name: str = "", code: str = "15 (Blocked)") -> None:
    """dig was told at once; over TCP, where there is room, with the text about this name."""
    words = (f"{code}: (sallyport: {name}" if name else code)
    expect("status: REFUSED" in result.out and f"; EDE: {words}" in result.out and result.within(FAST), result.describe())


def expect_not_resolved(result: Result) -> None:
    """curl found no address because its resolver was told at once that the question is refused: a silent one is asked for 2 s."""
    expect(result.code == 6 and "Could not resolve host" in result.err and result.within(1.9), result.describe())


def expect_ssh_disconnect(read: bytes, text: str) -> None:
    """The last packet is SSH_MSG_DISCONNECT, host not allowed to connect, with this at the beginning of its text (RFC 4253 §11.1)."""
    wanted = b"\x01" + (1).to_bytes(4, "big")
    before, found, rest = read.rpartition(wanted)
    expect(found and before and rest[4:].startswith(text.encode()), str(read))


QUIC_ACCESS_DENIED = 0x100 + 49  # RFC 9001 §4.8


def expect_quic_closed(answer: dict, hello: bytes, text: str) -> None:
    """Of the datagrams that were read one answers this hello: with CONNECTION_CLOSE (RFC 9000 §19.19), and in no more bytes."""
    version, dcid = int.from_bytes(hello[1:5], "big"), hello[6:6 + hello[5]]
    opened = [(len(read), open_server_initial(version, dcid, read)) for read in map(bytes.fromhex, answer["reads"])]
    sizes, frames = zip(*[one for one in opened if one[1] is not None] or [(0, b"")])
    wanted = b"\x1c" + (0x4000 | QUIC_ACCESS_DENIED).to_bytes(2, "big")
    expect(len(frames) == 1 and sizes[0] <= len(hello), f"{opened}")
    expect(wanted in frames[0] and text.encode() in frames[0].partition(wanted)[2], f"{frames}")


def expect_printed_quic_close(result: Result, text: str) -> None:
    """ngtcp2's client read the CONNECTION_CLOSE, and ended with it."""
    printed = result.out + result.err
    expect(f"CONNECTION_CLOSE(0x1c) error_code=CRYPTO_ERROR({QUIC_ACCESS_DENIED:#x})" in printed and f"reason=[{text}" in printed, result.describe())
    expect("ERR_DRAINING" in printed and result.within(0.9), result.describe())


def is_dns_refused(message: bytes, identity: bytes = b"\x12\x34") -> bool:
    """The response to a query with recursion desired, RFC 1035 §4.1.1."""
    return message[:4] == identity + b"\x81\x85"


WITH_STATUS = ("-w", "%{http_code}")
