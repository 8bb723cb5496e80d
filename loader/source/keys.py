"""Rows of a MySQL table by their keys: which of some keys are there, and where."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from loader.declared.tables import Table
from loader.declared.windows import Zone
from loader.source import mysql
from loader.source.copytext import SEPARATOR
from loader.source.days import day_of, where
from loader.source.read_plan import Description, ReadPlan, read_columns
from loader.source.texts import is_binary, is_number
from loader.source.types import Column, RawColumn, as_bytes, quote_mysql
from loader.verify.differences import Key
from loader.verify.digest import any_of


@dataclass(frozen=True, kw_only=True)
class KeyColumns:
    """A table's key columns.

    Attributes:
        source: the table, quoted.
        kept: the condition of a row that the declaration does not leave out; empty without.
        day: the expression of the day that a row belongs to; empty without a cursor.
    """

    columns: tuple[tuple[Column, RawColumn], ...]
    source: str
    kept: str
    day: str

    @property
    def texts(self) -> str:
        """Write MySQL's expression of a key: its columns' texts, joined."""
        texts = ", ".join(as_bytes(lands.value) for _, lands in self.columns)
        return f"concat_ws(0x{SEPARATOR.hex()}, {texts})"

    def key(self, texts: Iterable[bytes | str]) -> Key:
        """Read a key as it is compared, from either side."""
        return tuple(
            plain(lands, text if isinstance(text, str) else text.decode(errors="surrogateescape"))
            for (_, lands), text in zip(self.columns, texts, strict=True)
        )

    def among(self, keys: Sequence[Key]) -> str:
        """Write the condition that a row has one of some keys, so that its index serves it.

        MySQL compares as the columns' collations say: rows of other keys may be found as well.
        """
        literals = [
            [_literal(column, text) for (column, _), text in zip(self.columns, key, strict=True)]
            for key in keys
        ]
        names = [quote_mysql(column.name) for column, _ in self.columns]
        if len(names) == 1:
            return f"{names[0]} in ({', '.join(literal for (literal,) in literals)})"
        return any_of(
            "(" + " and ".join(f"{n} = {v}" for n, v in zip(names, key, strict=True)) + ")"
            for key in literals
        )

    def days(self, source: mysql.Source, keys: Sequence[Key]) -> dict[Key, date]:
        """Look up which of some keys are there, and the days they belong to now."""
        conditions = where(self.among(keys), self.kept)
        statement = f"select {self.texts}, {self.day} from {self.source}{conditions}"
        found = (
            (self.key(bytes(texts).split(SEPARATOR)), day)
            for texts, day in mysql.fetch(source, statement)
        )
        wanted = set(keys)
        return {key: day for key, day in found if key in wanted}


def key_columns(table: Table, description: Description, read: ReadPlan, zone: Zone) -> KeyColumns:
    """Find a table's key columns."""
    by_name = {
        lands.name: (column, lands)
        for column, lands in zip(read_columns(table, description), read.columns, strict=True)
    }
    cursor = description.column(table.cursor) if table.cursor else None
    return KeyColumns(
        columns=tuple(by_name[name.lower()] for name in table.primary_key),
        source=f"{quote_mysql(table.database)}.{quote_mysql(table.source)}",
        kept=read.kept,
        day=day_of(cursor, zone) if cursor else "",
    )


def plain(column: RawColumn, text: str) -> str:
    """Write an instant's text without closing zeros, which the two sides show differently.

    >>> plain(RawColumn(name="at", type="timestamp"), "2026-07-01 08:00:00.500")
    '2026-07-01 08:00:00.5'
    """
    return text.rstrip("0").rstrip(".") if column.type == "timestamp" and "." in text else text


def _literal(column: Column, text: str) -> str:
    """Write a key's text as a literal that MySQL compares with the bare column.

    It is of the column's type, whatever the value lands as.
    """
    if is_number(column):
        return text
    if is_binary(column):
        return "X'" + text.removeprefix("\\x") + "'"
    return f"_utf8mb4 X'{text.encode(errors='surrogateescape').hex()}'"
