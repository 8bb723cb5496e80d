"""Connections that have served one table's load, and wait for the next one's.

A cluster takes longer to connect to than to land a small table. A process has one target only.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from loader import lines

_SECONDS = 30  # a server or a firewall may end what is idle for longer
_waiting: list[list[tuple[float, Any, int]]] = []


@contextmanager
def connections_kept() -> Iterator[None]:
    """Keep each connection that is closed inside for whoever opens the next; end all at the end."""
    _waiting.append([])
    try:
        yield
    finally:
        _end(*(each for _, each, _ in _waiting.pop()))


def keep(connection: Any, process: int) -> None:
    """Keep a connection that is at rest, or end it where nobody wants another one."""
    try:
        _waiting[-1].append((time.monotonic(), connection, process))
    except IndexError:
        _end(connection)


def take_on() -> tuple[Any, int] | None:
    """Take on a connection that is still good, with its process at the server."""
    while _waiting and _waiting[-1]:
        with suppress(IndexError):  # another thread may have taken the last
            since, connection, process = _waiting[-1].pop()
            if time.monotonic() - since < _SECONDS and lines.is_kept(connection):
                return connection, process
            _end(connection)
    return None


def give_up(connection: Any) -> None:
    """End a connection that broke, and those at rest: what broke it may have broken them."""
    _end(connection)
    if _waiting:
        ended, _waiting[-1] = _waiting[-1], []
        _end(*(each for _, each, _ in ended))


def _end(*connections: Any) -> None:
    for each in connections:
        with suppress(Exception):
            each.close()
