"""What MySQL says of a table, and the statements that count and read one window of it."""

from dataclasses import dataclass

from loader.copytext import NULL, SEPARATOR
from loader.errors import SourceError
from loader.tables import Table
from loader.types import Column, Dialect, Landed, landed, quote_mysql
from loader.windows import Window, Zone

LOADER_NAMES = ("_run_date", "_load_id", "_loaded_at", "_deleted_at")
RUN_DATE, LOAD_ID, LOADED_AT, DELETED_AT = LOADER_NAMES
"""The columns that every raw table has besides its source's."""
# Before these are zero dates only. A constant outside a type's own range would not do: MySQL 8
# takes such a comparison for false, zero TIMESTAMPs included. [MySQL: DATE, DATETIME, TIMESTAMP]
_FIRST = {"date": "1000-01-01", "datetime": "1000-01-01", "timestamp": "1970-01-01 00:00:01"}
_LONG_TYPES = {"mediumtext", "longtext", "mediumblob", "longblob", "json"}


@dataclass(frozen=True, kw_only=True)
class Description:
    """A declared table as MySQL has it.

    Attributes:
        columns: in the table's order, invisible and generated ones included.
        unique_keys: the column lists of its primary and unique keys without a NULL.
        leading: the columns that an index begins with.
        engine: the storage engine; only InnoDB reads from a snapshot.
        rows: the engine's estimate.
        row_bytes: the engine's estimate of one row.
    """

    columns: tuple[Column, ...]
    unique_keys: tuple[frozenset[str], ...]
    leading: frozenset[str]
    engine: str
    rows: int
    row_bytes: int

    def column(self, name: str) -> Column | None:
        """Look a column up; MySQL's column names do not differ by case."""
        return next((each for each in self.columns if each.name.lower() == name.lower()), None)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one window of one table is counted and read.

    Attributes:
        columns: how each column of the table lands.
        fields: the names of the fields of a row: the columns, and `_run_date` with a cursor.
        count: the statement that counts the window's rows.
        missed: the one that counts the rows that no window holds; empty without a cursor.
        zone: the one that asks whether MySQL knows the time zone; empty if it need not.
        rows: the one that reads the rows.
    """

    columns: tuple[Landed, ...]
    fields: tuple[str, ...]
    count: str
    missed: str
    zone: str
    rows: str


def check_declaration(table: Table, description: Description, dialect: Dialect) -> None:
    """Compare a declaration with what MySQL has, and its names with what the warehouse takes.

    Raises:
        SourceError: a key, cursor or soft-delete column is not there or not fit for its use, or
            a column's name is the loader's own or too long.
    """
    where = f"{table.database}.{table.source}"
    for column in description.columns:
        if column.name.lower() in LOADER_NAMES or len(column.name.encode()) > dialect.name_bytes:
            raise SourceError(
                f"{where}: the name of column {column.name} is the loader's own, or longer than "
                f"the {dialect.name_bytes} bytes that {dialect.name} takes.",
                "Rename it in MySQL, or copy a view that does.",
            )
    named = [*table.primary_key, *filter(None, (table.cursor, table.deleted))]
    named += [name for name, policy in table.policies.items() if policy != "fail"]
    for name in named:
        if description.column(name) is None:
            raise SourceError(
                f"{where} has no column {name}; it has "
                f"{', '.join(column.name for column in description.columns)}.",
                f"Correct the declaration of table {table.name} in the dbt source YAML.",
            )
    key = frozenset(name.lower() for name in table.primary_key)
    if key and not any(unique <= key for unique in description.unique_keys):
        raise SourceError(
            f"{where} has no primary or unique key on ({', '.join(table.primary_key)}), "
            "so two rows could share it.",
            "Declare the columns of its primary key, or `primary_key: []` without a cursor "
            "to copy the table whole.",
        )
    cursor = description.column(table.cursor) if table.cursor else None
    if cursor and cursor.data_type not in _FIRST:
        raise SourceError(
            f"{where}: the cursor column {cursor.name} is {cursor.column_type}.",
            f"Use a column of one of the types {', '.join(_FIRST)}, or none.",
        )


def reading(
    table: Table, description: Description, window: Window, zone: Zone, dialect: Dialect
) -> Reading:
    """Write the statements for a window.

    Every expression yields bytes, and NULL only where the column is NULL: where MySQL answers
    NULL because a string would pass max_allowed_packet, the reader sees it and stops.

    Raises:
        SourceError: a column's type has no equal in the warehouse; names table and column.
    """
    columns = _landed_columns(table, description, dialect)
    source = f"{quote_mysql(table.database)}.{quote_mysql(table.source)}"
    expressions = [
        f"if({quote_mysql(column.name)} is null, 0x{NULL.hex()}, {lands.text})"
        if column.nullable
        else lands.text
        for lands, column in zip(columns, description.columns, strict=True)
    ]
    fields = [lands.name for lands in columns]
    where, missed = "", ""
    if table.cursor and (cursor := description.column(table.cursor)):
        quoted = quote_mysql(cursor.name)
        expressions.append(f"cast({day_of(cursor, zone)} as binary)")
        fields.append(RUN_DATE)
        where = _within(cursor, window, zone)
        first = _FIRST[cursor.data_type]
        missed = f"select count(*) from {source} where {quoted} is null or {quoted} < '{first}'"
    if any(column.data_type in _LONG_TYPES for column in description.columns):
        # One value a field: a row of these could pass max_allowed_packet as one string.
        selected = ", ".join(expressions)
    else:
        selected = f"concat_ws(0x{SEPARATOR.hex()}, {', '.join(expressions)})"
    return Reading(
        columns=tuple(columns),
        fields=tuple(fields),
        count=f"select count(*) from {source}{where}",
        missed=missed,
        zone="" if zone.name == "UTC" else "select " + _in_zone("'2026-01-01'", zone),
        rows=f"select {selected} from {source}{where}",
    )


def _landed_columns(table: Table, description: Description, dialect: Dialect) -> list[Landed]:
    columns = []
    for column in description.columns:
        try:
            columns.append(landed(column, dialect, table.policies.get(column.name.lower(), "fail")))
        except SourceError as error:
            raise SourceError(
                f"{table.database}.{table.source}: {error.fact}", error.remedy
            ) from None
    return columns


def day_of(cursor: Column, zone: Zone) -> str:
    """Write the expression of the day that a row belongs to, in the declared time zone."""
    quoted = quote_mysql(cursor.name)
    if cursor.data_type == "date" or zone.name == "UTC":
        return f"date({quoted})"
    return f"date({_in_zone(quoted, zone)})"


def _in_zone(instant: str, zone: Zone) -> str:
    return f"convert_tz({instant}, '+00:00', '{zone.name}')"


def _within(cursor: Column, window: Window, zone: Zone) -> str:
    if window.is_whole:
        return ""
    return " where " + within(quote_mysql(cursor.name), cursor.data_type == "date", window, zone)


def within(column: str, is_date: bool, window: Window, zone: Zone) -> str:
    """Write a window as a range on the bare column, so that an index or a sort key serves it.

    Args:
        column: quoted, in either side's SQL.
        window: may lack its start or its end.
    """
    edges = [(">=", window.start), ("<", window.end)]
    return " and ".join(
        f"{column} {compares} '{day if is_date else f'{zone.midnight(day):%Y-%m-%d %H:%M:%S}'}'"
        for compares, day in edges
        if day
    )
