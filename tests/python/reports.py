"""Reports as `loader run` writes them."""

from typing import Any

NOT_NULL = "test.mysql_to_redshift.not_null_nps_summary_responses.1a2b"


def report(**changes: Any) -> dict[str, Any]:
    """A run that succeeded and has nothing to say."""
    return {
        "run_id": "20261121T030000-3f9a1c",
        "target": "redshift",
        "started_at": "2026-11-21T03:00:00+00:00",
        "ended_at": "2026-11-21T03:10:00+00:00",
        "ok": True,
        "outcome": "succeeded",
        "dates": {"run_date": "2026-11-20", "start_date": None, "end_date": None},
        "steps": [step("land"), step("build"), step("verify")],
        "loads": [],
        "said": [],
        "dbt": {"failures": [], "warnings": []},
        "verify": [],
        "published": {},
        "held_back": {},
        "failing": None,
        **changes,
    }


def step(
    name: str, error: str | None = None, remedy: str | None = None, attempts: int = 1
) -> dict[str, Any]:
    """One step of it."""
    return {
        "name": name, "ok": error is None, "attempts": attempts, "seconds": 1.0,
        "error": error, "remedy": remedy,
    }  # fmt: skip


def node(
    name: str, status: str = "fail", message: str | None = None, failures: int | None = 3
) -> dict[str, Any]:
    """What dbt says of one of its nodes."""
    return {"node": name, "status": status, "message": message, "failures": failures}


def failed(**changes: Any) -> dict[str, Any]:
    """A run of which something can be said in every part of the message."""
    found = report(
        ok=False,
        outcome="failed",
        steps=[step("land"), step("build", "dbt: 1 of 62 failed.", "Look at the rows.", 3)],
        loads=[
            {
                "table_name": "nps", "window_start": "2026-11-20", "window_end": "2026-11-21",
                "outcome": "failed", "error": "the counts differ",
                "remedy": "Run the load again.",
            },
            {"table_name": "channel", "outcome": "landed", "error": None},
        ],
        said=["nps: column note is new"],
        dbt={
            "failures": [
                node(NOT_NULL, message="Got 3 results, configured to fail if != 0"),
                node(
                    "model.mysql_to_redshift.nps_summary", "error", failures=None,
                    message="nps_summary was not published:\n  unique: 2\n    select 1;",
                ),
            ],
            "warnings": [node("test.mysql_to_redshift.enough_rows.3c4d", "warn", failures=1)],
        },
        verify=[{"table": "nps", "missing": 4, "extra": 0, "stale": 1200}],
        published={"nps_summary": "2026-11-20T03:10:00+00:00"},
        failing={"runs": 1, "since": "2026-11-21T03:00:00+00:00"},
        held_back={"nps_summary": "held back since 2026-11-21 03:09 UTC by unique (2 rows)"},
    )  # fmt: skip
    return {**found, **changes}
