"""Who is notified of a run: a webhook that listens on this machine."""

import http.server
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What the webhook answers: a status, a word, headers, and how slowly."""

    status: int = 200
    word: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)
    seconds_per_byte: float = 0


class Webhook(http.server.ThreadingHTTPServer):
    """Keeps what is posted; gives its answers in turn, and `ok` when it has none left."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Posted)
        self.answers, self.requests, self.told = list(answers), list[str](), list[Any]()
        self.scheme = "jsons" if tls else "json"
        if tls:
            # The handshake is the handler's thread's, so that a refused one is its own affair.
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    @property
    def url(self) -> str:
        """What apprise posts to; the last part of it is the secret."""
        return f"{self.scheme}://localhost:{self.server_port}/services/T0/B0/hunter2"

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is expected."""


class Service(http.server.BaseHTTPRequestHandler):
    """What answers a request of a test, without a word."""

    def reply(self, status: int, body: str) -> None:
        """Answer with a body."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Posted(Service):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(f"POST {self.path}")
        answer = self.server.answers.pop(0) if self.server.answers else Answer()
        if answer.status == 200:
            self.server.told.append(json.loads(body))
        lines = [f"HTTP/1.1 {answer.status} Said", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        lines += [f"Content-Length: {len(answer.word)}", "", answer.word]
        for byte in "\r\n".join(lines).encode():
            self.wfile.write(bytes([byte]))
            threading.Event().wait(answer.seconds_per_byte)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[Any]:
    """Let a server answer for a while."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
