"""The commands that land, say what landing would do, or compare and land what differs."""

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any

import click

from loader.cli import options
from loader.cli.options import Names
from loader.cli.session import Session, open_session
from loader.declared.tables import Table, select_tables
from loader.declared.windows import Dates, Window, requested_window
from loader.load.job import Job, RateLimit, Route, unwatched
from loader.load.jobs import jobs_for, run_jobs
from loader.load.plan import previews
from loader.stage import s3
from loader.verify.compare import compare, differing, repair_jobs
from loader.warehouse import Warehouse
from loader.warehouse.stop import Stop, result_in_time


@click.command(
    short_help="Land a window of each table, or the days that are missing.",
    epilog=options.examples(
        "loader load                              every day from the first that is missing",
        "loader load --run-date 2026-07-01        one day",
        "loader load --start-date 2026-07-01 --end-date 2026-08-01 --select nps",
        "loader load --full-refresh --select channel",
    ),
)
@options.select
@options.window
@options.target
@options.threads
@options.rate
@options.as_json
def load(
    names: Names, dates: Dates, target: str | None, threads: int, rate: int | None, as_json: bool
) -> None:
    """Land a window of each table; without dates, every day that is missing.

    A catch-up begins at the first day that no landing covers, lands the declared look-back days
    before it again, for rows committed late, and stops at yesterday. A table that was never landed
    is landed whole.
    """
    session = open_session(target)
    with closing(session.warehouse()) as warehouse:
        jobs = jobs_of(session, warehouse, names, dates)
        warehouse.prepare()
    report = land_all(jobs, route_of(session, rate), threads, as_json)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    elif not jobs:
        click.echo("Nothing to do: every table is landed up to yesterday.")
    sys.exit(not report["ok"])


@click.command(
    short_help="Say what `load` would do; touch nothing.",
    epilog=options.examples(
        "loader plan                              what the next load would do",
        "loader plan --run-date 2026-07-01 --sql",
        "loader plan --full-refresh --select nps --json",
    ),
)
@options.select
@options.window
@options.target
@options.threads
@click.option("--sql", "with_sql", is_flag=True, help="Show the statements, too.")
@options.as_json
def plan(
    names: Names, dates: Dates, target: str | None, threads: int, with_sql: bool, as_json: bool
) -> None:
    """Say what `load` would do with the same arguments, and touch nothing.

    A table that could not be landed is shown with what would stop it; the exit status is then 1.
    """
    session = open_session(target)
    from loader.cli import console

    with closing(session.warehouse()) as warehouse:
        jobs = jobs_of(session, warehouse, names, dates)
        found = list(previews(jobs, warehouse))
    if as_json:
        click.echo(json.dumps([would for _, would in found], indent=2))
    else:
        console.show_previews(found, with_sql)
    sys.exit(any("error" in would for _, would in found))


@click.command(
    short_help="Compare MySQL with raw_data, and repair what differs.",
    epilog=options.examples(
        "loader verify                            all days, keys and versions",
        "loader verify --run-date 2026-07-01 --values",
        "loader verify --select nps --repair      land what differs",
    ),
)
@options.select
@options.days
@click.option("--values", is_flag=True, help="Compare all columns, not keys and versions alone.")
@click.option("--repair", is_flag=True, help="Land exactly what differs, deletions included.")
@click.option("--yes", is_flag=True, help="Repair however much differs.")
@options.target
@options.as_json
def verify(
    names: Names,
    dates: Dates,
    values: bool,
    repair: bool,
    yes: bool,
    target: str | None,
    as_json: bool,
) -> None:
    """Compare MySQL with raw_data: keys, newest versions, hard deletes.

    No history is trusted, but for the last day that is landed: what changed after it makes no
    difference yet. Ends with status 1 if anything differs and was not repaired.
    """
    session = open_session(target)
    from loader.cli import console

    asked, window = asked_for(session, names, dates)
    width = max(len(table.name) for table in asked)
    findings, said = [], set[str]()
    for table in asked:
        finding = compare(table, session.warehouse, window, values)
        findings.append(finding)
        if not as_json:
            console.show_finding(finding, width, said)
    if not as_json:
        console.show_differences(findings, repair)
    jobs = repair_jobs(findings, session.settings, confirmed=yes) if repair else []
    report = land_all(jobs, route_of(session), 1, as_json)
    repaired = {load["table_name"] for load in report["loads"] if load["outcome"] == "landed"}
    if repaired and not as_json:
        click.echo("The next build brings that into core and the summaries: loader run")
    is_well = all(each.agrees or each.table.name in repaired for each in findings)
    if as_json:
        tables = [each.as_json() for each in findings]
        click.echo(json.dumps({"tables": tables, **report, "ok": is_well}, indent=2))
    sys.exit(not is_well)


def land_all(jobs: Sequence[Job], route: Route, threads: int, as_json: bool) -> dict[str, Any]:
    """Land jobs and show how they go on; returns the machine-readable report.

    Raises:
        StoppedError: a signal has ended it; what was under way was rolled back.
    """
    shown = unwatched()
    if not as_json:
        from loader.cli import console  # rich takes as long to import as MySQL to begin

        shown = console.progress(jobs)
    with shown as watcher:
        work = partial(run_jobs, jobs, route, threads, watcher)
        outcomes = result_in_time(route.stop, work) or []
    if route.stop.because:
        raise route.stop.because
    report: dict[str, Any] = {
        "ok": not any(outcome.error for outcome in outcomes),
        "said": list(watcher.said),
        "loads": [outcome.as_json() for outcome in outcomes],
    }
    if not as_json:
        console.show_totals(report["loads"])
    return report


def jobs_of(session: Session, warehouse: Warehouse, names: Names, dates: Dates) -> Sequence[Job]:
    """Turn the command line into jobs; the ledger is asked what a catch-up has to do."""
    tables, requested = asked_for(session, names, dates)
    say = None if names or requested else partial(click.echo, err=True)
    return list(jobs_for(tables, requested, dates.mode, warehouse, say))


def asked_for(session: Session, names: Names, dates: Dates) -> tuple[list[Table], Window | None]:
    """The tables and the window that the command line asks for; no window means catch-up.

    Raises:
        CommandLineError: one of them is not there, or makes no sense.
    """
    tables = select_tables(session.tables, names)
    return tables, requested_window(dates, session.settings.zone.today())


def route_of(session: Session, rate: int | None = None) -> Route:
    """Where rows come from, are staged and land.

    Args:
        rate: how many rows a second may be read; None for as many as come.
    """
    stop = Stop()
    return Route(
        settings=session.settings,
        stage=s3.shared(session.settings.stage),
        new_warehouse=session.warehouse,
        differing=differing,
        stop=stop,
        rate_limit=RateLimit(rate, stop.event) if rate else None,
    )
