"""Who is notified of a run, and of what: a failure, the recovery, something new to look at."""

import logging
import re
import shlex
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from threading import Thread
from typing import Any
from urllib.parse import unquote

from loader.run.runs import Report, differing, failed_steps, instant, nodes, stale

SECONDS = 60
"""How long all receivers together may take, however slowly a server goes on answering."""

_ENDED = {"failed": "failed", "interrupted": "was interrupted", "refused": "was refused"}
_CHECKS_MOST = 5
_LINE_MOST, _PART_MOST = 500, 3000  # characters


@dataclass(frozen=True, kw_only=True)
class Message:
    """What receivers are sent.

    Attributes:
        kind: failure, warning, success or info, as apprise colours it.
        subject: in one line.
        parts: a heading and its lines, each.
    """

    kind: str
    subject: str
    parts: Sequence[tuple[str, Sequence[str]]]


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
        message = Message(kind=kind, subject=subject, parts=list(_parts(report)))
        answers = send(message, addresses, seconds)
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        return [f"Nobody was notified of the run: {kind} at {at.filename}:{at.lineno}."]
    return [f"{who} was not notified of the run: {why}." for who, why in answers.items() if why]


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
    """Say in one line what became of a run; empty if nobody needs to know."""
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


# -- the way out -----------------------------------------------------------------------------------


def send(message: Message, addresses: Sequence[str], seconds: float = inf) -> dict[str, str]:
    """Send a message to all addresses at once; raises nothing and takes a bounded time.

    Returns:
        By receiver why it was not notified; empty where it was.
    """
    for library in ("apprise", "urllib3"):  # what they log holds addresses; `_why` shows the rest
        logging.getLogger(library).propagate = False
    seconds = min(seconds, SECONDS)
    answers, threads = dict[str, str](), list[Thread]()

    def run(receiver: str, address: str) -> None:
        try:
            answers[receiver] = _send(message, address)
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


def _send(message: Message, address: str) -> str:
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
        title=_shortened(message.subject),
        body="\n\n".join(_texts(message)),
        notify_type=message.kind,
        body_format="text",
    )
    return "" if result else _why([entry.message for entry in result.logs()], address)


def _why(said: Sequence[str], address: str) -> str:
    """The last that apprise says of a failure, without anything that the address holds."""
    pieces = re.split("[?&][^=&]*=|[/:@?&,#]+", address.partition("://")[2])
    hidden = {form for piece in pieces for form in (piece, unquote(piece)) if len(form) > 1}
    hiding = "|".join(re.escape(each) for each in sorted(hidden, key=len, reverse=True))
    why = said[-1] if said else "no reason was given"
    return _shortened(re.sub(hiding or "(?!)", "…", why, flags=re.IGNORECASE)).rstrip(".")


def _texts(message: Message) -> Iterator[str]:
    """The parts, each a heading and as many lines as there is room for."""
    for heading, texts in message.parts:
        lines = [_shortened(line) for text in texts for line in text.splitlines() if line.strip()]
        ends = accumulate(len(line) for line in lines)
        shown = [line for line, end in zip(lines, ends, strict=True) if end <= _PART_MOST]
        more = len(lines) - len(shown)
        yield "\n  ".join([heading, *shown, *([f"… and {more:,} lines more"] if more else [])])


def _shortened(text: str) -> str:
    """One line without control characters, marks of direction and half characters."""
    line = "".join(each if each.isprintable() else " " for each in text[:_LINE_MOST]).rstrip()
    return line if len(text) <= _LINE_MOST else f"{line}…"
