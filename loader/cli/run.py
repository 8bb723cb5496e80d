"""The daily job."""

import json
import os
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from loader.cli import options
from loader.cli.landing import asked_for, route_of
from loader.cli.session import open_session
from loader.declared.windows import Dates
from loader.errors import CommandLineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.load.job import Job, Watcher


@click.command(
    short_help="Do the day's work: land, build, verify, and notify.",
    epilog=options.examples(
        "loader run                               the daily job; also what cron calls",
        "loader run --run-date 2026-07-01         one day again",
        "loader run --start-date 2026-07-01 --end-date 2026-08-01 --resume",
    ),
)
@options.select
@options.window
@click.option(
    "--parallel",
    type=click.IntRange(1),
    help="Tables of a backfill at a time, none waiting for the others at a day's end.",
)
@click.option("--resume", is_flag=True, help="Go on with the last backfill of that range.")
@click.option(
    "--wait", type=click.IntRange(0), default=0, help="Seconds to wait for another run to end."
)
@options.target
@options.threads
@options.rate
@options.as_json
def run(
    names: tuple[str, ...],
    dates: Dates,
    parallel: int | None,
    resume: bool,
    wait: int,
    target: str | None,
    threads: int,
    rate: int | None,
    as_json: bool,
) -> None:
    """Do the day's work: land, build, check; without dates, every day that is missing.

    One run at a time per target. A step that fails for a reason that may pass is tried again. A
    range is landed day by day and built once. Exit status: 0 all is well, 1 something failed,
    2 the command line is wrong, 75 another run goes on, 128 + N signal N ended it.
    """
    if (parallel or resume) and dates.start_date is None:
        raise CommandLineError(
            f"{'--parallel' if parallel else '--resume'} is for a backfill.",
            "Give --start-date and --end-date with it.",
        )
    session = open_session(target)
    from loader.cli import console
    from loader.load.backlog import Order
    from loader.load.job import now, unwatched
    from loader.load.jobs import is_under_way
    from loader.run import report
    from loader.run.daily import Run
    from loader.warehouse.stop import Stop, asked_by_signals, ends_in_time

    tables, requested = asked_for(session, names, dates)
    folder = session.settings.run.reports
    report.prepare(folder)
    run_id = report.new_run_id(now())
    order = Order(
        run_id=run_id,
        target=session.profile.target,
        dbt_target=target,
        tables=tables,
        selected=bool(names),
        dates=dates,
        requested=requested,
        threads=threads,
        parallel=parallel,
        resume=resume,
        wait=wait,
        log=folder / f"{run_id}.dbt.log" if as_json else None,
    )

    def show(jobs: "Sequence[Job]") -> "AbstractContextManager[Watcher]":
        return unwatched() if as_json else console.progress(jobs)

    stop = Stop()
    this = Run(order, route_of(session, stop.event, rate), stop, show, console.tell(as_json))
    told, file = dict[str, Any](), folder

    def work() -> None:
        nonlocal told, file
        this.do()
        told, file = report.close(this, folder)

    with asked_by_signals(stop):
        ended = ends_in_time(stop, work)
    if not ended and stop.because:
        # Something hangs that nothing could end: it ends with the process.
        this.give_up(stop.because)
        report.write(folder, report.of_run(this, asks=False))
        os._exit(this.exit_status)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        console.show_run(told, file)
    if stop.event.is_set() and is_under_way():
        sys.stdout.flush()  # Python would wait for that load; its connections end with the process
        os._exit(this.exit_status)
    sys.exit(this.exit_status)
