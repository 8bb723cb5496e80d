"""How a window is to be read and landed; what a load would do is said from it."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from loader.declared.tables import Table
from loader.declared.windows import DAY, WHOLE, Window
from loader.errors import ConfigError, LoaderError
from loader.load.job import Job, Outcome, now
from loader.source import mysql
from loader.source.declaration import check_declaration
from loader.source.masking import SETTING, masking, salt_id
from loader.source.read_plan import DELETED_AT, ReadPlan, days_of, plan_read
from loader.stage.s3 import folder_of
from loader.warehouse import Landing, Warehouse
from loader.warehouse.ledger import Load, day_in


def new_load(job: Job, load_id: str) -> Load:
    """Begin the ledger's row of a job."""
    return Load(
        load_id=load_id,
        table_name=job.table.name,
        mode=job.mode,
        window_start=job.window.start,
        window_end=job.window.end,
        started_at=now(),
    )


def plan_load(
    job: Job, load: Load, source: mysql.Source, warehouse: Warehouse
) -> tuple[ReadPlan, Landing]:
    """Decide how a window is read and landed; `loader plan` shows it, a load then does it.

    Raises:
        ConfigError, SourceError, LandingError: what stops the load before it reads.
    """
    table, settings = job.table, warehouse.settings
    window = WHOLE if load.is_of_keys else job.window
    # New rows of an increasing cursor belong to the last day that is landed, of a whole landing to
    # the last that was over; of a repair they are left to their own landing.
    new = (job.window.end or day_in(settings.zone, load.started_at)) - DAY
    new = job.repair.landed_before if job.repair else new
    read = checked_read(table, window, source, warehouse, new)
    if load.is_of_keys:
        read = replace(read, fields=(*read.fields, DELETED_AT))
    masking(table, read, settings.mask_salt)  # refuses hashes without a salt before a row is read
    folder = folder_of(settings.stage, table.name, load.load_id)
    load = replace(
        load,
        salt_id=salt_id(read, settings.mask_salt),
        manifest=f"s3://{settings.stage.bucket}/{folder}/manifest.json",
    )
    earlier, replaces_all = warehouse.loads(table.name), job.window.is_whole and not load.is_of_keys
    _check_salt(load, earlier)
    landing = Landing(
        table=table,
        load=load,
        line=warehouse.line(read.fields),
        form=warehouse.form(read.columns, load.load_id),
        changes=warehouse.column_changes(table, read.columns, earlier, replaces_all),
        is_new=not warehouse.raw_columns(table.name),
    )
    warehouse.release()
    return read, landing


def checked_read(
    table: Table, window: Window, source: mysql.Source, warehouse: Warehouse, new: date
) -> ReadPlan:
    """Check a declaration against both sides, and plan to read a window of the table by it.

    Args:
        new: the day of an increasing cursor's numbers that are above every landed one; if a later
            day has landed rows, it is that day.

    Raises:
        ConfigError, SourceError: the table cannot be read as it is declared.
    """
    description = mysql.describe(source, table)
    check_declaration(table, description, warehouse.dialect, warehouse.raw_columns)
    days = days_of(table, description, warehouse.settings.zone)
    if days and days.is_increasing:
        marks = warehouse.marks(table)
        days = replace(days, marks=marks, open_day=max([new, *(day for day, _ in marks)]))
    return plan_read(table, description, window, days, warehouse.dialect)


def _check_salt(load: Load, earlier: Sequence[Load]) -> None:
    """Refuse to land hashes beside those of another salt, which only a whole landing may change."""
    landed = [each.salt_id for each in earlier if each.outcome == "landed"]
    changes = landed and landed[-1] not in (None, load.salt_id)
    if load.salt_id and changes and not load.window.is_whole:
        raise ConfigError(
            f"{load.table_name}: {SETTING} is not the one that its rows were masked with. No row "
            "was read.",
            f"Set it to the former value; or land the table whole (loader load --full-refresh "
            f"--select {shlex.quote(load.table_name)}), and all that are joined to it, and build "
            "anew (dbt build --full-refresh).",
        )


def previews(jobs: Sequence[Job], warehouse: Warehouse) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Say of every job what it would do, or what would stop it, for JSON; touch nothing.

    Of what it would do `statements` has the SQL in order: MySQL's first, then the warehouse's. What
    a comparison asks MySQL for depends on what it finds, and is left out.
    """
    settings = warehouse.settings.mysql
    for job in jobs:
        load = new_load(job, "<load_id>")
        try:
            with mysql.connect(settings) as source, mysql.snapshot(source, job.table):
                read, landing = plan_load(job, load, source, warehouse)
                rows = mysql.count_window(source, job.table, read)
        except LoaderError as error:
            warehouse.release()
            yield job, Outcome(job=job, load=None, error=error).as_json()
            continue
        reading = (read.count_without_cursor, read.count, read.rows) if not load.is_of_keys else ()
        changes = [statement for _, statements in landing.changes for statement in statements]
        writing = warehouse.landing_statements(landing)
        yield (
            job,
            {
                **job.as_json(),
                "source_rows": rows,
                "changes": [sentence for sentence, _ in landing.changes],
                "statements": [*filter(None, reading), *changes, *writing],
            },
        )
