"""Landing in PostgreSQL: what is staged goes into COPY FROM STDIN at the same time."""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from loader.declared.tables import Table
from loader.errors import LandingError
from loader.lines import Deadline
from loader.source.read_plan import DELETED_AT, LOAD_ID, LOADED_AT, RUN_DATE
from loader.source.types import POSTGRES, RawColumn
from loader.warehouse.base import Warehouse
from loader.warehouse.columns import LOADER_COLUMNS
from loader.warehouse.landing import MEND_THE_REST, MEND_THE_ROW, Landing, refused
from loader.warehouse.ledger import LEDGERS
from loader.warehouse.session import one_line, quote, sqlstate

_SET_TYPE = "_set_type"
"""The function that gives a column another type, with the views on it; dbt calls it as well."""
_SET_TYPE_SQL = Path(__file__).with_name("set_type.sql")
_FILLED = (LOAD_ID, LOADED_AT)
"""The columns that are equal in every row of a load, so that no line has to bring them.

Their default is what the session has set. A column that is added has it as the value of all rows
that are there, without a byte in any of them, so a new table gets them after its first COPY.
[PostgreSQL: ALTER TABLE, Notes]
"""
_SKIP_SCAN_SINCE = 180000
"""The version that finds a window in the index of the loads, by one look for each load.

An older one would read that index whole, so there each column has its own; COPY takes half as long
again to fill both. [PostgreSQL: Release 18; Multicolumn Indexes]
"""

_ROW_IS_TOO_LONG = "54000"  # than a page [PostgreSQL: Database Page Layout]


class Postgres(Warehouse):
    """The embedded default, and any PostgreSQL 15 or newer."""

    dialect = POSTGRES
    copies_what_is_read = True
    clock = "clock_timestamp() at time zone 'UTC'"
    keep_writers_out = "lock {relation} in share row exclusive mode"  # readers are not kept out
    literal_prefix = "E"
    brought = (RUN_DATE,)

    # Of one instant; with memory for the keys that were landed more than once. The planner knows
    # nothing of a load that has just been copied, takes it for one row, and would look its keys up
    # again for each row of a day. [PostgreSQL: Query Planning, "enable_nestloop"]
    snapshot_settings = (
        "set transaction isolation level repeatable read",
        "set local enable_nestloop = off",
        "set local work_mem = '64MB'",
        # It takes a bucket for a row each, and would not add buckets up on several cores.
        "set local parallel_tuple_cost = 0",
    )

    def prepare(self, tables: Mapping[str, Mapping[str, str]] = LEDGERS) -> None:
        """Make sure of the loader's own tables, and of the function that widens columns."""
        super().prepare(tables)
        name = f"{quote(self.schema)}.{_SET_TYPE}"
        with suppress(LandingError), self.transaction():  # another run may have just made it
            if not self.execute("select to_regproc(%s)", (name,))[0][0]:
                self.execute(_SET_TYPE_SQL.read_text().replace("raw_data._set_type", name, 1))

    def create_statements(self, table: Table, columns: Sequence[RawColumn]) -> list[str]:
        """Write the table without what its first rows do not bring; that is added after COPY."""
        run_date, *_ = LOADER_COLUMNS
        listed = ", ".join(map(_definition, (*columns, run_date)))
        return [f"create table {self.relation(table.name)} ({listed})"]

    def _after_copy(self, landing: Landing) -> list[str]:
        """Add the columns that the first rows did not bring; index what rows are looked up by.

        Windows, builds and pruning look rows up, so there are indexes from the first window on. A
        landing of the whole table looks nothing up, and would take half as long again. Old and new
        rows are not compared row by row: 30,000 rows a day would take 30 s instead of 0.1.
        """
        name, relation = landing.table.name, self.relation(landing.table.name)
        present = self.raw_columns(name)
        missing = [column for column in LOADER_COLUMNS if column.name not in present]
        added = ", ".join(f"add column {_definition(column)}" for column in missing)
        statements = [f"alter table {relation} {added}"] if missing else []
        if landing.load.window.is_whole and not landing.load.is_of_keys:
            return statements
        apart = self._connection.server_version < _SKIP_SCAN_SINCE
        looked_up = ([LOAD_ID], [RUN_DATE]) if apart else ([LOAD_ID, RUN_DATE],)
        statements.append("set local enable_nestloop = off")
        for columns in (*looked_up, [DELETED_AT]):
            index = quote(self.dialect.fitted("_".join([name, *columns, "idx"])))
            rows = f" where {DELETED_AT} is not null" if columns == [DELETED_AT] else ""
            statements.append(
                f"create index if not exists {index} on {relation} ({', '.join(columns)}){rows}"
            )
        return statements

    def _copy_statement(self, landing: Landing) -> str:
        """Write the COPY; it is given the text that is staged."""
        return f"copy {self.relation(landing.table.name)} ({landing.staged_columns}) from stdin"

    def _copy(self, statement: str, landing: Landing) -> int:
        load = landing.load
        self._fill(landing)
        for name, value in ((LOAD_ID, load.load_id), (LOADED_AT, f"{load.started_at}")):
            self.execute("select set_config(%s, %s, true)", (f"loader.{name}", value))
        deadline = Deadline(self._connection, self.answer_seconds)

        def read(size: int) -> bytes:
            with deadline.paused():  # the rows are waited for, not the server
                return landing.rows.read(size) if landing.rows else b""

        with deadline, closing(self._connection.cursor()) as cursor:
            try:
                cursor.copy_expert(statement, SimpleNamespace(read=read), size=1 << 18)
            except Exception as error:
                if deadline.has_passed:
                    raise self._unanswered() from error
                diagnosis: Any = getattr(error, "diag", None)
                context = (diagnosis.context if diagnosis else None) or ""
                why = f"{diagnosis.message_primary}. {context}" if context else one_line(error)
                remedy = MEND_THE_ROW if context else MEND_THE_REST
                if sqlstate(error) == _ROW_IS_TOO_LONG:
                    remedy = "Leave out columns (`exclude: true`); then run again."
                raise refused(landing, self.schema, why, remedy) from error
            return int(cursor.rowcount)

    def _fill(self, landing: Landing) -> None:
        """Give the loader's columns their defaults where somebody else has made the table."""
        relation = self.relation(landing.table.name)
        found = self.execute(
            "select attname from pg_attribute "
            "where attrelid = to_regclass(%s) and attname in (%s, %s) and not atthasdef",
            (relation, *_FILLED),
        )
        for column in (each for each in LOADER_COLUMNS if (each.name,) in found):
            default = f"alter column {quote(column.name)} set{_default(column)}"
            self.execute(f"alter table {relation} {default}")

    def _widen(self, table: Table, column: RawColumn) -> list[str]:
        """Change the type in place, with the views that read the table."""
        relation = self.literal(self.relation(table.name))
        return [
            f"select {quote(self.schema)}.{_SET_TYPE}"
            f"({relation}, {self.literal(column.name)}, '{column.type}')"
        ]


def _definition(column: RawColumn) -> str:
    return f"{quote(column.name)} {column.type}{_default(column)}"


def _default(column: RawColumn) -> str:
    setting = f"nullif(current_setting('loader.{column.name}', true), '')"
    return f" default cast({setting} as {column.type})" if column.name in _FILLED else ""
