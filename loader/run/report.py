"""The report of a run: a JSON file, which the next run reads, and a row of `raw_data._runs`."""

import json
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from loader.errors import ConfigError, LandingError, LoaderError
from loader.load.job import now
from loader.run.notify import differing, failed_loads, failed_steps, failing, nodes, notify
from loader.run.published import LAST_RUN, last_run, publications, shows_earlier, utc
from loader.verify.finding import KINDS
from loader.warehouse import Warehouse
from loader.warehouse.ledger import RUNS

if TYPE_CHECKING:
    from loader.run.daily import Run

Report = dict[str, Any]
LastRun = tuple[Report | None, Report | None]
"""What is told of the last run, by LAST_RUN; and its report, if it was written on this machine."""


def new_run_id(now: datetime) -> str:
    """Make an id that sorts by time."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def prepare(folder: Path) -> None:
    """Make the folder of reports, its owner's alone, and try to write to it.

    Raises:
        ConfigError: it cannot be written to.
    """
    with _explained(f"LOADER_REPORTS {str(folder)!r} cannot be written to; nothing was touched"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"is there room?")


def write(folder: Path, report: Report) -> Path:
    """Write a report; whoever reads it sees all of it or nothing.

    Raises:
        ConfigError: the folder cannot be written to any more; the run is as its report would say.
    """
    file = folder / f"{report['run_id']}.json"
    half = file.with_suffix(".half")
    with _explained(f"The run {report['outcome']}, and its report {file} could not be written"):
        half.touch(0o600)
        half.write_text(json.dumps(report, indent=2) + "\n")
        half.replace(file)
    return file


@contextmanager
def _explained(fact: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Make room, or set LOADER_REPORTS to a folder that may be written to."
        raise ConfigError(f"{fact}: {error.strerror}.", remedy) from None


def before(folder: Path, report: Report) -> Report | None:
    """Find the newest earlier report of the same target; a refused run did nothing."""
    for file in sorted(folder.glob("*.json"), reverse=True):
        if file.stem < report["run_id"]:
            with suppress(OSError, ValueError, AttributeError, KeyError):  # spoilt by somebody
                found: Report = json.loads(file.read_text())
                if found.get("target") == report["target"] and found["outcome"] != "refused":
                    return found
    return None


def close(run: "Run", folder: Path, *, hangs: bool = False) -> tuple[Report, Path]:
    """Report a run that has ended: in the warehouse, to whoever is notified, and in a file.

    Who cannot be notified is named; it makes no run fail.

    Args:
        hangs: it ends though something hangs that may be the warehouse, which is not asked.
    """
    report = _of_run(run)
    # A refused run did nothing, and what the other did is the last.
    with_warehouse = run.outcome != "refused" and not hangs
    if with_warehouse:
        with suppress(LandingError), closing(run.route.new_warehouse()) as warehouse:
            since = sorted(publications(warehouse).items())
            report["published"] = {name: utc(each.built_at) for name, each in since}
            report["held_back"] = shows_earlier(warehouse)
    previous = before(folder, report)
    report["failing"] = failing(report, previous)
    try:
        if with_warehouse:
            with closing(run.route.new_warehouse()) as warehouse:
                record_run(warehouse, report)
    except LoaderError as error:
        run.say(f"The warehouse has no record of this run: {error.fact}")
    seconds = run.stop.left - 1 if hangs else run.stop.left / 3
    for sentence in notify(report, previous, run.route.settings.notify, seconds):
        run.say(sentence)
    return report, write(folder, report)


def record_run(warehouse: Warehouse, report: Report) -> None:
    """Write a run's row into the ledger.

    Raises:
        LandingError: the warehouse could not be reached, or refused.
    """
    warehouse.prepare()
    with warehouse.transaction():
        # Another run that has taken its lease over may have noted that it died.
        runs = warehouse.relation(RUNS)
        warehouse.execute(f"delete from {runs} where run_id = %s", (report["run_id"],))
        warehouse.insert(RUNS, _row(report))


def last_known(warehouse: Warehouse) -> LastRun:
    """Tell the last run, of which the warehouse may have no record."""
    run = last_run(warehouse)
    newest = {"run_id": "~", "target": warehouse.profile.target}
    report = before(warehouse.settings.run.reports, newest)
    if not report or (run and report["run_id"] < run["run_id"]):
        return run, None
    row = _row(report)
    return {name: row[name] for name in LAST_RUN}, report


def _row(report: Report) -> Report:
    """What the ledger has of a run."""
    return {
        "run_id": report["run_id"],
        "started_at": datetime.fromisoformat(report["started_at"]).replace(tzinfo=None),
        "ended_at": datetime.fromisoformat(report["ended_at"]).replace(tzinfo=None),
        "outcome": report["outcome"],
        "failed_step": next((step["name"] for step in failed_steps(report)), None),
        "dbt_failures": len(nodes(report, "failures")),
        "dbt_warnings": len(nodes(report, "warnings")),
        "verify_findings": sum(table[kind] for table in differing(report) for kind in KINDS),
        "stale_tables": len({load["table_name"] for load in failed_loads(report)}),
    }


def _of_run(run: "Run") -> Report:
    """Write down what is known of a run that has ended, without asking the warehouse."""
    return {
        "run_id": run.run_id, "target": run.target,
        "started_at": utc(run.began), "ended_at": utc(now()),
        "ok": run.outcome == "succeeded", "outcome": run.outcome,
        "dates": run.dates._asdict(), "step": run.step,
        "select": [table.name for table in run.tables] if run.selected else [],
        "died": run.died, "has_lease": run.has_lease,
        "steps": run.steps,
        "loads": [outcome.as_json() for outcome in list(run.outcomes.values())],
        "said": run.said,
        "dbt": {"failures": run.dbt.failures, "warnings": run.dbt.warnings},
        "verify": [finding.as_json() for finding in run.findings],
        "published": {},
        "held_back": {},
    }  # fmt: skip
