"""One window of one table end to end: the only place that knows source, stage and warehouse."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime

from loader.errors import LandingError, SourceError, unexpected
from loader.load.job import THREAD_NAME, Job, Outcome, Route, Watcher, now
from loader.load.plan import new_load, plan_load
from loader.load.repair import count_repaired, read_repaired
from loader.source import mysql, wire
from loader.source.copytext import ROW, to_copy_text
from loader.source.masking import masking
from loader.source.read_plan import LOAD_ID, LOADED_AT, RUN_DATE, ReadPlan, cost_of_windows
from loader.stage.staging import Staging
from loader.warehouse import Landing, Warehouse
from loader.warehouse.ledger import COMPARE, Load, changed_columns, next_load_id
from loader.warehouse.session import is_transient

RETRY_SECONDS = (1, 5, 15)
"""How long a load waits before each time that it tries again."""


def load_window(job: Job, route: Route, watcher: Watcher) -> Outcome:
    """Read a window from MySQL, stage it in S3, and land it in the warehouse.

    A load whose landing met a conflict, or lost its connection, is tried again from its beginning.

    Returns:
        What became of it; nothing is raised. If it failed, a row of the ledger says why, unless the
        table's lock or the warehouse could not be had.
    """
    begun = list[Load]()
    for seconds in (*RETRY_SECONDS, None):
        try:
            return Outcome(job=job, load=_attempt(job, route, watcher, begun.append))
        except Exception as caught:
            error = unexpected(caught, table=job.table.name)
        may_pass = isinstance(error, LandingError) and is_transient(error)
        if seconds is None or not begun or not may_pass or route.stop.because:
            break
        watcher.say(f"{job.table.name}: trying again in {seconds} s: {error.fact}")
        if route.stop.event.wait(seconds):
            break
    if begun:
        with suppress(Exception), closing(route.new_warehouse()) as warehouse:
            for load in warehouse.loads(job.table.name):
                if load.load_id == begun[-1].load_id:  # committed, but not answered for
                    return Outcome(job=job, load=load)
            failed = replace(begun[-1], outcome="failed", error=error.fact[:2000])
            with warehouse.transaction():
                warehouse.record(replace(failed, ended_at=now()))
    return Outcome(job=job, load=None, error=error)


def _attempt(job: Job, route: Route, watcher: Watcher, note: Callable[[Load], None]) -> Load:
    """Load a window once; the ledger's row is noted as soon as the table is locked."""
    with closing(route.new_warehouse()) as warehouse:
        route.stop.landing.add(warehouse)
        newest = warehouse.lock(job.table)
        load = new_load(job, next_load_id(newest, datetime.now(UTC), warehouse.owner))
        note(load)
        if job.mode == COMPARE and not job.repair:
            found = route.differing(job.table, route.new_warehouse)
            job = replace(job, repair=found, mode=COMPARE if found else "full_refresh")
            load = replace(load, mode=job.mode)
        return _load(job, load, route, warehouse, watcher)


def _load(job: Job, load: Load, route: Route, warehouse: Warehouse, watcher: Watcher) -> Load:
    """Read, stage and land; a warehouse that copies what is read does so at the same time."""
    table, settings = job.table, route.settings
    staging = Staging(route.stage, settings.stage, table.name, load.load_id)
    copied: Future[int] | None = None
    lander = ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD_NAME}-land")
    try:
        with lander, staging:
            with mysql.connect(settings.mysql) as source, mysql.snapshot(source, table):
                read, landing = plan_load(job, load, source, warehouse)
                if not job.window.is_whole and (cost := cost_of_windows(table, read.description)):
                    watcher.say(f"{table.name}: {cost}")
                if job.repair:
                    rows = count_repaired(source, job.repair, read)
                    batches = read_repaired(source, job.repair, read, now())
                else:
                    rows = mysql.count_window(source, table, read)
                    batches = wire.joined_rows(source, read.rows)
                future = mysql.count_future(source, read)
                load = replace(landing.load, source_rows=rows, future_rows=future)
                landing = replace(landing, load=load)
                if warehouse.copies_what_is_read:
                    copied = lander.submit(_copy_of(staging, landing, warehouse, watcher))
                batches = masking(table, read, settings.mask_salt)(_paced(route, batches))
                load = _stage(landing, read, batches, staging, watcher)
            count = copied.result() if copied else warehouse.begin_landing(landing, watcher.say)
            return warehouse.commit_landing(landing, load, count)
    except BrokenPipeError:
        if copied:
            copied.result()  # says why COPY has ended before the rows did
        raise


def _copy_of(
    staging: Staging, landing: Landing, warehouse: Warehouse, watcher: Watcher
) -> Callable[[], int]:
    """Make a COPY that reads what is staged from a pipe; a thread of its own is to run it."""
    reader, writer = os.pipe()
    staging.feed, rows = os.fdopen(writer, "wb"), os.fdopen(reader, "rb", buffering=0)

    def copy() -> int:
        with rows:  # however COPY ends, whoever writes hears of it
            return warehouse.begin_landing(replace(landing, rows=rows), watcher.say)

    return copy


def _paced(route: Route, batches: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """Read no faster than is wanted, until the load is to stop."""
    for batch in batches:
        if route.rate_limit:
            route.rate_limit.wait(len(batch))
        route.stop.check()
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
    rows, changed, content = 0, Counter[str](), hashlib.sha256(repr(read.fields).encode())
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
            if not (table.cursor or load.is_of_keys):
                content.update(ROW.join((*batch, b"")))
            text, names = to_copy_text(batch, read.fields, key, suffix, landing.form)
            staging.write(text, count)
            rows += count
            changed += names
            watcher.rows(table.name, rows, total)
            del text  # one row may be many megabytes
    except SourceError as error:
        raise SourceError(f"{table.place}: {error.fact}", error.remedy) from None
    staging.finish()
    return replace(
        load,
        staged_rows=rows,
        changed_values=changed.total(),
        changed_columns=changed_columns(changed),
        files=len(staging.parts),
        content_hash=None if table.cursor or load.is_of_keys else content.hexdigest(),
        staged_bytes=sum(part.bytes for part in staging.parts),
    )
