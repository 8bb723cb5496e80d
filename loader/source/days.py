"""The cursor's days in SQL: which one a row belongs to, and which rows a window holds."""

from loader.declared.windows import FIRST_CHANGE, LAST_CHANGE, Window, Zone
from loader.source.types import Column, quote_mysql


def day_of(cursor: Column, zone: Zone) -> str:
    """Write the expression of the day that a row belongs to, in the declared time zone."""
    quoted = quote_mysql(cursor.name)
    if cursor.data_type == "date" or zone.name == "UTC":
        return f"date({quoted})"
    first, last = (
        f"{quoted} + interval {zone.offset(edge).total_seconds():.0f} second"
        for edge in (FIRST_CHANGE, LAST_CHANGE)
    )
    there = first
    if zone.changes:
        there = (
            f"case when {quoted} < '{FIRST_CHANGE:%Y-%m-%d}' then {first} "
            f"when {quoted} < '{LAST_CHANGE:%Y-%m-%d}' then {converted(quoted, zone)} "
            f"else {last} end"
        )
    # MySQL converts no day such as 2026-02-00, which is to be refused by its row.
    return f"date(ifnull({there}, {quoted}))"


def converted(instant: str, zone: Zone) -> str:
    """Write an instant as a zone's clocks show it; NULL if MySQL does not know the zone."""
    return f"convert_tz({instant}, '+00:00', '{zone.name}')"


def where(*conditions: str) -> str:
    """Join the conditions that there are; the window's comes first, on its bare column."""
    return f" where {joined}" if (joined := " and ".join(filter(None, conditions))) else ""


def within(column: str, is_date: bool, window: Window, zone: Zone) -> str:
    """Write a window as a range on the bare column, so that an index or a sort key serves it.

    Args:
        column: quoted, in either side's SQL.
        window: may lack its start or its end.
    """
    edges = [(">=", window.start), ("<", window.end)]
    return " and ".join(
        f"{column} {compares} '{day if is_date else f'{zone.midnight(day):%Y-%m-%d %H:%M:%S}'}'"
        for compares, day in edges
        if day
    )
