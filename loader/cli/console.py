"""What a person sees: progress, tables, colours on a terminal and plain lines elsewhere."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich import progress as bars
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table as Grid
from rich.text import Text

from loader.errors import LoaderError, counted, printable
from loader.load.check import Check
from loader.load.job import Job, Outcome, Watcher, now
from loader.load.status import TableStatus
from loader.run.notify import again, failed_steps, shortened
from loader.run.report import LastRun
from loader.verify.finding import KINDS, Finding
from loader.warehouse.ledger import COMPARE, Load

_WIDTH = None if sys.stdout.isatty() else 200  # a pipe has no edge to fold lines at


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """Go on in silence when whoever read is gone; rich would end the process, and its work."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


# Names and values may look like rich's markup, so there is none.
OUT = _Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True, width=_WIDTH)
ERR = _Terminal(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)
_SHOWN, _DAYS_SHOWN = 3, 31
_COUNTED = ("source_rows", "warehouse_rows", *KINDS)


class _Rate(bars.ProgressColumn):
    """Rows a second of late."""

    def render(self, task: bars.Task) -> Text:
        """Write it as wide for few as for many."""
        return Text(f"{task.speed or 0:>9,.0f}/s")


@contextmanager
def progress(jobs: Sequence[Job]) -> Iterator[Watcher]:
    """Show a bar per table on a terminal; elsewhere a line per table when it is done."""
    width = max([len(job.table.name) for job in jobs], default=0)
    columns = (
        bars.TextColumn("{task.description}", markup=False), bars.BarColumn(20),
        bars.MofNCompleteColumn(), _Rate(),
        bars.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )  # fmt: skip
    with bars.Progress(*columns, console=OUT, transient=True, disable=not OUT.is_terminal) as shown:
        tasks, said = dict[str, bars.TaskID](), set[str]()

        def rows(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = shown.add_task(f"{table:{width}}", total=total)
            shown.update(tasks[table], completed=done, total=total, visible=True)

        def done(outcome: Outcome) -> None:
            # Hidden and not removed: the table's next window may be under way already.
            if (task := tasks.get(outcome.job.table.name)) is not None:
                shown.update(task, visible=False)
            if outcome.load:
                OUT.print(load_line(outcome.load, width))
            if outcome.error:
                # On a terminal they go the way of the bars, or each would write over the other.
                out = OUT if ERR.is_terminal and OUT.is_terminal else None
                _failed(f"{outcome.job.table.name:{width}}", outcome.error, said, out)

        yield Watcher(rows=rows, say=tell, done=done)


def tell(sentence: str) -> None:
    """Print a sentence, or a command as a person would type it."""
    OUT.print(printable(sentence))
    sys.stdout.flush()  # dbt writes to the same place


def show_run(report: Mapping[str, Any], file: Path) -> None:
    """Print what a run landed, how it ended, why, and where its report is."""
    show_totals(report["loads"])
    for step in failed_steps(report):
        ERR.print()
        _failed(step["name"], LoaderError(step["error"], step["remedy"]), set())
    _show_held(report["held_back"])
    seconds = _seconds(report["started_at"], report["ended_at"])
    more = "" if report["ok"] else f"\nTo run it again: {again(report)}"
    OUT.print(f"\nRun {report['run_id']} {report['outcome']} in {seconds:.0f} s: {file}{more}")


def show_totals(loads: Sequence[Mapping[str, Any]]) -> None:
    """Print what several loads landed altogether; a single one says it all by itself.

    Args:
        loads: the ledger's rows, or the like of loads that failed.
    """
    landed = [load for load in loads if load["outcome"] == "landed"]
    if len(loads) > 1 and landed:
        rows = sum(load["landed_rows"] for load in landed)
        size = decimal(sum(load["staged_bytes"] for load in landed))
        began = min(load["started_at"] for load in landed)
        seconds = _seconds(began, max(load["ended_at"] for load in landed))
        OUT.print(f"\ntogether  {len(landed):,} loads  {rows:,} rows  {size}  {seconds:,.1f} s")
    failed = dict.fromkeys(load["table_name"] for load in loads if load["outcome"] != "landed")
    if len(loads) > 1 and failed:
        ERR.print(_styled((f"{len(failed):,} failed", "red"), f": {', '.join(failed)}"))


def load_line(load: Load, width: int) -> str:
    """One landed load as a line that a person can read, of 80 columns for a name of 20 letters."""
    changed = f"  values changed: {_changes(load)}" if load.changed_values else ""
    landed = load.mode if load.is_of_keys else str(load.window)
    return (
        f"{load.table_name:{width}}  {landed:24} {load.landed_rows or 0:>9,} rows"
        f" {decimal(load.staged_bytes or 0):>9} {load.seconds:5.1f} s{changed}"
    )


def show_previews(previews: Sequence[tuple[Job, Mapping[str, Any]]], with_sql: bool) -> None:
    """Print what would happen, on request with the SQL, or what would stop it."""
    width, said = max([len(job.table.name) for job, _ in previews], default=0), set[str]()
    for job, would in previews:
        is_compared = job.mode == COMPARE
        window = "only what differs" if is_compared else str(job.window)
        heading = (f"{job.table.name:{width}}", "bold"), f"  {window:24}  "
        if "error" in would:
            fact, *remedy = _once(would["error"], f"  {would['remedy']}\n", said)
            OUT.print(_styled(*heading, ("would fail", "red"), f": {fact}"), *remedy, sep="\n")
            continue
        rows = f"{would['source_rows']:>12,} rows{' are compared' if is_compared else ''}"
        OUT.print(_styled(*heading, rows))
        sql = (f"{each};" for each in (would["statements"] if with_sql else ()))
        for line in filter(None, "\n".join([*would["changes"], *sql]).split("\n")):
            OUT.print(f"  {printable(line)}")
    more = "" if with_sql else " --sql shows the statements."
    OUT.print(f"\nNothing was touched.{more}" if previews else "Nothing to do.")


def show_status(statuses: Sequence[TableStatus]) -> None:
    """Print the ledger's state, a line per table, without the columns that hold nothing."""
    headings = (
        "table", "landed through", "behind", "newest row", "rows", "landed", "changed values",
        "failures since", "missing", "beyond today", "due",
    )  # fmt: skip
    columns = zip(headings, *(_status_row(status) for status in statuses), strict=True)
    headings, *rows = zip(*(column for column in columns if any(column[1:])), strict=True)
    _show_table(headings, rows)
    for error in dict.fromkeys(each.error for each in statuses if each.error):
        failed = ", ".join(each.table for each in statuses if each.error == error)
        OUT.print("", _styled((failed, "red"), f": {error.removeprefix(f'{failed}: ')}"), sep="\n")
    for status in statuses:
        for gap in status.gaps[:_SHOWN]:
            land = f"loader run --start-date {gap.start} --end-date {gap.end}"
            OUT.print(_styled(f"{status.table} lacks {gap}: {land} --select {status.table}"))


def show_summaries(last: LastRun, built: Mapping[str, datetime], held: Mapping[str, str]) -> None:
    """Print what became of the last run, how old what is published is, and what is held back."""
    run, report = last
    ago = {name: _age((now() - at).total_seconds()) for name, at in built.items()}
    if run:
        is_well = run["outcome"] in ("succeeded", "began")
        warned = f" with {counted(run['dbt_warnings'], 'warning')}" if run["dbt_warnings"] else ""
        at = f" at {run['failed_step']}" if run["failed_step"] else warned
        since = _age((now() - (run["ended_at"] or run["started_at"])).total_seconds())
        when = f"{at}{',' if run['ended_at'] else ''} {since} ({run['run_id']})"
        if not (is_well or report):
            when += ": mend what ended it, then give its command again"
        OUT.print(_styled("last run   ", (run["outcome"], "green" if is_well else "red"), when))
    if report and not report["ok"]:
        said = [it[part] for it in failed_steps(report) for part in ("error", "remedy") if it[part]]
        for line in (*said, f"To run it again: {again(report)}"):
            OUT.print(f"  {shortened(line)}")
    if ago:
        by_age = sorted(built, key=lambda name: built[name])
        ages = f"the newest {ago[by_age[-1]]}, the oldest {ago[by_age[0]]} ({by_age[0]})"
        OUT.print(_styled(f"published  {len(ago)} summar{'y' if len(ago) == 1 else 'ies'}, {ages}"))
    _show_held(held)


def _show_held(held: Mapping[str, str]) -> None:
    for why in dict.fromkeys(held.values()):
        OUT.print(_styled((", ".join(it for it in held if held[it] == why), "red"), f": {why}"))


def _status_row(status: TableStatus) -> tuple[str, ...]:
    last, missing = status.last, status.missing_days
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return (
        status.table,
        str(status.landed_through or "") if last else "never landed",
        f"{status.days_behind:,} d" if status.days_behind else "",
        str(status.newest_row or ""),
        f"{last.landed_rows:,}" if last else "",
        _age(status.age.total_seconds()) if status.age is not None else "",
        printable(_changes(last)) if last else "",
        str(status.failures or ""),
        ", ".join(str(day) for day in missing[:_SHOWN]) + more,
        f"{last.future_rows:,} rows" if last and last.future_rows else "",
        str(status.due or ""),
    )


def show_finding(finding: Finding, width: int, said: set[str]) -> None:
    """Print what the comparison of one table has found, as one line."""
    name = f"{finding.table.name:{width}}"
    if finding.error:
        _failed(name, finding.error, said)
        return
    if not finding.is_landed:
        OUT.print(f"{name}  not landed yet, so there is nothing to compare")
        return
    verdict = (f"{finding.differing:,} differ", "red") if finding.days else "agree"
    pending = f"  {finding.pending:,} pending" if finding.pending else ""
    pending += f", {finding.future:,} of them beyond today" if finding.future else ""
    rows, seconds = f"{name}  {finding.rows:>12,} rows  ", f"  {finding.seconds:6.1f} s{pending}"
    OUT.print(_styled(rows, verdict, seconds))
    if finding.left_out:
        OUT.print(f"{name}  not compared: {', '.join(finding.left_out)}")


def show_differences(findings: Sequence[Finding], is_repaired: bool) -> None:
    """Print the days on which something differs, and what to do unless that follows."""
    rows = list[tuple[str, ...]]()
    for finding in findings:
        for day in finding.days[:_DAYS_SHOWN]:
            counts = (f"{getattr(day, each):,}" for each in _COUNTED)
            rows.append((finding.table.name, str(day.day or ""), *counts))
        if (more := len(finding.days) - _DAYS_SHOWN) > 0:
            rows.append((finding.table.name, f"and {more} more"))
    if rows:
        OUT.print()
        _show_table(("table", "day", *(each.replace("_", " ") for each in _COUNTED)), rows)
        if not is_repaired:
            OUT.print("\nThe same command with --repair (and --yes, of much) lands what differs.")


def show_check(check: Check, said: set[str]) -> None:
    """Print one check: what, and either the finding or the fact with its remedy."""
    if check.passed:
        OUT.print(_styled(("ok   ", "green"), f" {check.what}: {check.finding}"))
        return
    fact, *remedy = _once(check.finding, f"      {check.remedy}", said)
    OUT.print(_styled(("wrong", "red"), f" {check.what}: {fact}"), *remedy, sep="\n")


def _show_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; what its first two columns name stands to the left."""
    grid = Grid(box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        grid.add_column(heading, justify="right" if number > 1 else "left", no_wrap=number <= 1)
    for row in rows:
        grid.add_row(*row)
    OUT.print(grid)


def _failed(name: str, error: LoaderError, said: set[str], out: Console | None = None) -> None:
    # At once, because several tables may fail at the same time.
    fact, *remedy = _once(error.fact.removeprefix(f"{name.strip()}: "), error.remedy, said)
    (out or ERR).print(_styled((f"{name}  failed", "red"), f": {fact}"), *remedy, sep="\n\n")


def _once(fact: str, remedy: str, said: set[str]) -> list[str]:
    """Take a failure's fact and remedy; where it was said before, two words for both."""
    told = ["as above"] if fact in said else [fact, remedy]
    said.add(fact)
    return told


def _styled(*parts: str | tuple[str, str]) -> Text:
    """One line of parts, some with a colour; no sign of them reaches the terminal as its own."""
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((printable(text), style) for text, style in pairs))


def _changes(load: Load) -> str:
    """How many values a policy changed, and in which columns, as a person reads it."""
    shown = [f"{column} {values:,}" for column, values in load.changes.items()]
    shown[_SHOWN:] = [f"{len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
    where = f" ({', '.join(shown)})" if shown else ""
    return f"{load.changed_values:,}{where}" if load.changed_values else ""


def _seconds(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _age(seconds: float) -> str:
    units = ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)
    unit, size = next((each for each in units if seconds >= each[1]), units[-1])
    return f"{seconds / size:.0f} {unit} ago"
