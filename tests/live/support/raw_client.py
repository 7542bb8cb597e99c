"""raw_client.py: sends given bytes in given pieces and tells in JSON what became of them.

Runs inside the client's namespace. The first line of standard input is a JSON object:
  transport (tcp|udp), address, port, source_port (0: any), data (hex), piece (bytes a send, 0: all),
  datagrams (list of hex: sent one by one before data), gap_ms (pause between two sends), read (seconds to wait for an
  answer), mark (SO_MARK), then (list of hex: each is sent after an answer), to_end (read on until the connection ends)
"""

import errno
import json
import socket
import struct
import sys
import time


def main() -> int:
    request = json.loads(sys.stdin.readline())
    family = socket.AF_INET6 if ":" in request["address"] else socket.AF_INET
    kind = socket.SOCK_STREAM if request.get("transport", "tcp") == "tcp" else socket.SOCK_DGRAM
    answer = {"connected": False, "sent": 0, "received": "", "error": "", "eof": False, "reads": []}
    started = time.monotonic()
    client = socket.socket(family, kind)
    try:
        if request.get("mark"):
            client.setsockopt(socket.SOL_SOCKET, 36, struct.pack("I", request["mark"]))  # SO_MARK
        if kind == socket.SOCK_STREAM:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if request.get("source_port"):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("", request["source_port"]))
        client.settimeout(request.get("connect", 5.0))
        client.connect((request["address"], request["port"]))
        answer["connected"] = True
        answer["connect_seconds"] = time.monotonic() - started
        converse(client, request, answer)
    except OSError as error:
        answer["error"] = errno.errorcode.get(error.errno, "timeout") if error.errno else "timeout"
    answer["seconds"] = time.monotonic() - started
    print(json.dumps(answer))
    return 0


def converse(client: socket.socket, request: dict, answer: dict) -> None:
    data = bytes.fromhex(request["data"])
    for datagram in request.get("datagrams", []):
        answer["sent"] += client.send(bytes.fromhex(datagram))
    piece = request.get("piece") or max(1, len(data))
    for offset in range(0, len(data), piece):
        answer["sent"] += client.send(data[offset:offset + piece])
        if request.get("gap_ms"):
            time.sleep(request["gap_ms"] / 1000)
    receive(client, request.get("read", 3.0), answer)
    for more in request.get("then", []):
        answer["sent"] += client.send(bytes.fromhex(more))
        receive(client, request.get("read", 3.0), answer)
    while request.get("to_end") and not answer["error"] and not answer["eof"]:
        receive(client, request.get("read", 3.0), answer)


def receive(client: socket.socket, seconds: float, answer: dict) -> None:
    client.settimeout(seconds)
    try:
        got = client.recv(65536)
    except TimeoutError:
        answer["error"] = "timeout"
        return
    answer["error"] = ""
    answer["eof"] = not got
    answer["received"] += got.hex()
    answer["reads"].append(got.hex())  # Of UDP one datagram each.


if __name__ == "__main__":
    sys.exit(main())
