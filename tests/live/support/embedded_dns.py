"""A container engine's embedded resolver: it listens in one network namespace and asks from another.

    embedded_dns.py PORT UPSTREAM NETNS      run inside the container's namespace; listens on 127.0.0.11

Its questions leave from the namespace whose path is NETNS: the container's own, or the host's.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading

CLONE_NEWNET = 0x40000000
LISTEN = "127.0.0.11"


def enter(path: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path) as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def read_exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def read_message(stream: socket.socket) -> bytes:
    return read_exactly(stream, int.from_bytes(read_exactly(stream, 2), "big"))


def answer_datagram(listener: socket.socket, question: bytes, client: tuple, upstream: str) -> None:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.settimeout(3.0)
            out.connect((upstream, 53))
            out.send(question)
            listener.sendto(out.recv(65535), client)
    except OSError:
        listener.sendto(question[:2] + b"\x81\x82" + question[4:], client)  # SERVFAIL, as the engine answers.


def answer_stream(client: socket.socket, upstream: str) -> None:
    try:
        with client, socket.create_connection((upstream, 53), 3.0) as out:
            while True:
                question = read_message(client)
                out.sendall(len(question).to_bytes(2, "big") + question)
                answer = read_message(out)
                client.sendall(len(answer).to_bytes(2, "big") + answer)
    except (OSError, EOFError):
        pass


def serve_streams(listener: socket.socket, upstream: str) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer_stream, args=(client, upstream), daemon=True).start()


def main(port: int, upstream: str, namespace: str) -> None:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((LISTEN, port))
    streams = socket.create_server((LISTEN, port))
    enter(namespace)  # The listeners stay where they were made; threads inherit the new namespace.
    threading.Thread(target=serve_streams, args=(streams, upstream), daemon=True).start()
    while True:
        question, client = datagrams.recvfrom(65535)
        threading.Thread(target=answer_datagram, args=(datagrams, question, client, upstream), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
