"""Real proxies and WebSocket ends in the server's namespace: tinyproxy, microsocks, Dante, nghttpx, Python's websockets."""

from __future__ import annotations

PYTHON = "/usr/bin/python3"  # The one that the packages python3-websockets and python3-h2 are for.
HTTP_PROXY_PORT, SOCKS5_PORT, SOCKS5_PASSWORD_PORT, SOCKS_PORT, SSH_SOCKS_PORT = 3128, 1084, 1082, 1081, 1083
WEBSOCKET_PORT, H2C_UPGRADE_PORT, WEBSOCKET_H2_PORT = 8090, 8091, 8092

WEBSOCKET_SERVER = """
import asyncio, websockets
async def echo(websocket, *_):
    async for message in websocket:
        await websocket.send("echo " + message)
async def main():
    async with websockets.serve(echo, "::", {port}), websockets.serve(echo, "0.0.0.0", {port}):
        await asyncio.Future()
asyncio.run(main())
"""

WEBSOCKET_CLIENT = """
import asyncio, socket, sys, websockets
async def main():
    family = socket.AF_INET6 if sys.argv[2] == "6" else socket.AF_INET
    async with websockets.connect(sys.argv[1], family=family, open_timeout=4, close_timeout=1) as websocket:
        for message in sys.argv[3:]:
            await websocket.send(message)
            print(await websocket.recv())
asyncio.run(main())
"""

# RFC 8441 by python3-h2. It knows that the server takes extended CONNECT and does not wait for its SETTINGS: with the firewall, which
# holds what comes before the first request, it would wait in vain (docs/limits.md). The stream carries a masked text frame for each message (RFC 6455 §5.2).
WEBSOCKET_H2_CLIENT = """
import base64, os, socket, sys
from urllib.parse import urlsplit
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamReset
url, family = urlsplit(sys.argv[1]), socket.AF_INET6 if sys.argv[2] == "6" else socket.AF_INET
at = socket.getaddrinfo(url.hostname, url.port, family, socket.SOCK_STREAM)[0][4]
tcp = socket.socket(family); tcp.settimeout(4); tcp.connect(at)
h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
def flush(): tcp.sendall(h2.data_to_send())
def events():
    data = tcp.recv(65536)
    if not data: sys.exit("closed")
    found = h2.receive_data(data)
    flush()
    return found
h2.initiate_connection()
stream = h2.get_next_available_stream_id()
h2.send_headers(stream, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", url.netloc),
                         (":path", url.path), ("sec-websocket-version", "13"), ("origin", "http://" + url.netloc)])
flush()
left, got = list(sys.argv[3:]), b""
while left:
    for event in events():
        if isinstance(event, StreamReset): sys.exit("reset")
        if isinstance(event, ResponseReceived):
            status = dict(event.headers)[":status"]
            if status != "200": sys.exit("status " + status)
            for message in left:
                key, text = os.urandom(4), message.encode()
                h2.send_data(stream, bytes([0x81, 0x80 | len(text)]) + key + bytes(b ^ key[i % 4] for i, b in enumerate(text)))
            flush()
        if isinstance(event, DataReceived):
            h2.acknowledge_received_data(event.flow_controlled_length, stream)
            got += event.data
    while len(got) >= 2 and len(got) >= 2 + got[1]:
        print(got[2:2 + got[1]].decode()); got = got[2 + got[1]:]; left.pop()
"""


def start_http_proxy(bed, servers) -> None:
    """start_http_proxy starts tinyproxy, which takes CONNECT and requests in absolute form."""
    config = servers.root / "tinyproxy.conf"
    config.write_text(f"Port {HTTP_PROXY_PORT}\nTimeout 30\nMaxClients 50\nLogLevel Error\nLogFile \"{servers.root}/tinyproxy.log\"\n")
    bed.spawn("server", "tinyproxy", ["tinyproxy", "-d", "-c", str(config)])
    bed.wait_listening("server", "tcp", HTTP_PROXY_PORT)


def start_socks(bed, servers) -> None:
    """start_socks starts microsocks (SOCKS 5, without and with a password), Dante (SOCKS 4 and 5) and
    OpenSSH's dynamic forwarding (4a and 5), for which sshd must run."""
    bed.spawn("server", "microsocks", ["microsocks", "-i", "::", "-p", str(SOCKS5_PORT)])
    bed.spawn("server", "microsocks-password", ["microsocks", "-i", "::", "-p", str(SOCKS5_PASSWORD_PORT), "-u", "user", "-P", "secret"])
    config = servers.root / "danted.conf"
    addresses = [bed.server_address(family) for family in (4, 6)]
    listens = "\n".join(f"internal: {address} port = {SOCKS_PORT}\nexternal: {address}" for address in addresses)
    passes = "\n".join(f"{kind} pass {{ from: {net} to: {net} }}" for kind in ("client", "socks") for net in ("0.0.0.0/0", "::/0"))
    config.write_text(f"""
logoutput: {servers.root}/danted.log
{listens}
external.rotation: route
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
{passes}
""")
    bed.spawn("server", "danted", ["danted", "-f", str(config), "-p", f"{servers.root}/danted.pid"])
    forward = servers.ssh_command("127.0.0.1", "sleep 600", more=("GatewayPorts=yes", "ExitOnForwardFailure=yes", f"DynamicForward={SSH_SOCKS_PORT}"))
    bed.spawn("server", "ssh-forward", forward)
    for port in (SOCKS5_PORT, SOCKS5_PASSWORD_PORT, SOCKS_PORT, SSH_SOCKS_PORT):
        bed.wait_listening("server", "tcp", port)


def start_websocket(bed) -> None:
    bed.spawn("server", "websocket", [PYTHON, "-c", WEBSOCKET_SERVER.format(port=WEBSOCKET_PORT)])
    bed.wait_listening("server", "tcp", WEBSOCKET_PORT)


def websocket(bed, url: str, family: int, *messages: str):
    """websocket sends each message and prints what came back."""
    return bed.run("client", [PYTHON, "-c", WEBSOCKET_CLIENT, url, str(family), *messages], 10)


def websocket_h2(bed, url: str, family: int, *messages: str):
    """websocket_h2 does the same in a stream of HTTP/2 with prior knowledge; messages have less than 100 characters."""
    return bed.run("client", [PYTHON, "-c", WEBSOCKET_H2_CLIENT, url, str(family), *messages], 10)


def start_websocket_h2(bed) -> None:
    """start_websocket_h2 starts nghttpx in front of the WebSocket server: extended CONNECT (RFC 8441) to an upgrade."""
    bed.spawn("server", "nghttpx-ws", ["nghttpx", "--conf=/dev/null", f"--frontend=*,{WEBSOCKET_H2_PORT};no-tls", f"--backend=127.0.0.1,{WEBSOCKET_PORT}",
                                       "--workers=1", "--errorlog-file=/dev/null", "--accesslog-file=/dev/null"])
    bed.wait_listening("server", "tcp", WEBSOCKET_H2_PORT)


def start_h2c_upgrade(bed) -> None:
    """start_h2c_upgrade starts nghttpx in front of nginx: it takes an upgrade from HTTP/1.1 to HTTP/2."""
    bed.spawn("server", "nghttpx", ["nghttpx", "--conf=/dev/null", f"--frontend=*,{H2C_UPGRADE_PORT};no-tls", "--backend=127.0.0.1,80",
                                    "--workers=1", "--errorlog-file=/dev/null", "--accesslog-file=/dev/null"])
    bed.wait_listening("server", "tcp", H2C_UPGRADE_PORT)
