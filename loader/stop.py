"""What ends a run before its time: a signal, or the loss of its lease."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

from loader.errors import StoppedError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS = 0.2


class Stop:
    """Asks every part of a run to end; each looks at it where it can leave nothing half done."""

    def __init__(self) -> None:
        self.event = Event()
        self._because: StoppedError | None = None

    def ask(self, because: StoppedError) -> None:
        """Ask the run to end; the first reason counts."""
        self._because = self._because or because
        self.event.set()

    def check(self) -> None:
        """Go on, or end here.

        Raises:
            StoppedError: the run was asked to end.
        """
        if self._because:
            raise self._because

    def sleep(self, seconds: float) -> None:
        """Wait, unless the run is asked to end.

        It looks again and again: a handler that sets an event which its own thread waits for may
        find the event's lock taken.

        Raises:
            StoppedError: the run was asked to end.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _LOOK_SECONDS))
        self.check()


def lease_lost(why: str) -> StoppedError:
    """What ends a run that has lost its lease."""
    return StoppedError(
        f"The run has lost its lease: {why}. What was under way was rolled back.",
        "Look at the other run first, then run this one again.",
    )


@contextmanager
def asked_by_signals(stop: Stop) -> Iterator[None]:
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
