"""Messages of PostgreSQL's wire protocol, version 3, as Redshift speaks it.

[PostgreSQL: Frontend/Backend Protocol, "Message Formats"]
"""

import contextlib
import socket
import struct
from collections.abc import Iterator

SSL_REQUEST = 80877103


class Wire:
    """One side of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._file = connection.makefile("rb")

    def read(self) -> tuple[bytes, bytes]:
        """Read a message: its kind and what it holds.

        Raises:
            ConnectionError: the other side has gone.
        """
        kind = self._exactly(1)
        return kind, self.read_body()

    def read_body(self) -> bytes:
        """Read a message that has no kind, which is how a connection begins."""
        (size,) = struct.unpack("!i", self._exactly(4))
        return self._exactly(size - 4)

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionError("the other side has gone")
        return data

    def send(self, *messages: bytes) -> None:
        """Send messages."""
        self.socket.sendall(b"".join(messages))

    def answers(self) -> Iterator[tuple[bytes, bytes]]:
        """Read messages up to and with the one that says the server is ready."""
        while True:
            kind, body = self.read()
            yield kind, body
            if kind == b"Z":
                return

    def close(self) -> None:
        """End the connection at once."""
        for end in (lambda: self.socket.shutdown(socket.SHUT_RDWR), self._file.close):
            with contextlib.suppress(OSError):
                end()
        self.socket.close()


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Frame a message."""
    return kind + struct.pack("!i", len(body) + 4) + body


def startup(parameters: dict[str, str]) -> bytes:
    """Frame the first message of a connection."""
    pairs = "".join(f"{name}\0{value}\0" for name, value in parameters.items())
    body = struct.pack("!i", 196608) + pairs.encode() + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def parameters_of(body: bytes) -> dict[str, str]:
    """Read what a start-up message asks for."""
    words = body[4:].decode().split("\0")
    return {name: value for name, value in zip(words[::2], words[1::2], strict=False) if name}


def error(code: str, text: str, detail: str = "") -> bytes:
    """Frame an error."""
    fields = {"S": "ERROR", "V": "ERROR", "C": code, "M": text, **({"D": detail} if detail else {})}
    return message(b"E", "".join(f"{k}{v}\0" for k, v in fields.items()).encode() + b"\0")


def error_fields(body: bytes) -> dict[str, str]:
    """Read an error."""
    return {part[:1]: part[1:] for part in body.decode().split("\0") if part}


def split(body: bytes, count: int) -> tuple[list[str], bytes]:
    """Read some strings from the beginning of a message, and what follows them."""
    *words, rest = body.split(b"\0", count)
    return [word.decode() for word in words], rest
