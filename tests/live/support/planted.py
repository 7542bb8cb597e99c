"""planted.py [--name NAME] SPEC...: opens listening sockets and keeps them until it is ended.

A SPEC is tcp or udp, the address, the port, and "only" for IPV6_V6ONLY: "tcp,::,8080,only". Prints "planted" when all are open.
"""

import signal
import socket
import sys
from pathlib import Path


def plant(spec: str) -> socket.socket:
    transport, address, port, *only = spec.split(",")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bool(only))
    one.bind((address, int(port)))
    if transport == "tcp":
        one.listen()
    return one


arguments = sys.argv[1:]
if arguments[0] == "--name":
    Path("/proc/self/comm").write_text(arguments[1])
    arguments = arguments[2:]
kept = [plant(spec) for spec in arguments]
print("planted", flush=True)
signal.pause()
