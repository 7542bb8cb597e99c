#!/usr/bin/env python3
"""The same port again, while connection tracking still holds the entry of an allowed connection: the mark is not the next one's."""

from support import Suite, binary, expect, expect_equal, skip_unless_possible
from support.daemon import Sallyport, allow, policy_text
from support.servers import Servers
from support.testbed import Testbed

RULES = allow("allowed.test", "tls", "443")

# Its first connection ends by a reset of the server, which connection tracking keeps for ten seconds (CLOSE) and whose port it lets
# nobody open anew; the second is for another name, from the same port. No privilege is needed for it.
CLIENT = """
import socket, ssl, sys
ca, address, second = sys.argv[1:]
def ask(name, port=0):
    plain = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    plain.bind(("", port))
    plain.settimeout(4)
    plain.connect((address, 443))
    tls = ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname=name)
    tls.sendall(b"GET / HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % name.encode())
    print(name, "answer" if tls.recv(9999) else "end", flush=True)
    return tls
tls = ask("allowed.test")
port = tls.getsockname()[1]
plain = socket.socket(fileno=tls.detach())
plain.settimeout(4)
try:
    plain.sendall(bytes([23, 3, 3, 0x40, 0]) + bytes(0x10000))  # A broken record: nginx closes, and what it has not read makes it a reset.
    while plain.recv(9999): pass
    print("end of", port, flush=True)
except ConnectionResetError: print("reset", port, flush=True)
plain.close()
try: ask(second, port)
except OSError as error: print(second, error, flush=True)
"""


def reopened(suite: Suite, layout: str, family: int) -> None:
    with Testbed(layout) as bed, Servers(bed) as servers:
        servers.start_web()
        with Sallyport(bed, policy_text(bed, RULES, on_exit="closed")) as firewall:
            for name, answered in (("denied.test", False), ("allowed.test", True)):
                with suite.case(f"{layout} v{family}: behind the server's reset the same port again, for {name}"):
                    mark = firewall.mark()
                    command = ["/usr/bin/python3", "-c", CLIENT, str(servers.ca), bed.server_address(family), name]
                    got = bed.run("client", command, uid=65534)
                    expect("allowed.test answer\nreset" in got.out, got.describe())
                    port = int(got.out.split("reset ")[1].split()[0])
                    listed = bed.run("firewall", ["conntrack", "-L", "-f", f"ipv{family}", "-p", "tcp"]).out
                    expect_equal(got.out.count(" answer"), 2 if answered else 1, got.describe() + listed)
                    if not answered:
                        firewall.wait_event(mark, event="flow", verdict="deny", name="denied.test", sport=port)


def body(suite: Suite) -> None:
    for layout in ("host", "gateway"):
        for family in (4, 6):
            reopened(suite, layout, family)


if __name__ == "__main__":
    skip_unless_possible(binary(), ("nginx", "conntrack"))
    Suite("reopened", 100).main(body)
