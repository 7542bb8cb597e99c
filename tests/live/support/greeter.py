"""greeter.py PROTOCOL PORT [CERT KEY]: the server's part of a session, as far as a real client wants one.

smtp, imap, pop3, ftp: a greeting, answers to the usual commands, and TLS where the client asks for it; smtps, pop3s: the same behind
TLS. websocket: an
upgrade of HTTP, and the client's frames again. mqtt: CONNACK. postgres: yes to TLS. socks: yes to everything, then one
line.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import sys
import threading

# Command -> answer. A line of its own says that TLS begins behind it.
TLS = object()
SMTP = {"EHLO": "250-mail.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n", "STARTTLS": ("220 go ahead\r\n", TLS), "MAIL": "250 ok\r\n",
        "RCPT": "250 ok\r\n", "DATA": "354 go on\r\n", ".": "250 taken\r\n", "QUIT": "221 bye\r\n"}
IMAP = {"CAPABILITY": "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n{tag} OK done\r\n", "STARTTLS": ("{tag} OK begin\r\n", TLS),
        "LOGIN": "{tag} OK in\r\n", "LIST": "* LIST () \"/\" INBOX\r\n{tag} OK done\r\n", "LOGOUT": "* BYE\r\n{tag} OK out\r\n"}
POP3 = {"CAPA": "+OK\r\nSTLS\r\nUSER\r\n.\r\n", "STLS": ("+OK begin\r\n", TLS), "USER": "+OK\r\n", "PASS": "+OK\r\n",
        "LIST": "+OK\r\n.\r\n", "QUIT": "+OK bye\r\n"}
FTP = {"AUTH": ("234 go\r\n", TLS), "USER": "331 and the password\r\n", "PASS": "230 in\r\n", "PBSZ": "200 ok\r\n", "PROT": "200 ok\r\n",
       "PWD": "257 \"/\"\r\n", "QUIT": "221 bye\r\n"}
LINES = {"smtp": ("220 mail.test ESMTP ready\r\n", SMTP, "502 no\r\n"), "imap": ("* OK IMAP4rev1 ready\r\n", IMAP, "{tag} BAD no\r\n"),
         "pop3": ("+OK POP3 ready\r\n", POP3, "-ERR no\r\n"), "ftp": ("220-Welcome\r\n220 FTP ready\r\n", FTP, "500 no\r\n")}


def lines(protocol: str, connection: socket.socket, context: ssl.SSLContext) -> None:
    greeting, answers, otherwise = LINES[protocol]
    connection.sendall(greeting.encode())
    stream = connection.makefile("rb")
    while line := stream.readline().decode("latin-1").strip():
        words = line.split()
        tag, command = (words[0], words[1].upper()) if protocol == "imap" and len(words) > 1 else ("", words[0].upper())
        answer = answers.get(command, otherwise)
        text, upgrade = answer if isinstance(answer, tuple) else (answer, None)
        connection.sendall(text.replace("{tag}", tag).encode())
        if upgrade is TLS:
            connection = context.wrap_socket(connection, server_side=True)
            stream = connection.makefile("rb")


def websocket(connection: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096) or b"\r\n\r\n"
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
    key = fields.get("Sec-WebSocket-Key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    connection.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode() + b"\x81\x05hello")
    while piece := connection.recv(4096):
        connection.sendall(piece)


def mqtt(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x20\x02\x00\x00")  # CONNACK, accepted.
    connection.recv(4096)


def postgres(connection: socket.socket, context: ssl.SSLContext) -> None:
    connection.recv(8)
    connection.sendall(b"S")
    context.wrap_socket(connection, server_side=True).recv(4096)


def socks(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x05\x00")
    connection.recv(4096)
    connection.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


def serve(protocol: str, connection: socket.socket, context: ssl.SSLContext) -> None:
    try:
        if protocol in ("smtps", "pop3s"):
            lines(protocol[:-1], context.wrap_socket(connection, server_side=True), context)
        elif protocol in LINES:
            lines(protocol, connection, context)
        elif protocol == "postgres":
            postgres(connection, context)
        else:
            {"websocket": websocket, "mqtt": mqtt, "socks": socks}[protocol](connection)
    except (OSError, ValueError):
        pass
    finally:
        connection.close()


def main() -> None:
    protocol, port = sys.argv[1], int(sys.argv[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if len(sys.argv) > 3:
        context.load_cert_chain(*sys.argv[3:5])
    server = socket.socket(socket.AF_INET6)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    server.listen(16)
    while True:
        connection, _peer = server.accept()
        threading.Thread(target=serve, args=(protocol, connection, context), daemon=True).start()


if __name__ == "__main__":
    main()
