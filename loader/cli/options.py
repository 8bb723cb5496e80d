"""Options that several commands share."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import click

from loader.declared.tables import read_tables
from loader.declared.windows import Dates
from loader.errors import CommandLineError, LoaderError

Command = Callable[..., Any]
Names = tuple[str, ...]
_FEWEST, _MOST = 4, 8  # tables at a time: a load mostly waits, and the source is in production


def examples(*lines: str) -> str:
    """Write what a command's help ends with: commands to type, as they are written."""
    return listed("Examples:", lines)


def listed(heading: str, lines: Iterable[str]) -> str:
    """Write lines for a command's help that click does not fill."""
    return "\n".join(("\b", heading, *(f"  {line}" for line in lines), "", ""))


def _declared(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Complete a table's name in the shell; in silence, where there is no project."""
    with suppress(LoaderError):
        return [name for name in read_tables(Path.cwd())[1] if name.startswith(begun)]
    return []


def select(command: Command) -> Command:
    """Add --select TABLE ..., as dbt has it."""

    @click.option(
        "--select", "-s", "selected", multiple=True, metavar="TABLE ...",
        shell_complete=_declared, help="These tables only.",
    )  # fmt: skip
    @click.argument("more", nargs=-1, metavar="", shell_complete=_declared)
    @wraps(command)
    def with_names(selected: Names, more: Names, **options: Any) -> Any:
        if more and not selected:
            raise CommandLineError(
                f"Unexpected argument {more[0]}.", f"Did you mean --select {' '.join(more)}?"
            )
        names = tuple(text for text in (*selected, *more) if text.strip())
        if selected and not names:
            raise CommandLineError("--select names no table.", "Name one, or leave it out.")
        return command(names=names, **options)

    return with_names


def days(command: Command) -> Command:
    """Add the options that name days; the command gets them as `dates`."""

    @click.option("--end-date", metavar="DATE", help="The day after the last; not included.")
    @click.option("--start-date", metavar="DATE", help="The first day of a range.")
    @click.option("--run-date", metavar="DATE", help="One day, such as 2026-07-01.")
    @wraps(command)
    def with_dates(**options: Any) -> Any:
        given = {name: options.pop(name) for name in Dates._fields if name in options}
        return command(dates=Dates(**given), **options)

    return with_dates


def window(command: Command) -> Command:
    """Add the options that say which days, or the whole table, to land."""
    full_refresh = click.option(
        "--full-refresh", is_flag=True, help="The whole table, replaced in one transaction."
    )
    return days(full_refresh(command))


target = click.option("--target", "-t", help="Target of the dbt profile; else the profile's own.")
threads = click.option(
    "--threads", "--parallel", "threads", type=click.IntRange(1),
    default=lambda: min(max(os.cpu_count() or 0, _FEWEST), _MOST),
    show_default=f"the machine's cores, from {_FEWEST} to {_MOST}",
    help="Tables at a time.",
)  # fmt: skip
rate = click.option(
    "--max-rows-per-second", "rate", type=click.IntRange(1), help="Read no faster than this."
)
as_json = click.option("--json", "as_json", is_flag=True, help="One machine-readable report.")
