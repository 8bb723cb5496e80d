"""What a run compares with MySQL: what it has landed, and the rows that checks failed on."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from loader.declared.windows import DAY, Window
from loader.errors import counted
from loader.verify.compare import compare
from loader.warehouse.ledger import COMPARE
from loader.warehouse.session import connections_kept, is_transient

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
    days = Window(windows[0].start, windows[-1].end)  # they land in the order of their days
    finding = compare(table, run.route.new_warehouse, days)
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

    A row that was deleted there stays in the warehouse, and so does one that was mended until the
    day lands on which that was done, or a repair if its cursor does not tell; both fail again.
    """
    found = compare(table, run.route.new_warehouse, window, with_values=True)
    if found.error:
        return
    gone, stale = found.counts["extra"], found.counts["stale"]
    landed_before = found.repair.landed_before if found.repair else None
    tomorrow = run.route.settings.zone.today() + DAY
    load, repair = (f"loader {how} --select {table.name}" for how in ("load", "verify --repair"))
    of_days = f"{repair} --values --start-date {window.start} --end-date {window.end}"
    today = f"{load} --run-date {tomorrow - DAY}"
    if gone or stale:
        said = f"checks failed on rows of {window}. Of these gone from MySQL: {counted(gone)}, "
        said += f"different there by now: {counted(stale)}."
        mends = {"To land that": of_days}
    elif found.pending_here:
        said = f"in MySQL {counted(found.pending_here)} of {window} changed after the days that "
        said += "are landed, perhaps those that checks failed on."
        mends = {"To land them": f"{load} --start-date {landed_before} --end-date {tomorrow}"}
    elif window.end and not (landed_before and window.end <= landed_before):
        said = f"checks failed on rows of {window}; a day that is not over is not compared here."
        mends = {"What is mended in MySQL lands by": today, "What is gone there, by": repair}
    else:
        but = f", but for {', '.join(found.left_out)}, not compared" if found.left_out else ""
        said = f"the rows of {window} are the same in MySQL{but}. Mend there what checks failed "
        said += "on, or change the rule."
        mends = {
            "What is mended lands, if its cursor tells today, by": today,
            "If its cursor does not, by": of_days,
            "If a row of another table is missing here": "loader verify --repair",
        }
    run.say(f"{table.name}: {said}")
    for when, command in mends.items():
        run.say(f"  {when}: {command}")
