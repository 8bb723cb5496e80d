"""What the page shows: a few columns of each mart, as of one instant."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import pandas as pd
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

from loader.declared.tables import Table
from loader.declared.windows import Zone
from loader.errors import LandingError, LoaderError
from loader.load.status import newest_row
from loader.run.published import NOT_THERE, NOTED, OLDER, shows_earlier
from loader.run.report import last_known
from loader.warehouse import Warehouse
from loader.warehouse.ledger import Load, changing, covered
from loader.warehouse.session import one_line, quote, sqlstate

Summaries = Mapping[str, pd.DataFrame]
_RUNS_SHOWN = 60  # days
_PUBLICATIONS = "_publications"  # beside the marts
# By name: the columns, the mart, and the rest of the query.
QUERIES = {
    "nps": (
        ("answered_month", "responses", "promoters", "passives", "detractors", "excluded_answers",
         "nps", "nps_margin", "is_low_sample"),
        "nps_summary_monthly", "order by 1",
    ),
    "answered": (
        ("cast(date_trunc('month', answered_on) as date) as answered_month", "count(*) as days",
         "max(answered_on) as answered_on"),
        "nps_summary", "group by 1 order by 1",
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
    "published": (NOTED, _PUBLICATIONS, "order by 2"),
}  # fmt: skip
_HELD, _NEWEST = ["model_name", "why"], ["table_name", "newest_row"]
_LAST = ["outcome", "failed_step", "started_at"]
_FAILING, _LANDED = ["table_name", "since"], ["table_name", "landed_at", "start", "before"]


class ReportError(LoaderError):
    """The summaries are not there to be shown; no page was written."""


def read_summaries(
    warehouse: Warehouse, target: str | None, tables: Mapping[str, Table], zone: Zone
) -> Summaries:
    """Read what the page shows.

    Args:
        target: of the dbt profile, if not its own default.
        tables: those that are declared, of which the newest row is looked up.
        zone: whose days are landed.

    Returns:
        The rows by name, with every value as the driver gives it. As attributes `table`, which they
        are of, and `reads`, the declared tables behind it; of a mart that the project does not
        have, none and "".

    Raises:
        ReportError: the project cannot be read, has no mart of these, or one is not built yet.
        LandingError: the warehouse could not be reached, or refused.
    """
    manifest = _manifest(target)
    schemas = _schemas(manifest)
    loads = warehouse.loads()
    landed = [
        (each.table_name, each.ended_at, *window)
        for each in loads
        for window in covered([each], zone)
    ]
    changed = [(each.table_name, each.ended_at) for each in changing(loads)]
    run, _ = last_known(warehouse)
    last = [[run[name] for name in _LAST]] if run else []
    newest = [(name, newest_row(warehouse, each, loads)) for name, each in tables.items()]
    found = {
        "held": pd.DataFrame(shows_earlier(warehouse).items(), columns=_HELD, dtype=object),
        "newest": pd.DataFrame(newest, columns=_NEWEST, dtype=object),
        "last_run": pd.DataFrame(last, columns=_LAST, dtype=object),
        "failing": pd.DataFrame(failing(loads).items(), columns=_FAILING, dtype=object),
        "landed": pd.DataFrame(landed, columns=_LANDED, dtype=object),
        "changed": pd.DataFrame(changed, columns=_LANDED[:2], dtype=object),
    }
    with warehouse.snapshot():
        for name, (columns, table, rest) in QUERIES.items():
            names = [column.rpartition(" ")[2] for column in columns]
            place, rows = "", []
            if schema := schemas.get(table):
                place = f"{schema}.{table}"
                asked = f"{', '.join(columns)} from {quote(schema)}.{quote(table)} {rest}"
                try:
                    rows = warehouse.execute(f"select {asked}")
                except LandingError as error:
                    raise _explained(error, place) from error
            found[name] = pd.DataFrame(rows, columns=names, dtype=object)
            reads = sorted(tables.keys() & _sources(manifest, table))
            found[name].attrs |= {"table": place, "reads": reads}
    return found


def failing(loads: Iterable[Load]) -> dict[str, datetime]:
    """Since when each table's loads fail, of loads oldest first: none landed since."""
    since = dict[str, datetime]()
    for load in loads:
        if load.covers:
            since.pop(load.table_name, None)
        elif load.outcome == "failed":
            since.setdefault(load.table_name, load.started_at)
    return since


def _manifest(target: str | None) -> Manifest:
    """What dbt knows of the project for that target."""
    options = ["--target", target] if target else []
    parsed = dbtRunner().invoke(["--quiet", "parse", *options])
    if not parsed.success:
        raise ReportError(
            f"dbt cannot read the project: {one_line(parsed.exception)}; no page was written.",
            "`dbt parse` shows it.",
        )
    manifest: Manifest = parsed.result
    return manifest


def _schemas(manifest: Manifest) -> dict[str, str]:
    """Where the project has each mart."""
    nodes = manifest.nodes.values()
    models = {node.alias: node.schema for node in nodes if node.resource_type == "model"}
    shown = [table for _, table, _ in QUERIES.values() if table != _PUBLICATIONS]
    schemas = {table: models[table] for table in shown if table in models}
    if not schemas:
        raise ReportError(
            f"The dbt project has none of what the page shows: {', '.join(shown)}; no page was "
            "written.",
            "`loader status` shows what has landed; your own summaries need a page of their own.",
        )
    return {**schemas, _PUBLICATIONS: next(reversed(schemas.values()))}


def _sources(manifest: Manifest, mart: str) -> set[str]:
    """The names of the source tables that a mart is made of, through whatever models."""
    nodes = manifest.nodes
    ids = {
        name for name, node in nodes.items() if (node.resource_type, node.alias) == ("model", mart)
    }
    found = set[str]()
    while ids:
        name = ids.pop()
        if name in manifest.sources:
            found.add(manifest.sources[name].name)
        ids |= set(getattr(nodes.get(name), "depends_on_nodes", ()))
    return found


def _explained(error: LandingError, table: str) -> LandingError | ReportError:
    code = sqlstate(error)
    if code in NOT_THERE:
        return ReportError(
            f"There is no {table} yet; no page was written.",
            "Build the summaries first: `loader run`, or `dbt build` for what is landed.",
        )
    if code == OLDER:
        return ReportError(
            f"{table} lacks a column that the page shows; no page was written.",
            "It was built by an older version: `dbt build`.",
        )
    return error
