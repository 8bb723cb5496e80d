"""What a run compares with MySQL: what it has landed, and the rows that checks failed on."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from loader.declared.windows import DAY, Window, span
from loader.errors import counted
from loader.load.jobs import today_in
from loader.verify.compare import compare
from loader.warehouse.idle import connections_kept
from loader.warehouse.ledger import COMPARE
from loader.warehouse.session import is_transient

if TYPE_CHECKING:
    from loader.declared.tables import Table
    from loader.run.daily import Run

_DAYS_LOOKED_AT = 31


@connections_kept()
def verify(run: "Run") -> None:
    """Compare what was landed with the source; what differs is said, and fails no run.

    A row that was deleted in MySQL differs until somebody says so. `mode: compare` has done it.
    """
    run.findings = []
    with run.show(()) as watcher:
        for number, table in enumerate(run.tables, 1):
            watcher.rows("verify", number, len(run.tables))
            _compare_landed(run, table)


def _compare_landed(run: "Run", table: "Table") -> None:
    landed = [each for each in run.outcomes.values() if each.job.table == table]
    windows = [each.job.window for each in landed if each.load and each.load.mode != COMPARE]
    if not windows:
        return
    finding = compare(table, run.route.new_warehouse, span(windows))
    run.findings.append(finding)
    if error := finding.error:
        if is_transient(error):
            raise error
        run.say(f"verify of {table.name}: {error.fact.removeprefix(f'{table.name}: ')}")
    elif finding.differing:
        found = ", ".join(f"{rows:,} {kind}" for kind, rows in finding.counts.items())
        run.say(f"{table.name}: {found}. Look: loader verify --select {table.name}")


def rows_failed_on(run: "Run") -> Iterator[tuple["Table", Window]]:
    """Name the days of the rows that tests failed on, by table; of many, the last ones."""
    for table in run.tables:
        tests = [node for node in run.dbt.failures if node.get("table") == table.name]
        days = [date.fromisoformat(day) for node in tests for day in node["days"]]
        if table.cursor and days:
            last = max(days)
            yield table, Window(max(min(days), last - _DAYS_LOOKED_AT * DAY), last + DAY)


@connections_kept()
def say_what_changed(run: "Run", table: "Table", window: Window) -> None:
    """Say whether MySQL has other rows by now than those that tests failed on.

    A row that was deleted there stays in the warehouse, and one that was mended does until the day
    on which that was done lands; both fail again tomorrow.
    """
    found = compare(table, run.route.new_warehouse, window)
    gone, stale = found.counts["extra"], found.counts["stale"]
    if gone or stale:
        run.say(
            f"{table.name}: checks failed on rows of {window}, of which MySQL no longer has "
            f"{counted(gone)}, and {stale:,} in another version. To land "
            f"that: loader verify --repair --select {table.name}; then loader run."
        )
    elif found.pending and found.repair:
        days = f"{found.repair.landed_before} --end-date {today_in(run.route.settings) + DAY}"
        run.say(
            f"{table.name}: in MySQL {counted(found.pending)} changed after the days that are "
            "landed. If those that checks failed on are among them, this lands them: "
            f"loader load --select {table.name} --start-date {days}; then loader run."
        )
    elif not found.error:
        run.say(
            f"{table.name}: the rows of {window} are the same in MySQL. Mend there what checks "
            "failed on, or change the rule. What is mended today, this lands: loader load --select "
            f"{table.name} --run-date {today_in(run.route.settings)}; then loader run. Where a row "
            "of another table is missing: loader verify --repair lands it, if that one is behind."
        )
