"""The loads of one table, end to end: the only place that knows source, stage and warehouse."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Event

from loader.declared.tables import Table
from loader.declared.windows import WHOLE
from loader.errors import LoaderError, SourceError
from loader.load.job import THREAD_NAME, Job, Outcome, Route, Watcher, now, unexpected
from loader.load.repair import RepairRows
from loader.source import mysql
from loader.source.copytext import to_copy_text
from loader.source.future import future_rows
from loader.source.keys import key_columns
from loader.source.masking import check_salt, masking, salt_id
from loader.source.read_plan import (
    LOAD_ID,
    LOADED_AT,
    RUN_DATE,
    ReadPlan,
    check_declaration,
    plan_read,
)
from loader.stage.staging import Staging
from loader.warehouse import Landing, Warehouse
from loader.warehouse.ledger import Load, changed_columns, next_load_id


@dataclass
class _Loading:
    """A load under way, and what its reader and its lander tell one another.

    Attributes:
        load: the ledger's row so far.
        ready: what is to be landed, as soon as that is known.
        staged: the ledger's row with its counts, once every row is staged.
        ended: set when landing it has ended, however; before its last row is staged, badly.
    """

    job: Job
    load: Load
    staging: Staging
    ready: Future[Landing] = field(default_factory=Future)
    staged: Future[Load] = field(default_factory=Future)
    ended: Event = field(default_factory=Event)

    def fail(self, error: BaseException) -> None:
        """Tell the lander that no more rows will come, and why."""
        self.staging.fail(error)
        for future in (self.ready, self.staged):
            if not future.done():
                future.set_exception(error)


class Chain:
    """The loads of one table: while one lands the next is read, and lands after it.

    They share the table's lock, from before the first is read until the last has landed, so the
    order of their ids is that in which the source was observed.

    Attributes:
        is_over: whether a window has failed, so that no other is to begin.
    """

    def __init__(self, table: Table, route: Route, watcher: Watcher) -> None:
        self._table = table
        self._route = route
        self._watcher = watcher
        self._warehouse = route.new_warehouse()
        self._ahead = route.new_warehouse()  # what is read ahead asks on a connection of its own
        self._lander = ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD_NAME}-land")
        self._last_outcome: Future[Outcome | None] | None = None
        self._newest_id: str | None = None
        self._future_rows: int | None = None
        self._is_broken = False  # as the lander sees it, who may be a window behind
        self.is_over = False
        route.landing.update((self._warehouse, self._ahead))

    def close(self) -> None:
        """Let go of the table, once what was begun has ended."""
        self._lander.shutdown()
        for warehouse in (self._warehouse, self._ahead):
            self._route.landing.discard(warehouse)
            warehouse.close()

    def begin(self, job: Job) -> Future[Outcome | None]:
        """Read and stage a window; one at a time.

        Returns:
            What becomes of it. If it fails, the ledger has a row that says why, unless the table's
            lock or the warehouse could not be reached. None if one before it has failed.
        """
        try:
            loading = self._loading(job)
        except Exception as error:
            self.is_over = True
            failed = Future[Outcome | None]()
            failed.set_result(Outcome(job=job, load=None, error=self._as_loader_error(error)))
            return failed
        before = self._last_outcome
        self._last_outcome = self._lander.submit(self._outcome, loading)
        try:
            self._read(loading, self._ahead if before and not before.done() else self._warehouse)
            loading.staged.set_result(loading.load)
        except BaseException as error:
            self.is_over = True
            loading.fail(error)
        return self._last_outcome

    def _loading(self, job: Job) -> _Loading:
        is_first = self._last_outcome is None
        if is_first:
            self._newest_id = self._warehouse.lock(self._table)
        owner = self._warehouse.owner
        self._newest_id = next_load_id(self._newest_id, datetime.now(UTC), owner)
        load = Load(
            load_id=self._newest_id,
            table_name=self._table.name,
            mode=job.mode,
            window_start=job.window.start,
            window_end=job.window.end,
            started_at=now(),
        )
        place, stage = self._route.settings.stage, self._route.stage
        staging = Staging(stage, place, self._table.name, load.load_id, owner if is_first else "")
        return _Loading(job=job, load=load, staging=staging)

    def _outcome(self, loading: _Loading) -> Outcome | None:
        """Land a window, in the lander's thread; once one has failed, none behind it lands."""
        job = loading.job
        try:
            with loading.staging:
                try:
                    if self._is_broken:
                        return None
                    landing = loading.ready.result()
                    return Outcome(job=job, load=self._warehouse.land(landing, self._watcher.say))
                finally:
                    loading.ended.set()
                    wait([loading.staged])  # or the reader might stage what nobody removes
        except Exception as caught:
            self._is_broken = self.is_over = True
            error = self._as_loader_error(caught)
            failed = replace(loading.load, outcome="failed", error=error.fact[:2000])
            with suppress(Exception):
                self._warehouse.close()  # or a connection that is broken would not take the row
                self._warehouse.record(replace(failed, ended_at=now()))
            return Outcome(job=job, load=None, error=error)

    def _read(self, loading: _Loading, warehouse: Warehouse) -> None:
        """Read and stage a window; what is to be landed is ready before its rows are."""
        job, settings, staging = loading.job, self._route.settings, loading.staging
        table, load = self._table, loading.load
        with mysql.connect(settings.mysql) as source, mysql.snapshot(source, table):
            description = mysql.describe(source, table)
            check_declaration(table, description, warehouse.dialect, warehouse.raw_columns)
            window = WHOLE if job.repair else job.window
            read = plan_read(table, description, window, settings.zone, warehouse.dialect)
            # What cannot be done stops here, before anything is read.
            mask = masking(table, read, settings.mask_salt)
            loading.load = load = replace(load, salt_id=salt_id(read, settings.mask_salt))
            check_salt(load, warehouse.loads(table.name) if load.salt_id else [])
            if warehouse is self._warehouse:  # else landing the one before may be changing them
                warehouse.column_changes(table, read.columns, is_whole=job.window.is_whole)
            warehouse.release()
            if job.repair:
                keys = key_columns(table, description, read, settings.zone)
                rows = RepairRows(repair=job.repair, table=table, read=read, keys=keys, at=now())
                counted, batches = rows.count(source), rows.batches(source)
                read = replace(read, fields=rows.fields)
                mask = masking(table, read, settings.mask_salt)
            else:
                counted = mysql.count_window(source, table, read)
                batches = mysql.stream(source, read)
            future = self._future(future_rows(source, table, description, read, settings.zone))
            loading.load = load = replace(
                load, source_rows=counted, future_rows=future, manifest=staging.manifest
            )
            landing = Landing(
                table=table,
                load=load,
                columns=read.columns,
                line=warehouse.line(table, read.fields),
                form=warehouse.form(read.columns, load.load_id),
                staged=loading.staged.result,
                rows=staging.reader,
                row=staging.row,
            )
            warehouse.release()
            loading.ready.set_result(landing)
            batches = mask(_until(self._route, loading.ended, batches))
            loading.load = _stage(landing, read, batches, staging, self._watcher.rows)

    def _future(self, rows: int | None) -> int | None:
        """Say, once, how many rows are dated beyond today."""
        if rows and rows != self._future_rows:
            self._watcher.say(
                f"{self._table.name}: {rows:,} rows are dated beyond today by "
                f"{self._table.cursor}; no window holds them before their day"
            )
        self._future_rows = rows
        return rows

    def _as_loader_error(self, error: Exception) -> LoaderError:
        return error if isinstance(error, LoaderError) else unexpected(error, table=self._table)


def _until(route: Route, ended: Event, batches: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """Read on until the run is interrupted or landing has failed."""
    for batch in batches:
        if route.rate_limit:
            route.rate_limit.wait(len(batch))
        if route.stopping.is_set():
            raise SourceError("The run was interrupted; nothing was landed.", "Run it again.")
        if ended.is_set():
            raise SourceError("Landing has failed; the rest was not read.", "Run it again.")
        yield batch
        del batch


def _stage(
    landing: Landing,
    read: ReadPlan,
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
    suffix = landing.form.ending(own[name] for name in landing.line[len(read.fields) :])
    rows, changed = 0, Counter[str]()
    staging.rows_to_come = total = load.source_rows or 0
    watch(table.name, 0, total)
    key = [name.lower() for name in table.primary_key]
    try:
        for batch in batches:
            count = len(batch)
            text = to_copy_text(batch, read.fields, key, suffix, landing.form)
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
