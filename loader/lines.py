"""Connections that are ended from another thread: by a deadline, or because a run is to end.

A driver waits for its server as long as that takes, psycopg2 without any setting for it, and a
thread that waits hears of no signal. [PostgreSQL: libpq, "Database Connection Control Functions"]
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from typing import Any, Self
from weakref import WeakKeyDictionary

_LOOK_SECONDS = 0.5
_opened = WeakKeyDictionary[Any, float]()
_lock = threading.Lock()


def keep(connection: Any) -> None:
    """Remember a driver's connection, so that `end_all` ends it."""
    with _lock:
        _opened[connection] = time.monotonic()


def forget(connection: Any) -> None:
    """Note that a connection is of no use any more."""
    with _lock:
        _opened.pop(connection, None)


def is_kept(connection: Any) -> bool:
    """Whether a connection is remembered, and so may serve once more."""
    return connection is not None and connection in _opened


def end(connection: Any) -> None:
    """Shut a connection's socket: whoever waits on it gets an error, and the server rolls back."""
    forget(connection)
    with suppress(Exception):
        line = getattr(connection, "_usock", None) or getattr(connection, "_sock", connection)
        with socket.socket(fileno=os.dup(line.fileno())) as shared:
            shared.shutdown(socket.SHUT_RDWR)


def end_all(opened_before: float = inf) -> None:
    """End every connection, or those that were opened before an instant of the monotonic clock."""
    with _lock:
        found = [each for each, at in _opened.items() if at < opened_before]
    for each in found:
        end(each)


class Deadline:
    """Ends a connection whose server takes too long to answer; used with `with` while it is asked.

    Attributes:
        has_passed: whether it did.
    """

    def __init__(self, connection: Any, seconds: float) -> None:
        self.has_passed = False
        self._connection = connection
        self._seconds = seconds
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._until = time.monotonic() + self._seconds
        threading.Thread(target=self._watch, name="deadline", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Wait inside for something else than the server, which then has its time anew."""
        self._until = inf
        yield
        self._until = time.monotonic() + self._seconds

    def _watch(self) -> None:
        while not self._over.wait(min(self._seconds, _LOOK_SECONDS)):
            if time.monotonic() >= self._until:
                self.has_passed = True
                end(self._connection)
                return
