"""What differs between source and warehouse: counted per day, and key by key in a file."""

import json
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date
from itertools import islice
from tempfile import SpooledTemporaryFile, gettempdir
from typing import Any, NamedTuple, TypeAlias

from loader.errors import LoaderError

MISSING, EXTRA, STALE = KINDS = ("missing", "extra", "stale")
Key: TypeAlias = tuple[str, ...]
_CHUNK = 500  # keys
_IN_MEMORY = 1_000_000  # characters


class Difference(NamedTuple):
    """One key that differs.

    Attributes:
        kind: `missing` in the warehouse, `extra` there because the source has it no more, or
            `stale`: there in another version.
        key: the texts of its columns.
        micros: the version's cursor, in microseconds from 1970; the warehouse's if it is extra.
    """

    kind: str
    key: Key
    micros: int


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day of a table on which rows differ; None for a table without a cursor."""

    day: date | None
    source_rows: int
    warehouse_rows: int
    missing: int
    extra: int
    stale: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a comparison of one table has found.

    Attributes:
        rows: those of the source that were compared.
        pending: rows that changed on days which are not landed yet.
        future: those of them that are dated beyond today.
        days: those on which something differs.
        left_out: columns whose values could not be compared.
        is_landed: whether anything of the table was.
        error: why it could not be compared.
    """

    table: str
    rows: int = 0
    pending: int = 0
    future: int = 0
    days: tuple[Day, ...] = ()
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0
    is_landed: bool = True
    error: LoaderError | None = None

    @property
    def missing(self) -> int:
        """Rows that the warehouse lacks."""
        return sum(day.missing for day in self.days)

    @property
    def extra(self) -> int:
        """Rows that the source has no more."""
        return sum(day.extra for day in self.days)

    @property
    def stale(self) -> int:
        """Rows of which the warehouse has another version."""
        return sum(day.stale for day in self.days)

    @property
    def differing(self) -> int:
        """All of them."""
        return self.missing + self.extra + self.stale

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.days and not self.error

    def as_json(self) -> dict[str, Any]:
        """The finding with its totals, and days as ISO text."""
        days = [{**asdict(day), "day": day.day and day.day.isoformat()} for day in self.days]
        return {
            "table": self.table,
            "agrees": self.agrees,
            "is_landed": self.is_landed,
            "rows": self.rows,
            "pending": self.pending,
            "future": self.future,
            **{kind: getattr(self, kind) for kind in KINDS},
            "days": days,
            "left_out": list(self.left_out),
            "seconds": round(self.seconds, 3),
            "error": self.error and self.error.fact,
            "remedy": self.error and self.error.remedy,
        }


class Differences:
    """Keys that differ, in a file without a name: there may be more than memory should hold."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8")  # noqa: SIM115
        weakref.finalize(self, _close, self._file)
        self.counts = Counter[tuple[date | None, str]]()

    def add(self, difference: Difference, day: date | None) -> None:
        """Keep one, and count it on its day.

        Raises:
            LoaderError: there is no room for it.
        """
        with _room():
            self._file.write(json.dumps(difference) + "\n")
        self.counts[day, difference.kind] += 1

    def __len__(self) -> int:
        return self.counts.total()

    def chunks(self) -> Iterator[list[Difference]]:
        """Read them back, a few hundred at a time.

        Raises:
            LoaderError: there was no room for all of them.
        """
        with _room():
            self._file.seek(0)
        while lines := list(islice(self._file, _CHUNK)):
            found = (json.loads(line) for line in lines)
            yield [Difference(kind, tuple(key), micros) for kind, key, micros in found]

    def days(self) -> set[date | None]:
        """The days that they are counted on."""
        return {day for day, _ in self.counts}


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LoaderError(
            f"There is no room to keep what differs: {error.strerror} ({gettempdir()}).",
            "Make room there, or set TMPDIR to another folder; nothing was changed.",
        ) from None


def _close(file: SpooledTemporaryFile[str]) -> None:
    with suppress(OSError):  # what it still has to write, and finds no room for
        file.close()
