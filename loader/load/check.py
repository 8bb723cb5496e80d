"""Look whether everything is in place before the first load: one line each, with the remedy."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.declared.windows import WHOLE
from loader.errors import LoaderError
from loader.source import mysql
from loader.source.future import future_rows
from loader.source.masking import masking
from loader.source.read_plan import check_declaration, plan_read
from loader.stage import s3
from loader.stage.staging import check_access
from loader.warehouse import Warehouse


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    passed: bool = True
    finding: str = ""
    remedy: str = ""


def checks(tables: Sequence[Table], settings: Settings, warehouse: Warehouse) -> Iterator[Check]:
    """Look at the settings, the source, each table, S3 and the warehouse."""
    yield Check(
        "settings", finding=f"{len(tables)} tables declared, windows in {settings.zone.name}"
    )
    source = _look(f"MySQL {settings.mysql.host}:{settings.mysql.port}", lambda: _version(settings))
    yield source
    if source.passed:
        yield from (_table(table, settings, warehouse) for table in tables)
    yield _look(
        f"S3 {settings.stage.bucket}/{settings.stage.prefix}",
        lambda: check_access(s3.connect(settings.stage), settings.stage),
        "written, read and removed a file",
    )
    yield _look(
        f"warehouse {warehouse.profile.place}",
        warehouse.check_rights,
        f"may create in schema {warehouse.schema}",
    )


def _look(what: str, look: Callable[[], str | None], finding: str = "") -> Check:
    """Try something; what it finds, or why it fails."""
    try:
        return Check(what, finding=look() or finding)
    except LoaderError as error:
        return Check(what, False, error.fact, error.remedy)


def _version(settings: Settings) -> str:
    with mysql.connect(settings.mysql) as source:
        return mysql.version(source)


def _table(table: Table, settings: Settings, warehouse: Warehouse) -> Check:
    what = f"table {table.name}"
    try:
        with mysql.connect(settings.mysql) as source:
            description = mysql.describe(source, table)
            check_declaration(table, description, warehouse.dialect, warehouse.raw_columns)
            read = plan_read(table, description, WHOLE, settings.zone, warehouse.dialect)
            masking(table, read, settings.mask_salt)
            mysql.check_cursor(source, table, read)
            future = future_rows(source, table, description, read, settings.zone)
        warehouse.column_changes(table, read.columns, is_whole=table.cursor is None)
        warehouse.release()
    except LoaderError as error:
        return Check(what, False, error.fact, error.remedy)
    finding = f"{len(read.columns)} columns, about {description.rows:,} rows"
    if future:
        finding += f"; {future:,} are dated beyond today by {table.cursor} and wait for their day"
    if table.cursor and table.cursor.lower() not in description.leading:
        return Check(
            what,
            False,
            f"no index of {table.database}.{table.source} that reads may use (an invisible or "
            f"ignored one is not) begins with {table.cursor}, so every window would read the whole "
            "table",
            f"Create one: create index {table.cursor} on {table.source} ({table.cursor})",
        )
    if description.engine.lower() not in ("innodb", ""):
        return Check(
            what,
            False,
            f"the engine {description.engine} has no snapshots, so counts may differ",
            "Convert the table to InnoDB, or load when nobody writes.",
        )
    return Check(what, finding=finding)
