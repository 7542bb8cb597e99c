"""packets.py: sends one raw IP payload. Runs inside a namespace; the arguments are the protocol number, the destination, the
payload in hex and, where the kernel would choose another, the source. Prints the errno's name when sending fails."""

import errno
import socket
import sys


def main() -> int:
    number, destination, payload = int(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3])
    raw = socket.socket(socket.AF_INET6 if ":" in destination else socket.AF_INET, socket.SOCK_RAW, number)
    if len(sys.argv) > 4:
        raw.bind((sys.argv[4], 0))
    try:
        raw.sendto(payload, (destination, 0))
    except OSError as error:
        print(errno.errorcode.get(error.errno, "?"))
    return 0


sys.exit(main())
