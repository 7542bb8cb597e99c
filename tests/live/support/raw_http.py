"""A small HTTP server that writes down every byte it gets.

    raw_http.py FOLDER LOG ADDRESS,PORT...

An answer comes from FOLDER: the file with the path's name ("/" is index.html). Beside files it knows /mcp (JSON-RPC by POST), /events (a stream of
server-sent events) and /ws (a WebSocket that says one word). Each connection ends with its answer, so that a page asks for its name again. The
log has one JSON line for each piece that arrives: {"at": [address, port], "data": hex}.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import sys
import threading
import urllib.parse
from pathlib import Path

ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


class Connection:
    def __init__(self, sock: socket.socket, folder: Path, log: Path):
        self.sock, self.folder, self.log = sock, folder, log
        self.data = b""

    def read(self) -> bool:
        piece = self.sock.recv(65536)
        line = json.dumps({"at": self.sock.getsockname()[:2], "data": piece.hex()}) + "\n"
        if piece:
            with open(self.log, "a") as file:
                file.write(line)
        self.data += piece
        return bool(piece)

    def serve(self) -> None:
        with self.sock:
            self.sock.settimeout(20)
            try:
                while b"\r\n\r\n" not in self.data:
                    if not self.read():
                        return
                head, _, body = self.data.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
                while len(body) < int(fields.get("content-length", 0)):
                    if not self.read():
                        return
                    body = self.data.partition(b"\r\n\r\n")[2]
                method, target = lines[0].split(" ")[:2]
                self.answer(method, urllib.parse.urlsplit(target).path, fields)
                self.sock.shutdown(socket.SHUT_WR)
                while self.sock.recv(4096):
                    pass
            except (OSError, ValueError):
                pass

    def answer(self, method: str, path: str, fields: dict[str, str]) -> None:
        if path == "/ws" and "sec-websocket-key" in fields:
            key = base64.b64encode(hashlib.sha1(fields["sec-websocket-key"].encode() + ACCEPT).digest())
            self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + key +
                              b"\r\n\r\n\x81\x06opened")
            self.read()
        elif path == "/events":
            self.send("text/event-stream", b"data: tools/list_changed\n\ndata: tools/list_changed\n\n")
        elif path == "/mcp" and method == "POST":
            self.send("application/json", b'{"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "shell"}]}}')
        else:
            file = self.folder / (path.strip("/").replace("/", "_") or "index.html")
            found = file.is_file()
            self.send("text/html" if file.suffix == ".html" else "text/plain", file.read_bytes() if found else b"nothing", "200 OK" if found else "404 Not Found")

    def send(self, kind: str, body: bytes, status: str = "200 OK") -> None:
        self.sock.sendall(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nCache-Control: no-store\r\n"
                          "Connection: close\r\n\r\n".encode() + body)


def listen(listener: socket.socket, folder: Path, log: Path) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=Connection(sock, folder, log).serve, daemon=True).start()


def main(folder: str, log: str, *places: str) -> None:
    for place in places:
        address, port = place.split(",")
        listener = socket.create_server((address, int(port)), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        threading.Thread(target=listen, args=(listener, Path(folder), Path(log)), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
