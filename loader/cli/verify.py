"""The command that compares, and repairs what differs."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from loader.cli import options
from loader.cli.session import Session, open_session
from loader.windows import Dates

if TYPE_CHECKING:
    from loader.load import Job, Outcome


@click.command(epilog="Example: loader verify --select nps --repair")
@options.select
@options.days
@click.option("--values", is_flag=True, help="Compare all columns, not keys and versions alone.")
@click.option("--repair", is_flag=True, help="Land exactly what differs, deletions included.")
@click.option("--yes", is_flag=True, help="Repair however much differs.")
@options.target
@options.as_json
def verify(
    names: tuple[str, ...],
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
    from loader import console
    from loader.load import today_in
    from loader.tables import select_tables
    from loader.verify import compared, repair_jobs
    from loader.windows import requested_window

    tables = select_tables(session.tables, names)
    window = requested_window(dates, today=lambda: today_in(session.settings))
    width = max(len(table.name) for table in tables)
    comparisons, outcomes, said = [], list["Outcome"](), list[str]()
    for table in tables:
        each = compared(table, session.settings, session.warehouse, window, values)
        comparisons.append(each)
        if not as_json:
            console.show_finding(each.finding, width)
    findings = [comparison.finding for comparison in comparisons]
    if not as_json:
        console.show_differences(findings)
    if repair:
        jobs = repair_jobs(comparisons, session.settings, confirmed=yes)
        outcomes, said = _land(session, jobs, as_json)
    if as_json:
        told = {"tables": [each.as_json() for each in findings], **console.report(outcomes, said)}
        click.echo(json.dumps(told, indent=2))
    repaired = {outcome.job.table.name for outcome in outcomes if not outcome.error}
    if any(not finding.agrees and finding.table not in repaired for finding in findings):
        sys.exit(1)


def _land(
    session: Session, jobs: "Sequence[Job]", as_json: bool
) -> "tuple[list[Outcome], list[str]]":
    from loader import console, s3
    from loader.load import Route, run_jobs

    route = Route(settings=session.settings, stage=s3.connect(), new_warehouse=session.warehouse)
    with console.quiet() if as_json else console.progress(jobs) as watcher:
        outcomes = []
        for outcome in run_jobs(jobs, route, 1, watcher):
            outcomes.append(outcome)
            watcher.done(outcome)
    return outcomes, watcher.said
