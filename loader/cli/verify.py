"""The command that compares, and repairs what differs."""

import json
import sys

import click

from loader.cli import options
from loader.cli.landing import asked_for, land_all, route_of
from loader.cli.options import Names
from loader.cli.session import open_session
from loader.declared.windows import Dates


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
    from loader.verify.compare import compare, repair_jobs

    asked, window = asked_for(session, names, dates)
    width = max(len(table.name) for table in asked)
    findings, said = [], set[str]()
    for table in asked:
        finding = compare(table, session.settings, session.warehouse, window, values)
        findings.append(finding)
        if not as_json:
            from loader.cli import console

            console.show_finding(finding, width, said)
    if not as_json:
        console.show_differences(findings)
    jobs = repair_jobs(findings, session.settings, confirmed=yes) if repair else []
    report = land_all(jobs, route_of(session), 1, as_json)
    repaired = {load["table_name"] for load in report["loads"] if load["outcome"] == "landed"}
    is_well = all(each.agrees or each.table.name in repaired for each in findings)
    if as_json:
        tables = [each.as_json() for each in findings]
        click.echo(json.dumps({"tables": tables, **report, "ok": is_well}, indent=2))
    if not is_well:
        sys.exit(1)
