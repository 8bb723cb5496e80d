"""What the ledger says of a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.load.job import now
from loader.warehouse.ledger import Load, missing_days


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table's state.

    Attributes:
        last: its newest landed load.
        age: how long ago that was.
        failures: the loads that failed since then; `error` is the newest one's.
        missing_days: days between the first and the last landed one that no load covers.
    """

    table: str
    last: Load | None
    age: timedelta | None
    failures: int
    error: str | None
    missing_days: tuple[date, ...]

    def as_json(self) -> dict[str, Any]:
        """The state with dates as ISO text and the age in seconds."""
        return {
            **asdict(self),
            "last": self.last.as_json() if self.last else None,
            "age": self.age.total_seconds() if self.age is not None else None,
            "missing_days": [day.isoformat() for day in self.missing_days],
        }


def table_status(table: Table, loads: Sequence[Load], settings: Settings) -> TableStatus:
    """Read a table's state from the ledger's rows, oldest first."""
    own = [load for load in loads if load.table_name == table.name]
    landed = [load for load in own if load.covers]
    last = landed[-1] if landed else None
    failed = [
        load
        for load in own
        if load.outcome == "failed" and (not last or load.load_id > last.load_id)
    ]
    return TableStatus(
        table=table.name,
        last=last,
        age=now() - last.ended_at if last and last.ended_at else None,
        failures=len(failed),
        error=failed[-1].error if failed else None,
        missing_days=tuple(missing_days(own, settings.zone)),
    )
