"""What a repair lands: the present rows of some keys, and the deletion of those that are gone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from loader.declared.tables import Table
from loader.source import mysql
from loader.source.copytext import NULL, SEPARATOR
from loader.source.keys import KeyColumns
from loader.source.read_plan import DELETED_AT, ReadPlan
from loader.verify.differences import Difference, Differences, Key

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Keys to repair.

    Attributes:
        landed_before: a row that has moved to this day or a later one comes with its own landing.
    """

    differences: Differences
    landed_before: date


@dataclass(frozen=True, kw_only=True)
class RepairRows:
    """The rows of a repair, read within one snapshot of the source.

    What is there and what is gone is what the snapshot says, whatever the comparison has found: a
    repair is one more load, and reads later than all before it.

    Attributes:
        at: when a row that is gone is said to have been found so.
    """

    repair: Repair
    table: Table
    read: ReadPlan
    keys: KeyColumns
    at: datetime

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row."""
        return (*self.read.fields, DELETED_AT)

    def count(self, source: mysql.Source) -> int:
        """Count the rows that are there and those that are gone."""
        return sum(len(there) + len(gone) for there, gone in self._found(source))

    def batches(self, source: mysql.Source) -> Iterator[list[bytes]]:
        """Read them, in batches of a few hundred."""
        for there, gone in self._found(source):
            rows = [self._deletion(difference) for difference in gone]
            rows += self._present(source, there) if there else []
            if rows:
                yield rows

    def _present(self, source: mysql.Source, wanted: set[Key]) -> Iterator[bytes]:
        """Read rows; MySQL may send others, of keys that a collation takes for the same."""
        places = [self.read.fields.index(name.lower()) for name in self.table.primary_key]
        also, among = "and" if self.read.kept else "where", self.keys.among(list(wanted))
        read = replace(self.read, rows=f"{self.read.rows} {also} {among}")
        for batch in mysql.stream(source, read):
            for row in batch:
                fields = row.split(SEPARATOR)
                if self.keys.key([fields[place] for place in places]) in wanted:
                    yield row + SEPARATOR + NULL

    def _found(self, source: mysql.Source) -> Iterator[tuple[set[Key], list[Difference]]]:
        """Look the keys up: those that are there and due, and those that are gone."""
        for chunk in self.repair.differences.chunks():
            days = self.keys.days(source, [each.key for each in chunk])
            there = {key for key, day in days.items() if day < self.repair.landed_before}
            yield there, [each for each in chunk if each.key not in days]

    def _deletion(self, difference: Difference) -> bytes:
        """Write a row that has its key, the version last known, and when it was found gone."""
        last = _EPOCH + timedelta(microseconds=difference.micros)
        known = {DELETED_AT: f"{self.at}"}
        for column in self.read.columns:
            if column.name == (self.table.cursor or "").lower():
                known[column.name] = f"{last.date() if column.type == 'date' else last}"
        known.update(
            (lands.name, text)
            for (_, lands), text in zip(self.keys.columns, difference.key, strict=True)
        )
        return SEPARATOR.join(
            known[name].encode(errors="surrogateescape") if name in known else NULL
            for name in self.fields
        )
