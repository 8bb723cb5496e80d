"""What the report of a run says, and the ledger `raw_data._runs` that keeps its counts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from loader.verify.finding import KINDS
from loader.warehouse import Warehouse
from loader.warehouse.ledger import RUNS

Report = Mapping[str, Any]
"""What `loader run` writes of a run, as JSON; its times are UTC."""


def record_run(warehouse: Warehouse, report: Report) -> None:
    """Write a run's row into the ledger.

    Raises:
        LandingError: the warehouse could not be reached, or refused.
    """
    found = [table[kind] for table in differing(report) for kind in KINDS]
    row = {
        "run_id": report["run_id"],
        "started_at": datetime.fromisoformat(report["started_at"]).replace(tzinfo=None),
        "ended_at": datetime.fromisoformat(report["ended_at"]).replace(tzinfo=None),
        "outcome": report["outcome"],
        "failed_step": next((step["name"] for step in failed_steps(report)), None),
        "dbt_failures": len(nodes(report, "failures")),
        "dbt_warnings": len(nodes(report, "warnings")),
        "verify_findings": sum(found),
        "stale_tables": len({load["table_name"] for load in failed_loads(report)}),
    }
    warehouse.prepare()
    with warehouse.transaction():
        warehouse.insert(RUNS, row)


def failed_steps(report: Report) -> list[Report]:
    """The steps that failed, in the order in which they ran."""
    return [step for step in report.get("steps", []) if not step["ok"]]


def failed_loads(report: Report) -> list[Report]:
    """The loads that failed."""
    return [load for load in report["loads"] if load["outcome"] == "failed"]


def nodes(report: Report, kind: str) -> list[Report]:
    """What dbt says of its nodes: its `failures` or its `warnings`."""
    found: list[Report] = report.get("dbt", {}).get(kind, [])
    return found


def differing(report: Report) -> list[Report]:
    """The tables of which verify found rows that differ."""
    return [each for each in report.get("verify", []) if any(each[kind] for kind in KINDS)]
