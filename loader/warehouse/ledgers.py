"""The loader's own tables in the raw schema: the ledger is read and written here."""

import hashlib
from collections.abc import Mapping

from loader.errors import LandingError
from loader.warehouse.columns import RawTables
from loader.warehouse.ledger import LEDGER, LEDGER_COLUMNS, LEDGERS, Load
from loader.warehouse.session import quote


class Ledgers(RawTables):
    """A warehouse whose ledger can be read and written."""

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
        """Write a load into the ledger, in a transaction of its own."""
        with self.transaction():
            self._insert(load)

    def _insert(self, load: Load) -> None:
        self.insert(LEDGER, {name: getattr(load, name) for name in LEDGER_COLUMNS})

    def insert(self, ledger: str, row: Mapping[str, object]) -> None:
        """Write a row into a ledger, within the caller's transaction."""
        into, places = f"{self.relation(ledger)} ({', '.join(row)})", ", ".join(["%s"] * len(row))
        self.execute(f"insert into {into} values ({places})", list(row.values()))
