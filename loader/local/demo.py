"""The demo: the whole way with the commands that a person would type, and a screen at its end."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from loader.declared.windows import DAY
from loader.errors import LandingError
from loader.local import postgres, sample
from loader.local.services import Endpoints

_LOAD = (
    "loader", "load",
    "--start-date", str(sample.FIRST_DAY), "--end-date", str(sample.LAST_DAY + DAY),
)  # fmt: skip
_BAR = 30


def run(console: Console, endpoints: Endpoints) -> None:
    """Fill the sample, land it, build, and show what came of it; what is done already is kept.

    Raises:
        LandingError: a step failed; its own output has said why.
    """
    began = time.monotonic()
    address = sample.Address(endpoints.mysql_port, endpoints.admin_password)
    if not sample.is_filled(address):
        console.print(f"[bold]Filling MySQL[/bold] with {sample.FIRST_DAY} to {sample.LAST_DAY}")
        sample.fill(
            address, Path(".local"), lambda name, rows: console.print(f"  {name:21}{rows:>9,} rows")
        )
    if missing := _not_landed(endpoints):
        selected = [] if len(missing) == len(sample.TABLES) else ["--select", *missing]
        typed = [*_LOAD, *selected]
        console.print(f"\n[bold]$ {' '.join(typed)}[/bold]")
        found = [_program(typed[0]), *typed[1:]]
        if subprocess.run(found, env=_environment(), check=False).returncode:  # noqa: S603
            raise LandingError("Landing the sample failed.", "Mend what it names, then make demo.")
    console.print("\n[bold]$ dbt build[/bold]")
    _build(console)
    console.print()
    console.print(_stages(endpoints, address))
    console.print(_nps(endpoints))
    console.print(_channels(endpoints))
    console.print(f"\nFrom MySQL to checked summaries in {time.monotonic() - began:.0f} s. Next:\n")
    for command, meaning in (
        ("make play", "let the next day happen in MySQL, and see how to land it"),
        ("loader status", "what the ledger knows of every table"),
        ("make docs", "read the tables' documentation, and the report"),
    ):
        console.print(f"  [bold]{command:38}[/bold]{meaning}")
    console.print("\nwith [bold]export PATH=$PWD/.venv/bin:$PATH[/bold]")


def _not_landed(endpoints: Endpoints) -> list[str]:
    """List the sample's tables that no load has landed yet."""
    landed = set[str]()
    if _query(endpoints, "select 1 from pg_tables where tablename = '_loads'"):
        found = "select table_name from raw_data._loads where outcome = 'landed'"
        landed = {table for (table,) in _query(endpoints, found)}
    return [table for table in sample.TABLES if table not in landed]


def _environment() -> dict[str, str]:
    """The caller's environment, but for what would lead to another warehouse than the demo's."""
    return {**os.environ, "DBT_TARGET": "local", "DBT_PROFILES_DIR": str(Path.cwd())}


def _build(console: Console) -> None:
    """Run dbt build with one line of progress; its own output only when it fails."""
    with (
        Progress(
            TextColumn("  models and tests"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        ) as progress,
        subprocess.Popen(  # noqa: S603
            [_program("dbt"), "--no-use-colors", "build"],
            env=_environment(),
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        task = progress.add_task("build", total=None)
        lines, done = list[str](), 0
        for line in process.stdout or ():
            lines.append(line)
            if found := re.search(r" (\d+) of (\d+) (?!START)", line):
                done += 1
                progress.update(task, completed=min(done, int(found[2])), total=int(found[2]))
    if process.returncode:
        console.print("".join(lines[-60:]), markup=False)
        raise LandingError("dbt build failed.", "Mend what it names, then make demo.")
    console.print(f"  {lines[-1].split('  ')[-1].strip()}")


def _stages(endpoints: Endpoints, address: sample.Address) -> Grid:
    """Rows per table at each stage."""
    grid = Grid(
        "table", title="Rows per table, and the time to land them", title_justify="left", box=None
    )
    for heading in ("in MySQL", "in raw_data", "newest version", "seconds"):
        grid.add_column(heading, justify="right")
    loads = dict(
        _query(
            endpoints,
            "select distinct on (table_name) table_name, extract(epoch from ended_at - started_at) "
            "from raw_data._loads where outcome = 'landed' order by table_name, landed_rows desc",
        )
    )
    counts = {
        table: (
            sample.count(address, table),
            _query(endpoints, f"select count(*) from raw_data.{table}")[0][0],
            _query(endpoints, f"select count(*) from analytics.{table}")[0][0],
        )
        for table in sample.TABLES
    }
    for table in sorted(counts, key=lambda table: -counts[table][0]):
        grid.add_row(table, *(f"{rows:,}" for rows in counts[table]), f"{loads[table]:.1f}")
    return grid


def _nps(endpoints: Endpoints) -> Grid:
    """The score per month, with a bar."""
    grid = Grid("month", title="\nNet Promoter Score", title_justify="left", box=None)
    for heading in ("answers", "NPS", "±"):
        grid.add_column(heading, justify="right")
    grid.add_column("")
    months = _query(
        endpoints,
        "select answered_month, responses, nps, nps_margin "
        "from analytics.nps_summary_monthly order by 1",
    )
    highest = max([abs(float(nps)) for _, _, nps, _ in months], default=1.0)
    for month, responses, nps, margin in months:
        colour = "green" if nps >= 0 else "red"
        bar = "█" * round(_BAR * abs(float(nps)) / highest)
        grid.add_row(
            f"{month:%Y-%m}", f"{responses:,}", f"{nps:.1f}", f"{margin:.1f}",
            f"[{colour}]{bar}[/{colour}]",
        )  # fmt: skip
    return grid


def _channels(endpoints: Endpoints) -> Grid:
    """Users by the channel they came through first and last."""
    flows = _query(
        endpoints,
        "select first_channel, last_channel, count(*) from analytics.channel_summary "
        "where first_channel is not null group by 1, 2",
    )
    users = {(first, last): count for first, last, count in flows}
    lasts = sorted({last for _, last in users})
    grid = Grid(
        "first \\ last", title="\nUsers by first and last channel", title_justify="left", box=None
    )
    for last in lasts:
        grid.add_column(last, justify="right")
    for first in sorted({first for first, _ in users}):
        grid.add_row(first, *(str(users.get((first, last), "")) for last in lasts))
    grid.add_section()
    return grid


def _query(endpoints: Endpoints, statement: str) -> Sequence[tuple[Any, ...]]:
    return postgres.query(endpoints.postgres_port, statement)[1]


def _program(name: str) -> str:
    """Find a program of this environment, whatever PATH says."""
    return str(Path(sys.executable).with_name(name))
