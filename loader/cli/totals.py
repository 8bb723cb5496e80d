"""What several loads landed altogether, as a person reads it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table as Grid


def totals(loads: Sequence[Mapping[str, Any]]) -> Grid:
    """A line for all loads, and before it one for each table, if a table has several.

    Args:
        loads: the ledger's rows, or the like of loads that failed.
    """
    grid = Grid("table", box=None, pad_edge=False)
    for name in ("loads", "rows", "staged", "seconds", "failed"):
        grid.add_column(name, justify="right")
    tables = dict.fromkeys(load["table_name"] for load in loads)
    for name in tables if len(loads) > len(tables) else []:
        grid.add_row(name, *_cells([load for load in loads if load["table_name"] == name]))
    grid.add_row("together", *_cells(loads))
    return grid


def _cells(loads: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    landed = [load for load in loads if load["outcome"] == "landed"]
    yield f"{len(landed):,}"
    yield f"{sum(load['landed_rows'] or 0 for load in landed):,}"
    yield bytes_text(sum(load["staged_bytes"] or 0 for load in landed))
    ended, began = (
        [datetime.fromisoformat(load[name]) for load in landed]
        for name in ("ended_at", "started_at")
    )
    yield f"{(max(ended) - min(began)).total_seconds():,.1f}" if landed else ""
    yield f"{len(loads) - len(landed):,}" if len(landed) < len(loads) else ""


def bytes_text(size: float) -> str:
    """A number of bytes in the unit that suits it.

    >>> bytes_text(12_345)
    '12 kB'
    """
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
