"""Landing in Amazon Redshift: one COPY reads the manifest; no row passes through the loader."""

from collections.abc import Sequence
from contextlib import suppress

from loader.declared.profile import Profile
from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.errors import ConfigError, LandingError
from loader.source.read_plan import WIDER
from loader.source.types import REDSHIFT, RawColumn
from loader.warehouse.base import Warehouse
from loader.warehouse.columns import LOADER_COLUMNS, land_anew
from loader.warehouse.landing import MEND_THE_REST, MEND_THE_ROW, Landing, refused
from loader.warehouse.session import is_transient, literal, quote


class Redshift(Warehouse):
    """A provisioned cluster or a serverless workgroup."""

    dialect = REDSHIFT
    clock = "getdate()"
    keep_writers_out = "lock {relation}"

    def __init__(self, profile: Profile, schema: str, settings: Settings) -> None:
        super().__init__(profile, schema, settings)
        if not settings.iam_role:
            raise ConfigError(
                "LOADER_IAM_ROLE is not set.",
                "Set it to the role, attached to the cluster, that may read the bucket, "
                "or to `default`.",
            )

    def create_statements(self, table: Table, columns: Sequence[RawColumn]) -> list[str]:
        """Write the table, spread by its key as the core table is, sorted by its windows' days."""
        every = (*columns, *LOADER_COLUMNS)
        listed = ", ".join(f"{quote(column.name)} {column.type}" for column in every)
        key = _dist_key(table)
        spread = f"diststyle key distkey ({quote(key)})" if key else "diststyle even"
        return [f"create table {self.relation(table.name)} ({listed}) {spread} sortkey (_run_date)"]

    def _copy_statement(self, landing: Landing) -> str:
        """Write the COPY.

        No option that hides a loss: none that truncates, skips or replaces. TIMEFORMAT 'auto'
        keeps fractions of a second. [Redshift: COPY, Data conversion parameters]
        """
        role = self.settings.iam_role
        authority = "default" if role == "default" else literal(role)
        null = landing.form.null
        text = f"csv null as {literal(null)}" if null else "delimiter '\\t' escape null as '\\\\N'"
        return (
            f"copy {self.relation(landing.table.name)} ({landing.staged_columns}) "
            f"from {literal(landing.load.manifest or '')} iam_role {authority} "
            f"manifest zstd {text} "
            "dateformat 'auto' timeformat 'auto' maxerror 0 compupdate off statupdate off"
        )

    def _copy(self, statement: str, landing: Landing) -> int:
        try:
            self.execute(statement)
        except LandingError as error:
            if is_transient(error):
                raise
            why = self._why(landing)
            if not why and "ZSTD" in error.fact:
                raise LandingError(
                    f"{landing.table.name}: a staged part is damaged, so nothing was landed: "
                    f"{error.fact}",
                    "Run again; if it stays so, look for what changes files in the bucket.",
                    transient=True,
                ) from error
            remedy = MEND_THE_ROW if why else MEND_THE_REST
            raise refused(landing, self.schema, why or error.fact, remedy) from error
        return int(self.execute("select pg_last_copy_count()")[0][0])

    def _why(self, landing: Landing) -> str:
        """Read the load's own error row; others' rows are visible too."""
        self.release()
        with suppress(LandingError):
            found = self.execute(
                "select column_name, error_message, file_name, line_number "
                "from sys_load_error_detail where file_name like %s "
                "order by start_time desc limit 1",
                (f"%{landing.load.load_id}%",),
            )
            for column, message, file, line in found:
                return f"column {column.strip()}: {message.strip()} ({file.strip()}, line {line})"
        return ""

    def _widen(self, table: Table, column: RawColumn) -> list[str]:
        """Add a wider column, copy, drop and rename.

        ALTER COLUMN TYPE widens VARCHAR only, and not inside a transaction; a dist key cannot be
        dropped. [Redshift: ALTER TABLE]
        """
        if column.name == _dist_key(table):
            raise LandingError(
                f"{table.name}: column {column.name} is wider in MySQL now, and Redshift widens "
                f"no dist key. {self.schema}.{table.name} is unchanged.",
                land_anew(self.relation(table.name), table),
            )
        relation, wide, name = self.relation(table.name), quote(WIDER), quote(column.name)
        return [
            f"alter table {relation} add column {wide} {column.type}",
            f"update {relation} set {wide} = {name}",
            f"alter table {relation} drop column {name}",
            f"alter table {relation} rename column {wide} to {name}",
        ]


def _dist_key(table: Table) -> str:
    return table.primary_key[0].lower() if table.primary_key else ""
