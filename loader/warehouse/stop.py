"""What ends a run before its time: a signal, the loss of its lease, a step that takes too long."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from math import inf
from threading import Event, Thread
from types import FrameType
from typing import TypeVar
from weakref import WeakSet

from loader import lines
from loader.errors import StoppedError
from loader.warehouse.session import Session

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 10
"""How long a run may take to end when a signal has asked it to."""
_LONG_GRACE_SECONDS = 60  # for whoever asks instead of a signal
_TERMINATE_SECONDS = 2  # until the warehouse is asked to end the statements under way
_END_SECONDS = 3  # until connections are ended on this side, whatever the servers do
_LOOK_SECONDS = 0.2
_REPORT_SECONDS = 3  # are left to report a run in which something hangs


class Stop:
    """Asks every part of a run to end; each looks at it where it can leave nothing half done.

    Attributes:
        because: why the run is to end; None as long as it is not.
        event: set at the same time, for whoever waits.
        landing: the connections to the warehouse of the loads that are under way.
    """

    def __init__(self) -> None:
        self.event = Event()
        self.because: StoppedError | None = None
        self.landing = WeakSet[Session]()
        self._asked_at = inf

    def ask(self, because: StoppedError) -> None:
        """Ask the run to end; the first reason counts.

        A moment later, what its threads wait for is ended: they hear of nothing until then.
        """
        if not self.because:
            self._asked_at = time.monotonic()
            self.because = because
            Thread(target=self._end_what_is_waited_for, daemon=True).start()
        self.event.set()

    def _end_what_is_waited_for(self) -> None:
        time.sleep(_TERMINATE_SECONDS)
        for session in list(self.landing):
            # A warehouse that hangs does not answer this either.
            Thread(target=session.terminate, daemon=True).start()
        time.sleep(_END_SECONDS - _TERMINATE_SECONDS)
        lines.end_all(opened_before=self._asked_at)

    @property
    def asked_for(self) -> float:
        """For how many seconds the run has been asked to end; 0 as long as it is not."""
        return max(time.monotonic() - self._asked_at, 0)

    @property
    def left(self) -> float:
        """How many seconds the run has left; without end if nobody has asked it to end."""
        if not self.because:
            return inf
        grace = GRACE_SECONDS if self.because.by_signal else _LONG_GRACE_SECONDS
        return max(grace - self.asked_for, 0)

    def check(self) -> None:
        """Go on, or end here.

        Raises:
            StoppedError: the run was asked to end.
        """
        if self.because:
            raise self.because

    def sleep(self, seconds: float) -> None:
        """Wait, unless the run is asked to end.

        Raises:
            StoppedError: it was.
        """
        self.event.wait(seconds)
        self.check()


def lease_lost(why: str) -> StoppedError:
    """What ends a run that has lost its lease."""
    return StoppedError(
        f"The run has lost its lease: {why}. What was under way was rolled back.",
        "Look at the other run first, then run this one again.",
    )


def result_in_time(stop: Stop, work: Callable[[], T]) -> T | None:
    """Do work in a thread, so that this one hears of signals whatever is waited for.

    Returns:
        What it returned; None if it did not end in the time that was left.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="work")
    with _signals_ask(stop):
        done = pool.submit(work)
        while not done.done() and stop.left > _REPORT_SECONDS:
            wait([done], _LOOK_SECONDS)
    pool.shutdown(wait=False)
    return done.result() if done.done() else None


@contextmanager
def _signals_ask(stop: Stop) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP ask the run to end; a second one ends it at once."""

    def handle(number: int, _: FrameType | None) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)
        stop.ask(
            StoppedError(
                f"{signal.Signals(number).name} ended the run; what was under way was rolled back.",
                "Run it again; what had been landed stays landed.",
                number,
            )
        )

    before = {
        number: signal.signal(number, handle)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN  # such as SIGHUP under nohup
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
