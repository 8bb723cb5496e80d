"""`python -m bench.timed load ...`: the loader's command, then the CPU that its threads took."""

import atexit
import json
import threading
import time
from collections import Counter

from loader.cli import main

_spent = list[tuple[str, float]]()


class _Timed(threading.Thread):
    """A thread that notes what CPU it has taken when it ends."""

    def run(self) -> None:
        try:
            super().run()
        finally:
            _note(self)


def _note(thread: threading.Thread) -> None:
    _spent.append((thread.name, time.thread_time()))


def _tell() -> None:
    """Print the sums by name as the last line; by now all threads have ended but the main one."""
    _note(threading.main_thread())
    sums = Counter[str]()
    for name, seconds in _spent:
        sums[name.rstrip("_0123456789")] += seconds
    print(json.dumps(sums))


if __name__ == "__main__":
    threading.Thread = _Timed  # type: ignore[misc]
    atexit.register(_tell)
    main()
