"""The whole daily job, everything included: what a day of changes costs, and one without any.

The repository's own project, with `nps` at two sizes, the second ten times the first.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.growth import (
    AUGUST,
    GROWTH,
    Field,
    Line,
    begin,
    grow,
    land_anew,
    middle,
    report_of,
)
from bench.measure import Cost, WayError
from bench.peers import SLING
from bench.peers_day import PeersDay
from bench.place import Place
from loader.declared.windows import DAY

DAYS = "The whole daily job: `loader run`"
NODES = "The ten dearest of dbt's nodes in such a day"
STEPS = ("land", "build", "verify")
_CHANGED = 10_000
_LOOKS = 2  # the first two snapshots, and the tests after them, look at everything
_DEAREST = 10
_PEERS_RUNS = 1  # one takes minutes


@dataclass(kw_only=True)
class Days:
    """What some days cost at one size.

    Attributes:
        changed: rows, on each of the days.
        steps, nodes: seconds of each run, by name.
        idle: runs of a day without rows.
        peers: runs of another tool's daily job, or why there are none.
    """

    rows: int
    changed: int
    runs: list[Cost] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)
    nodes: dict[str, list[float]] = field(default_factory=dict)
    idle: list[Cost] = field(default_factory=list)
    peers: list[Cost] = field(default_factory=list)
    without_peers: str = ""


def measure(place: Place, rows: int, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure days at both sizes.

    Args:
        place: with the repository's project.
        rows: of the smaller one.

    Returns:
        Sections, each its lines.
    """
    here = Field(place=place, rows=rows, runs=runs, say=say)
    begin(here)
    small, large = (_days(here, size) for size in (rows, GROWTH * rows))
    return {
        DAYS: [vars(line) for line in lines(small, large)],
        NODES: [vars(line) for line in dearest(small, large)],
    }


def change(here: Field, rows: int, turn: int) -> str:
    """Change rows of `nps` on a day of its own, other ones each turn; returns the day."""
    day, one_in = str(AUGUST + turn * DAY), rows // changed_of(rows)
    here.mysql(
        f"update nps set score = mod(score + 1, 11), updated_at = date_add('{day}', "
        f"interval mod(id, 86400) second) where mod(id, {one_in}) = {turn}"
    )
    here.place.checkpoint()
    return day


def changed_of(rows: int) -> int:
    """How many rows of so many change on a day."""
    return min(_CHANGED, rows // 100)


def fill_and_build(here: Field, rows: int) -> None:
    """Let `nps` have so many rows, landed and built anew."""
    grow(here, rows)
    land_anew(here)
    here.dbt("build", "--exclude-resource-type", "unit_test")
    here.loader("run")
    here.place.settle()


def _days(here: Field, rows: int) -> Days:
    fill_and_build(here, rows)
    days = Days(rows=rows, changed=changed_of(rows))
    for turn in range(_LOOKS + here.runs):
        day = change(here, rows, turn)
        cost = here.loader("run", "--run-date", day, "--json")
        here.say(f"{rows:,} rows, {day}: {cost.seconds:.1f} s, {cost.cpu:.1f} s of CPU")
        if turn >= _LOOKS:
            days.runs.append(cost)
            for step in report_of(cost)["steps"]:
                days.steps.setdefault(step["name"], []).append(round(step["seconds"], 3))
            for name, seconds in nodes(here.place):
                days.nodes.setdefault(name, []).append(round(seconds, 3))
    for _ in range(1 + here.runs):
        cost = here.loader("run", "--json")
        days.idle.append(cost)
        here.say(f"{rows:,} rows, nothing new: {cost.seconds:.1f} s, {cost.cpu:.1f} s of CPU")
    del days.idle[0]
    _peers(here, days)
    return days


def _peers(here: Field, days: Days) -> None:
    """Have the other tool do its days, after those of ours: what it builds takes their place."""
    days.without_peers = SLING.missing()
    if days.without_peers:
        return
    peer = PeersDay(here.place)
    try:
        peer.begin()
        for turn in range(_LOOKS + here.runs, _LOOKS + here.runs + 1 + _PEERS_RUNS):
            change(here, days.rows, turn)
            days.peers.append(peer.run())
            here.say(f"{days.rows:,} rows, Sling and dbt build: {days.peers[-1].seconds:.1f} s")
        del days.peers[0]
    except WayError as error:
        days.without_peers = f"failed: {str(error).partition(' | ')[0]}"


def nodes(place: Place, run: str = "loader_run") -> Iterator[tuple[str, float]]:
    """Read how many seconds each node took in the last run's dbt.

    Args:
        run: the folder in target/ of that dbt; empty for one that was typed by itself.
    """
    file = place.project / "target" / run / "run_results.json"
    for node in json.loads(file.read_text())["results"]:
        kind, _, name, *_ = node["unique_id"].split(".")
        yield f"{kind} `{name}`", node["execution_time"]


def lines(small: Days, large: Days) -> Iterator[Line]:
    """Tell what a day costs at both sizes: whole, by step, by another tool, and without rows."""

    def seconds(costs: Sequence[Cost]) -> list[float]:
        return [round(cost.seconds, 3) for cost in costs]

    told: list[tuple[str, Callable[[Days], list[float]], str]] = [
        ("**`loader run`**, everything included", lambda days: seconds(days.runs), "1.3 ×"),
        *(
            (f"… its step `{name}`", lambda days, name=name: days.steps[name], "")  # type: ignore[misc]
            for name in STEPS
        ),
    ]
    for what, of, limit in told:
        for days in (small, large):
            ratio = f"{middle(of(large)) / max(middle(of(small)), 0.001):.2f} × the small one's"
            cpu = f"{middle([cost.cpu for cost in days.runs]):.1f} s of its CPU" if limit else ""
            found = [cpu, ratio if days is large else ""]
            yield Line(
                what=f"{what}, {days.changed:,} of {days.rows:,} rows",
                seconds=of(days),
                peak_bytes=[cost.peak_bytes for cost in days.runs] if limit else [],
                found=", ".join(filter(None, found)),
                limit=limit if days is large else "",
            )
    for days in (small, large):
        yield Line(
            what=f"{PeersDay.about}, {days.changed:,} of {days.rows:,} rows",
            seconds=seconds(days.peers),
            peak_bytes=[cost.peak_bytes for cost in days.peers],
            found=days.without_peers
            or f"{middle([cost.cpu for cost in days.peers]):.1f} s of its CPU",
        )
    for days in (small, large):
        yield Line(
            what=f"`loader run` of a day without rows, {days.rows:,} rows in the table",
            seconds=seconds(days.idle),
            peak_bytes=[cost.peak_bytes for cost in days.idle],
            found=f"{middle([cost.cpu for cost in days.idle]):.1f} s of its CPU",
            limit="8 s",
        )


def dearest(small: Days, large: Days) -> Iterator[Line]:
    """Tell the nodes that take longest at each size, each beside the other size."""
    for days, other in ((small, large), (large, small)):
        ordered = sorted(days.nodes, key=lambda name: -middle(days.nodes[name]))
        for name in ordered[:_DEAREST]:
            beside = f"{middle(other.nodes.get(name, [0.0])):.2f} s with {other.rows:,}"
            yield Line(what=f"{name}, {days.rows:,} rows", seconds=days.nodes[name], found=beside)
