"""Rows of a MySQL table by their keys: which of some keys are there, and on which days."""

from collections.abc import Iterable
from datetime import date
from typing import TypeAlias

from loader.source import mysql
from loader.source.copytext import SEPARATOR
from loader.source.read_plan import ReadPlan
from loader.source.texts import BINARIES, Column, as_bytes, is_number

Key: TypeAlias = tuple[str, ...]
"""The texts of a key's columns."""


def key_text(read: ReadPlan) -> str:
    """Write MySQL's expression of a row's key: its columns' texts, joined."""
    texts = ", ".join(as_bytes(each.value) for each in read.key)
    return f"concat_ws(0x{SEPARATOR.hex()}, {texts})"


def key_of(read: ReadPlan, texts: Iterable[bytes | str]) -> Key:
    """Read a key from either side; the two show the closing zeros of an instant differently."""
    decoded = (
        text if isinstance(text, str) else text.decode(errors="surrogateescape") for text in texts
    )
    return tuple(
        text.rstrip("0").rstrip(".") if each.type == "timestamp" and "." in text else text
        for each, text in zip(read.key, decoded, strict=True)
    )


def among(read: ReadPlan, keys: Iterable[Key]) -> str:
    """Write the condition that a row has one of some keys, so that its index serves it.

    MySQL compares as the columns' collations say: rows of other keys may be found as well.
    """
    names = [each.column.quoted for each in read.key]
    literals = (
        [_literal(each.column, text) for each, text in zip(read.key, key, strict=True)]
        for key in keys
    )
    if len(names) == 1:
        return f"{names[0]} in ({', '.join(literal for (literal,) in literals)})"
    conditions = (
        " and ".join(f"{n} = {v}" for n, v in zip(names, key, strict=True)) for key in literals
    )
    return f"(({') or ('.join(conditions)}))"


def days_of_keys(source: mysql.Source, read: ReadPlan, keys: Iterable[Key]) -> dict[Key, date]:
    """Look up which of some keys are there, and the days that their rows belong to now.

    Without a cursor that is an early one.
    """
    if not (wanted := set(keys)):
        return {}
    day = read.days.day if read.days else "date '1970-01-01'"
    found = mysql.fetch(source, read.select(f"{key_text(read)}, {day}", among(read, wanted)))
    days = {key_of(read, bytes(texts).split(SEPARATOR)): day for texts, day in found}
    return {key: day for key, day in days.items() if key in wanted}


def _literal(column: Column, text: str) -> str:
    """Write a key's text as a literal that MySQL compares with the bare column.

    It is of the column's type, whatever the value lands as.
    """
    if is_number(column):
        return text
    if column.data_type in BINARIES:
        return "X'" + text.removeprefix("\\x") + "'"
    return f"_utf8mb4 X'{text.encode(errors='surrogateescape').hex()}'"
