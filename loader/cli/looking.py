"""The commands that look and change nothing."""

import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from loader.cli import options
from loader.cli.options import Names
from loader.cli.session import open_session
from loader.declared.settings import SETTINGS
from loader.declared.tables import select_tables
from loader.errors import counted, printable
from loader.load.check import Check, checks
from loader.load.job import now
from loader.load.status import table_status
from loader.run.published import publications, shows_earlier, utc
from loader.run.report import last_known

_SETTINGS = [
    f"{name:24} {setting.meaning}{f' [{setting.default}]' if setting.default else ''}"
    for name, setting in SETTINGS.items()
]


@click.command(
    short_help="Show what is landed, missing or failing.",
    epilog=options.examples(
        "loader status                            every table, a line each",
        "loader status --select nps --json        one table, for a program",
    ),
)
@options.select
@options.target
@options.as_json
def status(names: Names, target: str | None, as_json: bool) -> None:
    """Show what is landed, missing or failing, the last run, what is published and held back."""
    session = open_session(target)
    from loader.cli import console

    tables = select_tables(session.tables, names)
    with closing(session.warehouse()) as warehouse:
        loads = warehouse.loads()
        statuses = [table_status(table, loads, warehouse) for table in tables]
        last, held = last_known(warehouse), shows_earlier(warehouse)
        since = {name: each.built_at for name, each in publications(warehouse).items()}
        if as_json:
            found = {"tables": [each.as_json() for each in statuses], "last_run": last[0]}
            found |= {"published": since, "held_back": held}
            click.echo(json.dumps(found, indent=2, default=utc))
            return
        console.show_status(statuses)
        if not names:
            click.echo()
            console.show_summaries(last, since, held)
        left = {load.table_name for load in loads} - session.tables.keys()
        if left and not names:
            click.echo(f"\nDeclared no more, and as they were: {', '.join(sorted(left))}")


@click.command(
    short_help="Test everything that a first load needs.",
    epilog=options.examples(
        "loader check                             everything, before the first load",
        "loader check --select nps --target redshift",
        "loader check --json                      what an issue asks for; it holds no secret",
    )
    + options.listed("Settings, read from the environment [default]:", _SETTINGS),
)
@options.select
@options.target
@options.as_json
def check(names: Names, target: str | None, as_json: bool) -> None:
    """Test everything that a first load needs but its rows, one line each, with the remedy.

    A value that the warehouse cannot hold stops its load, by name; `loader declare` looks for some.
    """
    session = open_session(target)
    from loader.cli import console

    tables = select_tables(session.tables, names)
    looked_at, said = list[Check](), set[str]()
    with closing(session.warehouse()) as warehouse:
        for each in checks(tables, warehouse):
            looked_at.append(each)
            if not as_json:
                console.show_check(each, said)
    wrong = [each.what for each in looked_at if not each.passed]
    passed = counted(len(looked_at) - len(wrong), "check")
    total = f"\n{passed} passed, {len(wrong):,} wrong: {printable(', '.join(wrong))}."
    if not wrong:
        total = f"\n{passed} passed. No row was looked at: the load refuses what cannot land."
    click.echo(json.dumps([asdict(each) for each in looked_at], indent=2) if as_json else total)
    sys.exit(1 if wrong else 0)


@click.command(
    short_help="Write the summaries as one page of HTML with charts.",
    epilog=options.examples(
        "loader report                            into .local/report.html",
        "loader report --output /var/www/report.html",
    ),
)
@click.option(
    "--output", "-o", "file", type=click.Path(dir_okay=False, path_type=Path),
    default=".local/report.html", show_default=True, help="The file to write.",
)  # fmt: skip
@options.target
def report(file: Path, target: str | None) -> None:
    """Write the summaries as one page of HTML: charts, their numbers, and how fresh they are.

    The page holds all it needs and asks the network for nothing. Its numbers are those of the
    published tables at one instant.
    """
    session = open_session(target)
    from report.page import write_page
    from report.reading import read_summaries

    with closing(session.warehouse()) as warehouse:
        summaries = read_summaries(warehouse, target, session.tables, session.settings.zone)
    write_page(file.resolve(), summaries, session.profile.target, now())  # a link stays one
    click.echo(f"Wrote {file}, {file.stat().st_size / 1e6:.1f} MB: open it in a browser.")
