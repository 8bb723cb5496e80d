"""One table, one window, end to end: the only place that knows source, stage and warehouse."""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING

from loader import mysql
from loader.brake import Brake
from loader.config import Settings
from loader.copytext import to_copy_text
from loader.errors import LoaderError, SourceError
from loader.keys import key_columns
from loader.ledger import Load, changed_columns
from loader.masking import check_salt, masking, salt_id
from loader.reading import LOAD_ID, LOADED_AT, RUN_DATE, Reading, check_declaration, reading
from loader.repair import Repair, RepairRows
from loader.staging import Staging
from loader.tables import Table
from loader.warehouse import Landing, Warehouse
from loader.windows import WHOLE, Window

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@dataclass(frozen=True, kw_only=True)
class Job:
    """One table and the window of it that is to be landed; or of a repair, its keys' days."""

    table: Table
    window: Window
    mode: str
    repair: Repair | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job: its ledger row, and the error if it failed."""

    job: Job
    load: Load | None
    error: LoaderError | None = None


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where rows come from, are staged and land; threads share it.

    Attributes:
        stage: gives the client of S3.
        new_warehouse: makes a warehouse with a connection of its own.
        stopping: set when the run is to end before its time.
        brake: what reading the source is slowed down by; None for nothing.
        landing: the warehouses of the loads that are under way.
    """

    settings: Settings
    stage: "Callable[[], S3Client]"
    new_warehouse: Callable[[], Warehouse]
    stopping: Event = field(default_factory=Event)
    brake: Brake | None = None
    landing: set[Warehouse] = field(default_factory=set)


@dataclass(frozen=True)
class Watcher:
    """Who is told how a load goes on.

    Attributes:
        rows: called with a table's name, the rows read so far and the rows there are.
        say: called with a sentence, such as a column that was added.
        done: called with what became of a job.
        said: what was said, if it is kept for a report.
    """

    rows: Callable[[str, int, int], None]
    say: Callable[[str], None]
    done: Callable[[Outcome], None]
    said: Sequence[str] = ()


@contextmanager
def unwatched() -> Iterator[Watcher]:
    """Show nothing, and keep what is said."""
    said = list[str]()
    yield Watcher(rows=lambda *_: None, say=said.append, done=lambda _: None, said=said)


def land(job: Job, route: Route, watcher: Watcher) -> Load:
    """Land one window of one table.

    Returns:
        The ledger's row, committed with the rows.

    Raises:
        ConfigError, SourceError, StageError, LandingError: the window is as it was; the ledger
            has a row that says why, if the warehouse can be reached.
    """
    with _locked(job.table, route) as (warehouse, load_id):
        load = Load(
            load_id=load_id,
            table_name=job.table.name,
            mode=job.mode,
            window_start=job.window.start,
            window_end=job.window.end,
            started_at=now(),
        )
        progress = _Progress(load)
        try:
            return _read_stage_land(job, progress, route, warehouse, watcher)
        except Exception as caught:
            error = caught if isinstance(caught, LoaderError) else unexpected(caught)
            failed = replace(progress.load, outcome="failed", error=error.fact[:2000])
            with suppress(Exception):
                warehouse.record(replace(failed, ended_at=now()))
            raise error from caught.__cause__


@contextmanager
def _locked(table: Table, route: Route) -> Iterator[tuple[Warehouse, str]]:
    """Give a warehouse that holds the table's lock, and the id of the load."""
    warehouse = route.new_warehouse()
    route.landing.add(warehouse)
    try:
        with warehouse.lock(table) as load_id:
            yield warehouse, load_id
    finally:
        route.landing.discard(warehouse)


@dataclass
class _Progress:
    """The ledger's row so far, for a load that fails on the way."""

    load: Load


def unexpected(error: Exception, left: str = "nothing was landed") -> LoaderError:
    """A fault of the loader's own; its text is not shown, because nobody knows what it holds."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return LoaderError(
        f"{type(error).__name__} at {at.filename}:{at.lineno}; {left}.",
        "This is a fault of the loader; please report it.",
    )


def _read_stage_land(
    job: Job, progress: _Progress, route: Route, warehouse: Warehouse, watcher: Watcher
) -> Load:
    """Read and stage in this thread; land in another, which may begin as soon as it likes."""
    settings, load = route.settings, progress.load
    with (
        Staging(
            route.stage, settings.stage, job.table.name, load.load_id, warehouse.owner
        ) as staging,
        ThreadPoolExecutor(1, thread_name_prefix="land") as other,
    ):
        with mysql.connect(settings.mysql) as source:
            description = mysql.describe(source, job.table)
            check_declaration(job.table, description, warehouse.dialect)
            window = WHOLE if job.repair else job.window
            read = reading(job.table, description, window, settings.zone, warehouse.dialect)
            # What cannot be done stops here, before anything is read.
            mask = masking(job.table, read, settings.mask_salt)
            progress.load = load = replace(load, salt_id=salt_id(read, settings.mask_salt))
            check_salt(load, warehouse.loads(job.table.name) if load.salt_id else [])
            warehouse.column_changes(job.table, read.columns, is_whole=job.window.is_whole)
            warehouse.release()
            with mysql.snapshot(source):
                if job.repair:
                    keys = key_columns(job.table, description, read, settings.zone)
                    rows = RepairRows(
                        repair=job.repair, table=job.table, read=read, keys=keys, at=now()
                    )
                    counted, batches = rows.count(source), rows.batches(source)
                    read = replace(read, fields=rows.fields)
                    mask = masking(job.table, read, settings.mask_salt)
                else:
                    counted = mysql.count_window(source, job.table, read)
                    batches = mysql.stream(source, read)
                progress.load = load = replace(load, source_rows=counted, manifest=staging.manifest)
                staged = Future[Load]()
                landing = Landing(
                    table=job.table,
                    load=load,
                    columns=read.columns,
                    line=warehouse.line(job.table, read.fields),
                    staged=staged.result,
                    rows=staging.reader,
                    row=staging.row,
                )
                warehouse.release()
                landed = other.submit(warehouse.land, landing, watcher.say)
                try:
                    batches = mask(_until(route, landed, batches))
                    load = _stage(landing, read, batches, staging, watcher.rows)
                except BaseException as error:
                    staging.fail(error)
                    staged.set_exception(error)
                    raise
        progress.load = load
        staged.set_result(load)
        return landed.result()


def _until(
    route: Route, landed: Future[Load], batches: Iterator[list[bytes]]
) -> Iterator[list[bytes]]:
    """Read on until the run is interrupted or the landing has failed."""
    for batch in batches:
        if route.brake:
            route.brake.passed(len(batch))
        if route.stopping.is_set():
            raise SourceError("The run was interrupted; nothing was landed.", "Run it again.")
        if landed.done():
            landed.result()
        yield batch
        del batch


def _stage(
    landing: Landing,
    read: Reading,
    batches: Iterator[list[bytes]],
    staging: Staging,
    watch: Callable[[str, int, int], None],
) -> Load:
    """Write the rows into staged files, each with the loader's own columns at its end."""
    load, table = landing.load, landing.table
    own = {
        RUN_DATE: f"{load.started_at:%Y-%m-%d}",
        LOAD_ID: load.load_id,
        LOADED_AT: f"{load.started_at:%Y-%m-%d %H:%M:%S.%f}",
    }
    suffix = "".join(f"\t{own[name]}" for name in landing.line[len(read.fields) :]) + "\n"
    rows, changed = 0, Counter[str]()
    staging.rows_to_come = total = load.source_rows or 0
    watch(table.name, 0, total)
    key = [name.lower() for name in table.primary_key]
    try:
        for batch in batches:
            count = len(batch)
            text = to_copy_text(batch, read.fields, key, suffix.encode())
            staging.write(text.data, count)
            rows += count
            changed += text.changed
            watch(table.name, rows, total)
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


def now() -> datetime:
    """The ledger's own time: UTC, as the warehouse's columns without a zone hold it."""
    return datetime.now(UTC).replace(tzinfo=None)
