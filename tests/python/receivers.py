"""Who is notified of a run: a webhook and a mail server that listen on this machine."""

import base64
import http.server
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
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


class _Posted(http.server.BaseHTTPRequestHandler):
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

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class MailServer(socketserver.ThreadingTCPServer):
    """As much of SMTP as smtplib speaks: STARTTLS, AUTH PLAIN, and one letter after another.

    Args:
        tls: offers STARTTLS with it.
        refuses: what the answer to a command that begins so is.
    """

    daemon_threads = True

    def __init__(
        self, tls: ssl.SSLContext | None = None, refuses: dict[str, str] | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.tls, self.refuses = tls, refuses or {}
        self.letters, self.logins = list[EmailMessage](), list[tuple[str, bool]]()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is expected."""


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.encrypted = False
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            for start, answer in self.server.refuses.items():
                if line.upper().startswith(start):
                    self._say(answer)
                    break
            else:
                if not self._obey(line):
                    return

    def finish(self) -> None:
        super().finish()
        self.request.close()  # the encrypted one, which the server does not know

    def _obey(self, line: str) -> bool:
        word = line.upper().partition(" ")[0]
        if word == "EHLO":
            offered = ["STARTTLS"] if self.server.tls and not self.encrypted else ["AUTH PLAIN"]
            self._say("250-here", *(f"250-{each}" for each in offered), "250 SIZE")
        elif word == "STARTTLS":
            self._say("220 go on")
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
            self.encrypted = True
            self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
        elif word == "AUTH":
            told = base64.b64decode(line.rsplit(maxsplit=1)[-1]).decode()
            self.server.logins.append((told, self.encrypted))
            self._say("235 welcome")
        elif word == "DATA":
            self._say("354 go on")
            text = b"".join(iter(self.rfile.readline, b".\r\n"))
            self.server.letters.append(message_from_bytes(text, policy=policy.default))
            self._say("250 kept")
        elif word == "QUIT":
            self._say("221 bye")
            return False
        else:
            self._say("250 fine")
        return True

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


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
