"""One table, compared as the two sides hold it at one instant, and the repair of what differs."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date

from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.declared.windows import DAY, WHOLE, Window
from loader.errors import LandingError, LoaderError, SourceError, unexpected
from loader.load.job import Job
from loader.load.plan import checked_read
from loader.load.repair import Repair
from loader.source import mysql
from loader.source.read_plan import ReadPlan
from loader.source.types import RawColumn
from loader.verify.differences import differences
from loader.verify.digest import kind_of
from loader.verify.finding import Finding
from loader.verify.sides import Sides
from loader.warehouse import Warehouse
from loader.warehouse.columns import land_anew
from loader.warehouse.ledger import COMPARE, REPAIR, covered_end

FREE_ROWS = 100
"""How many rows may be repaired unasked, whatever share of the table they are."""


def compare(
    table: Table,
    new_warehouse: Callable[[], Warehouse],
    window: Window | None = None,
    with_values: bool = False,
) -> Finding:
    """Compare what MySQL holds now with the newest version of each key in the raw table.

    What is due is compared: the rows of days that the ledger shows as landed. A row that changed
    on a later day is pending, and neither side's version of it counts. Nothing is changed.

    Args:
        new_warehouse: makes a warehouse with a connection of its own.
        window: compare these days only; None for all.
        with_values: compare all columns, not the version alone. A table without a cursor always
            is, because nothing else tells its versions apart.

    Returns:
        What was found; the error, if the table could not be compared.
    """
    began = time.monotonic()
    with closing(new_warehouse()) as warehouse:
        try:
            found = _compare(table, warehouse, window, with_values)
        except Exception as caught:
            error = unexpected(caught, "nothing was compared", table.name)
            found = Finding(table=table, error=error)
    return replace(found, seconds=time.monotonic() - began)


def differing(table: Table, new_warehouse: Callable[[], Warehouse]) -> Repair | None:
    """Compare all of a table's rows, and say what would repair those that differ.

    Returns:
        None if the table has to be landed whole: it never was, or has a column that is new.

    Raises:
        SourceError, LandingError: it could not be compared.
    """
    with closing(new_warehouse()) as warehouse:
        found = _compare(table, warehouse, None, with_values=True)
    return None if found.left_out else found.repair


def _compare(
    table: Table, warehouse: Warehouse, window: Window | None, with_values: bool
) -> Finding:
    """Read the warehouse as of an instant before the source's, so that no load comes between."""
    landed_before = covered_end(warehouse.loads(table.name), warehouse.settings.zone)
    due = _due(table, window, landed_before)
    if landed_before is None or due is None:
        return Finding(table=table, is_landed=False)
    with warehouse.snapshot(), mysql.connect(warehouse.settings.mysql) as source:
        held = warehouse.raw_columns(table.name)  # its instant comes before the source's
        with mysql.snapshot(source, table):
            read = checked_read(table, WHOLE, source, warehouse, landed_before)
            if table.is_compared:  # refused, if a value of it could not be cast
                warehouse.column_changes(table, read.columns, (), is_whole=True)
            has_values = with_values or not table.cursor
            exact, left_out = _values(table, read, held) if has_values else ((), ())
            _check_identifying(table, read, warehouse, held)
            sides = Sides(
                source=source, warehouse=warehouse, table=table, read=read, values=exact, due=due
            )
            mysql.check_cursor(source, table, read)
            future = mysql.count_future(source, read)
            pending = sides.set_aside(landed_before)
            rows, differing_days, versions = differences(sides, pending > 0)
            here = sides.pending_here() if pending and window and with_values else 0
    return Finding(
        table=table,
        rows=rows,
        pending=pending,
        pending_here=here,
        future=future or 0,
        days=differing_days,
        left_out=left_out,
        repair=Repair(versions=versions, landed_before=landed_before),
    )


def _due(table: Table, window: Window | None, landed_before: date | None) -> Window | None:
    """The days that can be compared; None if nothing of them has been landed."""
    if table.cursor is None or landed_before is None:
        return WHOLE if landed_before else None
    if window is None or window.start is None or window.end is None:
        return Window(None, landed_before)
    due = Window(window.start, min(window.end, landed_before))
    return due if window.start < landed_before else None


def _values(
    table: Table, read: ReadPlan, held: Collection[str]
) -> tuple[tuple[RawColumn, ...], tuple[str, ...]]:
    """Tell the columns whose values can be compared, as the raw table holds them, from others."""
    others = [column for column in read.columns if column.name not in table.identifying]
    # The salt of a hash is not MySQL's to know.
    plain = [each for each in others if table.policy(each.name).mask != "hash"]
    exact = [each for each in plain if each.name in held]
    return tuple(exact), tuple(column.name for column in others if column not in exact)


def _check_identifying(
    table: Table, read: ReadPlan, warehouse: Warehouse, held: Collection[str]
) -> None:
    """Refuse a column that tells rows or versions apart if it cannot be compared."""
    for column in (each for each in read.columns if each.name in table.identifying):
        if column.name not in held:
            raise LandingError(
                f"{warehouse.schema}.{table.name} has no column {column.name}.",
                land_anew(warehouse.relation(table.name), table),
            )
        # Two floats that are equal may be written otherwise.
        if kind_of(column) == "float" or table.policy(column.name).mask == "hash":
            raise SourceError(
                f"{table.name}: column {column.name} ({column.type}) tells rows apart, and its "
                "values are not the same text on both sides, so nothing can be compared.",
                "Leave the table out: loader verify --select ...",
            )


def repair_jobs(findings: Sequence[Finding], settings: Settings, confirmed: bool) -> list[Job]:
    """Turn what differs into jobs.

    A table without a cursor is landed as every load of it is: whole, unless it is declared to be
    compared.

    Args:
        confirmed: whether a repair of any size is wanted.

    Raises:
        LoaderError: more rows of a table differ than may be repaired unasked; nothing was.
    """
    differing = [finding for finding in findings if finding.differing]
    for finding in [] if confirmed else differing:
        allowed = max(FREE_ROWS, finding.rows * settings.repair_percent // 100)
        if finding.differing > allowed:
            raise LoaderError(
                f"{finding.table.name}: {finding.differing:,} of {finding.rows:,} rows differ "
                f"({', '.join(f'{rows:,} {kind}' for kind, rows in finding.counts.items())}), "
                f"and a repair of more than {allowed:,} asks first. Nothing was repaired.",
                "Look at what happened; to repair it all the same, give --yes, or raise "
                "LOADER_REPAIR_PERCENT.",
            )
    return [_job(finding) for finding in differing]


def _job(finding: Finding) -> Job:
    days = [each.day for each in finding.days if each.day]
    if not days and finding.table.is_compared and not finding.left_out:
        return Job(table=finding.table, window=WHOLE, mode=COMPARE, repair=finding.repair)
    if not days:
        return Job(table=finding.table, window=WHOLE, mode="full_refresh")
    end = max(days) + DAY if max(days) < date.max else None  # the calendar's last has no next
    window = Window(min(days), end)
    return Job(table=finding.table, window=window, mode=REPAIR, repair=finding.repair)
