"""sink.py plain PORT LOG | sink.py tls PORT CERT KEY: servers that take everything.

plain: TCP and UDP; each piece received is a JSON line in LOG, and is answered with `got N` so that the client's
side of the firewall sees a reply. tls: an HTTP/1.1 upload of any size, counted and thrown away.
"""

import json
import selectors
import socket
import ssl
import sys
import threading


def listen(kind: int, port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        server.listen(64)
    return server


def plain(port: int, log_path: str) -> None:
    selector = selectors.DefaultSelector()
    tcp, udp = listen(socket.SOCK_STREAM, port), listen(socket.SOCK_DGRAM, port)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    selector.register(tcp, selectors.EVENT_READ, "accept")
    selector.register(udp, selectors.EVENT_READ, "datagram")

    def record(transport: str, peer, data: bytes) -> None:
        with open(log_path, "a", encoding="utf-8") as log:
            log.write(json.dumps({"transport": transport, "peer": peer[0], "port": peer[1], "data": data.hex()}) + "\n")

    while True:
        for key, _events in selector.select():
            if key.data == "accept":
                connection, peer = tcp.accept()
                record("accept", peer, b"")
                selector.register(connection, selectors.EVENT_READ, peer)
            elif key.data == "datagram":
                # The answer must come from the address that was asked.
                data, ancillary, _flags, peer = udp.recvmsg(65536, 256)
                record("udp", peer, data)
                asked = [(level, kind, info) for level, kind, info in ancillary if kind == socket.IPV6_PKTINFO]
                udp.sendmsg([b"got %d" % len(data)], asked, 0, peer)
            else:
                connection = key.fileobj
                try:
                    data = connection.recv(65536)
                    if data:
                        record("tcp", key.data, data)
                        connection.sendall(b"got %d\n" % len(data))
                except OSError:
                    data = b""
                if not data:
                    selector.unregister(connection)
                    connection.close()


def upload(connection: socket.socket, context: ssl.SSLContext) -> None:
    try:
        with context.wrap_socket(connection, server_side=True) as stream:
            buffer, head = bytearray(1 << 20), b""
            while b"\r\n\r\n" not in head:
                piece = stream.recv(16384)
                if not piece:
                    return
                head += piece
            head, _, rest = head.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
            wanted, got = int(fields[b"content-length"]), len(rest)
            while got < wanted:
                count = stream.recv_into(buffer)
                if not count:
                    return
                got += count
            body = b"%d\n" % got
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
    except (OSError, ValueError, KeyError):
        pass


def tls(port: int, cert: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = listen(socket.SOCK_STREAM, port)
    while True:
        connection, _peer = server.accept()
        threading.Thread(target=upload, args=(connection, context), daemon=True).start()


if __name__ == "__main__":
    {"plain": plain, "tls": lambda port, cert, key: tls(port, cert, key)}[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
