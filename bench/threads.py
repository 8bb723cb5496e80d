"""What CPU a full load of both tables takes, by what the loader's threads do."""

import json
from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.growth import Line
from bench.place import SCHEMA, Place
from bench.tables import Table
from bench.ways import python

ROLES = {
    # threads of this name: what they do
    "load": "reading: receiving, cutting, escaping, checking, compressing, uploading",
    "load-land": "landing: COPY",
    "deadline": "ending statements of the warehouse that take too long",
    "work": "deciding what there is to load, and waiting for it",
    "MainThread": "main: imports, and the end",
}


def measure(place: Place, tables: Sequence[Table], runs: int) -> list[dict[str, Any]]:
    """Load both tables whole, several times.

    Returns:
        The lines of a section, what took most first.

    Raises:
        WayError: a load failed.
    """
    load = python("bench.timed", "load", "--full-refresh", "--json", "--select")
    lines = dict[str, Line]()
    for turn in range(runs):
        place.empty_schema(SCHEMA)
        place.clean_bucket()
        place.checkpoint()
        spent = json.loads(load(place, tables).output.splitlines()[-1])
        for name, seconds in spent.items():
            what = ROLES.get(name, name)
            lines.setdefault(what, Line(what=what)).seconds.append(round(seconds, 3))
        print(f"{turn + 1}/{runs}  threads    {sum(spent.values()):.1f} s of CPU")
    return [vars(line) for line in sorted(lines.values(), key=lambda each: -median(each.seconds))]
