"""What the ledger says of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from loader.declared.tables import INCREASING, Table
from loader.declared.windows import DAY, Window, windows_of
from loader.load.job import now
from loader.warehouse import Warehouse
from loader.warehouse.ledger import Load, covered_end, missing_days

_LOADS_LOOKED_AT = 8


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table's state.

    Attributes:
        last: its newest landed load.
        age: how long ago that was.
        failures: the loads that failed since then; `error` is the newest one's.
        landed_through: the last day that a load covers whole; days before it may be missing.
        days_behind: days before today that should be landed and are not, after `landed_through`.
        missing_days: days between the first and the last landed one that no load covers.
        newest_row: the last day of the cursor that a landed row has.
        due: of a table that declares `every`, the day on which it lands again.
    """

    table: str
    last: Load | None
    age: timedelta | None
    failures: int
    error: str | None
    landed_through: date | None
    days_behind: int
    missing_days: tuple[date, ...]
    newest_row: date | None
    due: date | None

    @property
    def gaps(self) -> list[Window]:
        """The missing days, as the windows to land."""
        return windows_of(self.missing_days)

    def as_json(self) -> dict[str, Any]:
        """The state with dates as ISO text and the age in seconds."""
        return {
            **{name: str(it) if isinstance(it, date) else it for name, it in vars(self).items()},
            "last": self.last.as_json() if self.last else None,
            "age": self.age.total_seconds() if self.age is not None else None,
            "missing_days": [*map(str, self.missing_days)],
        }


def newest_row(warehouse: Warehouse, table: Table, loads: Sequence[Load]) -> date | None:
    """Ask for the last day of a table's cursor that a landed row has; None where no days are told.

    It is among the rows of the loads that reached furthest of those that brought any; a row that
    has moved on since has no day.
    """
    cursor, name = table.cursor, table.name
    own = [it for it in loads if it.landed_rows and (it.outcome, it.table_name) == ("landed", name)]
    if not own or not cursor or cursor.kind == INCREASING or not warehouse.raw_columns(name):
        return None  # the raw table may have been dropped, to be landed anew
    own.sort(key=lambda load: (load.window_end or load.started_at.date(), load.load_id))
    ids = [load.load_id for load in own[-_LOADS_LOOKED_AT:]]
    statement = f"select max(_run_date) from {warehouse.relation(name)} where _run_date <= "
    statement += "current_date and _load_id in "  # a whole copy brings what is dated beyond today
    day: date | None = warehouse.execute(f"{statement}({', '.join(['%s'] * len(ids))})", ids)[0][0]
    return day


def table_status(table: Table, loads: Sequence[Load], warehouse: Warehouse) -> TableStatus:
    """Read a table's state from the ledger's rows, oldest first, and the newest of its own."""
    own = [load for load in loads if load.table_name == table.name]
    last = next((load for load in reversed(own) if load.covers), None)
    since = last.load_id if last else ""
    failed = [load for load in own if load.outcome == "failed" and load.load_id > since]
    zone = warehouse.settings.zone
    end = covered_end(own, zone)
    late = (zone.today() - end).days + 1 - table.every_days if end else 0
    return TableStatus(
        table=table.name, last=last, landed_through=end and end - DAY,
        age=now() - last.ended_at if last and last.ended_at else None,
        days_behind=max(late, 0), failures=len(failed), error=failed[-1].error if failed else None,
        missing_days=tuple(missing_days(own, zone)),
        newest_row=newest_row(warehouse, table, own),
        due=end + table.every_days * DAY if end and table.every_days > 1 else None,
    )  # fmt: skip
