"""The windows that a run has to land: in which order, and which are left after an attempt."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from loader.declared.tables import Table
from loader.declared.windows import DAY, Dates, Window
from loader.errors import LoaderError, RunError, StoppedError
from loader.load.job import Job, Outcome, Route, Watcher
from loader.load.jobs import jobs_for, run_jobs
from loader.warehouse import Warehouse
from loader.warehouse.ledger import Load
from loader.warehouse.session import is_transient

Show: TypeAlias = Callable[[Sequence[Job]], AbstractContextManager[Watcher]]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked of a run.

    Attributes:
        run_id: its own name.
        target: of the profile; `dbt_target` is the same, if it was asked for by name.
        tables: what to land; `selected` if they are fewer than are declared.
        requested: the window of the dates; None means catch-up.
        threads: how many tables at a time.
        parallel: how many tables at a time go through the days of a backfill, each at its own pace;
            None means that all land a day before any lands the next.
        resume: leave out what an unfinished backfill of the same range has landed.
        wait: how many seconds to wait for another run to end.
        log: the file that dbt's output goes to; None for the terminal.
    """

    run_id: str
    target: str
    dbt_target: str | None
    tables: Sequence[Table]
    selected: bool
    dates: Dates
    requested: Window | None
    threads: int
    parallel: int | None
    resume: bool
    wait: int
    log: Path | None

    @property
    def backfill(self) -> Window | None:
        """The range that is landed day by day, if that is what is asked for."""
        return self.requested if self.dates.start_date else None


class Backlog:
    """What a run has to land, and what became of it so far.

    Attributes:
        outcomes: the last outcome of each job that was begun.
    """

    def __init__(self, order: Order, route: Route) -> None:
        self._order = order
        self._route = route
        self._jobs: list[Job] | None = None
        self.outcomes: dict[tuple[str, Window], Outcome] = {}

    @property
    def failed(self) -> list[str]:
        """The tables that could not be landed."""
        return [table for (table, _), outcome in self.outcomes.items() if outcome.error]

    def landed(self, table: Table) -> list[Window]:
        """The windows of a table that were landed."""
        return [
            window
            for (name, window), outcome in self.outcomes.items()
            if name == table.name and not outcome.error
        ]

    def plan(self, warehouse: Warehouse, since: datetime) -> None:
        """Ask the ledger, once, what there is to do.

        Args:
            since: when the backfill began, if it is one that is gone on with.
        """
        if self._jobs is not None:
            return
        order, settings = self._order, self._route.settings
        jobs = jobs_for(order.tables, order.requested, order.dates.mode, warehouse, settings)
        self._jobs = [each for job in jobs for each in self._days(job)]
        if order.resume:
            loads = [load for load in warehouse.loads() if load.started_at >= since]
            self._jobs = [job for job in self._jobs if not _is_landed(job, loads)]

    def _days(self, job: Job) -> Iterator[Job]:
        """Cut a backfill's range into its days, so that it can be gone on with at any of them."""
        if not self._order.backfill or job.window.is_whole:
            yield job
            return
        for day in job.window:
            yield replace(job, window=Window(day, day + DAY))

    def attempt(self, show: Show, say: Callable[[str], None]) -> None:
        """Land what is left; a table stops at its first window that fails.

        Args:
            show: shows how some jobs go on.
            say: told what is said of tables' columns.

        Raises:
            RunError: tables could not be landed; transient if another attempt may help.
            StoppedError: the run has lost its lease.
        """
        order = self._order
        for key, outcome in list(self.outcomes.items()):
            if outcome.error and may_pass(outcome.error):
                del self.outcomes[key]
        for batch in self._batches():
            left = [job for job in batch if job.table.name not in self.failed]
            with show(left) as watcher:
                told = replace(watcher, say=_both(watcher.say, say))
                for outcome in run_jobs(left, self._route, order.parallel or order.threads, told):
                    self.outcomes[outcome.job.table.name, outcome.job.window] = outcome
                    watcher.done(outcome)
                    if isinstance(outcome.error, StoppedError):
                        raise outcome.error
            if self._route.stopping.is_set():
                return
        if errors := [each.error for each in self.outcomes.values() if each.error]:
            raise RunError(
                f"Not landed: {', '.join(self.failed)}. {errors[0].fact}",
                errors[0].remedy,
                transient=any(may_pass(error) for error in errors),
            )

    def _batches(self) -> Iterator[list[Job]]:
        """What is left, in parts that follow one another: a backfill's days, or all at once.

        Days are parts only where several tables would else be at different ones; those of one table
        land in order anyway. There, tables that are copied whole come first.
        """
        jobs = [
            job for job in self._jobs or () if (job.table.name, job.window) not in self.outcomes
        ]
        order, by_day = self._order, {job.table.name for job in jobs if job.window.start}
        if not order.backfill or order.parallel or len(by_day) <= 1:
            yield jobs
            return
        for _, batch in groupby(sorted(jobs, key=_first_day), key=_first_day):
            yield list(batch)


def may_pass(error: LoaderError) -> bool:
    """Whether the same may well succeed another time, without anybody mending anything."""
    return error.transient or is_transient(error)


def _both(first: Callable[[str], None], second: Callable[[str], None]) -> Callable[[str], None]:
    def say(sentence: str) -> None:
        first(sentence)
        second(sentence)

    return say


def _first_day(job: Job) -> date:
    return job.window.start or date.min


def _is_landed(job: Job, loads: Sequence[Load]) -> bool:
    """Whether some loads hold all of a job's window."""
    return any(
        load.outcome == "landed"
        and load.table_name == job.table.name
        and (load.window.is_whole or load.window == job.window)
        for load in loads
    )
