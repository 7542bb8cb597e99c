"""liar_ftp.py PORT KIND: an FTP server that answers PASV and EPSV with what is not true.

  other      the address of another host
  twice      two addresses in one reply
  system     port 22 of its own
  unasked    a second announcement, of another port, that nobody asked for
  inside     the announcement inside the text of another reply
"""

import socket
import sys
import threading

PORT, KIND = int(sys.argv[1]), sys.argv[2]


def numbers(address: str, port: int) -> str:
    return ",".join(address.split(".")) + f",{port >> 8},{port & 255}"


def announcement(verb: str, own: str) -> bytes:
    passive = verb == "PASV"
    say = (lambda address, port: f"227 Entering Passive Mode ({numbers(address, port)}).\r\n") if passive else (
        lambda _address, port: f"229 Entering Extended Passive Mode (|||{port}|)\r\n")
    two = f"227 Entering Passive Mode ({numbers(own, 45000)}) ({numbers(own, 45001)})\r\n" if passive else "229 Extended (|||45000|) (|||45001|)\r\n"
    texts = {"other": say("10.91.9.3", 45000), "twice": two, "system": say(own, 22),
             "unasked": say(own, 45000) + say(own, 45001), "inside": "211-status\r\n" + say(own, 45000) + "211 end\r\n"}
    return texts[KIND].encode()


def serve(client: socket.socket) -> None:
    own = client.getsockname()[0].removeprefix("::ffff:")
    with client, client.makefile("rb") as lines:
        client.sendall(b"220 FTP server that cannot be trusted\r\n")
        for line in lines:
            verb = line.decode("latin-1").split()[0].upper() if line.strip() else ""
            if verb in ("PASV", "EPSV"):
                client.sendall(announcement(verb, own))
            else:
                client.sendall({"USER": b"331 and\r\n", "PASS": b"230 in\r\n", "QUIT": b"221 bye\r\n"}.get(verb, b"200 ok\r\n"))
            if verb == "QUIT":
                return


listener = socket.create_server(("", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
