"""What is to be landed, and landing it: several tables at a time, each one's windows in order."""

import ctypes
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import date
from typing import Any

from loader import lines
from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.declared.windows import WHOLE, Window, catch_up_window
from loader.load.chain import Chain
from loader.load.job import THREAD_NAME, Job, Outcome, Route, Watcher, now
from loader.warehouse import Warehouse
from loader.warehouse.ledger import covered_end, day_in, missing_days

TERMINATE_SECONDS = 2
"""How long a load that is to stop may go on, before the warehouse is asked to end it."""
END_SECONDS = 3
"""And before its connections are ended on this side, whatever the servers do."""
GIVE_UP_SECONDS = 5
"""How long a load that is to stop is waited for."""
_LOOK_SECONDS = 0.2
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc's settings [malloc.h]
_LARGE_BYTES = 1 << 20  # more than a batch, so that the memory of one serves the next
_AT_ONCE = 2  # windows of a table: one is read, one lands


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
            own = [load for load in loads if load.table_name == table.name]
            covered = covered_end(own, settings.zone)
            if covered is None:
                yield Job(table=table, window=WHOLE, mode="full_refresh")
                continue
            first = next(iter(missing_days(own, settings.zone)), covered)
            if window := catch_up_window(first, table.lookback_days, today):
                yield Job(table=table, window=window, mode=mode)


def today_in(settings: Settings) -> date:
    """The current day in the declared time zone."""
    return day_in(settings.zone, now())


def run_jobs(
    jobs: Sequence[Job], route: Route, threads: int, watcher: Watcher
) -> Iterator[Outcome]:
    """Land every job, several tables at a time; a table that fails does not stop the others.

    A table's jobs land one after the other, in the order given, up to the first that fails; while
    one lands, the next is read.

    Args:
        threads: how many tables at a time.

    Yields:
        Outcomes in the order in which the jobs end; none for a job that was never begun, or given
        up because one before it failed.
    """
    _return_large_blocks()
    loads = _Loads(jobs, route, threads, watcher)
    try:
        loads.begin()
        while loads.are_under_way and not route.stopping.is_set():
            yield from loads.ended()
        yield from loads.stop()
    finally:
        deque(loads.stop(), 0)
        loads.close()


def _return_large_blocks() -> None:
    """Have memory for long rows go back to the system as soon as it is free.

    The GNU C library raises what it keeps with the largest block that it has seen freed, unless it
    is told; other libraries have no such setting. [mallopt(3): M_MMAP_THRESHOLD]
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE_BYTES)  # of small ones, in bytes


class _Loads:
    """The loads of several tables; of each, one is read and one lands at a time."""

    def __init__(self, jobs: Sequence[Job], route: Route, threads: int, watcher: Watcher) -> None:
        self._route = route
        self._watcher = watcher
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=THREAD_NAME)
        queues = dict[str, deque[Job]]()
        for job in jobs:
            queues.setdefault(job.table.name, deque()).append(job)
        self._waiting = deque(queues.values())
        self._queues = dict[Chain, deque[Job]]()
        self._reading = dict[Future[Future[Outcome | None]], Chain]()
        self._landing = dict[Future[Outcome | None], Chain]()
        self._threads = threads

    def begin(self) -> None:
        """Begin as many tables as there may be at a time."""
        for _ in range(self._threads):
            self._begin_table()

    @property
    def are_under_way(self) -> bool:
        """Whether any was begun that has not ended."""
        return bool(self._reading or self._landing)

    def ended(self) -> Iterator[Outcome]:
        """Wait a moment for loads to end, and begin what follows them; oldest first."""
        under_way: list[Future[Any]] = [*self._reading, *self._landing]
        done = wait(under_way, _LOOK_SECONDS, FIRST_COMPLETED).done
        for future in [each for each in under_way if each in done]:
            if chain := self._reading.pop(future, None):
                self._landing[future.result()] = chain
                self._go_on(chain)
                continue
            chain, outcome = self._landing.pop(future), future.result()
            self._go_on(chain)
            if outcome:
                yield outcome

    def stop(self) -> Iterator[Outcome]:
        """Wait for loads that are to stop, and yield their outcomes.

        Those that read end by themselves; those that land are ended, and rolled back, by ending
        their connection. What does not end even so, such as a request to S3, is left behind.
        """
        if self.are_under_way:
            self._route.stopping.set()
        began = time.monotonic()
        asked = list[threading.Thread]()
        while self.are_under_way and (waited := time.monotonic() - began) < GIVE_UP_SECONDS:
            if waited > TERMINATE_SECONDS and not asked:
                for warehouse in list(self._route.landing):
                    # A warehouse that hangs would not answer this either.
                    asked.append(threading.Thread(target=warehouse.terminate, daemon=True))
                    asked[-1].start()
            if waited > END_SECONDS:
                lines.end_all()
            yield from self.ended()
        for thread in asked:
            thread.join(max(began + GIVE_UP_SECONDS - time.monotonic(), 0))

    def close(self) -> None:
        """Let go of every table that nothing is left behind of, and begin no other."""
        self._waiting.clear()
        for chain in list(self._queues):
            self._queues[chain].clear()
            self._go_on(chain)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin_table(self) -> None:
        if self._waiting and not self._route.stopping.is_set():
            queue = self._waiting.popleft()
            chain = Chain(queue[0].table, self._route, self._watcher)
            self._queues[chain] = queue
            self._go_on(chain)

    def _go_on(self, chain: Chain) -> None:
        """Begin to read a table's next window, unless two are under way; or let the table go."""
        queue, landing = self._queues[chain], list(self._landing.values()).count(chain)
        if chain in self._reading.values():
            return
        if chain.is_over or self._route.stopping.is_set():
            queue.clear()
        if queue and landing < _AT_ONCE:
            self._reading[self._pool.submit(chain.begin, queue.popleft())] = chain
        elif not queue and not landing:
            del self._queues[chain]
            chain.close()
            self._begin_table()


def is_under_way() -> bool:
    """Whether a load goes on that was to stop and did not."""
    left = [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)]
    for thread in left:
        thread.join(_LOOK_SECONDS)
    return any(thread.is_alive() for thread in left)
