"""What a run compares with MySQL: what it has landed, and the rows that checks failed on."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from loader.declared.windows import DAY, Window, windows_of
from loader.errors import counted
from loader.verify.compare import compare
from loader.verify.finding import EXTRA, STALE
from loader.warehouse.ledger import COMPARE
from loader.warehouse.session import connections_kept, is_transient

if TYPE_CHECKING:
    from loader.declared.tables import Table
    from loader.run.daily import Run

_DAYS_LOOKED_AT, _NAMED = 31, 5  # macros/failing_rows.sql lists one day more, which is told of


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


def rows_failed_on(run: "Run") -> Iterator[tuple["Table", list[date]]]:
    """Name the days of the rows that tests failed on, oldest first, by table."""
    for table in run.tables:
        tests = [node for node in run.dbt.failures if node.get("table") == table.name]
        days = {date.fromisoformat(day) for node in tests for day in node["days"]}
        if table.cursor and days:
            yield table, sorted(days)


@connections_kept()
def say_what_changed(run: "Run", table: "Table", days: list[date]) -> None:
    """Say whether MySQL has other rows by now than those that tests failed on.

    A row that was deleted there stays in the warehouse, and so does one that was mended until the
    day lands on which that was done, or a repair if its cursor does not tell; both fail again.
    """
    looked_at, new_warehouse = windows_of(days[-_DAYS_LOOKED_AT:]), run.route.new_warehouse
    found = [compare(table, new_warehouse, each, with_values=True) for each in looked_at]
    if any(each.error for each in found):
        return
    gone, stale = (sum(each.counts[kind] for each in found) for kind in (EXTRA, STALE))
    pending, last = sum(each.pending_here for each in found), found[-1]
    landed_before = last.repair.landed_before if last.repair else None
    end, tomorrow = days[-1] + DAY, run.route.settings.zone.today() + DAY
    load, repair = (f"loader {how} --select {table.name}" for how in ("load", "verify --repair"))
    of_days = f"{repair} --values --start-date {days[0]} --end-date {end}"
    today = f"{load} --run-date {tomorrow - DAY}"
    named = [str(each) for each in looked_at]
    named[1:-1] = ["…"] if len(named) > _NAMED else named[1:-1]
    of = ", ".join(named)
    if gone or stale:
        said = f"checks failed on rows of {of}. Of these gone from MySQL: {counted(gone)}, "
        said += f"different there by now: {counted(stale)}."
        mends = {"To land that": of_days}
    elif pending:
        said = f"in MySQL {counted(pending)} of {of} changed after the days that are landed, "
        said += "perhaps those that checks failed on."
        mends = {"To land them": f"{load} --start-date {landed_before} --end-date {tomorrow}"}
    elif not (landed_before and end <= landed_before):
        said = f"checks failed on rows of {of}; a day that is not over is not compared here."
        mends = {"What is mended in MySQL lands by": today, "What is gone there, by": repair}
    else:
        but = f", but for {', '.join(last.left_out)}, not compared" if last.left_out else ""
        said = f"the rows of {of} are the same in MySQL{but}. Mend there what checks failed "
        said += "on, or change the rule."
        mends = {
            "What is mended lands, if its cursor tells today, by": today,
            "If its cursor does not, by": of_days,
            "If a row of another table is missing here": "loader verify --repair",
        }
    run.say(f"{table.name}: {said}")
    if len(days) > _DAYS_LOOKED_AT:
        run.say(f"  Checks failed on rows of days before {looked_at[0].start}, too, not looked at.")
    for when, command in mends.items():
        run.say(f"  {when}: {command}")
