"""The raw tables' columns: created, added and widened by the loader, never narrowed or dropped."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import ClassVar

from loader.errors import LandingError
from loader.reading import DELETED_AT, LOAD_ID, LOADED_AT, RUN_DATE
from loader.tables import Table
from loader.types import Dialect, Landed, widens
from loader.warehouse.profile import Profile
from loader.warehouse.session import Session, quote

LOADER_COLUMNS = (
    # In this order at the end of every staged line; the last one only where rows were deleted.
    Landed(name=RUN_DATE, type="date", text=""),
    Landed(name=LOAD_ID, type="varchar(32)", text=""),
    Landed(name=LOADED_AT, type="timestamp", text=""),
    Landed(name=DELETED_AT, type="timestamp", text=""),
)


def loader_fields(fields: Sequence[str]) -> list[str]:
    """List the loader's own columns that a row as read does not have yet."""
    return [name for name in (RUN_DATE, LOAD_ID, LOADED_AT) if name not in fields]


class RawTables(Session, ABC):
    """The tables of the raw schema."""

    dialect: ClassVar[Dialect]

    def __init__(self, profile: Profile, schema: str) -> None:
        super().__init__(profile)
        self.schema = schema

    @abstractmethod
    def _widen(self, table: Table, column: Landed) -> list[str]:
        """Write the statements that give a column a wider type and keep its values.

        Raises:
            LandingError: the warehouse cannot.
        """

    @abstractmethod
    def create_statements(self, table: Table, columns: Sequence[Landed]) -> list[str]:
        """Write the statements that create the raw table."""

    @abstractmethod
    def literal(self, text: str) -> str:
        """Write a text as a literal."""

    @abstractmethod
    def micros(self, instant: str) -> str:
        """Write the microseconds from 1970 to a date or timestamp."""

    @abstractmethod
    def hashed(self, text: str) -> str:
        """Write a text's number: the first twelve digits of its MD5."""

    @abstractmethod
    def staged_bytes(self, value: str) -> str:
        """Write bytes as text, as COPY reads them."""

    @abstractmethod
    def from_staged_bytes(self, text: str) -> str:
        """Write such a text as bytes."""

    def relation(self, table: str) -> str:
        """Name a table of the raw schema."""
        return f"{quote(self.schema)}.{quote(table)}"

    def raw_columns(self, table: str) -> dict[str, str]:
        """Read a raw table's columns and types; empty where there is no such table."""
        rows = self.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "inner join pg_class on pg_class.oid = attrelid "
            "inner join pg_namespace on pg_namespace.oid = relnamespace "
            "where nspname = %s and relname = %s and attnum > 0 and not attisdropped "
            "order by attnum",
            (self.schema, table),
        )
        return {name: _type_name(kind) for name, kind in rows}

    def column_changes(
        self, table: Table, columns: Sequence[Landed]
    ) -> list[tuple[str, list[str]]]:
        """Say what a landing changes of the raw table: each a sentence and its statements.

        Raises:
            LandingError: a column's type changed to one that does not hold what was landed.
        """
        existing = self.raw_columns(table.name)
        if not existing:
            return [(f"{table.name}: new table", self.create_statements(table, columns))]
        relation = self.relation(table.name)
        changes = list[tuple[str, list[str]]]()
        for column in chain(columns, LOADER_COLUMNS):
            where, was = f"{table.name}: column {column.name}", existing.pop(column.name, None)
            if was is None:
                sentence = f"{where} ({column.type}) is new; rows landed earlier hold NULL"
                added = f"alter table {relation} add column {quote(column.name)} {column.type}"
                changes.append((sentence, [added]))
            elif widens(column.type, was):
                continue  # the raw column holds whatever MySQL's does
            elif widens(was, column.type):
                sentence = f"{where} widened: {was} to {column.type}"
                changes.append((sentence, self._widen(table, column)))
            else:
                raise LandingError(
                    f"{where} was {was} and would be {column.type} now, which is no wider type of "
                    f"the same kind. {self.schema}.{table.name} is unchanged.",
                    land_anew(self.schema, table),
                )
        for name in existing:
            changes.append(
                (f"{table.name}: column {name} is gone from MySQL; new rows hold NULL", [])
            )
        return changes


def land_anew(schema: str, table: Table) -> str:
    """The remedy where a raw table cannot take on what MySQL's has become."""
    return (
        f"Drop it (drop table {schema}.{table.name} cascade), land it whole (loader load "
        f"--full-refresh --select {table.name}) and build (dbt build --full-refresh)."
    )


_SHORT = {
    "character varying": "varchar",
    "binary varying": "varbyte",
    "timestamp without time zone": "timestamp",
}


def _type_name(formatted: str) -> str:
    """Write a type of the catalog as the loader does."""
    name, bracket, sizes = formatted.partition("(")
    return _SHORT.get(name, name) + bracket + sizes
