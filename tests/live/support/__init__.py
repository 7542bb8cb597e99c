"""Support for the live tests: namespaces, real servers and clients, captures, and the program itself."""

from .capture import Capture, Packet, read_pcap
from .daemon import Sallyport, binary, policy_text
from .proc import Process, Result, run
from .servers import NAMES, Servers
from .suite import Suite, expect, expect_equal, skip_unless_possible
from .testbed import Testbed

__all__ = [
    "Capture", "NAMES", "Packet", "Process", "Result", "Sallyport", "Servers", "Suite", "Testbed", "binary",
    "expect", "expect_equal", "policy_text", "read_pcap", "run", "skip_unless_possible",
]
