"""guarded_server.py: a local HTTP server as its own author would write it. It believes every Host and writes down each byte that it
reads, so that a test can see what reached it.

Arguments: log file, address, port. `/events` is a stream of five events, `/events/N` of N, `/ws` a WebSocket that sends back what it gets (raw) and
resets the connection for "reset", `/slow` answers after a second; anything else is "hello". Bodies by Content-Length or chunked.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Connection:
    def __init__(self, reader, writer, log):
        self.reader, self.writer, self.log = reader, writer, log
        self.bytes = b""

    async def more(self) -> bool:
        got = await self.reader.read(65536)
        self.log.write(got)
        self.log.flush()
        self.bytes += got
        return bool(got)

    async def until(self, end: bytes) -> bytes | None:
        while end not in self.bytes:
            if not await self.more():
                return None
        head, self.bytes = self.bytes.split(end, 1)
        return head

    async def exactly(self, size: int) -> None:
        while len(self.bytes) < size and await self.more():
            pass
        self.bytes = self.bytes[size:]

    async def body(self, head: bytes) -> None:
        if re.search(rb"(?im)^transfer-encoding:.*chunked", head):
            while (line := await self.until(b"\r\n")) is not None:
                size = int(line.split(b";")[0] or b"0", 16)
                await self.exactly(size + 2)
                if size == 0:
                    return
        elif match := re.search(rb"(?im)^content-length: *(\d+)", head):
            await self.exactly(int(match.group(1)))

    async def serve(self) -> None:
        while (head := await self.until(b"\r\n\r\n")) is not None:
            await self.body(head)
            path = (head.split(b" ") + [b"", b""])[1]
            if path.startswith(b"/events"):
                self.writer.write(EVENTS)
                for number in range(int((path.split(b"/") + [b""])[2] or 5)):
                    event = b"data: %d\n\n" % number
                    self.writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                    await self.writer.drain()
                    await asyncio.sleep(0.1)
                self.writer.write(b"0\r\n\r\n")
            elif path.startswith(b"/ws"):
                self.writer.write(SWITCH)
                while True:
                    self.writer.write(self.bytes)
                    self.bytes = b""
                    await self.writer.drain()
                    if not await self.more():
                        return
                    if b"reset" in self.bytes:
                        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
            else:
                self.writer.write(HELLO)
            await self.writer.drain()


async def main(log_path: str, address: str, port: int) -> None:
    with open(log_path, "ab") as log:
        async def connected(reader, writer):
            try:
                await Connection(reader, writer, log).serve()
            except (ConnectionError, ValueError):
                pass
            finally:
                writer.close()

        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # [::] serves IPv4, too.
        listener.bind((address, port))
        server = await asyncio.start_server(connected, sock=listener)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
