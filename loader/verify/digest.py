"""What both sides compute of their rows, so that a few numbers tell whether they hold the same.

Every row becomes a whole number that MySQL, PostgreSQL and Redshift compute alike, and of many
rows the sum is compared, together with their count. Sets of rows that differ have the same sum
about once in 2^48 times.

A row's number is the first twelve digits of the SHA-256 of its texts; or, at half the cost, where
its key is of whole numbers: the square of key and version folded to below 2^31. A square, because
the sum would not see otherwise that two rows have exchanged their versions. Of the functions that
all servers have, MySQL 9.7 has lost MD5.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from loader.declared.tables import Table
from loader.declared.windows import Window, Zone
from loader.source.types import RawColumn

PRIME = 2_147_483_629
"""One more than what numbers are folded to; the product of two of them fits a BIGINT."""
_FACTOR = 1_103_515_245


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What is compared of a table's rows.

    Attributes:
        key: what identifies a row; empty if nothing does.
        cursor: the column that says which version it is, None without.
        due: the days that are compared; a table without a cursor has none.
        landed_before: the day from which on nothing is landed yet.
        about_rows: how many rows there are, as MySQL estimates.
        values: the columns whose values are compared as well.
        left_out: the columns whose values would be, and cannot.
    """

    table: Table
    key: tuple[RawColumn, ...]
    cursor: RawColumn | None
    due: Window
    landed_before: date
    zone: Zone
    about_rows: int
    values: tuple[RawColumn, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def is_date(self) -> bool:
        """Whether the cursor holds days, which no time zone moves."""
        return self.cursor is not None and self.cursor.type == "date"


class Writer(Protocol):
    """One side's SQL for the same things."""

    def whole(self, column: RawColumn) -> str:
        """Write a whole number as a BIGINT, or what it leaves when it is divided by PRIME."""

    def micros(self, column: RawColumn) -> str:
        """Write the microseconds from 1970 to a date or timestamp."""

    def text(self, column: RawColumn) -> str:
        """Write a value's text as it is staged, but for an instant's closing zeros."""

    def told(self, column: RawColumn) -> str:
        """Write the same, but of an instant the microseconds, and of a float its bits."""

    def value(self, column: RawColumn) -> str:
        """Write a text for a value that may be NULL, or longer than a text of several may be."""

    def joined(self, texts: Sequence[str]) -> str:
        """Write several texts as one."""

    def hashed(self, text: str) -> str:
        """Write the number of the first twelve digits of a text's SHA-256."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """One side's SQL for a row's numbers.

    Attributes:
        key: tells keys apart, most of them; puts rows in an order.
        version: the cursor's microseconds, 0 without one.
        values: tells values apart, 0 if they are not compared.
        row: tells rows apart.
    """

    key: str
    version: str
    values: str
    row: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side's SQL for the same rows.

    Attributes:
        numbers: of a row.
        fields: what is listed of a row: its key's number, the key's texts, version, values, and
            whether its window was landed without it (1) or not (0).
        rows: FROM and WHERE; more conditions may follow after `and`.
        day: the day that a row belongs to; empty without a cursor.
        day_number: the days from 1970 to it.
        of_days: writes the condition that a row belongs to one of some windows, or was displaced.
    """

    numbers: Numbers
    fields: str
    rows: str
    day: str
    day_number: str
    of_days: Callable[[Sequence[Window]], str]

    def totals(self, bucket: str, also: str = "") -> str:
        """Write the statement for the number of rows and their digest, per bucket."""
        digest = f"sum({self.numbers.row})"
        return f"select {bucket}, count(*), {digest} {self.rows}{also} group by {bucket}"

    def listing(self, also: str = "", parts: int = 1) -> str:
        """Write the statement for the rows' fields, part by part, by the key's number in each."""
        part = f"{self.part(parts)}, " if parts > 1 else ""
        return f"select {self.fields} {self.rows}{also} order by {part}{self.numbers.key}"

    def part(self, parts: int) -> str:
        """Write which of so many parts of about one size a row belongs to."""
        return f"mod(abs({self.numbers.key}), {parts})"


def numbers(writer: Writer, what: Compared) -> Numbers:
    """Write a row's numbers."""
    version = writer.micros(what.cursor) if what.cursor else "0"
    values = [writer.value(column) for column in what.values]
    texts = [writer.told(column) for column in what.key]
    value = writer.hashed(writer.joined(values)) if values else "0"
    if what.key and all(kind_of(column) == "whole" for column in what.key):
        wholes = [writer.whole(column) for column in what.key]
        key, both = _folded(wholes), _folded([*wholes, version])
        row = f"{both} * {both}"
    else:
        key = writer.hashed(writer.joined(texts)) if texts else value
        row = ""
    if values or not row:
        versions = [writer.told(what.cursor)] if what.cursor else []
        row = writer.hashed(writer.joined([*texts, *versions, *values]))
    return Numbers(key=key, version=version, values=value, row=row)


def _folded(numbers: Sequence[str]) -> str:
    """Write the one number, between -PRIME and PRIME, that some numbers become together."""
    first, *others = numbers
    whole = f"mod({first}, {PRIME})"
    for number in others:
        whole = f"mod({whole} * {_FACTOR} + mod({number}, {PRIME}), {PRIME})"
    return whole


def values_of(
    table: Table, columns: Sequence[RawColumn], held: Collection[str]
) -> tuple[tuple[RawColumn, ...], tuple[str, ...]]:
    """Tell the columns whose values can be compared from those whose cannot.

    Args:
        held: the columns that the raw table has.
    """
    named = {name.lower() for name in (*table.primary_key, table.cursor or "")}
    others = [column for column in columns if column.name not in named]
    exact = [each for each in others if each.name in held and not table.policy(each.name).is_hashed]
    left_out = [column.name for column in others if column not in exact]
    return tuple(exact), tuple(left_out)


def is_exact(table: Table, column: RawColumn) -> bool:
    """Whether a value's text is the same on both sides, so that it can be a key.

    The salt of a hash is not MySQL's to know; two floats that are equal may be written otherwise.
    """
    return kind_of(column) != "float" and not table.policy(column.name).is_hashed


def kind_of(column: RawColumn) -> str:
    """Say what a column holds: `whole` numbers, `instant`, `text`, or `float`.

    A float is not written alike on both sides, so its bits are compared; all else has its text.
    """
    name, _, sizes = column.type.partition("(")
    if name in ("smallint", "integer", "bigint") or (name == "numeric" and ",0)" in sizes):
        return "whole"
    if name in ("date", "timestamp"):
        return "instant"
    return "float" if name in ("real", "double precision") else "text"


def any_of(conditions: Iterable[str]) -> str:
    """Write that one of some conditions holds; none holds of none."""
    return f"({' or '.join(conditions) or '1 = 0'})"
