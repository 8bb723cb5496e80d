"""A relay before a server, which ends a connection at a given byte, or then falls silent."""

import socket
import socketserver
import threading
from contextlib import suppress
from typing import Any


class Cutting(socketserver.ThreadingTCPServer):
    """Passes bytes on both ways; the connection that carries the fatal one is ended.

    Attributes:
        port: where the relay listens.
        heard: everything that has passed, if asked for.
        is_silent: no connection is ended, and nothing passes any more, as if the server hung.
        silent_at: it falls silent when this is about to pass; empty for never.
    """

    daemon_threads, request_queue_size = True, 128

    def __init__(self, server: int, heard: bytearray | None = None) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self._to = ("127.0.0.1", server)
        self.heard = heard
        self.is_silent = False
        self._left: int | None = None
        self.silent_at = b""
        self._lock = threading.Lock()
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def cut_after(self, size: int) -> None:
        """End the connection that carries the so-manieth byte from now."""
        with self._lock:
            self._left = size

    def close(self) -> None:
        """Take no more connections."""
        self.shutdown()
        self.server_close()

    def finish_request(self, client: Any, _: Any) -> None:
        """Pass a connection on."""
        with suppress(OSError), socket.create_connection(self._to) as server:
            back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
            back.start()
            self._pass_on(client, server)
            back.join()

    def _pass_on(self, reader: socket.socket, writer: socket.socket) -> None:
        with suppress(OSError):
            while data := reader.recv(1 << 16):
                if self.heard is not None:
                    self.heard += data
                if self.silent_at and self.silent_at in data:
                    self.is_silent = True
                kept = self._kept(len(data))
                writer.sendall(data[:kept])
                if kept < len(data) and not self.is_silent:
                    break
        for end in (reader, writer):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _kept(self, size: int) -> int:
        """How many of so many bytes pass."""
        with self._lock:
            if self.is_silent:
                return 0
            if self._left is None:
                return size
            if size <= self._left:
                self._left -= size
                return size
            kept, self._left = self._left, None
            return kept


def relayed(
    pipeline: Any, who: str, heard: bytearray | None = None
) -> tuple[Cutting, dict[str, str]]:
    """Put a relay before a pipeline's server; returns it, and what has a command use it.

    Args:
        who: MySQL, S3 or warehouse.
        heard: takes all that passes, if it is given.
    """
    names = {"MySQL": "LOADER_MYSQL_PORT", "S3": "AWS_ENDPOINT_URL_S3"}
    name = names.get(who, pipeline.setting("PORT"))
    place, colon, port = pipeline.env[name].rpartition(":")
    relay = Cutting(int(port), heard)
    return relay, {name: f"{place}{colon}{relay.port}"}
