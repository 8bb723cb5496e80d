"""The raw tables' columns: created, added and widened by the loader, never narrowed or dropped."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, TypeAlias

from loader.declared.profile import Profile
from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.errors import LandingError
from loader.source.read_plan import DELETED_AT, LOAD_ID, LOADED_AT, RUN_DATE
from loader.source.types import Dialect, RawColumn
from loader.warehouse.catalog import type_name
from loader.warehouse.session import Session, literal, quote
from loader.warehouse.widening import widens

LOADER_COLUMNS = (
    # In this order at the end of a staged line, as far as it has to bring them.
    RawColumn(name=RUN_DATE, type="date"),
    RawColumn(name=LOAD_ID, type="varchar(32)"),
    RawColumn(name=LOADED_AT, type="timestamp"),
    RawColumn(name=DELETED_AT, type="timestamp"),
)
_LANDED_BY = "Landed by "
_GONE = "Gone from MySQL"
"""The comment of a raw column that MySQL's table has no more; models that read it are held."""
_OWN = {column.name for column in LOADER_COLUMNS}

Changes: TypeAlias = list[tuple[str, list[str]]]
"""What a landing changes of a raw table: each a sentence and its statements."""


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
    literal_prefix: ClassVar[str] = ""
    """What precedes a string literal in which backslashes escape."""

    def __init__(self, profile: Profile, schema: str, settings: Settings) -> None:
        super().__init__(profile, settings.answer_seconds)
        self.schema = schema
        self._settings = settings

    @abstractmethod
    def _widen(self, table: Table, column: RawColumn) -> list[str]:
        """Write the statements that give a column a wider type and keep its values.

        Raises:
            LandingError: the warehouse cannot.
        """

    @abstractmethod
    def _create_statements(self, table: Table, columns: Sequence[RawColumn]) -> list[str]:
        """Write the statements that create the raw table."""

    def create_statements(self, table: Table, columns: Sequence[RawColumn]) -> list[str]:
        """Write the statements that create the raw table, with what it is landed by."""
        return [*self._create_statements(table, columns), self._note_landed_by(table)]

    def literal(self, text: str) -> str:
        """Write a text as a literal."""
        return self.literal_prefix + literal(text)

    def _filled(self, table: Table) -> Collection[str]:
        """The loader's own columns that the raw table fills by itself."""
        return ()

    def line(self, table: Table, fields: Sequence[str]) -> tuple[str, ...]:
        """List the fields of a staged line: those of a row, and the loader's own that it lacks."""
        known = {*fields, *self._filled(table)}
        own = (RUN_DATE, LOAD_ID, LOADED_AT)
        return (*fields, *(name for name in own if name not in known))

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
        return {name: type_name(kind) for name, kind in rows}

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
        self, table: Table, columns: Sequence[RawColumn], *, is_whole: bool = False
    ) -> Changes:
        """Say what a landing changes of the raw table.

        Args:
            is_whole: whether the whole table is landed, and not one window of it.

        Raises:
            LandingError: a column's type changed to one that does not hold what was landed, or
                another key or cursor is declared than the one that windows were landed by.
        """
        raw = self.raw_columns(table.name)
        if not raw:
            return [(f"{table.name}: new table", self.create_statements(table, columns))]
        self._refuse_other_types(table, columns, raw)
        notes = self._notes(table)
        changes = self._landed_otherwise(table, notes.get("", ""), is_whole=is_whole)
        renamed = _perhaps_renamed(columns, raw)
        for column in (*columns, *LOADER_COLUMNS):
            where, was = f"{table.name}: column {column.name}", raw.get(column.name)
            if was is None:
                perhaps = f", perhaps {old} renamed" if (old := renamed.get(column.name)) else ""
                changes.append(
                    (
                        f"{where} ({column.type}) is new{perhaps}; rows landed earlier hold NULL",
                        [
                            f"alter table {self.relation(table.name)} "
                            f"add column {quote(column.name)} {column.type}"
                        ],
                    )
                )
            elif was != column.type and widens(column.type, was):
                changes.append((f"{where} narrowed to {column.type}; it stays {was}", []))
            elif was != column.type:
                sentence = f"{where} widened: {was} to {column.type}"
                changes.append((sentence, self._widen(table, column)))
            if column.name in notes:
                changes.append((f"{where} is back in MySQL", [self._note(table, column.name, "")]))
        return [*changes, *self._not_read(table, _gone(columns, raw), notes)]

    def _not_read(self, table: Table, names: Sequence[str], notes: Mapping[str, str]) -> Changes:
        """Say which raw columns get no values, and note those that MySQL has no more."""
        changes: Changes = []
        for name in names:
            why, note = "is gone from MySQL; new rows hold NULL", _GONE
            if table.policy(name).is_left_out:
                why, note = "is left out by its declaration; new rows hold NULL, rows", ""
                why += " landed earlier what they held"
            noted = [] if notes.get(name, "") == note else [self._note(table, name, note)]
            changes.append((f"{table.name}: column {name} {why}", noted))
        return changes

    def _refuse_other_types(
        self, table: Table, columns: Sequence[RawColumn], raw: Mapping[str, str]
    ) -> None:
        others = [
            f"column {column.name} was {was} and would be {column.type} now"
            for column in columns
            if (was := raw.get(column.name))
            and not widens(was, column.type)
            and not widens(column.type, was)
        ]
        if others:
            raise LandingError(
                f"{table.name}: {'; '.join(others)}, which is no wider type of the same kind. "
                f"{self.schema}.{table.name} is unchanged.",
                land_anew(self.relation(table.name), table),
            )

    # -- what tells rows apart and puts them into days -------------------------------------------

    def _landed_by(self, table: Table) -> str:
        key = ", ".join(name.lower() for name in table.primary_key) or "none"
        zone = self._settings.zone.name
        days = f", days of {table.cursor.lower()} in {zone}" if table.cursor else ""
        return f"key {key}{days}"

    def _note_landed_by(self, table: Table) -> str:
        """Write the statement that keeps what a raw table is landed by, as its comment."""
        text = self.literal(_LANDED_BY + self._landed_by(table))
        return f"comment on table {self.relation(table.name)} is {text}"

    def _note(self, table: Table, column: str, text: str) -> str:
        """Write the statement that makes a text a raw column's comment; none without."""
        name = f"{self.relation(table.name)}.{quote(column)}"
        return f"comment on column {name} is {self.literal(text) if text else 'null'}"

    def _notes(self, table: Table) -> dict[str, str]:
        """Read the loader's comments on a raw table, by column; by the empty name its own."""
        rows = self.execute(
            "select coalesce(attname, ''), description from pg_description "
            "inner join pg_class on pg_class.oid = objoid "
            "inner join pg_namespace on pg_namespace.oid = relnamespace "
            "left join pg_attribute on attrelid = objoid and attnum = objsubid and objsubid > 0 "
            "where nspname = %s and relname = %s and (description = %s or description like %s)",
            (self.schema, table.name, _GONE, f"{_LANDED_BY}%"),
        )
        return dict(rows)

    def _landed_otherwise(self, table: Table, note: str, *, is_whole: bool) -> Changes:
        """Compare what a raw table was landed by with the declaration.

        A window is replaced by its days and its key: rows that were landed by others would stay
        beside the new ones, and days that the new cursor fills otherwise would be taken for
        landed.
        """
        was = note.removeprefix(_LANDED_BY)
        now = self._landed_by(table)
        if was == now or not (was or is_whole):
            return []
        if not is_whole:
            raise LandingError(
                f"{table.name}: its rows were landed by {was}, and {now} is declared now. "
                f"{self.schema}.{table.name} is unchanged.",
                f"Land it whole: loader load --full-refresh --select {shlex.quote(table.name)}; "
                "after another key, build with dbt build --full-refresh.",
            )
        return [(f"{table.name}: landed by {now} from now on", [self._note_landed_by(table)])]


def _gone(columns: Sequence[RawColumn], raw: Mapping[str, str]) -> list[str]:
    """The raw columns that MySQL's table does not have."""
    return [name for name in raw if name not in _OWN | {column.name for column in columns}]


def _perhaps_renamed(columns: Sequence[RawColumn], raw: Mapping[str, str]) -> dict[str, str]:
    """Guess which new columns are old ones under another name: same type, same place.

    MySQL does not tell a rename from a drop and an addition.

    >>> raw = {"id": "integer", "v": "integer", "w": "date"}
    >>> now = [RawColumn(name=name, type="integer") for name in ("id", "score", "w")]
    >>> _perhaps_renamed(now, raw)
    {'score': 'v'}
    """
    names, gone, renamed = list(raw), _gone(columns, raw), dict[str, str]()
    before = ""
    for column in columns:
        if column.name not in raw:
            place = names.index(before) + 1 if before else 0
            old = names[place] if place < len(names) else ""
            if old in gone and raw[old] == column.type:
                renamed[column.name] = old
        before = renamed.get(column.name, column.name if column.name in raw else before)
    return renamed


def land_anew(relation: str, table: Table) -> str:
    """The remedy where a raw table cannot take on what MySQL's has become."""
    return (
        f"Drop it (drop table {relation} cascade), land it whole (loader load "
        f"--full-refresh --select {shlex.quote(table.name)}) and build (dbt build --full-refresh)."
    )
