"""What is to be landed, and landing it: several tables at a time, each one's windows in order."""

import ctypes
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import date
from typing import TypeAlias

from loader.config import Settings
from loader.errors import LoaderError
from loader.ledger import covered_end, day_in
from loader.load import Job, Outcome, Route, Watcher, land, now
from loader.tables import Table
from loader.warehouse import Warehouse
from loader.windows import WHOLE, Window, catch_up_window

TERMINATE_SECONDS = 2
"""How long a load that is to stop may go on, before its connection is ended."""
GIVE_UP_SECONDS = 10
"""How long a load that is to stop is waited for."""
_LOOK_SECONDS = 0.2
_THREADS = "load"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc's settings [malloc.h]
_LARGE_BYTES = 1 << 20  # more than a batch, so that the memory of one serves the next
_Running: TypeAlias = dict[Future[Outcome], deque[Job]]


def jobs_for(
    tables: Sequence[Table],
    requested: Window | None,
    mode: str,
    warehouse: Warehouse,
    settings: Settings,
) -> Iterator[Job]:
    """Decide each table's window: the requested one, or what a catch-up has to do.

    A table without a cursor is always copied whole; so is one that was never landed when no
    window was requested. A table that has nothing to catch up with has no job.
    """
    loads = warehouse.loads()
    today = today_in(settings)
    for table in tables:
        if table.cursor is None or requested == WHOLE:
            yield Job(table=table, window=WHOLE, mode=mode)
        elif requested:
            yield Job(table=table, window=requested, mode=mode)
        else:
            landed = [load for load in loads if load.table_name == table.name]
            covered = covered_end(landed, lambda instant: day_in(settings.zone, instant))
            if covered is None:
                yield Job(table=table, window=WHOLE, mode="full_refresh")
            elif window := catch_up_window(covered, table.lookback_days, today):
                yield Job(table=table, window=window, mode=mode)


def today_in(settings: Settings) -> date:
    """The current day in the declared time zone."""
    return day_in(settings.zone, now())


def run_jobs(
    jobs: Sequence[Job], route: Route, threads: int, watcher: Watcher
) -> Iterator[Outcome]:
    """Land every job, several tables at a time; a table that fails does not stop the others.

    A table's jobs run one after the other, in the order given, up to the first that fails.

    Args:
        threads: how many tables at a time.

    Yields:
        Outcomes in the order in which the jobs end; none for a job that was never begun.
    """
    _return_large_blocks()
    pool = ThreadPoolExecutor(threads, thread_name_prefix=_THREADS)

    def begin(queue: deque[Job]) -> None:
        if queue:
            running[pool.submit(_outcome, queue.popleft(), route, watcher)] = queue

    running: _Running = {}
    try:
        for queue in _queues(jobs):
            begin(queue)
        while running and not route.stopping.is_set():
            for future in wait(running, _LOOK_SECONDS, FIRST_COMPLETED).done:
                queue, outcome = running.pop(future), future.result()
                if not outcome.error:
                    begin(queue)
                yield outcome
        yield from _stopped(running, route)
    finally:
        deque(_stopped(running, route), 0)
        pool.shutdown(wait=False, cancel_futures=True)


def _return_large_blocks() -> None:
    """Have memory for long rows go back to the system as soon as it is free.

    The GNU C library raises what it keeps with the largest block that it has seen freed, unless it
    is told; other libraries have no such setting. [mallopt(3): M_MMAP_THRESHOLD]
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE_BYTES)  # of small ones, in bytes


def _queues(jobs: Sequence[Job]) -> Iterable[deque[Job]]:
    """Each table's jobs, in order."""
    queues = dict[str, deque[Job]]()
    for job in jobs:
        queues.setdefault(job.table.name, deque()).append(job)
    return queues.values()


def _outcome(job: Job, route: Route, watcher: Watcher) -> Outcome:
    try:
        return Outcome(job=job, load=land(job, route, watcher))
    except LoaderError as error:
        return Outcome(job=job, load=None, error=error)


def _stopped(running: _Running, route: Route) -> Iterator[Outcome]:
    """Wait for loads that are to stop, and yield their outcomes.

    Those that read end by themselves; those that land are ended, and rolled back, by ending their
    connection. What ends neither way, such as a count in MySQL, is left behind.
    """
    if running:
        route.stopping.set()
    for future in list(running):
        if future.cancel():
            del running[future]
    began = time.monotonic()
    while running and (waited := time.monotonic() - began) < GIVE_UP_SECONDS:
        if waited > TERMINATE_SECONDS:
            for warehouse in list(route.landing):
                warehouse.terminate()
        for future in wait(running, _LOOK_SECONDS, FIRST_COMPLETED).done:
            del running[future]
            yield future.result()


def is_under_way() -> bool:
    """Whether a load goes on that was to stop and did not."""
    left = [thread for thread in threading.enumerate() if thread.name.startswith(_THREADS)]
    for thread in left:
        thread.join(1)
    return any(thread.is_alive() for thread in left)
