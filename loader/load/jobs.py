"""What there is to land, and landing it: several tables at a time, each one's windows in order."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import pairwise

from loader.declared.tables import Table
from loader.declared.windows import DAY, WHOLE, Window
from loader.errors import StoppedError
from loader.load.job import THREAD_NAME, Job, Outcome, Route, Watcher
from loader.load.window import load_window
from loader.warehouse import Warehouse
from loader.warehouse.ledger import COMPARE, Load, covered_end, missing_days
from loader.warehouse.session import connections_kept

GIVE_UP_SECONDS = 5
"""How long loads that are to stop are waited for."""
_LOOK_SECONDS = 0.2
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc's settings [malloc.h]
_LARGE_BYTES = 1 << 20  # more than a batch, so that the memory of one serves the next


def jobs_for(
    tables: Sequence[Table],
    requested: Window | None,
    mode: str,
    warehouse: Warehouse,
    say: Callable[[str], None] | None = None,
) -> Iterator[Job]:
    """Decide each table's window: the requested one, or what a catch-up has to do.

    A table without a cursor is copied whole; one of `mode: compare` is compared once it was landed.
    A catch-up copies whole what was never landed, and else lands every day from the first that no
    landing covers up to yesterday, with the look-back before it, for late commits. Where no such
    day is, there is no job.

    Args:
        say: called with a sentence on each table that declares `every` and waits until so many days
            after its last landing; None if tables or a window were asked for, so that none waits.
    """
    is_asked = requested is None or any(table.is_compared for table in tables)
    loads = warehouse.loads() if is_asked else []
    zone = warehouse.settings.zone
    today = zone.today()
    for table in tables:
        own = [load for load in loads if load.table_name == table.name]
        covered = covered_end(own, zone)
        due = covered + table.every_days * DAY if covered else today
        if say and table.every_days > 1 and due > today:
            say(f"{table.name} is not due before {due}; --select {table.name} lands it now.")
        elif table.cursor is None or requested == WHOLE:
            is_compared = table.is_compared and covered and requested != WHOLE
            yield Job(table=table, window=WHOLE, mode=COMPARE if is_compared else mode)
        elif requested:
            yield Job(table=table, window=requested, mode=mode)
        elif covered is None:
            yield Job(table=table, window=WHOLE, mode="full_refresh")
        else:
            first = next(iter(missing_days(own, zone)), covered)
            first -= table.lookback_days * DAY
            if first < today:
                yield Job(table=table, window=Window(first, today), mode=mode)


def in_steps(job: Job, step: str) -> Iterator[Job]:
    """Cut a job of a range into one for each `day`, or each `month` of the calendar."""
    days = job.window
    if days.is_whole:
        yield job
        return
    starts = [day for day in days if step == "day" or day.day == 1 or day == days.start]
    for start, end in pairwise([*starts, days.end]):
        yield replace(job, window=Window(start, end))


def is_landed(job: Job, loads: Sequence[Load]) -> bool:
    """Whether one of some loads holds all of a job's window."""
    days = job.window
    return any(
        load.covers
        and load.table_name == job.table.name
        and (load.window.is_whole or (not days.is_whole and set(days) <= set(load.window)))
        for load in loads
    )


@connections_kept()
def run_jobs(jobs: Sequence[Job], route: Route, threads: int, watcher: Watcher) -> list[Outcome]:
    """Land every job, several tables at a time; a table that fails does not stop the others.

    A table's jobs land one after the other, in the order given, up to the first that fails.

    Args:
        threads: how many tables at a time; each is shown from its own.

    Returns:
        Outcomes in the order in which the jobs ended; none for a job that was never begun, or that
        did not end in time after it was asked to.
    """
    _return_large_blocks()
    by_table, outcomes = dict[str, list[Job]](), list[Outcome]()
    for job in jobs:
        by_table.setdefault(job.table.name, []).append(job)
    pool = ThreadPoolExecutor(threads, thread_name_prefix=THREAD_NAME)
    left = {pool.submit(_land_table, each, route, watcher, outcomes) for each in by_table.values()}
    try:
        while left and route.stop.asked_for < GIVE_UP_SECONDS:
            ended, left = wait(left, _LOOK_SECONDS)
            for table in ended:
                table.result()
    finally:
        if left:  # nobody waits for them any more, or a load hangs
            route.stop.ask(
                StoppedError("The load was interrupted; nothing was landed.", "Run again.")
            )
            wait(left, max(GIVE_UP_SECONDS - route.stop.asked_for, 0))
        pool.shutdown(wait=False, cancel_futures=True)
    return list(outcomes)


def _return_large_blocks() -> None:
    """Have memory for long rows go back to the system as soon as it is free.

    The GNU C library raises what it keeps with the largest block that it has seen freed, unless it
    is told (a fifth more for long rows); other libraries have no such setting. [mallopt(3)]
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE_BYTES)  # of small ones, in bytes


def _land_table(
    jobs: Sequence[Job], route: Route, watcher: Watcher, outcomes: list[Outcome]
) -> None:
    """Land one table's windows one after the other; a sentence that recurs is said once."""
    saying_once = replace(watcher, say=cache(watcher.say))
    for job in jobs:
        if route.stop.because:
            return
        outcome = load_window(job, route, saying_once)
        outcomes.append(outcome)
        watcher.done(outcome)
        if outcome.error:
            return
