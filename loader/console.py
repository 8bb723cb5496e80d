"""What a person sees: progress, tables, colours on a terminal and plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table as Grid

from loader.check import Check
from loader.differences import Finding
from loader.ledger import REPAIR, Load
from loader.load import Job, Outcome, Watcher
from loader.plan import Preview
from loader.status import TableStatus

_WIDTH = None if sys.stdout.isatty() else 200  # a pipe has no edge to fold lines at
OUT = Console(highlight=False, soft_wrap=True, width=_WIDTH)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)
_MISSING_SHOWN = 3
_DAYS_SHOWN = 31


@dataclass(frozen=True)
class Display(Watcher):
    """A watcher that is also told of a job's end, and keeps what was said for a report."""

    done: Callable[[Outcome], None]
    said: list[str]


@contextmanager
def quiet() -> Iterator[Display]:
    """Show nothing; what is said goes into the report."""
    said = list[str]()
    yield Display(rows=lambda *_: None, say=said.append, done=lambda _: None, said=said)


@contextmanager
def progress(jobs: Sequence[Job]) -> Iterator[Display]:
    """Show a bar per table on a terminal; elsewhere a line per table when it is done."""
    width = max([len(job.table.name) for job in jobs], default=0)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
        console=OUT,
        transient=True,
        disable=not OUT.is_terminal,
    ) as bars:
        tasks = dict[str, TaskID]()

        def rows(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = bars.add_task(f"{table:{width}}", total=total)
            bars.update(tasks[table], completed=done)

        def done(outcome: Outcome) -> None:
            if (task := tasks.pop(outcome.job.table.name, None)) is not None:
                bars.remove_task(task)
            if outcome.load:
                OUT.print(load_line(outcome.load, width), markup=False)
            if outcome.error:
                name = outcome.job.table.name
                ERR.print(f"[red]{name:{width}}  failed[/red]: {escape(outcome.error.fact)}\n")
                ERR.print(escape(outcome.error.remedy))

        yield Display(rows=rows, say=lambda told: OUT.print(escape(told)), done=done, said=[])


def load_line(load: Load, width: int) -> str:
    """One landed load as a line that a person can read."""
    changed = f"  {load.changed_values:,} values changed" if load.changed_values else ""
    landed = REPAIR if load.mode == REPAIR else str(load.window)
    return (
        f"{load.table_name:{width}}  {landed:24}  {load.landed_rows or 0:>12,} rows"
        f"  {_bytes(load.staged_bytes or 0):>8}  {load.seconds:6.1f} s{changed}"
    )


def report(outcomes: Sequence[Outcome], said: Sequence[str]) -> dict[str, Any]:
    """The machine-readable report of a run: its loads, and what was said of columns."""
    return {
        "ok": not any(outcome.error for outcome in outcomes),
        "said": list(said),
        "loads": [
            outcome.load.as_json()
            if outcome.load
            else {
                "table_name": outcome.job.table.name,
                "mode": outcome.job.mode,
                **_window(outcome.job),
                "outcome": "failed",
                "error": outcome.error.fact if outcome.error else None,
                "remedy": outcome.error.remedy if outcome.error else None,
            }
            for outcome in outcomes
        ],
    }


def as_json(preview: Preview) -> dict[str, Any]:
    """One preview, machine-readable."""
    return {
        "table_name": preview.job.table.name,
        "mode": preview.job.mode,
        **_window(preview.job),
        "source_rows": preview.source_rows,
        "files": preview.files,
        "changes": preview.changes,
        "statements": preview.statements,
    }


def _window(job: Job) -> dict[str, str | None]:
    return {
        "window_start": job.window.start.isoformat() if job.window.start else None,
        "window_end": job.window.end.isoformat() if job.window.end else None,
    }


def show_previews(previews: Sequence[Preview]) -> None:
    """Print what would happen, with the SQL; nothing was touched."""
    for preview in previews:
        job = preview.job
        OUT.print(
            f"[bold]{job.table.name}[/bold]  {job.window}  {preview.source_rows:,} rows, "
            f"about {preview.files} file(s)"
        )
        for change in preview.changes:
            OUT.print(f"  {change}", markup=False)
        for statement in preview.statements:
            OUT.print(f"  {statement};", markup=False)
        OUT.print()
    OUT.print("Nothing was touched." if previews else "Nothing to do.")


def show_status(statuses: Sequence[TableStatus]) -> None:
    """Print the ledger's state, a line per table."""
    grid = Grid(
        "table", "last window", "rows", "landed", "failures since", "missing days", box=None
    )
    for status in statuses:
        last, missing = status.last, status.missing_days
        shown = ", ".join(str(day) for day in missing[:_MISSING_SHOWN])
        more = f" and {len(missing) - _MISSING_SHOWN} more" if len(missing) > _MISSING_SHOWN else ""
        grid.add_row(
            status.table,
            str(last.window) if last else "never landed",
            f"{last.landed_rows:,}" if last else "",
            _age(status.age.total_seconds()) if status.age is not None else "",
            str(status.failures or ""),
            shown + more,
        )
    OUT.print(grid)
    for status in statuses:
        if status.error:
            OUT.print(f"\n[red]{status.table}[/red]: {escape(status.error)}")


def show_finding(finding: Finding, width: int) -> None:
    """Print what the comparison of one table has found, as one line."""
    name = f"{finding.table:{width}}"
    if finding.error:
        ERR.print(f"[red]{name}  failed[/red]: {escape(finding.error.fact)}\n")
        ERR.print(escape(finding.error.remedy))
        return
    if not finding.is_landed:
        OUT.print(f"{name}  not landed yet, so there is nothing to compare")
        return
    verdict = f"[red]{finding.differing:,} differ[/red]" if finding.days else "agree"
    pending = f"  {finding.pending:,} pending" if finding.pending else ""
    OUT.print(f"{name}  {finding.rows:>12,} rows  {verdict}  {finding.seconds:6.1f} s{pending}")
    if finding.left_out:
        OUT.print(f"{name}  not compared: {', '.join(finding.left_out)}", markup=False)


def show_differences(findings: Sequence[Finding]) -> None:
    """Print the days on which something differs."""
    if not any(finding.days for finding in findings):
        return
    counts = ("source rows", "warehouse rows", "missing", "extra", "stale")
    grid = Grid("table", "day", box=None)
    for name in counts:
        grid.add_column(name, justify="right")
    for finding in findings:
        for day in finding.days[:_DAYS_SHOWN]:
            numbers = (day.source_rows, day.warehouse_rows, day.missing, day.extra, day.stale)
            grid.add_row(finding.table, str(day.day or ""), *(f"{number:,}" for number in numbers))
        if (more := len(finding.days) - _DAYS_SHOWN) > 0:
            grid.add_row(finding.table, f"and {more} more")
    OUT.print()
    OUT.print(grid)


def show_check(check: Check) -> None:
    """Print one check: what, and either the finding or the fact with its remedy."""
    told = escape(f"{check.what}: {check.finding}")
    if check.passed:
        OUT.print(f"[green]ok[/green]    {told}")
    else:
        OUT.print(f"[red]wrong[/red] {told}\n      {escape(check.remedy)}")


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
