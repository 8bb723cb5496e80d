"""The daily job, and whom it notifies."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from loader.cli import options
from loader.cli.landing import asked_for, route_of
from loader.cli.options import Names
from loader.cli.session import leave, open_session
from loader.declared.windows import Dates
from loader.errors import CommandLineError, ConfigError
from loader.load.job import now, unwatched
from loader.run import report
from loader.run.daily import Run
from loader.run.notify import send
from loader.warehouse.stop import result_in_time


@click.command(
    short_help="Do the day's work: land, build, verify, and notify.",
    epilog=options.examples(
        "loader run                               the daily job; also what cron calls",
        "loader run --run-date 2026-07-01         one day again",
        "loader run --thorough                    weekly: checks look at old rows, too",
        "loader run --start-date 2026-07-01 --end-date 2026-08-01 --step day --resume",
    ),
)
@options.select
@options.window
@click.option(
    "--step",
    type=click.Choice(["day", "month"]),
    help="Land a range in such steps, one after the other; else as one window.",
)
@click.option("--resume", is_flag=True, help="Go on with the last backfill of that range.")
@click.option(
    "--wait", type=click.IntRange(0), default=0, help="Seconds to wait for another run to end."
)
@click.option("--thorough", "checks", flag_value="all", default="new", help="Check every row.")
@options.target
@options.threads
@options.rate
@click.option("--verbose", is_flag=True, help="Show all that dbt says, not what failed alone.")
@options.as_json
def run(
    names: Names, dates: Dates, target: str | None, rate: int | None, as_json: bool, **asked: Any
) -> None:
    """Do the day's work: land, build, verify; without dates, every day that is missing.

    One run at a time per target. A step that fails for a reason that may pass is tried again. A
    range is built once. Exit status: 0 all is well, 1 something failed, 2 the command line is
    wrong, 75 another run goes on, 128 + N signal N ended it.
    """
    for option in ("step", "resume"):
        if asked[option] and dates.start_date is None:
            raise CommandLineError(
                f"--{option} is for a backfill.", "Give --start-date and --end-date with it."
            )
    session = open_session(target)
    from loader.cli import console

    tables, requested = asked_for(session, names, dates)
    folder = session.settings.run.reports
    run_id = report.new_run_id(now())
    this = Run(
        run_id=run_id,
        target=session.profile.target,
        dbt_target=target,
        tables=tables,
        selected=bool(names),
        dates=dates,
        requested=requested,
        log=folder / f"{run_id}.dbt.log" if as_json else None,
        route=route_of(session, rate),
        show=lambda jobs: unwatched() if as_json else console.progress(jobs),
        tell=(lambda _: None) if as_json else console.tell,
        **asked,
    )
    written, file = _to_its_end(this, folder)
    if as_json:
        click.echo(json.dumps(written, indent=2))
    else:
        console.show_run(written, file)
    leave(this.exit_status)


@click.command(
    short_help="Send a test message to everybody in LOADER_NOTIFY.",
    epilog=options.examples(
        "loader notify                            try it before the first night",
        "loader notify --message 'Airflow: the run of 2026-07-01 failed'",
    ),
)
@click.option("--message", help="What to say of a run that failed, instead of a test.")
@options.target
def notify(message: str | None, target: str | None) -> None:
    """Send a message to everybody in LOADER_NOTIFY, and say what became of it."""
    session = open_session(target)
    if not session.settings.notify:
        raise ConfigError(
            "Nobody is notified: LOADER_NOTIFY is not set.",
            "Set it to one or more addresses; docs/your-own.md shows some.",
        )
    answers = send(
        "failure" if message else "info",
        f"mysql_to_redshift: {message or 'a test'}, from {session.profile.place}",
        "`loader status` shows what is landed, missing or failing.",
        session.settings.notify,
    )
    for receiver, why in answers.items():
        click.echo(f"{receiver}: {why or 'notified'}")
    sys.exit(any(answers.values()))


def _to_its_end(this: Run, folder: Path) -> tuple[dict[str, Any], Path]:
    """Go through a run; returns its report and the report's file.

    If something hangs that nothing could end in time, it ends with the process.
    """

    def work() -> tuple[dict[str, Any], Path]:
        this.do()
        return report.close(this, folder)

    if ended := result_in_time(this.stop, work):
        return ended
    if this.stop.because:
        this.give_up(this.stop.because)
    report.close(this, folder, hangs=True)
    os._exit(this.exit_status)
