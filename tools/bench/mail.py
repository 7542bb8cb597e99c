#!/usr/bin/env python3
"""mail.py [MEGABYTES]: how fast a mail goes over plaintext SMTP, without and with the firewall, over a veth pair. Needs root.

Server: aiosmtpd. Client: Python's smtplib. The rule is for smtp alone, so the session is followed to its end.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "live"))

from support import Testbed  # noqa: E402
from support.daemon import Sallyport, allow, policy_text  # noqa: E402

PORT, ROUNDS = 2525, 5
SERVER = """
import asyncio
from aiosmtpd.smtp import SMTP
class Count:
    async def handle_DATA(self, server, session, envelope): return "250 %d octets" % len(envelope.content)
async def main():
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Count(), hostname="mail.test", data_size_limit=None), None, PORT)
    await server.serve_forever()
asyncio.run(main())
""".replace("PORT", str(PORT))
CLIENT = """
import smtplib, sys, time
host, megabytes = sys.argv[1], int(sys.argv[2])
body = ("x" * 76 + "\\r\\n") * (megabytes * 1_000_000 // 78)
smtp = smtplib.SMTP(host, PORT)
began = time.monotonic()
smtp.sendmail("a@mail.test", ["b@mail.test"], "Subject: x\\r\\n\\r\\n" + body)
print(time.monotonic() - began)
smtp.quit()
""".replace("PORT", str(PORT))


def seconds(bed: Testbed, family: int, megabytes: int) -> float:
    """seconds returns the median time that the mail takes."""
    taken = []
    for _ in range(ROUNDS):
        result = bed.run("client", ["/usr/bin/python3", "-c", CLIENT, bed.server_address(family), str(megabytes)], 120)
        if result.code != 0:
            raise SystemExit(result.describe())
        taken.append(float(result.out))
    return statistics.median(taken)


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for family in (4, 6):
        with Testbed("host") as bed:
            bed.spawn("server", "smtp", ["/usr/bin/python3", "-c", SERVER])
            bed.wait_listening("server", "tcp", PORT)
            without = seconds(bed, family, megabytes)
            addresses = ", ".join(bed.server_address(each) for each in (4, 6))
            with Sallyport(bed, policy_text(bed, allow(addresses, "smtp", str(PORT)))):
                inside = seconds(bed, family, megabytes)
        print(f"IPv{family}: {megabytes} MB in {without:.2f} s without, {inside:.2f} s with: ratio {without / inside:.2f}", flush=True)


if __name__ == "__main__":
    main()
