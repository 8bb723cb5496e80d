"""What `loader report` reads: a few columns of each summary, as of one instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loader.errors import LandingError, ReportError
from loader.warehouse import Warehouse
from loader.warehouse.session import quote, sqlstate

Row = tuple[Any, ...]
_SCHEMA = "analytics"
_RUNS_SHOWN = 60  # days
# By name: the columns, the table in the summaries' schema, and the rest of the query.
QUERIES = {
    "nps": (
        ("answered_month", "responses", "promoters", "passives", "detractors", "excluded_answers",
         "nps", "nps_margin", "is_low_sample"),
        "nps_summary_monthly", "order by 1",
    ),
    "users": (
        ("session_month", "active_users", "new_users", "sessions"),
        "active_users_monthly", "order by 1",
    ),
    "flows": (
        ("first_channel", "last_channel", "count(*) as users"),
        "channel_summary", "where first_channel is not null group by 1, 2 order by 1, 2",
    ),
    "revenue": (
        ("session_month", "channel_name", "transactions", "gross_amount", "refunded_amount",
         "net_amount"),
        "channel_performance", "order by 1, 2",
    ),
    "hours": (
        ("hour_of_day", "sessions", "users", "session_share"), "sessions_by_hour", "order by 1",
    ),
    "health": (
        ("table_name", "landed_before", "lag_days", "missing_days", "last_landed_at", "loads",
         "failed_loads", "landed_rows"),
        "pipeline_health", "order by 1",
    ),
    "runs": (
        ("run_on", "last_outcome", "last_failed_step", "runs", "failed_runs", "dbt_failures",
         "dbt_warnings", "verify_findings", "stale_tables"),
        "pipeline_runs", f"order by 1 desc limit {_RUNS_SHOWN}",
    ),
    "published": (
        ("model_name", "max(published_at) as published_at"), "_publications",
        "group by 1 order by 1",
    ),
}  # fmt: skip
_MISSING = {"42P01", "3F000"}  # table, schema
_OLDER = "42703"  # column


@dataclass(frozen=True)
class Numbers:
    """The rows of one summary.

    Attributes:
        table: the relation that they are of.
        columns: their names, as the summary has them.
    """

    table: str
    columns: tuple[str, ...]
    rows: list[Row]

    def column(self, name: str) -> list[Any]:
        """One column's values, in the rows' order."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def read_summaries(warehouse: Warehouse) -> Mapping[str, Numbers]:
    """Read what the page shows.

    Raises:
        ReportError: a summary is not built yet.
        LandingError: the warehouse could not be reached, or refused.
    """
    target = warehouse.profile.schema
    # The rule of macros/generate_schema_name.sql.
    schema = _SCHEMA if target == _SCHEMA else f"{target}_{_SCHEMA}"
    found = {}
    with warehouse.snapshot():
        for name, (columns, table, rest) in QUERIES.items():
            relation = f"{quote(schema)}.{quote(table)}"
            try:
                rows = warehouse.execute(f"select {', '.join(columns)} from {relation} {rest}")
            except LandingError as error:
                raise _explained(error, f"{schema}.{table}") from error
            names = tuple(column.rpartition(" ")[2] for column in columns)
            found[name] = Numbers(f"{schema}.{table}", names, rows)
    return found


def _explained(error: LandingError, table: str) -> LandingError | ReportError:
    code = sqlstate(error)
    if code in _MISSING:
        return ReportError(
            f"There is no {table} yet; no page was written.",
            "Build the summaries first: `loader run`, or `dbt build` for what is landed.",
        )
    if code == _OLDER:
        return ReportError(
            f"{table} lacks a column that the page shows; no page was written.",
            "It was built by an older version: `dbt build`.",
        )
    return error
