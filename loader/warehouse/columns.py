"""The raw tables' columns: created, added and widened by the loader, never narrowed or dropped."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from loader.errors import LandingError
from loader.reading import RUN_DATE
from loader.tables import Table
from loader.types import Dialect, Landed, widens
from loader.warehouse.profile import Profile
from loader.warehouse.session import Session, quote

LOADER_COLUMNS = (
    # In this order at the end of every staged line.
    Landed(name=RUN_DATE, type="date", text=""),
    Landed(name="_load_id", type="varchar(32)", text=""),
    Landed(name="_loaded_at", type="timestamp", text=""),
)


def loader_fields(fields: Sequence[str]) -> list[str]:
    """List the loader's own columns that a row as read does not have yet."""
    return [column.name for column in LOADER_COLUMNS if column.name not in fields]


class RawTables(Session, ABC):
    """The tables of the raw schema."""

    dialect: ClassVar[Dialect]

    def __init__(self, profile: Profile, schema: str) -> None:
        super().__init__(profile)
        self.schema = schema

    @abstractmethod
    def _widen(self, relation: str, column: Landed) -> list[str]:
        """Write the statements that give a column a wider type and keep its values."""

    @abstractmethod
    def create_statements(self, table: Table, columns: Sequence[Landed]) -> list[str]:
        """Write the statements that create the raw table."""

    def relation(self, table: str) -> str:
        """Name a table of the raw schema."""
        return f"{quote(self.schema)}.{quote(table)}"

    def raw_columns(self, table: str) -> dict[str, str]:
        """Read a raw table's columns and types; empty where there is no such table."""
        rows = self.execute(
            "select column_name, data_type, character_maximum_length, numeric_precision, "
            "numeric_scale from information_schema.columns "
            "where table_schema = %s and table_name = %s order by ordinal_position",
            (self.schema, table),
        )
        return {name: _type_name(*rest) for name, *rest in rows}

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
                changes.append((sentence, self._widen(relation, column)))
            else:
                raise LandingError(
                    f"{where} was {was} and is {column.type} in MySQL now, which does not hold "
                    f"every value landed before. {self.schema}.{table.name} is unchanged.",
                    f"Drop {self.schema}.{table.name} and land it whole: "
                    f"loader load --full-refresh --select {table.name}",
                )
        for name in set(existing) - {column.name for column in LOADER_COLUMNS}:
            changes.append(
                (f"{table.name}: column {name} is gone from MySQL; new rows hold NULL", [])
            )
        return changes


def _type_name(data_type: str, length: int | None, precision: int | None, scale: int | None) -> str:
    """Write a type of information_schema as the loader does."""
    if data_type == "character varying":
        return f"varchar({length})" if length else "text"
    if data_type == "numeric":
        return f"numeric({precision},{scale})"
    if data_type.startswith("timestamp without"):
        return "timestamp"
    return data_type
