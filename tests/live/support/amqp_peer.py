"""amqp_peer.py serve PORT | send HOST PORT TEXT: both ends of AMQP 1.0 with Qpid Proton. The sender prints `accepted`."""

import sys

from proton import Message
from proton.handlers import MessagingHandler
from proton.reactor import Container


class Server(MessagingHandler):
    def __init__(self, port: str):
        super().__init__()
        self.urls = [f"0.0.0.0:{port}", f"[::]:{port}"]

    def on_start(self, event):
        self.listeners = [event.container.listen(url) for url in self.urls[:1]]
        try:
            self.listeners.append(event.container.listen(self.urls[1]))
        except Exception:  # The first took both families.
            pass

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
    Container(Server(sys.argv[2]) if sys.argv[1] == "serve" else Sender(f"{sys.argv[2]}:{sys.argv[3]}", sys.argv[4])).run()
