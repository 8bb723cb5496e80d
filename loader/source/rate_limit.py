"""Reading no faster: no more rows a second than a production server can spare."""

import time
from threading import Event, Lock


class RateLimit:
    """Keeps all tables of a run together below a rate; threads share it.

    While a reader waits, the server stops sending as soon as the network's buffers are full.
    """

    def __init__(self, rows_per_second: int, stopping: Event) -> None:
        """Prepare it.

        Args:
            stopping: whoever waits is woken when it is set.
        """
        self._rate = rows_per_second
        self._stopping = stopping
        self._lock = Lock()
        self._free_at = 0.0

    def wait(self, rows: int) -> None:
        """Wait until so many rows may have passed."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + rows / self._rate
            seconds = self._free_at - now
        self._stopping.wait(seconds)
