"""The ledgers: `raw_data._loads`, a row per load, and `raw_data._runs`, a row per run."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, get_type_hints

from loader.declared.windows import Window, Zone
from loader.errors import LandingError

LEDGER = "_loads"
_MOST_COLUMNS = 35  # names of 64 letters that UTF-8 writes with three bytes just fit
REPAIR, COMPARE = "repair", "compare"
"""The modes of loads that land some keys. A repair is of keys of any days, and covers no day; a
comparison is of all keys that differ of a table without a cursor, and covers the whole table."""

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


@dataclass(frozen=True, kw_only=True)
class Load:
    """A row of the ledger, with its columns' types; the dbt source YAML describes them."""

    load_id: Annotated[str, "varchar(32) not null"]
    table_name: Annotated[str, "varchar(127) not null"]
    mode: Annotated[str, "varchar(16) not null"]
    window_start: Annotated[date | None, "date"]
    window_end: Annotated[date | None, "date"]
    started_at: Annotated[datetime, "timestamp not null"]
    source_rows: Annotated[int | None, "bigint"] = None
    future_rows: Annotated[int | None, "bigint"] = None
    staged_rows: Annotated[int | None, "bigint"] = None
    copied_rows: Annotated[int | None, "bigint"] = None
    landed_rows: Annotated[int | None, "bigint"] = None
    changed_values: Annotated[int | None, "bigint"] = None
    changed_columns: Annotated[str | None, "varchar(8192)"] = None
    salt_id: Annotated[str | None, "varchar(16)"] = None
    landed_by: Annotated[str | None, "varchar(8192)"] = None
    content_hash: Annotated[str | None, "varchar(64)"] = None
    staged_bytes: Annotated[int | None, "bigint"] = None
    files: Annotated[int | None, "integer"] = None
    manifest: Annotated[str | None, "varchar(2048)"] = None
    ended_at: Annotated[datetime | None, "timestamp"] = None
    outcome: Annotated[str, "varchar(16) not null"] = "running"
    error: Annotated[str | None, "varchar(8192)"] = None

    @property
    def window(self) -> Window:
        """The days that were to be replaced."""
        return Window(self.window_start, self.window_end)

    @property
    def covers(self) -> bool:
        """Whether the window's days are landed with it."""
        return self.outcome == "landed" and self.mode != REPAIR

    @property
    def is_of_keys(self) -> bool:
        """Whether it replaces the versions of some keys, and not a window."""
        return self.mode in (REPAIR, COMPARE)

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


LEDGER_COLUMNS: dict[str, str] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(Load, include_extras=True).items()
}
LEDGERS = {LEDGER: LEDGER_COLUMNS, RUNS: RUN_COLUMNS}


def changed_columns(changes: Mapping[str, int]) -> str | None:
    """Write how many values were changed by column, as the ledger has it: most first, as JSON.

    What the columns after the first few have is added up as the one called `...`.
    """
    most = sorted(changes, key=lambda name: (-changes[name], name))
    shown = {name: changes[name] for name in most[:_MOST_COLUMNS]}
    if rest := sum(changes[name] for name in most[_MOST_COLUMNS:]):
        shown["..."] = rest
    return json.dumps(shown, ensure_ascii=False) if shown else None


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


def covered(loads: Iterable[Load], zone: Zone) -> list[tuple[date, date]]:
    """List the days that landed loads cover: of each the first and the one after the last.

    A load covers no day that was not over, in the declared time zone, when it began; one of the
    whole table covers all before, from `date.min`.
    """
    windows = (
        (load.window_start or date.min,
         min(load.window_end or date.max, day_in(zone, load.started_at)))
        for load in loads
        if load.covers
    )  # fmt: skip
    return [(start, end) for start, end in windows if start < end]


def covered_end(loads: Iterable[Load], zone: Zone) -> date | None:
    """The day after the last whole day that landed loads cover, or None."""
    return max((end for _, end in covered(loads, zone)), default=None)


def changing(loads: Iterable[Load]) -> Iterator[Load]:
    """Pick the loads that may have changed their table, of loads oldest first.

    A copy of the whole table may lack a row, and mostly is as the one before.
    """
    found = dict[str, Load]()
    for load in loads:
        is_copy = load.window.is_whole and load.mode != COMPARE
        before = found.get(load.table_name)
        is_same = before and load.content_hash and load.content_hash == before.content_hash
        if load.outcome == "landed" and (is_copy or load.landed_rows) and not is_same:
            found[load.table_name] = load
            yield load


def missing_days(loads: Sequence[Load], zone: Zone) -> list[date]:
    """The days between the first and the last landed one that no load covers, oldest first.

    None before a landing of the whole table.
    """
    windows = covered(loads, zone)
    wholes = [end for start, end in windows if start == date.min]
    first = max(wholes, default=None) or min(windows, default=(None,))[0]
    days = {day for start, end in windows if start > date.min for day in Window(start, end)}
    return [day for day in Window(first, covered_end(loads, zone)) if day not in days]


def day_in(zone: Zone, instant: datetime) -> date:
    """The day that one of the ledger's instants (UTC) belongs to in a time zone."""
    return zone.day(instant.replace(tzinfo=UTC))


def compare_counts(load: Load) -> None:
    """Make sure that what the source held, what was staged, copied and landed is one number.

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
