"""`mode: compare`: a table without a cursor is brought by its differences, or copied whole."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.growth import GROWTH, Field, Line, begin, grow
from bench.measure import Cost
from bench.place import SCHEMA, Place, write_sources

COMPARED = "`mode: compare`, beside a whole copy"
_CHANGED = 1_000
_DECLARED = {"source": "prod.nps", "primary_key": ["id"], "mode": "compare"}


def measure(place: Place, rows: int, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Change a thousand rows of many, and bring them both ways.

    Args:
        place: with the repository's project, whose sample is filled.
        rows: a tenth of the table's.
    """
    rows *= GROWTH
    begin(Field(place=place, rows=rows, runs=runs, say=say))
    folder = place.folder / "compared"
    write_sources(folder, {"nps": _DECLARED})
    here = Field(place=replace(place, project=folder), rows=rows, runs=runs, say=say)
    here.place.drop_schemas(SCHEMA)
    grow(here, rows)
    whole = [_load(here, "--full-refresh") for _ in range(runs)]
    compared = [_compared(here, rows, turn) for turn in range(runs)]
    named = {
        f"`loader load`, {_CHANGED:,} of {rows:,} rows changed, found by comparing": compared,
        f"`loader load --full-refresh` of {rows:,} rows": whole,
    }
    return {COMPARED: [vars(_line(what, costs)) for what, costs in named.items()]}


def _load(here: Field, *options: str) -> Cost:
    here.place.settle()
    cost = here.loader("load", "--json", *options, "--select", "nps")
    here.say(f"load {' '.join(options)}: {cost.seconds:.1f} s")
    return cost


def _compared(here: Field, rows: int, turn: int) -> Cost:
    one_in = max(rows // _CHANGED, 1)
    here.mysql(f"update nps set score = mod(score + 1, 11) where mod(id, {one_in}) = {turn}")
    return _load(here)


def _line(what: str, costs: list[Cost]) -> Line:
    def middle(of: Callable[[Cost], float]) -> float:
        return sorted(map(of, costs))[len(costs) // 2]

    def landed(cost: Cost) -> Any:
        return json.loads(cost.output)["loads"][0]

    return Line(
        what=what,
        seconds=[round(cost.seconds, 3) for cost in costs],
        peak_bytes=[cost.peak_bytes for cost in costs],
        found=(
            f"{middle(lambda cost: landed(cost)['landed_rows']):,.0f} rows landed, "
            f"{middle(lambda cost: landed(cost)['staged_bytes']) / 1e6:,.2f} MB staged, "
            f"{middle(lambda cost: cost.mysql_cpu):.1f} s of MySQL's CPU, "
            f"{middle(lambda cost: cost.cpu):.1f} s of its own"
        ),
    )
