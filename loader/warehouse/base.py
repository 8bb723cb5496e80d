"""Landing, whatever the warehouse: lock, replace a window, prove it, commit."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from loader.declared.tables import Table
from loader.errors import LandingError
from loader.source.copytext import Form
from loader.source.read_plan import LOCK
from loader.source.types import RawColumn
from loader.warehouse.columns import RawTables
from loader.warehouse.landing import Landing
from loader.warehouse.ledger import LEASES, LEDGER, LEDGER_COLUMNS, LEDGERS, Load, compare_counts
from loader.warehouse.session import QUERY_CANCELED, Session, quote, sqlstate
from loader.warehouse.stop import lease_lost

LOCK_SECONDS = 60
"""How long a load waits for another one of the same table before it gives up."""


class Warehouse(RawTables):
    """A warehouse that tables are landed in.

    Subclasses say what differs: COPY, the lock, how a column is widened, what a table is made with.
    """

    copies_what_is_read: ClassVar[bool] = False
    """Whether COPY is given the rows while they are read, or finds them in S3."""
    run_id = ""
    """The run whose lease every landing looks at; empty for none."""
    _holder: Session | None = None

    def form(self, columns: Sequence[RawColumn], load_id: str) -> Form:
        """Say how COPY is to read a load's rows: VARBYTE as CSV, whose NULL is the load's own id.

        [Redshift: COPY, "Loading a column of the VARBYTE data type"]
        """
        has_bytes = any(column.type.startswith("varbyte") for column in columns)
        null = f"NULL {load_id}" if has_bytes else ""
        return Form(row_bytes=self.dialect.row_bytes, null=null)

    @abstractmethod
    def _copy_statement(self, landing: Landing) -> str:
        """Write the COPY, as `loader plan` shows it and a landing runs it."""

    @abstractmethod
    def _copy(self, statement: str, landing: Landing) -> int:
        """Run the COPY and return how many rows it reports."""

    def _after_copy(self, landing: Landing) -> list[str]:
        """Write the statements that make the new rows whole, and old ones quick to find."""
        return []

    # -- the loader's own tables ----------------------------------------------------------------

    @property
    def owner(self) -> str:
        """A few characters that tell this warehouse's loads from another one's in one bucket."""
        place = f"{self.profile.place}/{self.schema}"
        return hashlib.sha256(place.encode()).hexdigest()[:6]

    def prepare(self, tables: Mapping[str, Mapping[str, str]] = LEDGERS) -> None:
        """Make sure of the raw schema and of the loader's own tables, by name.

        Columns that an older loader had not are added.

        Raises:
            LandingError: no right to create them.
        """
        for table, columns in tables.items():
            relation = self.relation(table)
            listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            try:
                with self.transaction():
                    existing = self.raw_columns(table)
                    if not existing:
                        self.execute(f"create schema if not exists {quote(self.schema)}")
                        self.execute(f"create table if not exists {relation} ({listed})")
                    for name in columns.keys() - existing if existing else ():
                        self.execute(f"alter table {relation} add column {name} {columns[name]}")
            except LandingError:
                # Another run may have made them at the same time.
                if columns.keys() - self.raw_columns(table):
                    raise

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
            existing = self.raw_columns(LEDGER)
            if not existing:
                return []
            names = [name for name in LEDGER_COLUMNS if name in existing]
            condition = "where table_name = %s" if table else ""
            rows = self.execute(
                f"select {', '.join(names)} from {self.relation(LEDGER)} {condition} "
                "order by load_id",
                (table,) if table else (),
            )
        return [Load(**dict(zip(names, row, strict=True))) for row in rows]

    def record(self, load: Load) -> None:
        """Write a load into the ledger, within the caller's transaction."""
        self.insert(LEDGER, {name: getattr(load, name) for name in LEDGER_COLUMNS})

    def insert(self, ledger: str, row: Mapping[str, object]) -> None:
        """Write a row into a ledger, within the caller's transaction."""
        into, places = f"{self.relation(ledger)} ({', '.join(row)})", ", ".join(["%s"] * len(row))
        self.execute(f"insert into {into} values ({places})", list(row.values()))

    # -- landing ---------------------------------------------------------------------------------

    def lock(self, table: Table) -> str | None:
        """Keep every other load of the table out until a connection made for that ends.

        It is held from before the source is read to the commit: loads of one table happen one
        after the other, so their ids tell the order in which the source was observed.

        Returns:
            The id of the table's newest load, landed or failed; None if it has none.

        Raises:
            LandingError: another load holds the lock for longer than LOCK_SECONDS.
        """
        # A table made for that, which nobody reads: Redshift's LOCK keeps readers out. An advisory
        # lock would be anybody's to take. [Redshift: LOCK; PostgreSQL: Explicit Locking]
        lock = self.dialect.fitted(LOCK + table.name)
        Warehouse.prepare(self, {lock: {"held": "integer"}})
        self._holder = Session(self.profile, LOCK_SECONDS + 30)
        # LOCAL: the connection serves others after this. [Redshift: SET]
        self._holder.execute(f"set local statement_timeout to {LOCK_SECONDS * 1000}")
        try:
            self._holder.execute(self.keep_writers_out.format(relation=self.relation(lock)))
        except LandingError as error:
            if sqlstate(error) != QUERY_CANCELED:
                raise
            raise LandingError(
                f"Another load of {table.name} has been running for {LOCK_SECONDS} seconds, or "
                f"somebody else holds {self.relation(lock)}; this one has changed nothing.",
                "Wait for it to end, then run again; pg_locks or svv_transactions tells who it is.",
                transient=True,
            ) from None
        return max((load.load_id for load in self.loads(table.name)), default=None)

    def _confirm_lease(self) -> None:
        """Make sure that the run has its lease, and let nobody take it until this is committed.

        Whoever takes a lease over locks the same table first. Another connection looks, because
        Redshift's transactions see all as it was at their first statement. [Isolation levels in
        Amazon Redshift]
        """
        self.execute(self.keep_writers_out.format(relation=self.relation(LOCK + LEASES)))
        with closing(Session(self.profile)) as other:
            statement = f"select 1 from {self.relation(LEASES)} where run_id = %s"
            if not other.execute(f"{statement} and ended_at is null", (self.run_id,)):
                raise lease_lost("another run has taken it over")

    def terminate(self) -> None:
        """End both connections from another thread."""
        super().terminate()
        if self._holder:
            self._holder.terminate()

    def close(self) -> None:
        """End both connections."""
        super().close()
        if self._holder:
            self._holder.close()
            self._holder = None

    def begin_landing(self, landing: Landing, say: Callable[[str], None]) -> int:
        """Change the columns, then COPY: the first half of a landing's one transaction.

        Its first statement begins it, because the driver commits nothing by itself. Nobody sees
        anything of it before `commit_landing`; it is rolled back when the connection ends without
        that.

        Args:
            say: called with a sentence on every change to the table's columns.

        Returns:
            How many rows COPY reports.

        Raises:
            LandingError: the warehouse refused the rows.
        """
        for sentence, statements in landing.changes:
            say(sentence)
            for statement in statements:
                self.execute(statement)
        return self._copy(self._copy_statement(landing), landing)

    def commit_landing(self, landing: Landing, load: Load, copied: int) -> Load:
        """Replace a window's old rows by those that were copied; commit what `begin_landing` began.

        Args:
            load: the ledger's row with what was counted and staged.

        Returns:
            The ledger's row, committed together with the rows.

        Raises:
            LandingError: the four counts differ, or the warehouse refused a statement; the window
                is as it was.
            StoppedError: the run has lost its lease; the window is as it was.
        """
        _, *replace_old, count = self.landing_statements(landing)
        with self.transaction():
            for statement in self._after_copy(landing):
                self.execute(statement)
            for statement in () if landing.is_new else replace_old:
                self.execute(statement)
            load = replace(
                load,
                copied_rows=copied,
                landed_rows=self.execute(count)[0][0],
                landed_by=self._landed_by(landing.table),
                outcome="landed",
                ended_at=datetime.now(UTC).replace(tzinfo=None),
            )
            compare_counts(load)
            self.record(load)
            if self._holder:
                self._holder.execute("select 1")  # the lock is still held
            if self.run_id:
                self._confirm_lease()
        return load

    def landing_statements(self, landing: Landing) -> list[str]:
        """Write what a landing runs between BEGIN and the ledger: COPY first, the count last."""
        replace_old = landing.replacing(self.relation(landing.table.name))
        return [self._copy_statement(landing), *replace_old]
