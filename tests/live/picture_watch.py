#!/usr/bin/env python3
"""picture_watch.py FILE: a picture of `sallyport watch` with real traffic, as PNG."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from support import Servers, Testbed, binary, policy_text, skip_unless_possible
from support.clients import Clients
from support.daemon import Sallyport, allow
from support.terminal import Screen

WIDTH, HEIGHT = 112, 30
RULES = allow("allowed.test, *.allowed.test", "tls, http, quic", "80, 443, 4711") + allow("allowed.test", "dns")
COLOURS = {31: "#f7768e", 32: "#9ece6a", 33: "#e0af68", 36: "#7dcfff"}
PAGE = """<!doctype html><meta charset="utf-8"><style>
html, body { margin: 0; background: #16161e; }
pre { margin: 0; padding: 14px 16px; font: 15px/20px "DejaVu Sans Mono", monospace; color: #c0caf5; display: inline-block; }
b { font-weight: 700; }
</style><pre>%s</pre>"""


def span(codes: set[int], text: str) -> str:
    """span returns the text with the styles that these SGR parameters stand for."""
    colour = next((COLOURS[code] for code in codes if code in COLOURS), "#c0caf5")
    if 2 in codes:
        colour = "#737aa2"
    style = f"color:{colour};background:#16161e"
    if 7 in codes:
        style = f"color:#16161e;background:{colour}"
    if 1 in codes:
        style += ";font-weight:700"
    return f'<span style="{style}">{html.escape(text)}</span>'


def page(screen: str) -> str:
    """page turns what `tmux capture-pane -e` gives into HTML."""
    out, codes = [], set()
    for part in re.split(r"(\x1b\[[0-9;]*m)", screen):
        if part.startswith("\x1b["):
            for code in (int(number or 0) for number in part[2:-1].split(";")):
                if code == 0:
                    codes = set()
                elif code == 39:
                    codes -= COLOURS.keys()
                else:
                    codes = {each for each in codes if not (code in COLOURS and each in COLOURS)} | {code}
        elif part:
            out.append(span(codes, part))
    return PAGE % "".join(out)


def traffic(bed: Testbed, clients: Clients) -> None:
    for name in ("denied.test", "allowed.test", "www.allowed.test"):
        for _ in range(2):
            clients.curl(f"https://{name}/", 4, timeout=3)
    clients.curl("http://allowed.test/", 4, timeout=3)
    clients.curl("http://denied.test/", 4, timeout=3)
    clients.dig("allowed.test", 4)
    clients.dig("secret.denied.test", 4)
    clients.curl("https://allowed.test/", 6, timeout=3)
    clients.curl("https://other.test:4711/", 4, timeout=3)
    bed.run("client", ["nc", "-w1", "-z", bed.server_address(4), "22"])


def main() -> int:
    skip_unless_possible(binary(), ("tmux", "chromium", "curl"))
    target = Path(sys.argv[1]).resolve()
    with Testbed("host") as bed, Servers(bed) as servers:
        servers.start_web()
        servers.start_dns()
        with Sallyport(bed, policy_text(bed, RULES)) as firewall, Screen(bed, WIDTH, HEIGHT) as screen:
            clients = Clients(bed, servers)
            traffic(bed, clients)
            screen.run(f"{binary()} watch --control {firewall.control}")
            screen.wait("denied most")
            busy = threading.Thread(target=lambda: [traffic(bed, clients) for _ in range(3)])
            busy.start()
            time.sleep(1.0)
            screen.keys("j", "j", "j", "c")
            screen.wait(r"allowed \d+/s  denied [1-9]")
            source = bed.scratch / "watch.html"
            source.write_text(page(screen.text("-e", "-N")))
            busy.join()
            screen.keys("q")
            size = f"{WIDTH * 9 + 44},{HEIGHT * 20 + 28}"
            subprocess.run(["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={target}", f"--window-size={size}",
                            f"--user-data-dir={bed.scratch}/chromium", source.as_uri()], check=True, capture_output=True, timeout=120)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
