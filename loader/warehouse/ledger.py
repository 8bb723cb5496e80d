"""The ledgers: `raw_data._loads`, a row per load, and `raw_data._runs`, a row per run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from loader.declared.windows import Window, Zone
from loader.errors import LandingError

LEDGER = "_loads"
_CHANGED_COLUMNS_BYTES = 8192
REPAIR = "repair"
"""The mode of a load that lands some keys of any days, and so covers no day."""
LEDGER_COLUMNS = {
    "load_id": "varchar(32) not null",
    "table_name": "varchar(127) not null",
    "mode": "varchar(16) not null",
    "window_start": "date",
    "window_end": "date",
    "source_rows": "bigint",
    "future_rows": "bigint",
    "staged_rows": "bigint",
    "copied_rows": "bigint",
    "landed_rows": "bigint",
    "changed_values": "bigint",
    "changed_columns": f"varchar({_CHANGED_COLUMNS_BYTES})",
    "salt_id": "varchar(16)",
    "staged_bytes": "bigint",
    "files": "integer",
    "manifest": "varchar(2048)",
    "started_at": "timestamp not null",
    "ended_at": "timestamp",
    "outcome": "varchar(16) not null",
    "error": "varchar(8192)",
}

RUNS = "_runs"
RUN_COLUMNS = {
    "run_id": "varchar(64) not null",
    "started_at": "timestamp not null",
    "ended_at": "timestamp not null",
    "outcome": "varchar(16) not null",
    "failed_step": "varchar(16)",
    "dbt_failures": "integer not null",
    "dbt_warnings": "integer not null",
    "verify_findings": "bigint not null",
    "stale_tables": "integer not null",
}

LEASES = "_leases"
"""The table of the leases that runs have and had."""
LEDGERS = {LEDGER: LEDGER_COLUMNS, RUNS: RUN_COLUMNS}


@dataclass(frozen=True, kw_only=True)
class Load:
    """A row of the ledger; its columns are described in the dbt source YAML."""

    load_id: str
    table_name: str
    mode: str
    window_start: date | None
    window_end: date | None
    started_at: datetime
    source_rows: int | None = None
    future_rows: int | None = None
    staged_rows: int | None = None
    copied_rows: int | None = None
    landed_rows: int | None = None
    changed_values: int | None = None
    changed_columns: str | None = None
    salt_id: str | None = None
    staged_bytes: int | None = None
    files: int | None = None
    manifest: str | None = None
    ended_at: datetime | None = None
    outcome: str = "running"
    error: str | None = None

    @property
    def window(self) -> Window:
        """The days that were to be replaced."""
        return Window(self.window_start, self.window_end)

    @property
    def covers(self) -> bool:
        """Whether the window's days are landed with it."""
        return self.outcome == "landed" and self.mode != REPAIR

    @property
    def seconds(self) -> float:
        """How long the load took."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else 0.0

    @property
    def changes(self) -> dict[str, int]:
        """How many values a policy changed, by column."""
        return json.loads(self.changed_columns) if self.changed_columns else {}

    def as_json(self) -> dict[str, Any]:
        """The row with dates as ISO text."""
        row = {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in asdict(self).items()
        }
        return {**row, "changed_columns": self.changes}


def changed_columns(changes: Mapping[str, int]) -> str | None:
    """Write how many values were changed by column, as the ledger has it: most first, as JSON.

    What its column does not hold is added up as the one called `...`.
    """
    most = sorted(changes, key=lambda name: (-changes[name], name))
    for shown in range(len(most), 0, -1):
        told = {name: changes[name] for name in most[:shown]}
        if shown < len(most):
            told["..."] = sum(changes[name] for name in most[shown:])
        text = json.dumps(told, ensure_ascii=False)
        if len(text.encode()) <= _CHANGED_COLUMNS_BYTES:
            return text
    return None


def next_load_id(newest: str | None, now: datetime, owner: str) -> str:
    """Make an id that sorts after every earlier one of the table, whatever the clock says.

    >>> next_load_id(None, datetime(2026, 7, 1, 3, 15, tzinfo=UTC), "3f9a1c")
    '20260701T031500000000-3f9a1c'
    >>> next_load_id("20260702T000000000000-3f9a1c", datetime(2026, 7, 1, tzinfo=UTC), "3f9a1c")
    '20260702T000000000001-3f9a1c'
    """
    form = "%Y%m%dT%H%M%S%f"
    if newest:
        last = datetime.strptime(newest.split("-")[0], form).replace(tzinfo=UTC)
        now = max(now, last + timedelta(microseconds=1))
    return f"{now.strftime(form)}-{owner}"


def covered_end(loads: Sequence[Load], zone: Zone) -> date | None:
    """The day after the last whole day that landed loads cover, or None.

    A load covers no day that was not over, in the declared time zone, when it began.
    """
    ends = [
        min(load.window_end or date.max, day_in(zone, load.started_at))
        for load in loads
        if load.covers
    ]
    return max(ends, default=None)


def missing_days(loads: Sequence[Load], zone: Zone) -> list[date]:
    """The days between the first and the last landed one that no load covers, oldest first.

    None before a landing of the whole table.
    """
    covering = [load for load in loads if load.covers]
    covered = {
        day for load in covering for day in load.window if day < day_in(zone, load.started_at)
    }
    wholes = [day_in(zone, load.started_at) for load in covering if load.window.is_whole]
    starts = [load.window_start for load in covering if load.window_start]
    start = max(wholes, default=None) or min(starts, default=None)
    return [day for day in Window(start, covered_end(loads, zone)) if day not in covered]


def day_in(zone: Zone, instant: datetime) -> date:
    """The day that one of the ledger's instants (UTC) belongs to in a time zone."""
    return zone.day(instant.replace(tzinfo=UTC))


def compare_counts(load: Load) -> None:
    """Law 3: what the source held, what was staged, copied and landed is one number.

    Raises:
        LandingError: they differ; says which.
    """
    counts = {
        "counted in MySQL": load.source_rows,
        "staged": load.staged_rows,
        "copied": load.copied_rows,
        "landed": load.landed_rows,
    }
    if len(set(counts.values())) > 1:
        raise LandingError(
            f"{load.table_name} {load.window}: the counts differ: "
            f"{', '.join(f'{rows:,} {what}' for what, rows in counts.items())}. "
            "The table is as it was.",
            "Run the load again; if they differ again, look at the source table's engine "
            "(only InnoDB reads from a snapshot).",
        )
