"""Comparing source and warehouse, and landing exactly what differs."""

from collections.abc import Callable, Sequence
from contextlib import closing

from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.declared.windows import WHOLE, Window, day_after
from loader.errors import LoaderError, RepairError
from loader.load.job import Job, unexpected
from loader.load.repair import Repair
from loader.verify.compare import Comparison, compare
from loader.verify.differences import Finding
from loader.warehouse import Warehouse
from loader.warehouse.ledger import REPAIR

FREE_ROWS = 100
"""So many rows are repaired whatever share of a table they are."""


def verify(
    tables: Sequence[Table],
    settings: Settings,
    new_warehouse: Callable[[], Warehouse],
    window: Window | None = None,
    with_values: bool = False,
) -> list[Finding]:
    """Compare tables one after the other; nothing is changed.

    Args:
        new_warehouse: makes a warehouse with a connection of its own.
        window: compare these days only; None for all that are landed.
        with_values: compare all columns, not the versions alone.

    Returns:
        A finding for each table; one that could not be compared has the error.
    """
    return [
        compared(table, settings, new_warehouse, window, with_values).finding for table in tables
    ]


def compared(
    table: Table,
    settings: Settings,
    new_warehouse: Callable[[], Warehouse],
    window: Window | None = None,
    with_values: bool = False,
) -> Comparison:
    """Compare one table; an error becomes its finding."""
    with closing(new_warehouse()) as warehouse:
        try:
            return compare(table, settings, warehouse, window, with_values)
        except Exception as error:
            told = error
            if not isinstance(told, LoaderError):
                told = unexpected(error, "nothing was compared", table)
            return Comparison(table=table, finding=Finding(table=table.name, error=told))


def repair_jobs(
    comparisons: Sequence[Comparison], settings: Settings, confirmed: bool
) -> list[Job]:
    """Turn what differs into jobs.

    A table without a cursor is landed whole, as every load of it is.

    Args:
        confirmed: whether a repair of any size is wanted.

    Raises:
        RepairError: more rows of a table differ than may be repaired unasked; nothing was.
    """
    differing = [each for each in comparisons if each.finding.differing]
    if not confirmed:
        for comparison in differing:
            _check_size(comparison.finding, settings.repair_percent)
    return [_job(comparison) for comparison in differing]


def _check_size(finding: Finding, percent: int) -> None:
    allowed = max(FREE_ROWS, finding.rows * percent // 100)
    if finding.differing > allowed:
        raise RepairError(
            f"{finding.table}: {finding.differing:,} of {finding.rows:,} rows differ "
            f"({finding.missing:,} missing, {finding.extra:,} extra, {finding.stale:,} stale), "
            f"and a repair of more than {allowed:,} asks first. Nothing was repaired.",
            "Look at what happened; to repair it all the same, give --yes, or raise "
            "LOADER_REPAIR_PERCENT.",
        )


def _job(comparison: Comparison) -> Job:
    table, days = comparison.table, comparison.finding.days
    dated = [each.day for each in days if each.day]
    if not dated or comparison.landed_before is None:
        return Job(table=table, window=WHOLE, mode="full_refresh")
    return Job(
        table=table,
        window=Window(min(dated), day_after(max(dated))),
        mode=REPAIR,
        repair=Repair(differences=comparison.differences, landed_before=comparison.landed_before),
    )
