"""offload.py DEVICE on|off: switches checksum and segmentation offloads (what `ethtool -K` does).

A separate program because it must run inside the device's network namespace.
"""

import ctypes
import fcntl
import socket
import struct
import sys

SIOCETHTOOL = 0x8946
# <linux/ethtool.h>: ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO. Checksum offload goes off
# last: segmentation offload needs it.
SETTINGS = (0x1F, 0x24, 0x2C, 0x17)


def main() -> int:
    device, value = sys.argv[1], 1 if sys.argv[2] == "on" else 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for setting in SETTINGS:
            request = ctypes.create_string_buffer(struct.pack("II", setting, value))
            ifreq = struct.pack("16sP16x", device.encode(), ctypes.addressof(request))
            fcntl.ioctl(control, SIOCETHTOOL, ifreq)
    return 0


if __name__ == "__main__":
    sys.exit(main())
