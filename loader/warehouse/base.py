"""Landing, whatever the warehouse: lock, replace a window, prove it, commit."""

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

from loader.declared.tables import Table
from loader.errors import LandingError, StageError
from loader.source.copytext import Form
from loader.source.read_plan import LOCK
from loader.source.types import RawColumn
from loader.warehouse.landing import Landing
from loader.warehouse.ledger import LEASES, REPAIR, Load, compare_counts
from loader.warehouse.ledgers import Ledgers
from loader.warehouse.replacing import keys_replaced, window_replaced
from loader.warehouse.session import QUERY_CANCELED, Session, is_transient, sqlstate
from loader.warehouse.stop import lease_lost

LOCK_SECONDS = 60
"""How long a load waits for another one of the same table before it gives up."""
RETRY_SECONDS = (1, 5, 15)
"""How long a landing waits before each time that it tries again."""


class Warehouse(Ledgers):
    """A warehouse that tables are landed in.

    Subclasses say what differs: COPY, the lock, how a column is widened, what a table is made with.
    """

    run_id = ""
    """The run whose lease every landing looks at; empty for none."""
    _holder: Session | None = None
    _lock_was_lost = False  # once it was, every landing asks whether another load came in between

    def form(self, columns: Sequence[RawColumn], load_id: str) -> Form:
        """Say how COPY is to read a load's rows."""
        return Form()

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

    def _copies_what_is_staged(self, landing: Landing) -> bool:
        """Whether COPY may begin while rows are still being staged."""
        return False

    def _after_copy(self, landing: Landing) -> list[str]:
        """Write the statements that make the new rows whole, and old ones quick to find."""
        return []

    # -- landing ---------------------------------------------------------------------------------

    def lock(self, table: Table) -> str | None:
        """Keep every other load of the table out until the connection ends.

        It is held from before the source is read to the commit: loads of one table happen one
        after the other, so their ids tell the order in which the source was observed.

        Returns:
            The id of the table's newest load, landed or failed; None if it has none.

        Raises:
            LandingError: another load holds the lock for longer than LOCK_SECONDS.
        """
        self._hold(table)
        return self.newest(table.name)

    def _hold(self, table: Table) -> None:
        """Lock a table made for that, on a connection of its own, until that ends, however it ends.

        It is none that anybody reads: Redshift's LOCK keeps readers out. An advisory lock would be
        anybody's to take. [Redshift: LOCK; PostgreSQL: Explicit Locking]
        """
        lock = LOCK + table.name
        Warehouse.prepare(self, {lock: {"held": "integer"}})
        self._holder = Session(self.profile, LOCK_SECONDS + 30)
        self._holder.execute(f"set statement_timeout to {LOCK_SECONDS * 1000}")
        try:
            self._holder.execute(self.keep_writers_out.format(relation=self.relation(lock)))
        except LandingError as error:
            if sqlstate(error) != QUERY_CANCELED:
                raise
            raise LandingError(
                f"Another load of {table.name} has been running for {LOCK_SECONDS} seconds, or "
                f"somebody else holds {self.relation(lock)}; this one has changed nothing.",
                "Wait for it to end, then run again; pg_locks, or svv_transactions on Redshift, "
                "tells who it is.",
                transient=True,
            ) from None

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

    def land(self, landing: Landing, say: Callable[[str], None]) -> Load:
        """Replace a window of a raw table with the staged rows, in one transaction.

        A transaction that met a conflict, whose connection broke, or that read a damaged part, is
        tried again as a whole.

        Args:
            say: told of every change to the table's columns.

        Returns:
            The ledger's row, committed together with the rows.

        Raises:
            LandingError: the warehouse refused the rows, or the four counts differ; the window
                is as it was.
            SourceError, StageError: the rows were not staged; the window is as it was.
            StoppedError: the run has lost its lease; the window is as it was.
        """
        for seconds in (*RETRY_SECONDS, None):
            try:
                if self._holder is None:
                    self._hold(landing.table)
                return self._attempt(landing, say)
            except (LandingError, StageError) as error:
                if seconds is None or self.terminated or not is_transient(error):
                    raise
                if isinstance(error, StageError) and landing.staged:
                    landing.staged()  # raises what kept rows from being staged
                say(f"{landing.table.name}: trying again in {seconds} s: {error.fact}")
            time.sleep(seconds)
            self.close()
            self._lock_was_lost = True
        raise AssertionError  # the last attempt returns or raises

    def _attempt(self, landing: Landing, say: Callable[[str], None]) -> Load:
        load_id = landing.load.load_id
        if self._lock_was_lost and (self.newest(landing.table.name) or "") >= load_id:
            return self._landed_meanwhile(landing)
        if landing.staged and not self._copies_what_is_staged(landing):
            landing.staged()
        return self._land_once(landing, say)

    def _landed_meanwhile(self, landing: Landing) -> Load:
        """Find what the ledger has of a load whose COMMIT was not answered.

        Raises:
            LandingError: another load of the table was faster while the lock was lost; it read
                the source later than this one.
        """
        for load in self.loads(landing.table.name):
            if load.load_id == landing.load.load_id:
                return load
        raise LandingError(
            f"{landing.table.name}: another load came in between while this one had lost its "
            "connection. The table is as that one left it.",
            "Run again.",
        )

    def _land_once(self, landing: Landing, say: Callable[[str], None]) -> Load:
        copy, *replace_old, count = self.landing_statements(landing)
        with self.transaction():
            is_new = not self.raw_columns(landing.table.name)
            for sentence, statements in self.column_changes(
                landing.table, landing.columns, is_whole=landing.load.window.is_whole
            ):
                say(sentence)
                for statement in statements:
                    self.execute(statement)
            copied = self._copy(copy, landing)
            load = landing.staged() if landing.staged else landing.load
            for statement in self._after_copy(landing):
                self.execute(statement)
            # A table that this transaction has made holds no old rows.
            for statement in () if is_new else replace_old:
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
            self._insert(load)
            if self._holder:
                self._holder.execute("select 1")  # the lock is still held
            if self.run_id:
                self._confirm_lease()
        return load

    def landing_statements(self, landing: Landing) -> list[str]:
        """Write what `land` runs between BEGIN and the ledger: COPY first, the count last."""
        replaces = keys_replaced if landing.load.mode == REPAIR else window_replaced
        relation = self.relation(landing.table.name)
        return [self._copy_statement(landing), *replaces(relation, landing.table, landing.load)]
