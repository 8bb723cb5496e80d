"""The command line: parse, call, show progress, exit status."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loader.errors import CommandLineError, LoaderError

if TYPE_CHECKING:
    from loader.config import Settings
    from loader.load import Job
    from loader.tables import Table
    from loader.warehouse import Warehouse
    from loader.warehouse.profile import Profile

Command = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Session:
    """What every command starts from: the target, its settings and the declared tables."""

    profile: "Profile"
    settings: "Settings"
    schema: str
    tables: "dict[str, Table]"

    def warehouse(self) -> "Warehouse":
        """Make a warehouse with a connection of its own."""
        from loader.warehouse import open_warehouse

        return open_warehouse(self.profile, self.schema, self.settings)


def open_session(target: str | None) -> Session:
    """Read profile, settings and declarations; connects to nothing.

    Raises:
        ConfigError: one of them is wrong.
    """
    from loader.config import environment, load_settings
    from loader.tables import read_tables
    from loader.warehouse.profile import load_profile, target_name

    project_dir = Path.cwd()
    name = target_name(project_dir, target)
    env = environment(project_dir, name)
    profile = load_profile(project_dir, name, env)
    settings = load_settings(env, name)
    schema, tables = read_tables(project_dir)
    os.environ.clear()  # boto3 reads its settings there
    os.environ.update(env)
    return Session(profile=profile, settings=settings, schema=schema, tables=tables)


def main() -> None:
    """Run the command line; a failure that a person can act on ends without a traceback."""
    try:
        loader(prog_name="loader")
    except LoaderError as error:
        click.echo(f"{click.style('Error', fg='red')}: {error}", err=True)
        sys.exit(error.exit_status)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mysql_to_redshift")
def loader() -> None:
    """Land MySQL tables in the warehouse's schema raw_data, through S3.

    The tables are declared in the dbt source YAML (models/sources); the warehouse is the dbt
    profile's. Run `loader check` before the first load.
    """


def _select(command: Command) -> Command:
    """Add --select TABLE ..., as dbt has it."""

    @click.option("--select", "-s", "selected", multiple=True, metavar="TABLE ...")
    @click.argument("more", nargs=-1, metavar="")
    @wraps(command)
    def with_names(selected: tuple[str, ...], more: tuple[str, ...], **options: Any) -> Any:
        if more and not selected:
            raise CommandLineError(
                f"Unexpected argument {more[0]}.", f"Did you mean --select {' '.join(more)}?"
            )
        names = tuple(name for text in (*selected, *more) for name in text.split())
        if selected and not names:
            raise CommandLineError("--select names no table.", "Name one, or leave it out.")
        return command(names=names, **options)

    return with_names


def _window(command: Command) -> Command:
    """Add the options that say which days."""
    for option in (
        click.option(
            "--full-refresh", is_flag=True, help="The whole table, replaced in one transaction."
        ),
        click.option("--end-date", metavar="DATE", help="The day after the last; not included."),
        click.option("--start-date", metavar="DATE", help="The first day of a range."),
        click.option("--run-date", metavar="DATE", help="One day, such as 2026-07-01."),
    ):
        command = option(command)
    return command


_target = click.option("--target", "-t", help="Target of the dbt profile; else the profile's own.")
_threads = click.option(
    "--threads", type=click.IntRange(1), default=4, show_default=True, help="Tables at a time."
)
_json = click.option("--json", "as_json", is_flag=True, help="One machine-readable report.")


@loader.command(epilog="Example: loader load --run-date 2026-07-01 --select nps channel")
@_select
@_window
@_target
@_threads
@_json
def load(
    names: tuple[str, ...],
    run_date: str | None,
    start_date: str | None,
    end_date: str | None,
    full_refresh: bool,
    target: str | None,
    threads: int,
    as_json: bool,
) -> None:
    """Land a window of each table; without dates, every day since the last landed one.

    A catch-up lands the declared look-back days again, for rows committed late, and stops at
    yesterday. A table that was never landed is landed whole.
    """
    session = open_session(target)
    from loader import console, s3
    from loader.load import Route, run_jobs

    with closing(session.warehouse()) as warehouse:
        jobs = _jobs(session, warehouse, names, (run_date, start_date, end_date, full_refresh))
        warehouse.prepare()
    show = console.quiet() if as_json else console.progress(jobs)
    with show as watcher:
        outcomes = []
        route = Route(
            settings=session.settings, stage=s3.connect(), new_warehouse=session.warehouse
        )
        for outcome in run_jobs(jobs, route, threads, watcher):
            outcomes.append(outcome)
            watcher.done(outcome)
    if as_json:
        click.echo(json.dumps(console.report(outcomes, watcher.said), indent=2))
    elif not jobs:
        click.echo("Nothing to do: every table is landed up to yesterday.")
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        sys.exit(1)


@loader.command(epilog="Example: loader plan --start-date 2026-07-01 --end-date 2026-08-01")
@_select
@_window
@_target
@_threads
@_json
def plan(
    names: tuple[str, ...],
    run_date: str | None,
    start_date: str | None,
    end_date: str | None,
    full_refresh: bool,
    target: str | None,
    threads: int,
    as_json: bool,
) -> None:
    """Say what `load` would do with the same arguments, and touch nothing."""
    session = open_session(target)
    from loader import console
    from loader.plan import preview

    with closing(session.warehouse()) as warehouse:
        jobs = _jobs(session, warehouse, names, (run_date, start_date, end_date, full_refresh))
        previews = [preview(job, session.settings, warehouse) for job in jobs]
    if as_json:
        click.echo(json.dumps([console.as_json(each) for each in previews], indent=2))
    else:
        console.show_previews(previews)


@loader.command()
@_select
@_target
@_json
def status(names: tuple[str, ...], target: str | None, as_json: bool) -> None:
    """Show what the ledger knows: last window, rows, age, failures, missing days."""
    session = open_session(target)
    from loader import console
    from loader.status import table_status
    from loader.tables import select_tables

    tables = select_tables(session.tables, names)
    with closing(session.warehouse()) as warehouse:
        loads = warehouse.loads()
    statuses = [table_status(table, loads, session.settings) for table in tables]
    if as_json:
        click.echo(json.dumps([each.as_json() for each in statuses], indent=2))
    else:
        console.show_status(statuses)


@loader.command()
@_select
@_target
def check(names: tuple[str, ...], target: str | None) -> None:
    """Test everything that a first load needs, one line each, with the remedy."""
    session = open_session(target)
    from loader import console
    from loader.check import checks
    from loader.tables import select_tables

    tables = select_tables(session.tables, names)
    passed = True
    with closing(session.warehouse()) as warehouse:
        for each in checks(tables, session.settings, warehouse):
            console.show_check(each)
            passed = passed and each.passed
    sys.exit(0 if passed else 1)


def _jobs(
    session: Session,
    warehouse: "Warehouse",
    names: tuple[str, ...],
    dates: tuple[str | None, str | None, str | None, bool],
) -> "Sequence[Job]":
    """Turn the command line into jobs; the ledger is asked what a catch-up has to do."""
    from loader.load import jobs_for, today_in
    from loader.tables import select_tables
    from loader.windows import requested_window

    tables = select_tables(session.tables, names)
    requested = requested_window(*dates, today=lambda: today_in(session.settings))
    run_date, start_date, _, full_refresh = dates
    mode = (
        "full_refresh"
        if full_refresh
        else "run_date"
        if run_date
        else "range"
        if start_date
        else "catch_up"
    )
    return list(jobs_for(tables, requested, mode, warehouse, session.settings))
