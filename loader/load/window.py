"""One window of one table end to end: the only place that knows source, stage and warehouse."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.declared.windows import WHOLE
from loader.errors import LoaderError, SourceError
from loader.load.job import THREAD_NAME, Job, Outcome, Route, Watcher, now, unexpected
from loader.load.repair import RepairRows
from loader.load.salt import check_salt
from loader.source import mysql
from loader.source.copytext import to_copy_text
from loader.source.future import future_rows
from loader.source.keys import key_columns
from loader.source.masking import masking, salt_id
from loader.source.read_plan import (
    LOAD_ID,
    LOADED_AT,
    RUN_DATE,
    Description,
    ReadPlan,
    check_declaration,
    plan_read,
)
from loader.stage.s3 import folder_of
from loader.stage.staging import Staging
from loader.warehouse import Landing, Warehouse
from loader.warehouse.ledger import Load, changed_columns, next_load_id


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """What is known of a load before a row is read.

    Attributes:
        load: the ledger's row so far.
        changes: what is to change of the raw table's columns: sentences, each with its statements.
    """

    description: Description
    read: ReadPlan
    load: Load
    changes: list[tuple[str, list[str]]]


def load_window(job: Job, route: Route, watcher: Watcher) -> Outcome:
    """Read a window from MySQL, stage it in S3, and land it in the warehouse.

    The table is locked from before it is read until its rows are committed, so the ids of its loads
    tell the order in which the source was observed.

    Returns:
        What became of it; nothing is raised. If it failed, a row of the ledger says why, unless the
        table's lock or the warehouse could not be had.
    """
    load = None
    with closing(route.new_warehouse()) as warehouse:
        route.stop.landing.add(warehouse)
        try:
            newest = warehouse.lock(job.table)
            load = new_load(job, next_load_id(newest, datetime.now(UTC), warehouse.owner))
            return Outcome(job=job, load=_load(job, load, route, warehouse, watcher))
        except Exception as caught:
            error = (
                caught if isinstance(caught, LoaderError) else unexpected(caught, table=job.table)
            )
            if load:
                with suppress(Exception):
                    warehouse.close()  # a connection that is broken would not take the row
                    failed = replace(load, outcome="failed", error=error.fact[:2000])
                    warehouse.record(replace(failed, ended_at=now()))
            return Outcome(job=job, load=None, error=error)
        finally:
            route.stop.landing.discard(warehouse)


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
    job: Job, load: Load, source: mysql.Source, warehouse: Warehouse, settings: Settings
) -> LoadPlan:
    """Decide how a window is read and landed; `loader plan` shows it, a load then does it.

    Raises:
        ConfigError, SourceError, LandingError: what stops the load before it reads.
    """
    table = job.table
    description = mysql.describe(source, table)
    check_declaration(table, description, warehouse.dialect, warehouse.raw_columns)
    window = WHOLE if job.repair else job.window
    read = plan_read(table, description, window, settings.zone, warehouse.dialect)
    masking(table, read, settings.mask_salt)
    folder = folder_of(settings.stage, table.name, load.load_id)
    load = replace(
        load,
        salt_id=salt_id(read, settings.mask_salt),
        manifest=f"s3://{settings.stage.bucket}/{folder}/manifest.json",
    )
    check_salt(load, warehouse.loads(table.name) if load.salt_id else [])
    changes = warehouse.column_changes(table, read.columns, is_whole=job.window.is_whole)
    warehouse.release()
    return LoadPlan(description=description, read=read, load=load, changes=changes)


def new_landing(table: Table, load: Load, read: ReadPlan, warehouse: Warehouse) -> Landing:
    """Say what is to be landed, of which nothing is staged yet."""
    line = warehouse.line(table, read.fields)
    form = warehouse.form(read.columns, load.load_id)
    return Landing(table=table, load=load, columns=read.columns, line=line, form=form)


def _load(job: Job, load: Load, route: Route, warehouse: Warehouse, watcher: Watcher) -> Load:
    """Read, stage and land; where COPY takes them, the first parts while the rest is read."""
    table, settings = job.table, route.settings
    staging = Staging(route.stage, settings.stage, table.name, load.load_id, warehouse.owner)
    staged, landed = Future[Load](), None
    with staging, ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD_NAME}-land") as lander:
        try:
            with mysql.connect(settings.mysql) as source, mysql.snapshot(source, table):
                plan = plan_load(job, load, source, warehouse, settings)
                rows, batches, read = _count_and_read(job, plan, source, settings)
                future = future_rows(source, table, plan.description, plan.read, settings.zone)
                load = replace(plan.load, source_rows=rows, future_rows=future)
                landing = replace(
                    new_landing(table, load, read, warehouse),
                    staged=staged.result,
                    rows=staging.reader,
                    row=staging.row,
                )
                warehouse.release()
                landed = lander.submit(warehouse.land, landing, watcher.say)
                batches = masking(table, read, settings.mask_salt)(_until(route, landed, batches))
                load = _stage(landing, read, batches, staging, watcher)
            staged.set_result(load)
        except BaseException as error:
            if not landed:
                raise
            staging.fail(error)
            staged.set_exception(error)  # landing raises it, if it has not failed before
        return landed.result()


def _count_and_read(
    job: Job, plan: LoadPlan, source: mysql.Source, settings: Settings
) -> tuple[int, Iterator[list[bytes]], ReadPlan]:
    """Count the rows that are to be landed, and begin to read them."""
    table, read = job.table, plan.read
    if not job.repair:
        return mysql.count_window(source, table, read), mysql.stream(source, read), read
    keys = key_columns(table, plan.description, read, settings.zone)
    rows = RepairRows(repair=job.repair, table=table, read=read, keys=keys, at=now())
    return rows.count(source), rows.batches(source), replace(read, fields=rows.fields)


def _until(
    route: Route, landed: Future[Load], batches: Iterator[list[bytes]]
) -> Iterator[list[bytes]]:
    """Read on until the load is to stop or landing has failed."""
    for batch in batches:
        if route.rate_limit:
            route.rate_limit.wait(len(batch))
        route.stop.check()
        if landed.done():
            raise SourceError("Landing has failed; the rest was not read.", "Run it again.")
        yield batch
        del batch


def _stage(
    landing: Landing,
    read: ReadPlan,
    batches: Iterator[list[bytes]],
    staging: Staging,
    watcher: Watcher,
) -> Load:
    """Write the rows into staged files, each with the loader's own columns at its end."""
    load, table = landing.load, landing.table
    own = {
        RUN_DATE: f"{load.started_at:%Y-%m-%d}",
        LOAD_ID: load.load_id,
        LOADED_AT: f"{load.started_at:%Y-%m-%d %H:%M:%S.%f}",
    }
    suffix = landing.form.ending(own[name] for name in landing.line[len(read.fields) :])
    rows, changed = 0, Counter[str]()
    staging.rows_to_come = total = load.source_rows or 0
    if load.future_rows:
        watcher.say(
            f"{table.name}: {load.future_rows:,} rows are dated beyond today by {table.cursor}; "
            "no window holds them before their day"
        )
    watcher.rows(table.name, 0, total)
    key = [name.lower() for name in table.primary_key]
    try:
        for batch in batches:
            count = len(batch)
            text = to_copy_text(batch, read.fields, key, suffix, landing.form)
            staging.write(text.data, count)
            rows += count
            changed += text.changed
            watcher.rows(table.name, rows, total)
            del text  # one row may be many megabytes
    except SourceError as error:
        raise SourceError(f"{table.database}.{table.source}: {error.fact}", error.remedy) from None
    staging.finish()
    return replace(
        load,
        staged_rows=rows,
        changed_values=changed.total(),
        changed_columns=changed_columns(changed),
        files=len(staging.parts),
        staged_bytes=sum(part.bytes for part in staging.parts),
    )
