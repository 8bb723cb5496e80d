"""What landing is, whatever the warehouse: lock, widen, replace a window, prove it, commit."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from loader.config import Settings
from loader.errors import LandingError
from loader.ledger import LEDGER, LEDGER_COLUMNS, Load, compare_counts, next_load_id
from loader.reading import RUN_DATE
from loader.s3 import Part
from loader.tables import Table
from loader.types import Dialect, Landed, widens
from loader.warehouse.profile import Profile, connect

LOADER_COLUMNS = (
    # In this order at the end of every staged line.
    Landed(name=RUN_DATE, type="date", text=""),
    Landed(name="_load_id", type="varchar(32)", text=""),
    Landed(name="_loaded_at", type="timestamp", text=""),
)
LOCK_SECONDS = 60
"""How long a load waits for another one of the same table before it gives up."""


@dataclass(frozen=True, kw_only=True)
class Landing:
    """What is to replace a window.

    Attributes:
        load: the ledger's row so far: source and staged counts, window, manifest.
        columns: the table's columns as they land.
        fields: the fields of a staged line before the loader's own.
        parts: the staged files, in order.
    """

    table: Table
    load: Load
    columns: Sequence[Landed]
    fields: Sequence[str]
    parts: Sequence[Part]

    @property
    def staged_columns(self) -> str:
        """The columns of a staged line, in its order, quoted for COPY."""
        return ", ".join(quote(name) for name in (*self.fields, *loader_fields(self.fields)))


def loader_fields(fields: Sequence[str]) -> list[str]:
    """The loader's own columns that a row as read does not have yet."""
    return [column.name for column in LOADER_COLUMNS if column.name not in fields]


def quote(name: str) -> str:
    """A warehouse identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


class Warehouse(ABC):
    """A warehouse that tables are landed in.

    Subclasses say what differs: COPY, the lock, how a column is widened, what a table is made with.
    """

    dialect: ClassVar[Dialect]

    def __init__(self, profile: Profile, schema: str, settings: Settings) -> None:
        self.profile = profile
        self.schema = schema
        self._settings = settings
        self._opened: Any = None

    # -- what differs ----------------------------------------------------------------------------

    @abstractmethod
    def _copy_statement(self, landing: Landing) -> str:
        """Write the COPY, as `plan` shows it and `land` runs it."""

    @abstractmethod
    def _copy(self, statement: str, landing: Landing) -> int:
        """Run the COPY and return how many rows it reports.

        Raises:
            LandingError: the warehouse refused a row; names it.
            StageError: a staged file is not there.
        """

    @abstractmethod
    def _hold(self, table: Table) -> None:
        """Take the table's lock; it is released when the connection ends, however it ends."""

    @abstractmethod
    def _widen(self, relation: str, column: Landed) -> list[str]:
        """Write the statements that give a column a wider type and keep its values."""

    @abstractmethod
    def create_statements(self, table: Table, columns: Sequence[Landed]) -> list[str]:
        """Write the statements that create the raw table."""

    # -- the connection --------------------------------------------------------------------------

    @property
    def _connection(self) -> Any:
        if self._opened is None:
            self._opened = connect(self.profile)
        return self._opened

    def close(self) -> None:
        """End the connection, and with it the transaction and the lock that it holds."""
        if self._opened is not None:
            with suppress(Exception):
                self._opened.close()
            self._opened = None

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, if it has any.

        Raises:
            LandingError: the warehouse refused it; the driver's error is its cause.
        """
        connection = self._connection
        try:
            with closing(connection.cursor()) as cursor:
                if parameters:
                    cursor.execute(statement, tuple(parameters))
                else:
                    cursor.execute(statement)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except Exception as error:
            raise LandingError(
                f"{self.profile.place}: {one_line(error)}",
                "Nothing was landed. Check the warehouse and the rights of the target's user, "
                "then run again.",
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, or nothing of it.

        Raises:
            LandingError: the connection broke at COMMIT, so that its answer is not known.
        """
        try:
            yield
        except BaseException:
            self.release()
            raise
        try:
            self._connection.commit()
        except Exception as error:
            raise LandingError(
                f"{self.profile.place}: the connection broke at COMMIT ({one_line(error)}); the "
                "tables hold either the old rows or the new ones, never a mix.",
                "Run again; landing a window twice is the same as landing it once.",
            ) from error

    def release(self) -> None:
        """End the open transaction without a trace; the table's lock stays."""
        with suppress(Exception):
            self._connection.rollback()

    # -- the ledger ------------------------------------------------------------------------------

    @property
    def owner(self) -> str:
        """A few characters that tell this warehouse's loads from another one's in one bucket."""
        place = f"{self.profile.place}/{self.schema}"
        return hashlib.sha256(place.encode()).hexdigest()[:6]

    def relation(self, table: str) -> str:
        """Name a table of the raw schema."""
        return f"{quote(self.schema)}.{quote(table)}"

    def prepare(self) -> None:
        """Make sure of the raw schema and its ledger.

        Raises:
            LandingError: no right to create them.
        """
        with self.transaction():
            if not self._exists(LEDGER):
                self.execute(f"create schema if not exists {quote(self.schema)}")
                columns = ", ".join(f"{name} {kind}" for name, kind in LEDGER_COLUMNS.items())
                self.execute(f"create table if not exists {self.relation(LEDGER)} ({columns})")

    def check_rights(self) -> None:
        """See whether the target's user may create what landing creates.

        Raises:
            LandingError: no connection, or no right to create.
        """
        with self.transaction():
            allowed = self.execute(
                "select case when exists (select 1 from pg_namespace where nspname = %s) "
                "then has_schema_privilege(current_user, %s, 'create') "
                "else has_database_privilege(current_user, current_database(), 'create') end",
                (self.schema, self.schema),
            )[0][0]
        if not allowed:
            raise LandingError(
                f"This user may not create in schema {self.schema} of {self.profile.place}.",
                f"As an administrator: grant create, usage on schema {self.schema} to the user; "
                "or, for a schema that is not there yet, grant create on the database.",
            )

    def loads(self, table: str | None = None) -> list[Load]:
        """Read the ledger, oldest load first; empty where nothing was ever loaded."""
        with self.transaction():
            if not self._exists(LEDGER):
                return []
            names = ", ".join(LEDGER_COLUMNS)
            condition = "where table_name = %s" if table else ""
            rows = self.execute(
                f"select {names} from {self.relation(LEDGER)} {condition} order by load_id",
                (table,) if table else (),
            )
        return [Load(**dict(zip(LEDGER_COLUMNS, row, strict=True))) for row in rows]

    def record(self, load: Load) -> None:
        """Write a failed load into the ledger."""
        with self.transaction():
            self._insert(load)

    def _insert(self, load: Load) -> None:
        values = [getattr(load, name) for name in LEDGER_COLUMNS]
        places = ", ".join(["%s"] * len(values))
        self.execute(
            f"insert into {self.relation(LEDGER)} ({', '.join(LEDGER_COLUMNS)}) values ({places})",
            values,
        )

    # -- landing ---------------------------------------------------------------------------------

    @contextmanager
    def lock(self, table: Table) -> Iterator[str]:
        """Keep every other load of the table out, from before the source is read to the commit.

        Loads of one table happen one after the other, so their ids tell the order in which the
        source was observed.

        Yields:
            The id of the load: later than any id that the table's ledger holds.

        Raises:
            LandingError: another load holds the lock for longer than LOCK_SECONDS.
        """
        self._hold(table)
        try:
            newest = self.execute(
                f"select max(load_id) from {self.relation(LEDGER)} where table_name = %s",
                (table.name,),
            )[0][0]
            self.release()
            yield next_load_id(newest, datetime.now(UTC), self.owner)
        finally:
            self.close()

    def land(self, landing: Landing, say: Callable[[str], None]) -> Load:
        """Replace a window of a raw table with the staged rows, in one transaction.

        COPY comes first, so that the rows of the window that are not among the new ones can be
        told: they moved to a later window, or were deleted; nobody can say which yet. Their last
        known version stays in the raw table outside any window (`_run_date` is NULL) until a
        landing of the whole table settles it. The rest of the old window is deleted. DELETE, not
        TRUNCATE, which commits by itself on Redshift and hides rows from older snapshots on
        PostgreSQL. [Redshift: TRUNCATE; PostgreSQL: TRUNCATE, Notes]

        Args:
            say: told of every change to the table's columns.

        Returns:
            The ledger's row, committed together with the rows.

        Raises:
            LandingError: the warehouse refused the rows, or the four counts differ; the window
                is as it was.
        """
        load = landing.load
        copy, *replace_old, count = self.landing_statements(landing)
        with self.transaction():
            for sentence, statements in self.column_changes(landing.table, landing.columns):
                say(sentence)
                for statement in statements:
                    self.execute(statement)
            copied = self._copy(copy, landing)
            for statement in replace_old:
                self.execute(statement)
            load = replace(
                load,
                copied_rows=copied,
                landed_rows=self.execute(count)[0][0],
                outcome="landed",
                ended_at=datetime.now(UTC).replace(tzinfo=None),
            )
            compare_counts(load)
            self._insert(load)
        return load

    def landing_statements(self, landing: Landing) -> list[str]:
        """Write what `land` runs between BEGIN and the ledger: COPY first, the count last."""
        relation = self.relation(landing.table.name)
        load, table = landing.load, landing.table
        statements = [self._copy_statement(landing)]
        within, old = "", f"_load_id <> '{load.load_id}'"
        if load.window_start:
            days = f"_run_date >= '{load.window_start}' and _run_date < '{load.window_end}'"
            within, old = f" where {days}", f"{days} and {old}"
            same_key = " and ".join(
                f"newer.{quote(name.lower())} = {relation}.{quote(name.lower())}"
                for name in table.primary_key
            )
            statements.append(
                f"update {relation} set _run_date = null where {old} and not exists (select 1 "
                f"from {relation} as newer where newer._load_id = '{load.load_id}' and {same_key})"
            )
        return [
            *statements,
            f"delete from {relation} where {old}",
            f"select count(*) from {relation}{within}",
        ]

    # -- the raw table's columns -----------------------------------------------------------------

    def _exists(self, table: str) -> bool:
        return bool(self.raw_columns(table))

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
        relation = self.relation(table.name)
        if not existing:
            return [(f"{table.name}: new table", self.create_statements(table, columns))]
        changes = list[tuple[str, list[str]]]()
        for column in columns:
            was = existing.pop(column.name, None)
            if was is None:
                sentence = (
                    f"{table.name}: new column {column.name} ({column.type}); "
                    "rows landed earlier hold NULL"
                )
                added = f"alter table {relation} add column {quote(column.name)} {column.type}"
                changes.append((sentence, [added]))
            elif widens(was, column.type) and not widens(column.type, was):
                sentence = f"{table.name}: column {column.name} widened: {was} to {column.type}"
                changes.append((sentence, self._widen(relation, column)))
            elif not widens(column.type, was):
                raise LandingError(
                    f"{table.name}: column {column.name} was {was} and is {column.type} in MySQL "
                    f"now, which does not hold every value landed before. {self.schema}."
                    f"{table.name} is unchanged.",
                    f"Drop {self.schema}.{table.name} and land it whole: "
                    f"loader load --full-refresh --select {table.name}",
                )
        for name in existing:
            if name not in {column.name for column in LOADER_COLUMNS}:
                sentence = f"{table.name}: column {name} is gone from MySQL; new rows hold NULL"
                changes.append((sentence, []))
        return changes


def refused(landing: Landing, schema: str, why: str) -> LandingError:
    """The error of a COPY that met a row it could not take."""
    return LandingError(
        f"The warehouse refused the rows of {schema}.{landing.table.name}: {why}. "
        "The table is as it was.",
        "Mend the row in MySQL, or declare `on_unrepresentable` for the column; then run again.",
    )


def one_line(error: Exception) -> str:
    """A driver's message without its line breaks."""
    return " ".join(str(error).split())


def _type_name(data_type: str, length: int | None, precision: int | None, scale: int | None) -> str:
    """Write a type of information_schema as the loader does."""
    if data_type == "character varying":
        return f"varchar({length})" if length else "text"
    if data_type == "numeric":
        return f"numeric({precision},{scale})"
    if data_type.startswith("timestamp without"):
        return "timestamp"
    return data_type
