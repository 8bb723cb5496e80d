"""`python -m bench`: every way to bring two tables over, measured in one run.

The ways take turns, so that what else the machine does falls on all of them alike. Every result is
checked column by column, outside its time; a wrong one is marked, and not timed.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench import checks, compared, day, growth, increments, many, report, threads, visits
from bench.measure import Cost, WayError
from bench.peers import peers
from bench.place import Place, close_place, open_place, repository
from bench.tables import NPS, ORDERS, Table, connection, fill
from bench.ways import Way, check_tools, ways
from loader.errors import LoaderError

THREADS, INCREMENTS, GROWTH = "threads", "increments", "growth"
DAY, VISITS, COMPARED, MANY = "day", "visits", "compared", "many"
THREADS_TITLE = "CPU of the loader in a full load of both tables, by what its threads do"
INCREMENTS_TITLE = "0.1 % changed in both tables"
SECTIONS = (THREADS, INCREMENTS, GROWTH, DAY, VISITS, COMPARED, MANY)
_SLOW_SECONDS = 20


@click.command()
@click.option("--only", "-o", multiple=True, help="Ways or sections; else all.")
@click.option("--nps", default=NPS.rows, show_default=True, help="Rows of the narrow table.")
@click.option("--orders", default=ORDERS.rows, show_default=True, help="Rows of the wide one.")
@click.option(
    "--grown",
    default=1_000_000,
    show_default=True,
    help="Rows of the one that grows: to ten times as many.",
)
@click.option(
    "--runs", default=3, show_default=True, help="Runs of each way, in turns; more of what grows."
)
@click.option("--minutes", default=8.0, show_default=True, help="After these, slow ways run less.")
@click.option(
    "--tables", default=many.COUNTS, multiple=True, show_default=True, help="How many are many."
)
@click.option("--json", "file", type=click.Path(path_type=Path), help="Keep the record there.")
@click.option("--leave-up", is_flag=True, help="Do not stop the servers.")
def bench(  # noqa: PLR0913, PLR0917 - one a setting
    only: tuple[str, ...],
    nps: int,
    orders: int,
    grown: int,
    runs: int,
    minutes: float,
    tables: tuple[int, ...],
    file: Path | None,
    leave_up: bool,
) -> None:
    """Measure every way to bring the two tables from MySQL to PostgreSQL."""
    check_tools()
    chosen = [way for way in (*ways(), *peers()) if not only or way.name in only]
    if unknown := set(only) - {*SECTIONS, *(way.name for way in chosen)}:
        raise click.BadParameter(f"no way is called {', '.join(sorted(unknown))}")
    place = open_place()
    try:
        two = [replace(NPS, rows=nps), replace(ORDERS, rows=orders)]
        record = _record(place, two)
        if chosen:
            record["ways"] = measure(place, two, chosen, Limits(runs, minutes))
        repeated = _sections(place, two, grown, runs, tables)
        record["sections"], failed = _measured(repeated, only)
    finally:
        if not leave_up:
            close_place(place)
    print(f"\n{report.text(record)}")
    if file:
        report.keep(record, file)
    if failed:
        sys.exit(1)


def _sections(
    place: Place, two: Sequence[Table], grown: int, runs: int, tables: Sequence[int]
) -> dict[str, Callable[[], dict[str, Any]]]:
    """Every other section, by the name that --only takes."""
    return {
        THREADS: lambda: {THREADS_TITLE: threads.measure(place, two, runs)},
        INCREMENTS: lambda: {INCREMENTS_TITLE: increments.measure(place, two, runs)},
        # More of them, because what it finds is held against ratios of two medians.
        GROWTH: lambda: growth.measure(repository(place), grown, 2 * runs - 1, print),
        DAY: lambda: day.measure(repository(place), grown, runs, print),
        VISITS: lambda: visits.measure(repository(place), grown, runs, print),
        COMPARED: lambda: compared.measure(repository(place), grown, runs, print),
        MANY: lambda: many.measure(place, tables, print),
    }


def _measured(
    sections: Mapping[str, Callable[[], dict[str, Any]]], only: Sequence[str]
) -> tuple[dict[str, Any], bool]:
    """Measure the sections that were asked for; returns them, and whether one has failed."""
    found, failed = dict[str, Any](), False
    for name, section in sections.items():
        if only and name not in only:
            continue
        try:
            found.update(section())
        except WayError as error:
            failed = True
            found[name] = [vars(growth.Line(what=name, found=f"failed: {error}"))]
    return found, failed


class Limits:
    """How often each way runs: `runs` times, slow ones less often once the minutes are over."""

    def __init__(self, runs: int, minutes: float) -> None:
        self.runs = runs
        self._until = time.monotonic() + minutes * 60

    def allow(self, done: Sequence[Cost]) -> bool:
        """Whether a way that has run so often may run again."""
        longest = max((cost.seconds for cost in done), default=0)
        in_time = time.monotonic() + longest < self._until
        return len(done) < self.runs and (in_time or longest < _SLOW_SECONDS)


def _record(place: Place, tables: Sequence[Table]) -> report.Record:
    """Fill the tables, and note what is measured where."""
    with connection(place.endpoints) as source:
        for table in tables:
            print(f"{table.name}: {table.rows:,} rows")
            fill(source, table)
        with source.cursor() as cursor:
            cursor.execute("select version()")
            ((mysql,),) = cursor.fetchall()
    with place.warehouse() as cursor:
        cursor.execute("show server_version")
        ((postgres,),) = cursor.fetchall()
    received = next(way for way in ways() if way.name == "wire").run(place, tables).output
    return {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "mysql": mysql,
            "postgres": postgres,
            "python": platform.python_version(),
        },
        "rows": {table.name: table.rows for table in tables},
        "bytes": sum(int(line.split()[1].replace(",", "")) for line in received.splitlines()),
    }


def measure(
    place: Place,
    tables: Sequence[Table],
    chosen: Sequence[Way],
    limits: Limits,
) -> list[dict[str, Any]]:
    """Run the ways in turns, and note each run."""
    expected = checks.source_sums(place, tables)
    costs = {way.name: list[Cost]() for way in chosen}
    notes: dict[str, dict[str, Any]] = {way.name: {} for way in chosen}
    for way in chosen:
        if why := way.missing():
            notes[way.name]["missing"] = why
            print(f"{way.name}: skipped, {why}")
    for turn in range(limits.runs):
        for way in chosen:
            if notes[way.name] or not limits.allow(costs[way.name]):
                continue
            try:
                cost, wrong = _once(place, tables, way, expected)
            except WayError as error:
                notes[way.name]["failed"] = str(error)
                print(f"{way.name}: failed, {error}")
                continue
            costs[way.name].append(cost)
            told = f"wrong in {', '.join(wrong)}" if wrong else f"{cost.seconds:.1f} s"
            print(f"{turn + 1}/{limits.runs}  {way.name:10} {told}")
            if wrong:
                notes[way.name]["wrong"] = wrong
    return [
        {
            "name": way.name,
            "about": way.about,
            **notes[way.name],
            "runs": [
                {**_numbers(cost), "staged_bytes": way.staged(place, cost)}
                for cost in costs[way.name]
            ],
        }
        for way in chosen
    ]


def _once(
    place: Place, tables: Sequence[Table], way: Way, expected: dict[str, checks.Sums]
) -> tuple[Cost, list[str]]:
    """Run a way into empty tables, and compare what has arrived."""
    way.prepare(place, tables)
    place.clean_bucket()
    place.checkpoint()
    cost = way.run(place, tables)
    wrong = checks.wrong_columns(place, way.schema, tables, expected) if way.schema else []
    way.prepare(place, ())
    return cost, wrong


def _numbers(cost: Cost) -> dict[str, float]:
    numbers = {name: value for name, value in asdict(cost).items() if name != "output"}
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in numbers.items()
    }


if __name__ == "__main__":
    try:
        bench(prog_name="python -m bench")
    except LoaderError as error:
        click.echo(f"{click.style('Error', fg='red')}: {error}", err=True)
        sys.exit(error.exit_status)
