"""Who is told of a run, and what: of a failure, of the recovery, of something new to look at."""

import shlex
import traceback
from collections.abc import Iterator
from typing import Any

from loader.config import Settings
from loader.runs import Report, differing, failed_steps, instant, nodes, stale
from loader.sending import Message, send

_ENDED = {"failed": "failed", "interrupted": "was interrupted", "refused": "was refused"}
_CHECKS_MOST = 5


def tell(report: Report, previous: Report | None, settings: Settings) -> list[str]:
    """Tell Slack and whoever is set in LOADER_EMAIL_TO what became of a run.

    Told are a run that failed, each time, because a daily job that fails every day must not be
    taken for one that works; the first that succeeds after that; and one that succeeds with a
    warning or a finding that the run before did not have.

    Args:
        previous: the report of the run before, of the same target, if there was one.

    Returns:
        A sentence for each place that could not be told. Nothing is raised and nothing waited for
        longer than `sending.WHOLE_SECONDS` a place: a dead Slack fails no run.
    """
    try:
        subject = subject_of(report, previous)
        if not subject:
            return []
        answers = send(Message(subject=subject, parts=list(_parts(report))), settings.tell)
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return [f"Nobody was told of the run: {type(error).__name__} at {at.filename}:{at.lineno}."]
    return [f"{place} was not told of the run: {why}." for place, why in answers.items() if why]


def failing(report: Report, previous: Report | None) -> dict[str, Any] | None:
    """Count the runs that have failed in a row, this one included.

    `loader run` keeps it in the report as `failing`, so that the next run can go on counting.

    Returns:
        How many `runs`, and `since` when; None for a run that succeeded.
    """
    if report["ok"]:
        return None
    before = _failing_before(previous) or {"runs": 0, "since": report["started_at"]}
    return {"runs": before["runs"] + 1, "since": before["since"]}


def _failing_before(previous: Report | None) -> Report | None:
    return previous and (previous.get("failing") or failing(previous, None))


def subject_of(report: Report, previous: Report | None) -> str:
    """Say in one line what became of a run; empty if nobody needs to be told."""
    run = f"mysql_to_redshift: the {_what(report)} on {report['target']}"
    if now := failing(report, previous):
        at = "".join(f" at {step['name']}" for step in failed_steps(report))
        times = f", {now['runs']} runs in a row since {_time(now['since'])}"
        ended = _ENDED.get(report["outcome"], "failed")
        return f"{run} {ended}{at}{times if now['runs'] > 1 else ''}"
    if before := _failing_before(previous):
        runs = "a failed run" if before["runs"] == 1 else f"{before['runs']} failed runs"
        return f"{run} succeeded again, after {runs} since {_time(before['since'])}"
    new = _findings(report) - _findings(previous or {})
    return f"{run} succeeded, with something new to look at" if new else ""


def _findings(report: Report) -> set[tuple[str, str]]:
    """What a run that succeeded found nonetheless, by kind and name."""
    return {
        *(("dbt", node["node"]) for node in nodes(report, "warnings")),
        *(("verify", table["table"]) for table in differing(report)),
        *(("freshness", table["table"]) for table in stale(report)),
    }


# -- the message -----------------------------------------------------------------------------------


def _parts(report: Report) -> Iterator[tuple[str, list[str]]]:
    """Every part that has something to say, each a heading and its lines."""
    parts = {
        "Failed": [line for step in failed_steps(report) for line in _step(step)],
        "Loads": [_load(load) for load in report["loads"] if load["outcome"] == "failed"],
        "Checks": [line for node in nodes(report, "failures") for line in _node(node)],
        "Warnings": [line for node in nodes(report, "warnings") for line in _node(node)],
        "Verify": [
            f"{table['table']}: {table['missing']:,} rows missing, {table['extra']:,} too many, "
            f"{table['stale']:,} stale, on {table['days']:,} days"
            for table in differing(report)
        ],
        "Freshness": [
            f"{table['table']}: {_age(table['age_seconds'])} ({table['status']})"
            for table in stale(report)
        ],
        "Said on the way": report["said"],
        "Published" if report["ok"] else "What stays published": [
            _published(each, report["ended_at"]) for each in report["published"]
        ]
        or ["nothing that this run could see"],
        "To look": list(looking(report)),
        "To run it again": [] if report["ok"] else [_again(report)],
        "Run": [
            f"{report['run_id']}, {_time(report['started_at'])} to {_time(report['ended_at'])}"
        ],
    }
    return ((heading, lines) for heading, lines in parts.items() if lines)


def _step(step: Report) -> Iterator[str]:
    attempts = f" after {step['attempts']} attempts" if step["attempts"] > 1 else ""
    yield f"{step['name']}{attempts}: {step['error'] or 'no reason was given'}"
    if step["remedy"]:
        yield step["remedy"]


def _load(load: Report) -> str:
    window = f"{load['window_start']} to {load['window_end']}" if load["window_start"] else "whole"
    return f"{load['table_name']}, {window}: {load['error']}"


def _node(node: Report) -> Iterator[str]:
    rows = "" if node["failures"] is None else f", {node['failures']:,} rows"
    yield f"{node['node']}: {node['status']}{rows}"
    yield from (f"  {line}" for line in (node["message"] or "").splitlines())


def _published(each: Report, now: str) -> str:
    age = (instant(now) - instant(each["published_at"])).total_seconds()
    return f"{each['model']}: {_time(each['published_at'])}, {_age(age)}"


def _age(seconds: float | None) -> str:
    return "never loaded" if seconds is None else f"{seconds / 3600:,.1f} hours old"


def _time(time: str) -> str:
    return f"{instant(time):%Y-%m-%d %H:%M} UTC"


# -- what to type ----------------------------------------------------------------------------------


def _what(report: Report) -> str:
    dates = report["dates"]
    if dates.get("run_date"):
        return f"run of {dates['run_date']}"
    if dates.get("start_date"):
        return f"run from {dates['start_date']} to {dates['end_date']}"
    return "run"


def looking(report: Report) -> Iterator[str]:
    """The commands that show the state, and the rows of the first checks that failed."""
    target = f"--target {shlex.quote(report['target'])}"
    yield f"loader status {target}"
    yield f"dbt show --select pipeline_health --output json --limit 100 {target}"
    found = [*nodes(report, "failures"), *nodes(report, "warnings")]
    tests = [node["node"].split(".")[2] for node in found if node["node"].startswith("test.")]
    for test in tests[:_CHECKS_MOST]:
        yield f"dbt show --select {shlex.quote(test)} --output json {target}"


def _again(report: Report) -> str:
    options = [
        f"--{name.replace('_', '-')} {shlex.quote(report['dates'][name])}"
        for name in ("run_date", "start_date", "end_date")
        if report["dates"].get(name)
    ]
    return " ".join(["loader run", *options, f"--target {shlex.quote(report['target'])}"])
