"""Real proxies and WebSocket ends in the server's namespace: tinyproxy, microsocks, Dante, nghttpx, Python's websockets."""

from __future__ import annotations

PYTHON = "/usr/bin/python3"  # The one that the package python3-websockets is for.
HTTP_PROXY_PORT, SOCKS5_PORT, SOCKS5_PASSWORD_PORT, SOCKS_PORT, SSH_SOCKS_PORT = 3128, 1084, 1082, 1081, 1083
WEBSOCKET_PORT, H2C_UPGRADE_PORT = 8090, 8091

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


def start_h2c_upgrade(bed) -> None:
    """start_h2c_upgrade starts nghttpx in front of nginx: it takes an upgrade from HTTP/1.1 to HTTP/2."""
    bed.spawn("server", "nghttpx", ["nghttpx", "--conf=/dev/null", f"--frontend=*,{H2C_UPGRADE_PORT};no-tls", "--backend=127.0.0.1,80",
                                    "--workers=1", "--errorlog-file=/dev/null", "--accesslog-file=/dev/null"])
    bed.wait_listening("server", "tcp", H2C_UPGRADE_PORT)
