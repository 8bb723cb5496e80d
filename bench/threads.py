"""`python -m bench.threads load ...`: the loader's command, and the CPU that each thread took."""

import atexit
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.growth import Line
from bench.place import SCHEMA, Place
from bench.tables import Table
from bench.ways import python
from loader.cli import main

WHAT = {
    # threads of this name: what they do
    "load": "reading: receiving, cutting, escaping, checking, compressing",
    "load-land": "landing: reading parts back, decompressing, COPY",
    "upload": "S3's client, made while MySQL answers; then uploads",
    "MainThread": "main: imports, plans, and the end",
}
_spent = Counter[str]()


class _Timed(threading.Thread):
    """A thread that notes what CPU it has taken when it ends."""

    def run(self) -> None:
        try:
            super().run()
        finally:
            _note(self)


def _note(thread: threading.Thread) -> None:
    _spent[thread.name.rstrip("_0123456789")] += time.thread_time()


def _tell() -> None:
    """Tell it as the last line; by now all threads have ended but the main one."""
    _note(threading.main_thread())
    print(json.dumps(_spent))


def measure(place: Place, tables: Sequence[Table], runs: int) -> list[dict[str, Any]]:
    """Load both tables whole, and say what CPU that took where.

    Returns:
        The lines of a section, what took most first.
    """
    load = python("bench.threads", "load", "--full-refresh", "--json", "--select")
    lines = dict[str, Line]()
    for turn in range(runs):
        place.empty_schema(SCHEMA)
        place.clean_bucket()
        place.checkpoint()
        spent = json.loads(load(place, tables).output.splitlines()[-1])
        for name, seconds in spent.items():
            what = WHAT.get(name, name)
            lines.setdefault(what, Line(what=what)).seconds.append(round(seconds, 3))
        print(f"{turn + 1}/{runs}  threads    {sum(spent.values()):.1f} s of CPU")
    return [vars(line) for line in sorted(lines.values(), key=lambda each: -median(each.seconds))]


if __name__ == "__main__":
    threading.Thread = _Timed  # type: ignore[misc]
    atexit.register(_tell)
    main()
