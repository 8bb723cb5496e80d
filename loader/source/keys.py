"""Rows of a MySQL table by their keys: which of some keys are there, and on which days."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from loader.declared.tables import Table
from loader.source import mysql
from loader.source.copytext import SEPARATOR
from loader.source.days import where
from loader.source.read_plan import Description, ReadPlan, read_columns
from loader.source.texts import is_binary, is_number
from loader.source.types import Column, RawColumn, as_bytes, quote_mysql

Key: TypeAlias = tuple[str, ...]
"""The texts of a key's columns."""


@dataclass(frozen=True, kw_only=True)
class KeyColumns:
    """A table's key columns.

    Attributes:
        source: the table, quoted.
        kept: the condition of a row that the declaration does not leave out; empty without.
        day: the expression of the day that a row belongs to; without a cursor, of an early one.
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
        """Read a key from either side; the two show the closing zeros of an instant differently."""
        decoded = (
            text if isinstance(text, str) else text.decode(errors="surrogateescape")
            for text in texts
        )
        return tuple(
            text.rstrip("0").rstrip(".") if lands.type == "timestamp" and "." in text else text
            for (_, lands), text in zip(self.columns, decoded, strict=True)
        )

    def among(self, keys: Iterable[Key]) -> str:
        """Write the condition that a row has one of some keys, so that its index serves it.

        MySQL compares as the columns' collations say: rows of other keys may be found as well.
        """
        names = [quote_mysql(column.name) for column, _ in self.columns]
        literals = (
            [_literal(column, text) for (column, _), text in zip(self.columns, key, strict=True)]
            for key in keys
        )
        if len(names) == 1:
            return f"{names[0]} in ({', '.join(literal for (literal,) in literals)})"
        conditions = (
            " and ".join(f"{n} = {v}" for n, v in zip(names, key, strict=True)) for key in literals
        )
        return f"(({') or ('.join(conditions)}))"

    def days(self, source: mysql.Source, keys: Iterable[Key]) -> dict[Key, date]:
        """Look up which of some keys are there, and the days that their rows belong to now."""
        if not (wanted := set(keys)):
            return {}
        conditions = where(self.among(wanted), self.kept)
        statement = f"select {self.texts}, {self.day} from {self.source}{conditions}"
        found = (
            (self.key(bytes(texts).split(SEPARATOR)), day)
            for texts, day in mysql.fetch(source, statement)
        )
        return {key: day for key, day in found if key in wanted}


def key_columns(table: Table, description: Description, read: ReadPlan) -> KeyColumns:
    """Find a table's key columns."""
    by_name = {
        lands.name: (column, lands)
        for column, lands in zip(read_columns(table, description), read.columns, strict=True)
    }
    return KeyColumns(
        columns=tuple(by_name[name.lower()] for name in table.primary_key),
        source=f"{quote_mysql(table.database)}.{quote_mysql(table.source)}",
        kept=read.kept,
        day=read.days.day if read.days else "date '1970-01-01'",
    )


def _literal(column: Column, text: str) -> str:
    """Write a key's text as a literal that MySQL compares with the bare column.

    It is of the column's type, whatever the value lands as.
    """
    if is_number(column):
        return text
    if is_binary(column):
        return "X'" + text.removeprefix("\\x") + "'"
    return f"_utf8mb4 X'{text.encode(errors='surrogateescape').hex()}'"
