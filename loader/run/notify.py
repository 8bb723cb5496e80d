"""Who is notified of a run, and of what: a failure, the recovery, something new to look at."""

import logging
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from math import inf
from threading import Thread
from typing import Any
from urllib.parse import unquote

from loader.errors import counted, unexpected
from loader.verify.finding import KINDS

SECONDS = 60
"""How long all receivers together may take, however slowly a server goes on answering."""
_REASON_MOST = 500  # characters

Report = Mapping[str, Any]
"""What `loader run` writes of a run, as JSON; its times are UTC."""
_ENDED = {"failed": "failed", "interrupted": "was interrupted", "refused": "was refused"}
_LINE_MOST, _PART_MOST = 500, 3000  # characters


def notify(
    report: Report, previous: Report | None, addresses: Sequence[str], seconds: float = inf
) -> list[str]:
    """Notify every receiver of what became of a run.

    Sent are a run that failed, each time, because a daily job that fails every day must not be
    taken for one that works; the first that succeeds after that; and one that succeeds with a
    warning or a finding that the run before did not have.

    Args:
        previous: the report of the run before, of the same target, if there was one.
        addresses: the receivers, as LOADER_NOTIFY lists them.
        seconds: how long they may take, if that is less than `SECONDS`.

    Returns:
        A sentence for each receiver that could not be notified. Nothing is raised and nothing
        waited for longer than `SECONDS`: a dead Slack fails no run.
    """
    try:
        subject = subject_of(report, previous)
        if not (subject and addresses):
            return []
        kind = "failure" if not report["ok"] else "warning" if _findings(report) else "success"
        body = "\n\n".join(_parts(report))
        answers = send(kind, shortened(subject), body, addresses, seconds)
    except Exception as error:
        return [unexpected(error, "nobody was notified of the run").fact]
    return [f"{who} was not notified of the run: {why}." for who, why in answers.items() if why]


def failing(report: Report, previous: Report | None) -> Report | None:
    """Count the `runs` that have failed in a row, this one included, and `since` when; else None.

    It stands in the report as `failing`, so that the next run can go on counting. One of some
    tables alone that succeeds leaves it as it was: the others may fail still.
    """
    before = (previous or {}).get("failing")
    if report["ok"]:
        return before if report.get("select") else None
    before = before or {"runs": 0, "since": report["started_at"]}
    return {"runs": before["runs"] + 1, "since": before["since"]}


def subject_of(report: Report, previous: Report | None) -> str:
    """Say in one line what became of a run; empty if nobody needs to know."""
    dates = report["dates"]
    days = f" of {dates['run_date']}" if dates.get("run_date") else ""
    if dates.get("start_date"):
        days = f" from {dates['start_date']} to {dates['end_date']}"
    run = f"mysql_to_redshift: the run{days} on {report['target']}"
    now, before = report["failing"], (previous or {}).get("failing")
    if now and not report["ok"]:
        at = " and ".join(step["name"] for step in failed_steps(report))
        times = f", {now['runs']} runs in a row since {_time(now['since'])}"
        ended = _ENDED.get(report["outcome"], "failed")
        return f"{run} {ended}{f' at {at}' if at else ''}{times if now['runs'] > 1 else ''}"
    if before and not now:
        runs = "a failed run" if before["runs"] == 1 else f"{before['runs']} failed runs"
        return f"{run} succeeded again, after {runs} since {_time(before['since'])}"
    if report.get("died"):
        return f"{run} succeeded, after one that died"
    new = _findings(report) - _findings(previous or {})
    return f"{run} succeeded, with something new to look at" if new else ""


def _findings(report: Report) -> set[tuple[str, str]]:
    """What a run that succeeded found nonetheless, by kind and name."""
    return {
        *(("dbt", node["node"]) for node in nodes(report, "warnings")),
        *(("verify", table["table"]) for table in differing(report)),
        *(("held back", model) for model in report.get("held_back", {})),
    }


def _parts(report: Report) -> Iterator[str]:
    """Write every part that has something to say: a heading and as many lines as there is room."""
    said = [step["remedy"] for step in failed_steps(report)]
    parts = {
        "Failed": [
            f"{step['name']}{f' after {count} attempts' if count > 1 else ''}: {step['error']}\n"
            f"{step['remedy'] or ''}"
            for step in failed_steps(report)
            for count in [step["attempts"]]
        ],
        "Loads": [
            f"{load['table_name']}, {_days(load)}: {load['error']}\n"
            f"{'' if remedy in said else remedy}"
            for load in failed_loads(report)
            for remedy in [load.get("remedy") or ""]
        ],
        "Checks": [_node(node) for node in nodes(report, "failures")],
        "Warnings": [_node(node) for node in nodes(report, "warnings")],
        "Said on the way": report["said"],
        "Published" if report["ok"] else "What stays published": [
            f"{model}: since {_time(at)}" for model, at in report.get("published", {}).items()
        ],
        "Held back": [f"{model}: {why}" for model, why in report.get("held_back", {}).items()],
        "To look": looking(report),
        "To run it again": [] if report["ok"] else [again(report)],
        "Run": [
            f"{report['run_id']}, {_time(report['started_at'])} to {_time(report['ended_at'])}"
        ],
    }
    for heading, texts in parts.items():
        lines = [shortened(line) for text in texts for line in text.splitlines() if line.strip()]
        ends = accumulate(len(line) for line in lines)
        shown = [line for line, end in zip(lines, ends, strict=True) if end <= _PART_MOST]
        if more := len(lines) - len(shown):
            shown.append(f"… and {more:,} lines more")
        if shown:
            yield "\n  ".join([heading, *shown])


def _days(load: Report) -> str:
    return f"{load['window_start']} to {load['window_end']}" if load["window_start"] else "whole"


def _node(node: Report) -> str:
    rows = "" if node["failures"] is None else f", {counted(node['failures'])}"
    message = (node["message"] or "").replace("\n", "\n  ")
    return f"{node['node']}: {node['status']}{rows}\n  {message}"


def _time(time: str) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M} UTC"


def looking(report: Report) -> list[str]:
    """Write the commands that show the state; a check's rows stand with it."""
    target = f"--target {shlex.quote(report['target'])}"
    return [
        f"loader status {target}",
        f"dbt show --select pipeline_health --output json --limit 100 {target}",
        f"dbt run-operation list_published {target}",
    ]


def again(report: Report) -> str:
    """Write the command that does the same once more."""
    options = [
        f"--{name.replace('_', '-')} {shlex.quote(report['dates'][name])}"
        for name in ("run_date", "start_date", "end_date")
        if report["dates"].get(name)
    ]
    options += ["--full-refresh"] if report["dates"].get("full_refresh") else []
    options += [f"--step {step} --resume"] if (step := report.get("step")) else []
    is_kept_out = report.get("has_lease") or report.get("outcome") == "refused"
    options += ["--wait 600"] if is_kept_out else []
    options += [shlex.join(["--select", *names])] if (names := report.get("select")) else []
    return " ".join(["loader run", *options, f"--target {shlex.quote(report['target'])}"])


def shortened(text: str) -> str:
    """One line without control characters, marks of direction and half characters."""
    line = "".join(each if each.isprintable() else " " for each in text[:_LINE_MOST]).rstrip()
    return line if len(text) <= _LINE_MOST else f"{line}…"


def failed_steps(report: Report) -> list[Report]:
    """The steps that failed, in the order in which they ran."""
    return [step for step in report.get("steps", []) if not step["ok"]]


def failed_loads(report: Report) -> list[Report]:
    """The loads that failed."""
    return [load for load in report["loads"] if load["outcome"] == "failed"]


def nodes(report: Report, kind: str) -> list[Report]:
    """What dbt says of its nodes: its `failures` or its `warnings`."""
    return list(report.get("dbt", {}).get(kind, []))


def differing(report: Report) -> list[Report]:
    """The tables of which verify found rows that differ."""
    return [each for each in report.get("verify", []) if any(each[kind] for kind in KINDS)]


def send(
    kind: str, subject: str, body: str, addresses: Sequence[str], seconds: float = inf
) -> dict[str, str]:
    """Send a message to all addresses at once; raises nothing and takes a bounded time.

    Args:
        kind: failure, warning, success or info, as apprise colours it.
        seconds: how long it may take, if that is less than `SECONDS`.

    Returns:
        By receiver why it was not notified; empty where it was.
    """
    for library in ("apprise", "urllib3"):  # what they log holds addresses; `_why` shows the rest
        logging.getLogger(library).propagate = False
    seconds = min(seconds, SECONDS)
    answers, threads = dict[str, str](), list[Thread]()

    def run(receiver: str, address: str) -> None:
        try:
            answers[receiver] = _send(kind, subject, body, address)
        except Exception as error:
            answers[receiver] = type(error).__name__

    for number, address in enumerate(addresses, start=1):
        receiver = f"Address {number} of LOADER_NOTIFY ({address.partition('://')[0]})"
        answers[receiver] = f"it took longer than {seconds:g} s"
        # The end of the process waits for no such thread, however long its server takes.
        threads.append(Thread(target=run, args=(receiver, address), daemon=True))
        threads[-1].start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    return dict(answers)


def _send(kind: str, subject: str, body: str, address: str) -> str:
    """Send to one receiver; returns why it was not notified, in words that hold no secret."""
    from apprise import Apprise, AppriseAsset, OverflowMode  # 0.9 s, if there is something to say

    asset = AppriseAsset(
        app_id="mysql_to_redshift",
        default_service_retry=1,
        default_service_wait=2.0,
        http_redirects=False,
        image_url_mask="",  # else Slack is asked to show a picture from the internet
        service_timeout=0,  # else it makes threads of its own, which the end of the process awaits
    )
    service = Apprise.instantiate(address, asset=asset)
    if service is None:
        return "apprise knows no such address"
    if getattr(service, "secure_mode", "") == "insecure" and service.password:
        return "it would send a password in clear; mailtos:// does not"
    service.overflow_mode = OverflowMode.TRUNCATE
    result = Apprise(service, asset=asset).notify(
        title=subject, body=body, notify_type=kind, body_format="text"
    )
    return "" if result else _why([entry.message for entry in result.logs()], address)


def _why(said: Sequence[str], address: str) -> str:
    """Quote the last that apprise says of a failure, without anything that the address holds."""
    pieces = re.split("[?&][^=&]*=|[/:@?&,#]+", address.partition("://")[2])
    hidden = {form for piece in pieces for form in (piece, unquote(piece)) if len(form) > 1}
    hiding = "|".join(re.escape(each) for each in sorted(hidden, key=len, reverse=True))
    why = " ".join(said[-1].split()) if said else "no reason was given"
    shown = re.sub(hiding or "(?!)", "…", why, flags=re.IGNORECASE)[:_REASON_MOST]
    return "".join(filter(str.isprintable, shown)).rstrip(".")
