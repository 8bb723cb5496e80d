"""What is published since when, and what is held back: from `_publications` and `_held_back`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from loader.errors import LandingError, counted
from loader.warehouse import Warehouse
from loader.warehouse.ledger import LEASES, RUNS
from loader.warehouse.session import quote, sqlstate

NOT_THERE = {"42P01", "3F000"}  # table, schema


def publications(warehouse: Warehouse) -> dict[str, tuple[datetime, str]]:
    """Read since when each summary is published as it is, in UTC, and by which dbt invocation."""
    columns = "model_name, published_at, invocation_id"
    rows = _rows(warehouse, columns, "_publications", "order by 2")
    return {name: (at, by) for name, at, by in rows}


def utc(instant: datetime) -> str:
    """Write an instant of the warehouse's as ISO text that says it is UTC."""
    return instant.replace(tzinfo=UTC).isoformat()


def held_back(warehouse: Warehouse) -> dict[str, str]:
    """Read since when each summary that stays as it was does so, and why, as a person says it."""
    columns = "model_name, check_name, failing_rows, held_since"
    found = dict[str, str]()
    for name, check, rows, since in _rows(warehouse, columns, "_held_back", "order by 1, 4"):
        why = f"by hand, until dbt run-operation lift_hold --args '{{model: {name}}}'"
        if check:
            why = f"by {check}{f' ({counted(rows)})' if rows else ''}"
        before = found.get(name, f"held back since {since:%Y-%m-%d %H:%M} UTC")
        found[name] = f"{before}{', and' if name in found else ''} {why}"
    return found


def last_run(warehouse: Warehouse) -> dict[str, Any] | None:
    """Read the last run's id, when it began and ended (UTC), its outcome and the step that failed.

    One that holds the lease has only begun; one whose lease has expired has died.
    """
    columns = "run_id", "started_at", "ended_at", "outcome", "failed_step", "dbt_warnings"
    rows = [*_rows(warehouse, ", ".join(columns), RUNS, "order by started_at desc limit 1")]
    leases = f"run_id, taken_at, expires_at > {warehouse.clock}"
    for run_id, since, goes_on in _rows(warehouse, leases, LEASES, "where ended_at is null"):
        if goes_on or not rows or run_id != rows[0][0]:
            rows = [(run_id, since, None, "began" if goes_on else "died", None, None)]
    return dict(zip(columns, rows[0], strict=True)) if rows else None


def _rows(warehouse: Warehouse, columns: str, table: str, rest: str) -> Iterator[tuple[Any, ...]]:
    """Read a table of records, in the schema that generate_schema_name.sql says; none before."""
    schema = warehouse.profile.output.get("schema")
    marts = schema if schema == "analytics" else f"{schema}_analytics"
    place = quote(warehouse.schema if table in (RUNS, LEASES) else marts)
    try:
        with warehouse.transaction():
            yield from warehouse.execute(f"select {columns} from {place}.{table} {rest}")
    except LandingError as error:
        if sqlstate(error) not in NOT_THERE:
            raise
