"""Look whether everything is in place before the first load: one line each, with the remedy."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from loader.declared.settings import SETTINGS
from loader.declared.tables import Table
from loader.declared.windows import DAY, WHOLE, Window
from loader.errors import LoaderError, did_you_mean, printable
from loader.load.job import Job
from loader.load.plan import new_load, plan_load
from loader.source import mysql
from loader.source.read_plan import cost_of_windows
from loader.stage import s3
from loader.stage.staging import check_access
from loader.warehouse import Warehouse

_NAMES = [name.removeprefix("LOADER_") for name in SETTINGS]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    passed: bool = True
    finding: str = ""
    remedy: str = ""


def checks(tables: Sequence[Table], warehouse: Warehouse) -> Iterator[Check]:
    """Look at the settings, the source, S3, the warehouse and each table."""
    settings = warehouse.settings
    finding = f"{len(tables)} tables declared, windows in {settings.zone.name}"
    for name in sorted(os.environ.keys() - SETTINGS.keys()):
        if name.startswith("LOADER_") and (meant := did_you_mean(name[7:], _NAMES)):
            finding += f"; warning: {printable(name)} is no setting. "
            finding += meant.strip().replace(" mean ", " mean LOADER_")
    yield Check("settings", finding=finding)
    place = f"MySQL {settings.mysql.host}:{settings.mysql.port}"
    source = _look(place, lambda: mysql.version(settings.mysql))
    yield source
    yield _look(
        f"S3 {settings.stage.bucket}/{settings.stage.prefix}",
        lambda: check_access(s3.shared(settings.stage), settings.stage),
        "written, read and removed a file",
    )
    target = _look(
        f"warehouse {warehouse.profile.place}",
        warehouse.check_rights,
        f"may create in schema {warehouse.schema}",
    )
    yield target
    for table in tables if source.passed and target.passed else ():
        yield _look(f"table {table.name}", partial(_table, table, warehouse))


def _look(what: str, look: Callable[[], str | None], finding: str = "") -> Check:
    """Try something; what it finds, or why it fails."""
    try:
        return Check(what, finding=look() or finding)
    except LoaderError as error:
        fact = error.fact.removeprefix(f"{what.removeprefix('table ')}: ")
        return Check(what, False, fact, error.remedy)


def _table(table: Table, warehouse: Warehouse) -> str:
    """Plan to land a day of a table, and say what should be known of it before."""
    today = warehouse.settings.zone.today()
    window = Window(today, today + DAY) if table.cursor else WHOLE
    job = Job(table=table, window=window, mode="run_date")
    try:
        with mysql.connect(warehouse.settings.mysql) as source:
            read, _ = plan_load(job, new_load(job, ""), source, warehouse)
            mysql.check_cursor(source, table, read)
            future = mysql.count_future(source, read)
    finally:
        warehouse.release()
    description = read.description
    finding = f"{len(read.columns)} columns, about {description.rows:,} rows"
    if future:
        finding += f"; {future:,} are dated beyond today by {table.cursor} and wait for their day"
    if cost := cost_of_windows(table, description):
        finding += f"; warning: {cost}"
    if (engine := description.engine).lower() not in ("innodb", ""):
        finding += f"; warning: {engine} has no snapshots: loads may mix two states; use InnoDB"
    return finding
