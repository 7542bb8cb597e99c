"""quic_close_client.py ADDRESS PORT NAME 1|2: sends the hello of a QUIC client and prints the CONNECTION_CLOSE that comes back.

ngtcp2's client of Debian 12 has no version 2 of RFC 9369. Exit code 1 where it was refused, whatever said so; 0 for another answer.
"""

import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.hello import quic_hello  # noqa: E402
from support.quic_initial import V1, V2, crypto_frame, initial, open_server_initial  # noqa: E402


def number(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (RFC 9000 §16) and where it ends."""
    length = 1 << (data[at] >> 6)
    return int.from_bytes(data[at:at + length], "big") & ((1 << (8 * length - 2)) - 1), at + length


def close_of(frames: bytes) -> str:
    at = 0
    while at < len(frames) and frames[at] in (0x00, 0x01):  # PADDING, PING
        at += 1
    if at == len(frames) or frames[at] != 0x1C:
        return f"frames {frames.hex()}"
    code, at = number(frames, at + 1)
    _frame_type, at = number(frames, at)
    length, at = number(frames, at)
    return f"CONNECTION_CLOSE error_code={code:#x} reason={frames[at:at + length].decode(errors='replace')}"


def main() -> int:
    address, port, name, version = sys.argv[1], int(sys.argv[2]), sys.argv[3], {"1": V1, "2": V2}[sys.argv[4]]
    dcid, scid = os.urandom(8), os.urandom(8)
    hello = initial(version, dcid, scid, 0, crypto_frame(0, quic_hello(name, scid=scid)))
    client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(4)
    try:
        client.connect((address, port))
        client.send(hello)
        answer = client.recv(65536)
    except OSError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    if len(answer) > len(hello):
        print(f"{len(answer)} bytes answer {len(hello)}")
        return 2
    frames = open_server_initial(version, dcid, answer)
    print(close_of(frames) if frames is not None else f"not an Initial that can be opened: {answer[:40].hex()}")
    return 1 if frames is not None else 0


if __name__ == "__main__":
    sys.exit(main())
