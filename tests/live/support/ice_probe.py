"""ice_probe.py: sends STUN, checks and media from one socket, step by step, and tells in JSON what came back.

The first line of standard input is a JSON object: family, port (of the socket), steps (a list). A step is
  ["ask", ADDRESS, PORT]           a Binding request to a STUN server
  ["check", ADDRESS, PORT]         a connectivity check to a peer
  ["send", ADDRESS, PORT, HEX]     anything else
Each waits for an answer of that address and port, for a third of a second; its result is the answer in hex, "" or an error's name.
"""

import errno
import json
import os
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from ice_peer import check, message  # noqa: E402


def main() -> None:
    request = json.loads(sys.stdin.readline())
    sock = socket.socket(socket.AF_INET if request["family"] == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("", request["port"]))
    results = [step(sock, *one) for one in request["steps"]]
    print(json.dumps(results))


def step(sock: socket.socket, kind: str, address: str, port: int, data: str = "") -> str:
    identifier = os.urandom(12)
    made = {"ask": lambda: message(1, identifier, b"", sign=False), "check": lambda: check(identifier), "send": lambda: bytes.fromhex(data)}[kind]()
    try:
        sock.sendto(made, (address, port))
        deadline = time.monotonic() + 0.3
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            got, source = sock.recvfrom(65536)
            if source[:2] == (address, port):
                return got.hex()
    except TimeoutError:
        pass
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return ""


if __name__ == "__main__":
    main()
