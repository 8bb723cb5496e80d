"""What is published since when, and what is held back: from `_publications` and `_held_back`."""

from collections.abc import Container, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from loader.errors import LandingError, counted
from loader.warehouse import Warehouse
from loader.warehouse.ledger import LEASES, RUNS
from loader.warehouse.session import quote, sqlstate

NOT_THERE = {"42P01", "3F000"}  # table, schema
OLDER = "42703"  # column
LAST_RUN = "run_id", "started_at", "ended_at", "outcome", "failed_step", "dbt_warnings"
"""What is told of the last run."""
NOTED = "model_name", "published_at", "invocation_id", "version"
"""The columns of `_publications` that a publication is read from."""


class Publication(NamedTuple):
    """What readers of a summary have.

    Attributes:
        at: since when, in UTC.
        by: the dbt invocation that published it.
        version: its name.
        built_at: when a build published it last.
        is_put_back: whether a build has published a version since that readers have no more.
    """

    at: datetime
    by: str
    version: str | None
    built_at: datetime
    is_put_back: bool


def publications(warehouse: Warehouse) -> dict[str, Publication]:
    """Read what readers of each summary have; nothing of a table that an older release has made."""
    columns, none = ", ".join(NOTED), {*NOT_THERE, OLDER}
    return last_publications(_rows(warehouse, columns, "_publications", "order by 2", none))


def last_publications(rows: Iterable[tuple[Any, ...]]) -> dict[str, Publication]:
    """Find the newest publication of each summary among all that are noted, oldest first.

    A build that changes nothing is noted, too, under the version that is there.
    """
    found, built = dict[str, Publication](), dict[tuple[str, str | None], datetime]()
    last = dict[str, datetime]()
    for name, at, by, version in rows:
        if (name, version) not in built or found[name].version == version:
            built[name, version] = last[name] = at
        built_at = built[name, version]
        found[name] = Publication(at, by, version, built_at, built_at < last[name])
    return found


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


def shows_earlier(warehouse: Warehouse) -> dict[str, str]:
    """Read why readers of a summary have what was published before: held back, or put back."""
    found = held_back(warehouse)
    for name, each in publications(warehouse).items():
        if each.is_put_back:
            back = f"put back on {each.at:%Y-%m-%d %H:%M} UTC to what a build published on "
            why = found.get(name, "the next one publishes anew, if its checks pass")
            found[name] = f"{back}{each.built_at:%Y-%m-%d %H:%M}; {why}"
    return found


def last_run(warehouse: Warehouse) -> dict[str, Any] | None:
    """Read the last run's id, when it began and ended (UTC), its outcome and the step that failed.

    One that holds the lease has only begun; one whose lease has expired has died.
    """
    rows = [*_rows(warehouse, ", ".join(LAST_RUN), RUNS, "order by started_at desc limit 1")]
    leases = f"run_id, taken_at, expires_at > {warehouse.clock}"
    for run_id, since, goes_on in _rows(warehouse, leases, LEASES, "where ended_at is null"):
        if goes_on or not rows or run_id != rows[0][0]:
            rows = [(run_id, since, None, "began" if goes_on else "died", None, None)]
    return dict(zip(LAST_RUN, rows[0], strict=True)) if rows else None


def _rows(
    warehouse: Warehouse, columns: str, table: str, rest: str, none: Container[str] = NOT_THERE
) -> Iterator[tuple[Any, ...]]:
    """Read a table of records, in the schema that generate_schema_name.sql says; none before."""
    schema = warehouse.profile.output.get("schema")
    marts = schema if schema == "analytics" else f"{schema}_analytics"
    place = quote(warehouse.schema if table in (RUNS, LEASES) else marts)
    try:
        with warehouse.transaction():
            yield from warehouse.execute(f"select {columns} from {place}.{table} {rest}")
    except LandingError as error:
        if sqlstate(error) not in none:
            raise
