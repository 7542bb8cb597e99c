"""forged_beginning: a flow from a server's address that never left this host."""

from .testbed import Testbed

# Any process may send from a foreign address with IPV6_FREEBIND; over IPv4 it takes IP_TRANSPARENT and root.
OPTIONS = {4: "socket.SOL_IP, 19", 6: "socket.IPPROTO_IPV6, 78"}
PROGRAM = """import socket
own = socket.socket(socket.{family}, socket.SOCK_DGRAM); own.settimeout(0.3); own.bind(("{own}", 5555))
foreign = socket.socket(socket.{family}, socket.SOCK_DGRAM); foreign.setsockopt({option}, 1); foreign.bind(("{server}", {port}))
try: foreign.sendto(b"begin", ("{own}", 5555)); own.recv(9)
except (PermissionError, TimeoutError): pass
try: own.sendto(b"secret", ("{server}", {port}))
except PermissionError: pass
print("tried")
"""


def forged_beginning(bed: Testbed, family: int, port: int) -> str:
    """forged_beginning returns a Python program that sends to the client's own address from the server's, and then the other way
    round, what connection tracking may take for an answer; it says "tried" at its end."""
    return PROGRAM.format(family="AF_INET6" if family == 6 else "AF_INET", option=OPTIONS[family], port=port,
                          own=bed.client_address(family), server=bed.server_address(family))
