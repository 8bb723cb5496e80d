"""What a load is asked for, what it needs, and what becomes of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock
from typing import Any

from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.declared.windows import Window
from loader.errors import LoaderError
from loader.load.repair import Repair
from loader.stage.s3 import NewClient
from loader.warehouse import Warehouse
from loader.warehouse.ledger import Load
from loader.warehouse.stop import Stop

THREAD_NAME = "load"
"""The names of threads that read and land begin with this."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One table and the window of it that is to be landed; for a repair the days of its keys."""

    table: Table
    window: Window
    mode: str
    repair: Repair | None = None

    def as_json(self) -> dict[str, Any]:
        """What is to be landed, its days as ISO text."""
        return {
            "table_name": self.table.name,
            "mode": self.mode,
            "window_start": self.window.start.isoformat() if self.window.start else None,
            "window_end": self.window.end.isoformat() if self.window.end else None,
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job: its ledger row, and the error if it failed."""

    job: Job
    load: Load | None
    error: LoaderError | None = None

    def as_json(self) -> dict[str, Any]:
        """The ledger's row of what was landed, or the like of what was not."""
        if self.load:
            return self.load.as_json()
        fact, remedy = (self.error.fact, self.error.remedy) if self.error else (None, None)
        return {**self.job.as_json(), "outcome": "failed", "error": fact, "remedy": remedy}


class RateLimit:
    """Keeps all tables of a run together below a rate, which a production server can spare.

    Threads share it. While a reader waits, the server stops sending as soon as the network's
    buffers are full; whoever waits is woken when `stopping` is set.
    """

    def __init__(self, rows_per_second: int, stopping: Event) -> None:
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


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where rows come from, are staged and land; threads share it.

    Attributes:
        new_warehouse: makes a warehouse with a connection of its own.
        differing: compares a table with what is landed of it, and says what would repair it; None
            if it has to be landed whole.
        stop: asks the loads to end before their time.
        rate_limit: keeps reading the source below a rate; None for no limit.
    """

    settings: Settings
    stage: NewClient
    new_warehouse: Callable[[], Warehouse]
    differing: Callable[[Table, Callable[[], Warehouse]], Repair | None]
    stop: Stop = field(default_factory=Stop)
    rate_limit: RateLimit | None = None


@dataclass(frozen=True)
class Watcher:
    """Who is shown how loads go on.

    Attributes:
        rows: called with a table's name, the rows read so far and the rows there are.
        say: called with a sentence, such as a column that was added.
        done: called with what became of a job.
        said: what was said, if it is kept for a report.
    """

    rows: Callable[[str, int, int], None]
    say: Callable[[str], None]
    done: Callable[[Outcome], None]
    said: Sequence[str] = ()


@contextmanager
def unwatched() -> Iterator[Watcher]:
    """Show nothing, and keep what is said."""
    said = list[str]()
    yield Watcher(rows=lambda *_: None, say=said.append, done=lambda _: None, said=said)


def now() -> datetime:
    """The ledger's own time: UTC, as the warehouse's columns without a zone hold it."""
    return datetime.now(UTC).replace(tzinfo=None)
