"""A thousandth of both tables has changed since yesterday: what bringing and merging it takes."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, TypeAlias

from bench import checks
from bench.growth import Line
from bench.measure import Cost, WayError, measured
from bench.peers import merges, peers
from bench.place import CORE, Place, program
from bench.tables import DATABASE, Table, connection
from bench.ways import Way, python, ways
from loader.declared.windows import DAY

FIRST = date(2026, 9, 1)
"""The first day of changes, later than any that the tables are filled with."""
_SHARE = 1000
_LIBRARIES = "import boto3, psycopg2, pymysql; boto3.client('s3')"
"""What any loader of Python has to do first that uses these."""

Costs: TypeAlias = dict[str, Cost]
"""What was measured of one day, each after the line of the table that tells it."""


@dataclass(frozen=True, kw_only=True)
class Increment:
    """How a way keeps up.

    Attributes:
        way: the way.
        schema: where it merges the tables.
        first: brings everything, once; not timed.
        day: brings what changed on one day, and merges it.
    """

    way: Way
    schema: str
    first: Callable[[Place, Sequence[Table]], object]
    day: Callable[[Place, Sequence[Table], date], Costs]


@dataclass
class _Story:
    """What became of a way: its lines, or why it has none."""

    lines: dict[str, Line] = field(default_factory=dict)
    reason: str = ""

    @contextmanager
    def told(self) -> Iterator[None]:
        """Note why it failed, if it does."""
        try:
            yield
        except WayError as error:
            self.reason = str(error) if str(error).startswith("wrong") else f"failed: {error}"

    def keep(self, costs: Costs) -> None:
        """Note what a day has cost."""
        for what, cost in costs.items():
            line = self.lines.setdefault(what, Line(what=what))
            line.seconds.append(round(cost.seconds, 3))
            line.peak_bytes.append(cost.peak_bytes)


def increments() -> list[Increment]:
    """Every way that merges, the loader first."""
    by_name = {way.name: way for way in (*ways(), *peers())}
    return [
        Increment(way=by_name["loader"], schema=CORE, first=_load_all, day=_load_day),
        Increment(
            way=by_name["airflow"],
            schema=by_name["airflow"].schema,
            first=by_name["airflow"].run,
            day=lambda place, tables, day: {
                by_name["airflow"].about: python("bench.airflow", "--day", str(day))(place, tables)
            },
        ),
        *(_merging(by_name[name]) for name in merges()),
    ]


def _merging(way: Way) -> Increment:
    return Increment(
        way=way,
        schema=way.schema,
        first=merges()[way.name],
        day=lambda place, tables, day: {way.about: merges(day)[way.name](place, tables)},
    )


def _load_all(place: Place, tables: Sequence[Table]) -> None:
    place.drop_schemas(CORE)
    names = [table.name for table in tables]
    measured(place, [program("loader"), "load", "--full-refresh", "--select", *names])
    _dbt_run(place)


def _load_day(place: Place, tables: Sequence[Table], day: date) -> Costs:
    names = [table.name for table in tables]
    load = [program("loader"), "load", "--run-date", str(day), "--select", *names]
    landed, merged = measured(place, load), _dbt_run(place)
    both = replace(
        landed,
        seconds=landed.seconds + merged.seconds,
        peak_bytes=max(landed.peak_bytes, merged.peak_bytes),
    )
    return {
        "**`loader load --run-date DATE`**": landed,
        "… its libraries imported and S3's client made, nothing else": measured(
            place, [sys.executable, "-c", _LIBRARIES]
        ),
        "… with `dbt run`, which merges": both,
        "… a `dbt run` that selects nothing": _dbt_run(place, "--select", "path:nothing"),
    }


def _dbt_run(place: Place, *options: str) -> Cost:
    return measured(place, [program("dbt"), "--quiet", "run", *options])


def measure(place: Place, tables: Sequence[Table], runs: int) -> list[dict[str, Any]]:
    """Let everything arrive, then change rows a day at a time, and have each way bring each day.

    Returns:
        The lines of a section; that of a way which failed, or is wrong, says so and has no time.
    """
    chosen = [each for each in increments() if not each.way.missing()]
    stories = {each.way.name: _Story() for each in chosen}
    for each in chosen:
        print(f"{each.way.name}: everything, before rows change")
        each.way.prepare(place, tables)
        with stories[each.way.name].told():
            each.first(place, tables)
    for turn in range(runs + 1):
        day = _change(place, tables, turn)
        expected = checks.source_sums(place, tables)
        for each in chosen:
            story = stories[each.way.name]
            if not story.reason:
                costs = Costs()
                with story.told():
                    costs = _once(each, place, tables, day, expected)
                if turn:  # the first day is one on which some ways make their indexes
                    story.keep(costs)
                told = ", ".join(f"{cost.seconds:.1f} s" for cost in costs.values())
                print(f"{turn}/{runs}  {each.way.name:10} {story.reason or told}")
    for each in chosen:
        each.way.prepare(place, ())
    return [vars(line) for each in chosen for line in _lines(each.way, stories[each.way.name])]


def _change(place: Place, tables: Sequence[Table], turn: int) -> date:
    """Change one row in a thousand, other ones each turn, on a day of its own."""
    day = FIRST + turn * DAY
    with connection(place.endpoints) as source, source.cursor() as cursor:
        for table in tables:
            changed_at = f"date_add('{day}', interval mod(id, 86400) second)"
            cursor.execute(
                f"update {DATABASE}.{table.name} set {table.changes}, updated_at = {changed_at} "
                f"where mod(id, {_SHARE}) = {turn}"
            )
    return day


def _once(
    each: Increment,
    place: Place,
    tables: Sequence[Table],
    day: date,
    expected: dict[str, checks.Sums],
) -> Costs:
    """Have a way bring a day, and compare what it has then.

    Raises:
        WayError: it failed, or something is wrong.
    """
    place.checkpoint()
    costs = each.day(place, tables, day)
    if wrong := checks.wrong_columns(place, each.schema, tables, expected):
        raise WayError(f"wrong: {', '.join(wrong)}")
    return costs


def _lines(way: Way, story: _Story) -> list[Line]:
    if story.reason:
        return [Line(what=way.about, found=story.reason.partition(" | ")[0])]
    return list(story.lines.values())
