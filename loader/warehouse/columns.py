"""The raw tables' columns: created, added and widened by the loader, never narrowed or dropped."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date
from math import inf
from typing import ClassVar, TypeAlias

from loader.declared.profile import Profile
from loader.declared.settings import Settings
from loader.declared.tables import SOURCE, Table
from loader.errors import LandingError
from loader.source.read_plan import DELETED_AT, LOAD_ID, LOADED_AT, RUN_DATE
from loader.source.types import Dialect, RawColumn
from loader.warehouse.ledger import Load
from loader.warehouse.session import Session, literal, quote

LOADER_COLUMNS = (
    # In this order at the end of a staged line, as far as it has to bring them.
    RawColumn(name=RUN_DATE, type="date"),
    RawColumn(name=LOAD_ID, type="varchar(32)"),
    RawColumn(name=LOADED_AT, type="timestamp"),
    RawColumn(name=DELETED_AT, type="timestamp"),
)

Changes: TypeAlias = list[tuple[str, list[str]]]
"""What a landing changes of a raw table: each a sentence and its statements."""

_SHORT_NAMES = {
    "character": "char",
    "character varying": "varchar",
    "binary varying": "varbyte",
    "timestamp without time zone": "timestamp",
}
_INTEGER_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}


class RawTables(Session, ABC):
    """The tables of the raw schema.

    Attributes:
        clock: the warehouse's present moment in UTC, as an expression.
        keep_writers_out: the statement that, until its transaction ends, makes other writers of
            `{relation}` wait; the first of the transaction, so that it sees what they wrote.
        literal_prefix: what precedes a string literal in which backslashes escape.
        brought: those of the loader's own columns that every staged line has.
    """

    dialect: ClassVar[Dialect]
    clock: ClassVar[str]
    keep_writers_out: ClassVar[str]
    literal_prefix: ClassVar[str] = ""
    brought: ClassVar[Sequence[str]] = (RUN_DATE, LOAD_ID, LOADED_AT)

    def __init__(self, profile: Profile, schema: str, settings: Settings) -> None:
        super().__init__(profile, settings.mysql.answer_seconds)
        self.schema = schema
        self.settings = settings

    @abstractmethod
    def _widen(self, table: Table, column: RawColumn) -> list[str]:
        """Write the statements that give a column a wider type and keep its values."""

    @abstractmethod
    def create_statements(self, table: Table, columns: Sequence[RawColumn]) -> list[str]:
        """Write the statements that create the raw table."""

    def literal(self, text: str) -> str:
        """Write a text as a literal."""
        return self.literal_prefix + literal(text)

    def line(self, fields: Sequence[str]) -> tuple[str, ...]:
        """List the fields of a staged line: those of a row, and the loader's own that it lacks."""
        return (*fields, *(name for name in self.brought if name not in fields))

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
        types = ((name, *formatted.partition("(")) for name, formatted in rows)
        return {
            name: f"{_SHORT_NAMES.get(kind, kind)}{mark}{rest}" for name, kind, mark, rest in types
        }

    def marks(self, table: Table) -> list[tuple[date, int]]:
        """Read the largest value of an increasing cursor that each day holds, in order.

        Days whose largest value an earlier one had are left out.
        """
        name = table.cursor.columns[0].lower() if table.cursor else ""
        marks = list[tuple[date, int]]()
        if name in self.raw_columns(table.name):
            largest = f"select {RUN_DATE}, cast(max({quote(name)}) as bigint)"
            landed = f"from {self.relation(table.name)} where {RUN_DATE} is not null"
            for day, most in self.execute(f"{largest} {landed} group by 1 order by 1"):
                if not marks or most > marks[-1][1]:
                    marks.append((day, int(most)))
        return marks

    def column_changes(
        self, table: Table, columns: Sequence[RawColumn], earlier: Sequence[Load], is_whole: bool
    ) -> Changes:
        """Say what a landing changes of the raw table: columns are added or widened.

        Args:
            earlier: the table's loads, oldest first.
            is_whole: whether the whole table is landed, and not one window of it.

        Raises:
            LandingError: MySQL's table has changed in another way, or another key or cursor is
                declared than the one that windows were landed by; says what to do.
        """
        raw = self.raw_columns(table.name)
        if not raw:
            return [(f"{table.name}: new table", self.create_statements(table, columns))]
        self._refuse_other_changes(table, columns, raw)
        changes = self._landed_otherwise(table, earlier, is_whole)
        for column in (*columns, *LOADER_COLUMNS):
            where, was = f"{table.name}: column {column.name}", raw.get(column.name)
            if was is None:
                filled = f" until loader load --full-refresh --select {table.name}"
                hold = f"; rows landed earlier hold NULL{filled if column in columns else ''}"
                sentence = f"{where} ({column.type}) is new{'' if is_whole else hold}"
                added = f"add column {quote(column.name)} {column.type}"
                changes.append((sentence, [f"alter table {self.relation(table.name)} {added}"]))
            elif not widens(column.type, was):
                sentence = f"{where} widened: {was} to {column.type}"
                changes.append((sentence, self._widen(table, column)))
            elif was != column.type:
                changes.append((f"{where} narrowed to {column.type}; it stays {was}", []))
        for name in (each for each in raw if is_whole and table.policy(each).is_left_out):
            held = f"from {self.relation(table.name)} where {quote(name)} is not null limit 1"
            if self.execute(f"select 1 {held}"):
                sentence = f"{table.name}: column {name} is left out, and loses the values it had"
                changes.append((sentence, []))
        return changes

    def _refuse_other_changes(
        self, table: Table, columns: Sequence[RawColumn], raw: Mapping[str, str]
    ) -> None:
        """Refuse a column that is gone, which NULL would stand for, and one of another kind."""
        known = {column.name for column in (*columns, *LOADER_COLUMNS)}
        gone = [name for name in raw if name not in known and not table.policy(name).is_left_out]
        if gone:
            new = ", ".join(each.name for each in columns if each.name not in raw)
            raise LandingError(
                f"{table.name}: MySQL has no column {', '.join(gone)} any more"
                f"{f', and {new} is new' if new else ''}. {self.schema}.{table.name} is unchanged.",
                "It was dropped, or renamed to one that is new. Mend the models that read it; "
                f"dbt ls --select {shlex.quote(f'source:{SOURCE}.{table.name}+')} "
                "--resource-type model lists those of the table. Then declare `exclude: true` for "
                "it in the source YAML: new rows hold NULL, and after a whole landing all rows do"
                f"{'' if table.cursor else ', as each load of this table is'}. Copy its values out "
                "before that, if anybody needs them.",
            )
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

    def _landed_by(self, table: Table) -> str:
        """Describe for the ledger the key, cursor and time zone that a table is landed by."""
        key = ", ".join(name.lower() for name in table.primary_key) or "none"
        if (cursor := table.cursor) is None:
            return f"key {key}"
        kind = f" ({cursor.kind})" if cursor.kind else ""
        return f"key {key}, days of {str(cursor).lower()}{kind} in {self.settings.zone.name}"

    def _landed_otherwise(self, table: Table, earlier: Sequence[Load], is_whole: bool) -> Changes:
        """Compare what a raw table was landed by with the declaration.

        A window is replaced by its days and its key: rows that were landed by others would stay
        beside the new ones, and days that the new cursor fills otherwise would be taken for
        landed.
        """
        now = self._landed_by(table)
        was = [load.landed_by for load in earlier if load.outcome == "landed" and load.landed_by]
        if not was or was[-1] == now:
            return []
        if not is_whole:
            raise LandingError(
                f"{table.name}: its rows were landed by {was[-1]}, and {now} is declared now. "
                f"{self.schema}.{table.name} is unchanged.",
                f"Land it whole: loader load --full-refresh --select {shlex.quote(table.name)}; "
                "after another key, build with dbt build --full-refresh.",
            )
        return [(f"{table.name}: landed by {now} from now on", [])]


def land_anew(relation: str, table: Table) -> str:
    """Write the remedy where a raw table cannot take on what MySQL's has become."""
    return (
        f"Drop it (drop table {relation} cascade), land it whole (loader load "
        f"--full-refresh --select {shlex.quote(table.name)}) and build (dbt build --full-refresh)."
    )


def widens(old: str, new: str) -> bool:
    """Whether the warehouse's type `new` holds every value of `old`.

    >>> widens("integer", "bigint"), widens("bigint", "integer")
    (True, False)
    >>> widens("numeric(10,2)", "numeric(12,2)"), widens("numeric(10,2)", "numeric(10,4)")
    (True, False)
    >>> widens("numeric(4,0)", "smallint"), widens("numeric(5,0)", "smallint")
    (True, False)
    >>> widens("varchar(10)", "varchar"), widens("numeric", "numeric(38,10)")
    (True, False)
    """
    if old == new:
        return True
    (old_name, old_sizes), (new_name, new_sizes) = _parts(old), _parts(new)
    if new_name == "text":
        return old_name in ("text", "varchar")
    if old_name == new_name and len(old_sizes) == 1:
        return old_sizes <= (new_sizes or [inf])
    if {old_name, new_name} <= {*_INTEGER_DIGITS, "numeric"}:
        needed, had_scale = _digits(old_name, old_sizes)
        # An integer type holds every number of one digit less than its largest has.
        held, scale = _digits(new_name, new_sizes)
        held -= new_name in _INTEGER_DIGITS and old_name == "numeric"
        return needed <= held and had_scale <= scale
    return (old_name, new_name) in {("real", "double precision"), ("date", "timestamp")}


def _parts(kind: str) -> tuple[str, list[float]]:
    """Cut a type into its name and its sizes, of which PostgreSQL's may have none."""
    name, _, sizes = kind.partition("(")
    if not sizes.endswith(")"):  # such as timestamp(3) without time zone
        return kind, []
    return name, [int(size) for size in sizes[:-1].split(",")]


def _digits(name: str, sizes: list[float]) -> tuple[float, float]:
    """How many digits a number has before and after its point."""
    if name in _INTEGER_DIGITS:
        return _INTEGER_DIGITS[name], 0
    precision, scale = sizes or (inf, 0)
    return precision - scale, scale if sizes else inf
