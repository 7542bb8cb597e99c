"""engine.py SOCKET STATE: what a container engine answers to GET /containers/json and /containers/ID/json. STATE is a JSON list
of its containers, read anew for each question; "Pid" of an entry is told with the single container only."""

import json
import socket
import sys
from pathlib import Path


def answer(path: str, state: Path) -> tuple[int, object]:
    containers = json.loads(state.read_text())
    if path == "/containers/json":
        return 200, [{key: value for key, value in entry.items() if key != "Pid"} for entry in containers]
    for entry in containers:
        if path == f"/containers/{entry['Id']}/json":
            return 200, {"Id": entry["Id"], "State": {"Running": True, "Pid": entry.get("Pid", 0)}}
    return 404, {"message": "no such container"}


def main() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(16)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(4096)
                if not piece:
                    break
                head += piece
            try:
                code, body = answer(head.split()[1].decode(), Path(sys.argv[2]))
            except (OSError, ValueError, IndexError):
                code, body = 500, {}
            connection.sendall(f"HTTP/1.0 {code} OK\r\nContent-Type: application/json\r\n\r\n".encode() + json.dumps(body).encode())


if __name__ == "__main__":
    main()
