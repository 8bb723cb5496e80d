"""Is everything in place before the first load: one line each, with the remedy."""

from collections.abc import Iterator, Sequence
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
    where = f"MySQL {settings.mysql.host}:{settings.mysql.port}"
    try:
        with mysql.connect(settings.mysql) as source:
            yield Check(where, finding=mysql.version(source))
    except LoaderError as error:
        yield Check(where, False, error.fact, error.remedy)
    else:
        yield from (_table(table, settings, warehouse) for table in tables)
    bucket = f"S3 {settings.stage.bucket}/{settings.stage.prefix}"
    try:
        check_access(s3.connect(settings.stage), settings.stage)
        yield Check(bucket, finding="written, read and removed a file")
    except LoaderError as error:
        yield Check(bucket, False, error.fact, error.remedy)
    place = f"warehouse {warehouse.profile.place}"
    try:
        warehouse.check_rights()
        yield Check(place, finding=f"may create in schema {warehouse.schema}")
    except LoaderError as error:
        yield Check(place, False, error.fact, error.remedy)


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
