"""Both sides of a table, level by level: per day, per bucket of a day that differs, per key."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

from loader.declared.windows import DAY, Window, day_after
from loader.errors import SourceError
from loader.source import mysql
from loader.source.copytext import SEPARATOR
from loader.source.keys import KeyColumns
from loader.source.read_plan import ReadPlan
from loader.verify.differences import (
    EXTRA,
    MISSING,
    STALE,
    Day,
    Difference,
    Differences,
    Finding,
    Key,
)
from loader.verify.digest import Compared, Side
from loader.warehouse import Warehouse

_LISTED_ROWS = 100_000  # of days that differ; where there are more, they are divided further
_CURSOR_ROWS = 2_000_000
"""How many rows a cursor gives out, about: the leader node keeps all that it will.

With keys of MySQL's greatest length they are 6 GB; the smallest cluster keeps 8, of all cursors.
[Redshift: DECLARE, "Cursor constraints"]
"""
_BUCKET_ROWS = 1_000
_BUCKETS = 16_384
_WINDOWS = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Totals: TypeAlias = dict[Any, tuple[int, int]]
Part: TypeAlias = Callable[[Side], str]
_Version: TypeAlias = tuple[Key, tuple[int, int]]


class Row(NamedTuple):
    """A row as either side lists it; `displaced` if its window was landed without it."""

    number: int
    key: Key
    version: tuple[int, int]
    displaced: bool


@dataclass(frozen=True, kw_only=True)
class Both:
    """Both sides, each within its snapshot."""

    source: mysql.Source
    warehouse: Warehouse
    read: ReadPlan
    what: Compared
    keys: KeyColumns
    here: Side
    there: Side

    def totals(self, bucket: Part, also: Part) -> tuple[Totals, Totals]:
        """Ask both at the same time for rows and digest per bucket.

        Raises:
            SourceError: the bucket is a day, and a row's cursor holds none that exists.
        """
        here, there = (side.totals(bucket(side), also(side)) for side in (self.here, self.there))
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(mysql.fetch, self.source, here)
            theirs = self.warehouse.execute(there)
            ours = asked.result()
        for day, *_ in ours:
            if isinstance(day, str):  # as pymysql gives a date that is none
                table = self.what.table
                raise SourceError(
                    f"{table.database}.{table.source}: the cursor column {table.cursor} holds "
                    f"{day}, which is no day.",
                    "Mend the row in MySQL; nothing was compared.",
                )
        return _by_bucket(ours), _by_bucket(theirs)

    def listed(self, also: Part, about: int) -> Iterator[tuple[list[Row], list[Row]]]:
        """Read the rows of both, those of one number at a time.

        Args:
            about: how many there are, on the side that has more.
        """
        parts = 1 + about // _CURSOR_ROWS
        here = self.here.listing(also(self.here), parts)
        batches = mysql.stream(self.source, replace(self.read, rows=here))
        ours = (self._row(line.split(SEPARATOR)) for batch in batches for line in batch)
        theirs = map(self._row, self._in_parts(also(self.there), parts))
        both = heapq.merge(
            (((abs(row.number) % parts, row.number), True, row) for row in ours),
            (((abs(row.number) % parts, row.number), False, row) for row in theirs),
            key=lambda told: told[0],
        )
        for _, group in groupby(both, key=lambda told: told[0]):
            rows = list(group)
            yield [row for _, ours, row in rows if ours], [row for _, ours, row in rows if not ours]

    def _in_parts(self, also: str, parts: int) -> Iterator[tuple[Any, ...]]:
        """Read the warehouse's rows with a cursor for each part, in the order of all."""
        for part in range(parts):
            of_part = f" and {self.there.part(parts)} = {part}" if parts > 1 else ""
            yield from self.warehouse.stream(self.there.listing(also + of_part))

    def _row(self, fields: Sequence[Any]) -> Row:
        number, *texts, micros, values, displaced = fields
        key = self.keys.key(texts)
        return Row(int(number), key, (int(micros), int(values)), bool(int(displaced)))

    def distinct(self, rows: Counter[_Version]) -> list[_Version]:
        """List versions, each once, or as often as it is there where nothing identifies a row."""
        return list(rows) if self.what.key else list(rows.elements())

    def day(self, micros: int) -> date | None:
        """The day of a version, in the declared time zone; None without a cursor."""
        if self.what.cursor is None:
            return None
        instant = _EPOCH + timedelta(microseconds=micros)
        return instant.date() if self.what.is_date else self.what.zone.day(instant)


def _by_bucket(rows: Sequence[tuple[Any, ...]]) -> Totals:
    return {bucket: (int(count), int(digest)) for bucket, count, digest in rows}


def find(both: Both) -> tuple[Finding, Differences]:
    """Compare level by level; memory does not grow with the table nor with what differs."""
    has_days = both.what.cursor is not None
    bucket = _day if has_days else _bucket_of_all(both.what.about_rows)
    here, there = both.totals(bucket, _all)
    differing = _differing(here, there)
    finding = Finding(table=both.what.table.name, rows=sum(count for count, _ in here.values()))
    if not differing:
        return finding, Differences()
    if has_days:
        also, about = _within_days(both, here, there, differing)
    else:
        also, about = _among(bucket, differing, _all), _count(here, there, differing)
    differences, displaced = _tell_apart(both, also, about)
    if both.what.due.start:
        differences = _look_up(both, differences)
    if not has_days:  # one day of all
        here, there = ({None: (sum(_rows(each, at) for at in each), 0)} for each in (here, there))
    days = [
        Day(
            day=day,
            source_rows=_rows(here, day),
            warehouse_rows=_rows(there, day) + displaced[day],
            **{kind: differences.counts[day, kind] for kind in (MISSING, EXTRA, STALE)},
        )
        for day in sorted(differences.days(), key=str)
    ]
    return replace(finding, days=tuple(days)), differences


def _tell_apart(both: Both, also: Part, about: int) -> tuple[Differences, Counter[date | None]]:
    """List the rows that may differ; count those that were displaced, of which no day knows."""
    differences, displaced = Differences(), Counter[date | None]()
    for ours, theirs in both.listed(also, about):
        if [row[:3] for row in ours] == [row[:3] for row in theirs] and not theirs[0].displaced:
            continue
        displaced.update(both.day(row.version[0]) for row in theirs if row.displaced)
        here, there = (Counter((row.key, row.version) for row in rows) for rows in (ours, theirs))
        only_here, only_there = (both.distinct(each) for each in (here - there, there - here))
        known = {key for key, _ in only_there}
        for key, (micros, _) in only_here:
            kind = STALE if key in known else MISSING
            differences.add(Difference(kind, key, micros), both.day(micros))
        changed = {key for key, _ in only_here}
        for key, (micros, _) in only_there:
            if key not in changed:
                differences.add(Difference(EXTRA, key, micros), both.day(micros))
    return differences, displaced


def _look_up(both: Both, differences: Differences) -> Differences:
    """Tell rows that are gone from those that have moved to days which are not compared."""
    told = Differences()
    for chunk in differences.chunks():
        extra = [each.key for each in chunk if each.kind == EXTRA]
        there = both.keys.days(both.source, extra) if extra else {}
        for each in chunk:
            kind = STALE if each.key in there else each.kind
            told.add(each._replace(kind=kind), both.day(each.micros))
    return told


def _rows(totals: Totals, bucket: Any) -> int:
    return totals.get(bucket, (0, 0))[0]


def _count(here: Totals, there: Totals, buckets: Collection[Any]) -> int:
    return sum(max(_rows(here, bucket), _rows(there, bucket)) for bucket in buckets)


def _differing(here: Totals, there: Totals) -> set[Any]:
    buckets = here.keys() | there.keys()
    return {bucket for bucket in buckets if here.get(bucket) != there.get(bucket)}


def _all(_: Side) -> str:
    return ""


def _day(side: Side) -> str:
    return side.day


def _bucket_of_all(rows: int) -> Part:
    """Divide rows by their key's number into buckets of about a thousand."""
    count = max(1, min(rows // _BUCKET_ROWS, _BUCKETS))
    return lambda side: f"mod({side.numbers.key}, {count})"


def _bucket_of_days(rows: int, days: int) -> Part:
    """Divide the rows of each day so; displaced rows, of which no day knows, are one bucket."""
    count = max(1, min(rows // _BUCKET_ROWS, _BUCKETS) // days)
    return lambda side: (
        f"coalesce({side.day_number} * {count} + mod({side.numbers.key}, {count}), -1)"
    )


def _among(bucket: Part, found: Collection[int], also: Part) -> Part:
    listed = ", ".join(map(str, found)) or "null"
    return lambda side: f"{also(side)} and {bucket(side)} in ({listed})"


def _within_days(
    both: Both, here: Totals, there: Totals, differing: Collection[Any]
) -> tuple[Part, int]:
    """Narrow the rows to days that differ, and where these have many rows, to parts of them.

    Returns:
        The narrower condition, and about how many rows it holds for.
    """
    windows = _windows([day for day in differing if day])

    def of_days(side: Side) -> str:
        return f" and {side.of_days(windows)}"

    days = [
        day
        for day in here.keys() | there.keys()
        if day is None or any(window.holds(day) for window in windows)
    ]
    rows = _count(here, there, days)
    if rows <= _LISTED_ROWS:
        return of_days, rows
    bucket = _bucket_of_days(rows, len(days))
    totals = both.totals(bucket, of_days)
    found = _differing(*totals)
    return _among(bucket, found, of_days), _count(*totals, found)


def _windows(days: Collection[date]) -> list[Window]:
    """Cover days by a few windows, with as few days more as that takes.

    A row is compared with every window's edges, which costs more than a few rows too many.
    """
    gap = DAY
    while True:
        windows = list[Window]()
        for day in sorted(days):
            if windows and windows[-1].end and day - windows[-1].end < gap:
                windows[-1] = Window(windows[-1].start, day_after(day))
            else:
                windows.append(Window(day, day_after(day)))
        if len(windows) <= _WINDOWS:
            return windows
        gap *= 2
