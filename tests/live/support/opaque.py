"""opaque.py KIND PORT: a server of a made-up protocol. greets: it speaks first, then answers each piece with `got N`;
waits: it says nothing until it is spoken to."""

import socket
import sys
import threading


def serve(connection: socket.socket, greets: bool) -> None:
    try:
        with connection:
            if greets:
                connection.sendall(b"\x80WELCOME to nothing in particular\n")
            while piece := connection.recv(65536):
                connection.sendall(b"got %d\n" % len(piece))
    except OSError:
        pass


def main() -> None:
    greets, port = sys.argv[1] == "greets", int(sys.argv[2])
    server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        connection, _peer = server.accept()
        threading.Thread(target=serve, args=(connection, greets), daemon=True).start()


if __name__ == "__main__":
    main()
