"""HTTP servers of a few lines for replay's tests: they stall, refuse or vanish when told to."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

METADATA = {
    "name": "m",
    "versions": ["1"],
    "platform": "none",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
}


@dataclass
class Behaviour:
    """``stall``: from when to when (seconds after the first inference) nothing is answered."""

    stall: tuple[float, float] = (0.0, 0.0)
    dies_at_s: float = float("inf")
    """After the first inference: every connection is closed, and nobody listens any more."""
    refuse_every: int = 0
    busy_until_s: float = 0.0
    began_s: float = 0.0
    answers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def elapsed_s(self) -> float:
        with self.lock:
            self.began_s = self.began_s or time.monotonic()
        return time.monotonic() - self.began_s


class _Server:
    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as incoming:
            while line := incoming.readline():
                length = 0
                while header := incoming.readline().strip():
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                incoming.read(length)
                connection.sendall(self._answer(line))

    def _answer(self, line: bytes) -> bytes:
        if line.startswith(b"GET"):
            return _response(200, json.dumps(METADATA))
        elapsed_s = self.behaviour.elapsed_s()
        if elapsed_s >= self.behaviour.dies_at_s:
            self.vanish()
            raise OSError
        if elapsed_s < self.behaviour.busy_until_s:
            return _response(503, '{"error": "still busy"}')
        start_s, end_s = self.behaviour.stall
        if start_s <= elapsed_s < end_s:
            time.sleep(end_s - elapsed_s)
        with self.behaviour.lock:
            self.behaviour.answers += 1
            number = self.behaviour.answers
        # The first of all are the rehearsal.
        if self.behaviour.refuse_every and number > 8 and number % self.behaviour.refuse_every == 0:
            return _response(429, '{"error": "the queue is full"}')
        return _response(200, '{"outputs": []}')

    def vanish(self) -> None:
        for each in (self.listener, *self.connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _response(status: int, body: str) -> bytes:
    return f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The server's URL, while it serves."""
    server = _Server(behaviour)
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.vanish()
        for thread in server.threads:
            thread.join(5)
