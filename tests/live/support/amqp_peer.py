"""amqp_peer.py serve PORT | send HOST PORT TEXT: both ends of AMQP 1.0 with Qpid Proton. The sender prints `accepted`."""

import socket
import sys

from proton import Message
from proton._io import IO
from proton.handlers import MessagingHandler
from proton.reactor import Container


def listen(_host: str, port: int) -> socket.socket:
    """listen takes the place of Proton's own, which knows IPv4 alone."""
    server = socket.create_server(("", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    server.setblocking(False)
    return server


class Server(MessagingHandler):
    def __init__(self, port: str):
        super().__init__()
        self.port = port

    def on_start(self, event):
        self.listener = event.container.listen(f"0.0.0.0:{self.port}")

    def on_message(self, event):
        print(event.message.body, flush=True)


class Sender(MessagingHandler):
    def __init__(self, url: str, text: str):
        super().__init__()
        self.url, self.text = url, text

    def on_start(self, event):
        connection = event.container.connect(self.url, reconnect=False, allowed_mechs="ANONYMOUS")
        event.container.create_sender(connection, "queue")

    def on_sendable(self, event):
        if self.text:
            event.sender.send(Message(body=self.text))
            self.text = ""

    def on_accepted(self, event):
        print("accepted", flush=True)
        event.connection.close()

    def on_transport_error(self, event):
        print(event.transport.condition, flush=True)
        event.container.stop()


if __name__ == "__main__":
    IO.listen = staticmethod(listen)
    Container(Server(sys.argv[2]) if sys.argv[1] == "serve" else Sender(f"{sys.argv[2]}:{sys.argv[3]}", sys.argv[4])).run()
