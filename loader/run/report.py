"""The report of a run: one JSON file each, which the next run reads."""

import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from loader.errors import ConfigError, LandingError, LoaderError
from loader.load.job import Job, Outcome, now
from loader.load.status import table_status
from loader.run.notify import failing, notify
from loader.run.runs import record_run
from loader.warehouse import Warehouse
from loader.warehouse.session import quote

if TYPE_CHECKING:
    from loader.run.daily import Run

Report = dict[str, Any]


def new_run_id(now: datetime) -> str:
    """Make an id that sorts by time."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def loads(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """The ledger's rows of what was landed, and the like of what was not."""
    return [
        outcome.load.as_json()
        if outcome.load
        else {
            "table_name": outcome.job.table.name,
            "mode": outcome.job.mode,
            **window(outcome.job),
            "outcome": "failed",
            "error": outcome.error.fact if outcome.error else None,
            "remedy": outcome.error.remedy if outcome.error else None,
        }
        for outcome in outcomes
    ]


def window(job: Job) -> dict[str, str | None]:
    """A job's window with its days as ISO text."""
    return {
        "window_start": job.window.start.isoformat() if job.window.start else None,
        "window_end": job.window.end.isoformat() if job.window.end else None,
    }


def prepare(folder: Path) -> None:
    """Make sure of the folder before anything is done, by writing to it.

    It is its owner's alone if it is made here, and so is every report.

    Raises:
        ConfigError: it cannot be written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"is there room?")
    except OSError as error:
        raise ConfigError(
            f"LOADER_REPORTS {str(folder)!r} cannot be written to: {error.strerror}.",
            "Set it to a folder that may be written to; nothing was touched.",
        ) from None


def write(folder: Path, report: Report) -> Path:
    """Write a report; whoever reads it sees all of it or nothing.

    Raises:
        ConfigError: the folder cannot be written to any more; the run is as its report would say.
    """
    file = folder / f"{report['run_id']}.json"
    half = file.with_suffix(".half")
    try:
        half.touch(0o600)
        half.write_text(json.dumps(report, indent=2) + "\n")
        half.replace(file)
    except OSError as error:
        raise ConfigError(
            f"The run {report['outcome']}, and its report {file} could not be written: "
            f"{error.strerror}.",
            "Make room, or set LOADER_REPORTS to another folder.",
        ) from None
    return file


def before(folder: Path, report: Report) -> Report | None:
    """The newest earlier report of the same target."""
    for file in sorted(folder.glob("*.json"), reverse=True):
        if file.stem < report["run_id"]:
            with suppress(OSError, ValueError, AttributeError):  # somebody has spoilt it
                found: Report = json.loads(file.read_text())
                if found.get("target") == report["target"]:
                    return found
    return None


def close(run: "Run", folder: Path) -> tuple[Report, Path]:
    """Report a run that has ended: in the warehouse, to whoever is notified, and in a file.

    Who cannot be notified is named; it makes no run fail.
    """
    report = of_run(run)
    previous = before(folder, report)
    report["failing"] = failing(report, previous)
    try:
        with closing(run.route.new_warehouse()) as warehouse:
            record_run(warehouse, report)
    except LoaderError as error:
        run.say(f"The warehouse has no record of this run: {error.fact}")
    addresses = run.route.settings.notify
    for sentence in notify(report, previous, addresses, run.stop.left / 3):
        run.say(sentence)
    return report, write(folder, report)


def of_run(run: "Run", asks: bool = True) -> Report:
    """Write down what is known of a run that has ended.

    Args:
        asks: whether to ask the warehouse what is published, and how old it is.
    """
    order, build = run.order, run.build
    report: Report = {
        "run_id": order.run_id,
        "target": order.target,
        "started_at": _utc(run.began),
        "ended_at": _utc(now()),
        "ok": run.outcome == "succeeded",
        "outcome": run.outcome,
        "dates": dict(zip(order.dates._fields, order.dates, strict=True)),
        "select": [table.name for table in order.tables] if order.selected else [],
        "steps": run.steps,
        "loads": loads(run.backlog.outcomes.values()),
        "said": run.said,
        "dbt": {
            "failures": build.failures if build else [],
            "warnings": build.warnings if build else [],
        },
        "verify": [
            {
                "table": each.table,
                "missing": each.missing,
                "extra": each.extra,
                "stale": each.stale,
                "days": len(each.days),
            }
            for each in run.findings
        ],
        "freshness": [],
        "published": [],
    }
    if asks and run.outcome != "refused":
        with suppress(LandingError), closing(run.route.new_warehouse()) as warehouse:
            report["freshness"] = list(_freshness(run, warehouse))
            report["published"] = _published(run, warehouse)
    return report


def _utc(instant: datetime) -> str:
    return instant.replace(tzinfo=UTC).isoformat()


def _freshness(run: "Run", warehouse: Warehouse) -> Iterator[dict[str, Any]]:
    """Each table's age by the ledger, and what the source YAML says of it.

    dbt asks the newest row for its age, and so takes a table that nothing was written to in MySQL
    for an old one; the ledger knows when it was last looked at.
    """
    bounds = run.declared.get("freshness", {})
    ledger = warehouse.loads()
    for table in run.order.tables:
        if table.name not in bounds:
            continue
        age = table_status(table, ledger, run.route.settings).age
        seconds = age.total_seconds() if age is not None else None
        status = "ok"
        for level in ("warn", "error"):
            bound = bounds[table.name][level]
            if bound is not None and (seconds is None or seconds > bound):
                status = level
        yield {"table": table.name, "age_seconds": seconds, "status": status}


def _published(run: "Run", warehouse: Warehouse) -> list[dict[str, Any]]:
    """When each summary that the project has was last published."""
    summaries = run.declared.get("summaries", {})
    times: dict[str, datetime] = {}
    for schema in set(summaries.values()):
        with suppress(LandingError), warehouse.transaction():  # nothing was ever published
            times |= dict(
                warehouse.execute(
                    f"select model_name, max(published_at) from {quote(schema)}._publications "
                    "group by 1"
                )
            )
    return [
        {"model": name, "published_at": _utc(times[name])}
        for name in sorted(summaries)
        if name in times
    ]
