"""Both sides of a table in two levels: sums of a few thousand buckets, then the rows of some."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from loader.declared.windows import DAY
from loader.errors import SourceError
from loader.load.repair import Version, Versions
from loader.source import mysql, wire
from loader.source.copytext import SEPARATOR
from loader.source.keys import days_of_keys, key_of
from loader.verify.finding import EXTRA, KINDS, MISSING, STALE, Day
from loader.verify.sides import Sides

_BUCKETS, _BUCKET_ROWS = 2_048, 1_024
"""A table is divided into about so many buckets, of no fewer rows.

For a few thousand sums the servers take a fifth longer than for a few, for sixteen thousand twice
as long.
"""
_LISTED_ROWS = 2_000_000
"""How many rows a cursor gives out, about: the leader node keeps all that it will.

With keys of MySQL's greatest length they are 6 GB; the smallest cluster keeps 8, of all cursors.
[Redshift: DECLARE, "Cursor constraints"]
"""

_FIRST_DAY, _DAY_MICROS = date(1970, 1, 1), 86_400_000_000

Totals: TypeAlias = dict[int, tuple[int, int]]
"""The number of rows and the sum of their hashes, by bucket."""
Row: TypeAlias = tuple[int, Version]
"""A row as either side lists it: its hash and its version."""


def differences(sides: Sides, has_pending: bool) -> tuple[int, tuple[Day, ...], Versions]:
    """Compare the sums of buckets, and then the rows of those that differ.

    Memory does not grow with the table nor with what differs.

    Args:
        has_pending: whether keys were set aside.

    Returns:
        How many rows the source has, the days on which some differ, and the keys of these.

    Raises:
        SourceError: a row's cursor holds a day that does not exist.
    """
    ours, theirs = sides.source_rows(), sides.warehouse_rows("not exists" if has_pending else "")
    parts = _parts(sides)
    here, there = _totals(sides, ours, theirs, parts)
    differing = [bucket for bucket in here | there if here.get(bucket) != there.get(bucket)]
    most = sum(max(side.get(each, (0, 0))[0] for side in (here, there)) for each in differing)
    condition = f"{_bucket(parts)} in ({', '.join(map(str, differing))})"
    listed = _listed(sides, ours, theirs, condition, most) if differing else ()
    counts, versions, perhaps = Counter[tuple[date | None, str]](), Versions(), Versions()
    for kind, version in _tell_apart(listed):
        if kind == EXTRA and sides.due.start:
            perhaps.add(version)
        else:
            versions.add(version)
            counts[sides.day(version.number), kind] += 1
    for chunk in perhaps.chunks():  # gone, or on days now that are not compared
        moved = days_of_keys(sides.source, sides.read, (version.key for version in chunk))
        for version in chunk:
            versions.add(version)
            counts[sides.day(version.number), STALE if version.key in moved else EXTRA] += 1
    rows = [_by_day(sides, parts, totals) for totals in (here, there)]
    days = (
        Day(
            day=day,
            source_rows=rows[0][day],
            warehouse_rows=rows[1][day],
            **{kind: counts[day, kind] for kind in KINDS},
        )
        for day in sorted({day for day, _ in counts}, key=str)
    )
    return rows[0].total(), tuple(days), versions


def _parts(sides: Sides) -> int:
    """Into how many buckets each day is to be divided."""
    wanted = min(sides.read.description.rows // _BUCKET_ROWS, _BUCKETS)
    if (days := sides.read.days) is None:
        return max(1, wanted)
    if days.is_increasing:
        return max(1, wanted // (1 + len(days.marks)))
    queries = days.spans(sides.read.source, sides.due)
    ends = [mysql.fetch(sides.source, query)[0] for query in queries]
    found = [int(end) for both in ends for end in both if end is not None]
    span = (max(found) - min(found)) // _DAY_MICROS if found else 0
    return max(1, wanted // (1 + span))


def _bucket(parts: int) -> str:
    return f"day_number * {parts} + mod(abs(key_hash), {parts})" if parts > 1 else "day_number"


def _totals(sides: Sides, ours: str, theirs: str, parts: int) -> tuple[Totals, Totals]:
    """Ask both at the same time for the rows and the sum of each bucket."""
    select = f"select {_bucket(parts)}, count(*), sum(row_hash) from"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(mysql.fetch, sides.source, f"{select} ({ours}) as ours group by 1")
        found = sides.warehouse.execute(f"{select} ({theirs}) as theirs group by 1")
        both = asked.result(), found
    if any(bucket is None for bucket, *_ in both[0]):
        raise _no_day(sides)
    here, there = ({int(each): (int(n), int(total)) for each, n, total in rows} for rows in both)
    return here, there


def _no_day(sides: Sides) -> SourceError:
    """The error of a cursor such as 2026-02-00; tells one of them."""
    table, days = sides.table, sides.read.days
    value = f"cast({days.value if days else ''} as char)"
    one = f"min(left({value}, {14 if days and days.is_digits else 10}))"
    no_day = f"to_days({days.day if days else ''}) is null"
    ((day,),) = mysql.fetch(sides.source, sides.read.select(one, no_day))
    return SourceError(
        f"{table.place}: the cursor column {table.cursor} holds {day}, which is no day.",
        "Mend the row in MySQL; nothing was compared.",
    )


def _by_day(sides: Sides, parts: int, totals: Totals) -> Counter[date | None]:
    """Add up the rows of each day; of all, without a cursor."""
    rows = Counter[date | None]()
    for bucket, (count, _) in totals.items():
        rows[_FIRST_DAY + bucket // parts * DAY if sides.read.days else None] += count
    return rows


def _listed(
    sides: Sides, ours: str, theirs: str, condition: str, rows: int
) -> Iterator[tuple[list[Row], list[Row]]]:
    """Read the rows of some buckets from both sides; tell those that differ, by their key's hash.

    Args:
        condition: tells the buckets.
        rows: how many there are, on the side that has more.
    """
    names = ["key_hash", "row_hash", "version", *(f"key{n}" for n in range(len(sides.read.key)))]
    parts = 1 + rows // _LISTED_ROWS
    for part in range(parts):
        also = f" and mod(abs(key_hash), {parts}) = {part}" if parts > 1 else ""
        rest = f"where {condition}{also} order by key_hash"
        joined = f"concat_ws(0x{SEPARATOR.hex()}, {', '.join(names)})"
        statement = f"select {joined} from ({ours}) as ours {rest}"
        batches = wire.joined_rows(sides.source, statement)
        here = (line.split(SEPARATOR) for batch in batches for line in batch)
        statement = f"select {', '.join(names)} from ({theirs}) as theirs {rest}"
        there = sides.warehouse.stream(statement)
        merged = heapq.merge(
            ((int(row[0]), True, row) for row in here),
            ((int(row[0]), False, row) for row in there),
            key=itemgetter(0),
        )
        for _, group in groupby(merged, key=itemgetter(0)):
            found = list(group)
            both = [[row for _, is_ours, row in found if is_ours is side] for side in (True, False)]
            # Most are equal; only of the others are all fields read.
            if [int(row[1]) for row in both[0]] != [int(row[1]) for row in both[1]]:
                yield [_row(sides, row) for row in both[0]], [_row(sides, row) for row in both[1]]


def _row(sides: Sides, fields: Sequence[Any]) -> Row:
    row_hash, number, *texts = fields[1:]
    return int(row_hash), Version(key_of(sides.read, texts), int(number))


def _tell_apart(listed: Iterable[tuple[list[Row], list[Row]]]) -> Iterator[tuple[str, Version]]:
    """Say of each row that only one side has what kind of difference it is."""
    for ours, theirs in listed:
        here, there = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
        of_ours, of_theirs = ({version.key for _, version in rows} for rows in (here, there))
        for _, version in here.elements():
            yield STALE if version.key in of_theirs else MISSING, version
        for _, version in there.elements():
            if version.key not in of_ours:
                yield EXTRA, version
