"""Did everything arrive: a number and a checksum for every column, on both sides."""

import struct
import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

from bench.place import Place
from bench.tables import DATABASE, Column, Table, connection

Sums: TypeAlias = dict[str, tuple[int, int]]
"""Of each column, how many values are not NULL, and the sum of their CRC-32."""
# What PostgreSQL writes as MySQL does, whatever type a way has made of the column.
_AS_TEXT = {
    "text": "{}::text",
    "time": "to_char({}::timestamp, 'YYYY-MM-DD HH24:MI:SS.US')",
    "date": "to_char({}::date, 'YYYY-MM-DD')",
    "json": "({}::text)::jsonb::text",
}


def source_sums(place: Place, tables: Sequence[Table]) -> dict[str, Sums]:
    """Add up what MySQL holds."""
    sums = {}
    with connection(place.endpoints) as source, source.cursor() as cursor:
        for table in tables:
            plain = [column for column in table.columns if column.kind != "double"]
            listed = ", ".join(
                f"count({column.name}), coalesce(sum(crc32(cast({column.name} as char))), 0)"
                for column in plain
            )
            cursor.execute(f"select {listed} from {DATABASE}.{table.name}")
            row = [int(value) for value in cursor.fetchone()]
            sums[table.name] = _pairs(plain, row)
            for column in table.columns:
                if column.kind == "double":
                    cursor.execute(f"select {column.name} from {DATABASE}.{table.name}")
                    sums[table.name][column.name] = _double_sum(cursor)
    return sums


def _double_sum(cursor: Any) -> tuple[int, int]:
    """Doubles are compared as the bits that they are: their texts differ."""
    packed = [struct.pack(">d", value) for (value,) in cursor if value is not None]
    return len(packed), sum(map(zlib.crc32, packed))


def wrong_columns(
    place: Place, schema: str, tables: Sequence[Table], expected: dict[str, Sums]
) -> list[str]:
    """Compare what has arrived; an empty list if everything has."""
    wrong = []
    with place.warehouse() as cursor:
        for table in tables:
            found = _landed_sums(cursor, schema, table)
            wrong += [
                f"{table.name}.{name}"
                for name, sums in expected[table.name].items()
                if found.get(name) != sums
            ]
    return wrong


def _landed_sums(cursor: Any, schema: str, table: Table) -> Sums:
    cursor.execute(
        "select column_name from information_schema.columns "
        "where table_schema = %s and table_name = %s",
        (schema, table.name),
    )
    there = {name for (name,) in cursor.fetchall()}
    columns = [column for column in table.columns if column.name in there]
    if not columns:
        return {}
    listed = ", ".join(
        f"count({column.name}), coalesce(sum(crc32({_as_bytes(column)})), 0)" for column in columns
    )
    cursor.execute(f"select {listed} from {schema}.{table.name}")
    return _pairs(columns, [int(value) for value in cursor.fetchone()])


def _as_bytes(column: Column) -> str:
    if column.kind == "double":
        return f"float8send({column.name}::float8)"
    text = _AS_TEXT.get(column.kind, f"{{}}::{column.postgres}::text").format(column.name)
    return f"convert_to({text}, 'UTF8')"


def _pairs(columns: Sequence[Column], row: Sequence[int]) -> Sums:
    names = [column.name for column in columns]
    return dict(zip(names, zip(row[::2], row[1::2], strict=True), strict=True))
