"""The raw tables' columns: created, added and widened by the loader, never narrowed or dropped."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from loader.errors import LandingError
from loader.reading import LOAD_ID, LOADED_AT, RUN_DATE
from loader.tables import Table
from loader.types import Dialect, Landed, widens
from loader.warehouse.profile import Profile
from loader.warehouse.session import Session, quote

LOADER_COLUMNS = (
    # In this order at the end of every staged line.
    Landed(name=RUN_DATE, type="date", text=""),
    Landed(name=LOAD_ID, type="varchar(32)", text=""),
    Landed(name=LOADED_AT, type="timestamp", text=""),
)


def loader_fields(fields: Sequence[str]) -> list[str]:
    """List the loader's own columns that a row as read does not have yet."""
    return [column.name for column in LOADER_COLUMNS if column.name not in fields]


class RawTables(Session, ABC):
    """The tables of the raw schema.

    Attributes:
        clock: the warehouse's present moment in UTC, as an expression.
        keep_writers_out: the statement that, until its transaction ends, makes other writers of
            `{relation}` wait; the first of the transaction, so that it sees what they wrote.
    """

    dialect: ClassVar[Dialect]
    clock: ClassVar[str]
    keep_writers_out: ClassVar[str]

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

    def make_own_table(self, table: str, columns: Mapping[str, str]) -> None:
        """Create a table of the loader's own, or add the columns that an older loader had not.

        Args:
            columns: their types, by name.

        Raises:
            LandingError: no right to, or somebody was faster.
        """
        relation, existing = self.relation(table), self.raw_columns(table)
        if not existing:
            listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            self.execute(f"create schema if not exists {quote(self.schema)}")
            self.execute(f"create table if not exists {relation} ({listed})")
            return
        for name in columns.keys() - existing:
            self.execute(f"alter table {relation} add column {name} {columns[name]}")

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
        for column in columns:
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
        for name in set(existing) - {column.name for column in LOADER_COLUMNS}:
            where = f"{table.name}: column {name}"
            sentence = f"{where} is gone from MySQL; new rows hold NULL"
            if table.policy(name).is_left_out:
                sentence = (
                    f"{where} is left out by its declaration; new rows hold NULL, rows landed "
                    "earlier what they held"
                )
            changes.append((sentence, []))
        return changes


def land_anew(schema: str, table: Table) -> str:
    """The remedy where a raw table cannot take on what MySQL's has become."""
    return (
        f"Drop it (drop table {schema}.{table.name} cascade), land it whole (loader load "
        f"--full-refresh --select {table.name}) and build (dbt build --full-refresh)."
    )


_SHORT = {
    "character": "char",
    "character varying": "varchar",
    "binary varying": "varbyte",
    "timestamp without time zone": "timestamp",
}


def _type_name(formatted: str) -> str:
    """Write a type of the catalog as the loader does."""
    name, bracket, sizes = formatted.partition("(")
    return _SHORT.get(name, name) + bracket + sizes
