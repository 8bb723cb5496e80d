"""What a repair lands: the present rows of some keys, and the deletion of those that are gone."""

import json
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from io import FileIO
from itertools import islice
from tempfile import TemporaryFile, gettempdir
from typing import NamedTuple

from loader.errors import LoaderError
from loader.source import mysql, wire
from loader.source.copytext import NULL, REFUSED, SEPARATOR
from loader.source.keys import Key, among, days_of_keys, key_of
from loader.source.read_plan import DELETED_AT, ReadPlan

_CHUNK = 500  # keys


class Version(NamedTuple):
    """A key, and its row's cursor as one number; see `Days`."""

    key: Key
    number: int


class Versions:
    """A list of versions in a file without a name: there may be more than memory should hold."""

    _file: FileIO | None = None

    def add(self, version: Version) -> None:
        """Append one.

        Raises:
            LoaderError: there is no room for it.
        """
        try:
            if self._file is None:
                # Without a buffer, so that nothing is left to write when it is closed.
                self._file = TemporaryFile(buffering=0)  # noqa: SIM115
                weakref.finalize(self, self._file.close)
            self._file.write(json.dumps(version).encode() + b"\n")
        except OSError as error:
            raise LoaderError(
                f"There is no room to keep what differs: {error.strerror} ({gettempdir()}).",
                "Make room there, or set TMPDIR to another folder; nothing was changed.",
            ) from None

    def chunks(self) -> Iterator[list[Version]]:
        """Read them back, a few hundred at a time."""
        if self._file is None:
            return
        self._file.seek(0)
        with open(self._file.fileno(), "rb", closefd=False) as lines:
            while chunk := list(islice(lines, _CHUNK)):
                yield [Version(tuple(key), number) for key, number in map(json.loads, chunk)]


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Keys to repair.

    Attributes:
        versions: the keys, each with the version that was found last.
        landed_before: a row that has moved to this day or a later one comes with its own landing.
    """

    versions: Versions
    landed_before: date


# What is there and what is gone is what the repair's own snapshot says, whatever the comparison has
# found: a repair is one more load, and reads later than all before it.


def count_repaired(source: mysql.Source, repair: Repair, read: ReadPlan) -> int:
    """Count the rows that are there and those that are gone."""
    return sum(len(there) + len(gone) for there, gone in _looked_up(source, repair, read))


def read_repaired(
    source: mysql.Source, repair: Repair, read: ReadPlan, at: datetime
) -> Iterator[list[bytes]]:
    """Read the rows that are there, and a deletion of each that is gone, a few hundred at a time.

    Args:
        at: the time of deletion that is noted of a row that is gone.
    """
    for there, gone in _looked_up(source, repair, read):
        rows = [_deletion(version, read, at) for version in gone]
        rows += _present(source, read, there) if there else []
        if rows:
            yield rows


def _looked_up(
    source: mysql.Source, repair: Repair, read: ReadPlan
) -> Iterator[tuple[set[Key], list[Version]]]:
    """Look the keys up: those whose rows are on landed days, and those that are gone."""
    for chunk in repair.versions.chunks():
        days = days_of_keys(source, read, (version.key for version in chunk))
        there = {key for key, day in days.items() if day < repair.landed_before}
        yield there, [version for version in chunk if version.key not in days]


def _present(source: mysql.Source, read: ReadPlan, wanted: set[Key]) -> Iterator[bytes]:
    """Read rows; MySQL may send others, of keys that a collation takes for the same."""
    places = [read.fields.index(each.name) for each in read.key]
    for batch in wire.joined_rows(source, read.select(read.row, among(read, wanted))):
        for row in batch:
            fields = row.split(SEPARATOR)
            key = key_of(read, (fields[place].removeprefix(REFUSED) for place in places))
            if key in wanted:  # one that cannot land is refused by its name later
                yield row + SEPARATOR + NULL


def _deletion(version: Version, read: ReadPlan, at: datetime) -> bytes:
    """Write a row that has its key, the cursor last known, and when it was found gone."""
    known = {DELETED_AT: f"{at}"}
    if days := read.days:
        name, shown = days.columns[0].name.lower(), days.shown(version.number)
        kind = next(each.type for each in read.columns if each.name == name)
        prefix = {"bytea": "\\x", "varbyte": ""}.get(kind.partition("(")[0])
        known[name] = shown if prefix is None else prefix + shown.encode().hex().upper()
    known.update(zip((each.name for each in read.key), version.key, strict=True))
    return SEPARATOR.join(
        known[name].encode(errors="surrogateescape") if name in known else NULL
        for name in read.fields
    )
