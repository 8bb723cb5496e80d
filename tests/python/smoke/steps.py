"""What a smoke run tries, in order; each step returns what it found, or raises."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from round_trips import ROUND_TRIPS, arrives, fits_redshift, landed_columns, table_statements

from loader.local import sample
from loader.stage.staging import Staging
from loader.warehouse.redshift import Redshift
from loader.warehouse.session import Session
from smoke.making import FIRST_DAY
from smoke.place import Place, SmokeError

Rows = list[tuple[Any, ...]]
DAY = sample.LAST_DAY
EDGES = "every_type"
TRIPS = [trip for trip in ROUND_TRIPS if fits_redshift(trip)]
LAND_DAY = ("--run-date", f"{DAY}", "--select", "nps")
SCALE = "minimum_rows_scale: 0.001"
"""The sample's minimum of 150,000 answers is 150 then; two days have more."""


def check(place: Place) -> str:
    """Everything that a first load needs is in place."""
    return f"{len(place.loader('check').splitlines())} checks passed"


def debug(place: Place) -> str:
    """dbt connects with the same profile."""
    place.dbt("debug")
    return ""


def land_everything(place: Place) -> str:
    """Every table lands whole, and holds as many rows as MySQL does."""
    loads = place.load("--full-refresh")
    for table in loads:
        ((expected,),) = place.mysql(f"select count(*) from {table}")
        ((found,),) = place.ask(f"select count(*) from {place.schema('raw_data')}.{table}")
        must(found == expected, f"{table}: {expected} rows in MySQL, {found} in the warehouse.")
    return f"{sum(load['landed_rows'] for load in loads.values()):,} rows of {len(loads)} tables"


def seed(place: Place) -> str:
    """dbt writes a table of its own."""
    place.dbt("seed")
    return ""


def build(place: Place) -> str:
    """Every model is merged, checked and published, and every test passes."""
    said = place.dbt("build", "--vars", f"{{{SCALE}}}")
    _compare_core(place)
    return _last_counts(said)


def land_twice(place: Place) -> str:
    """A day that is landed again is replaced; landed once more, it stays the same."""
    # One answer of the day before moves into the day, so that an old version of it stays behind.
    place.mysql(
        f"update nps set score = mod(coalesce(score, 0) + 1, 11) where date(updated_at) = '{DAY}'",
        f"update nps set updated_at = '{DAY} 12:00:00' where date(updated_at) = '{FIRST_DAY}' "
        "order by id limit 1",
    )
    for _ in range(2):
        place.load("--run-date", f"{DAY}")
        _compare_day(place)
    return f"{len(_source_day(place))} answers of {DAY}, the same both times"


def build_day(place: Place) -> str:
    """A build of one day merges its changed rows, and no other."""
    said = place.dbt("run", "--vars", f"{{run_date: {DAY}, {SCALE}}}")
    _compare_core(place)
    return _last_counts(said)


def watch_landing(place: Place) -> str:
    """Until the commit another session sees the old day, whole; then the new one."""
    old, seen = _landed_day(place), list[Rows]()
    place.mysql(f"update nps set score = 10 - score where date(updated_at) = '{DAY}'")
    with _around_copy(after=lambda: seen.append(_landed_day(place))):
        place.load(*LAND_DAY)
    must(len(seen) > 1, "Nobody looked.")
    must(all(rows == old for rows in seen), "Another session saw rows before they were committed.")
    _compare_day(place)
    return f"{len(seen)} looks from another session between COPY and commit"


def land_in_conflict(place: Place) -> str:
    """A session that writes the same rows meanwhile leaves no trace: the day is MySQL's."""
    copies = list[int]()
    table = f"{place.schema('raw_data')}.nps"

    def interfere() -> None:
        copies.append(1)
        if len(copies) == 1:
            place.ask(f"update {table} set score = -1 where _run_date = '{DAY}'")

    with _around_copy(before=interfere):
        place.load(*LAND_DAY)
    _compare_day(place)
    tries = len(copies) - 1
    return f"a conflict, tried again {tries} x" if tries else "no conflict was raised"


def refuse_bad_row(place: Place) -> str:
    """COPY refuses a row, its reason is found, and the table is as it was."""
    old = _landed_day(place)
    with _staged(lambda text: b"x" + text):  # no number
        said = place.load_fails(*LAND_DAY)
    must("column id: " in said, f"The reason is not told: {said}")
    must(_landed_day(place) == old, "The rows of the day are not what they were.")
    return said.partition("column id: ")[2].partition(" (")[0]


def roll_back(place: Place) -> str:
    """A row that was lost on the way shows in the counts, and everything is rolled back."""
    old = _landed_day(place)
    with _staged(lambda text: text[text.index(b"\n") + 1 :]):
        said = place.load_fails(*LAND_DAY)
    must("the counts differ" in said, f"It failed for another reason: {said}")
    must(_landed_day(place) == old, "The rows of the day are not what they were.")
    return said.partition("differ: ")[2].partition(".")[0]


def snapshot(place: Place) -> str:
    """dbt keeps a version of every answer, and of those that changed since the build another."""
    place.dbt("snapshot")
    ((versions, current),) = place.ask(
        "select count(*), sum(case when dbt_valid_to is null then 1 else 0 end) "
        f"from {place.schema('analytics')}.nps_history"
    )
    ((answers,),) = place.mysql("select count(*) from nps")
    must(current == answers, f"{current} versions hold, of {answers} answers.")
    must(versions > current, "The answers that changed have no older version.")
    return f"{versions} versions of {answers} answers"


def freshness(place: Place) -> str:
    """dbt finds every raw table fresh."""
    place.dbt("source", "freshness")
    return ""


def archive(place: Place) -> str:
    """The version that was left behind moves to the archive."""
    place.dbt("run-operation", "prune_raw_data", "--args", "{days: 0, dry_run: false}")
    ((moved,),) = place.ask(f"select count(*) from {place.schema('archive')}.nps")
    must(moved == 1, f"{moved} rows were archived, not 1.")
    return "1 row archived"


def repair(place: Place) -> str:
    """An answer that was deleted in MySQL is found, and its deletion reaches the core table."""
    place.mysql("delete from nps order by id limit 1")
    said = place.loader("verify", "--select", "nps", "--values", "--repair")
    place.dbt("run", "--select", "nps")
    _compare_core(place)
    place.loader("verify", "--select", "nps", "--values")
    return f"{len(re.findall('1 differ', said))} deletion found"


def run_daily_job(place: Place) -> str:
    """The daily job lands and builds; so few rows are no summary, so the gate keeps the old one."""
    place.mysql("insert into channel values ('Smoke')")
    _, said = place.attempt("run", "--select", "channel", "--full-refresh", "--json")
    found = place.ask(f"select channel_name from {place.schema('analytics')}.channel order by 1")
    must(("Smoke",) in found, f"The row that was added has not reached the core table: {said}")
    refused = [failure["message"] for failure in json.loads(said)["dbt"]["failures"]]
    must(len(refused) == 1 and "row_count_at_least" in refused[0], f"{refused}")
    return "channel built, channel_performance kept as it was"


def document(place: Place) -> str:
    """dbt reads the catalog."""
    place.dbt("docs", "generate")
    return ""


def compare_types(place: Place) -> str:
    """Every MySQL type reads back as what was written, at its edges."""
    place.mysql(*table_statements(EDGES, TRIPS))
    place.declare(EDGES)
    try:
        place.load("--select", EDGES)
    except SmokeError as error:
        column = re.search(r"column c(\d+)", error.fact)
        raise SmokeError(
            f"{TRIPS[int(column[1])][0]}: {error.fact}" if column else error.fact
        ) from None
    columns = landed_columns(TRIPS, "redshift")
    rows = place.ask(f"select {columns} from {place.schema('raw_data')}.{EDGES} order by id")
    for n, trip in enumerate(TRIPS):
        column = [row[n] for row in rows]
        must(arrives(trip, column), f"{trip[0]}: {trip[2]!r:.200} arrived as {column!r:.200}.")
    return f"{len(TRIPS)} columns equal"


def clean_stage(place: Place) -> str:
    """The loader has removed what it staged."""
    left = place.staged()
    must(not left, f"Still in the bucket: {', '.join(left)}.")
    return ""


STEPS: tuple[tuple[str, Callable[[Place], str]], ...] = (
    ("loader check", check),
    ("dbt debug", debug),
    ("loader load --full-refresh", land_everything),
    ("dbt seed", seed),
    ("dbt build", build),
    (f"loader load --run-date {DAY}, twice", land_twice),
    (f"dbt run --vars 'run_date: {DAY}'", build_day),
    ("a landing seen from another session", watch_landing),
    ("a landing in conflict", land_in_conflict),
    ("a bad row is refused", refuse_bad_row),
    ("a short count is rolled back", roll_back),
    ("dbt snapshot", snapshot),
    ("dbt source freshness", freshness),
    ("dbt run-operation prune_raw_data", archive),
    ("loader verify --repair", repair),
    ("loader run", run_daily_job),
    ("dbt docs generate", document),
    # Late, because a corner of one type says nothing of the rest.
    ("every type reads back equal", compare_types),
    ("no staged file is left", clean_stage),
)


def must(true: bool, otherwise: str) -> None:
    """Let a step go on.

    Raises:
        SmokeError: it may not; says why.
    """
    if not true:
        raise SmokeError(otherwise)


_ANSWER = "user_id, score, is_deleted"


def _source_day(place: Place) -> Rows:
    return place.mysql(
        f"select id, {_ANSWER} from nps where date(updated_at) = '{DAY}' order by id"
    )


def _landed_day(place: Place) -> Rows:
    return place.ask(
        f"select id, {_ANSWER} from {place.schema('raw_data')}.nps "
        f"where _run_date = '{DAY}' order by id"
    )


def _compare_day(place: Place) -> None:
    must(_landed_day(place) == _source_day(place), f"nps {DAY} is not what MySQL has.")


def _compare_core(place: Place) -> None:
    built = place.ask(
        f"select response_id, user_id, score, case when is_deleted then 1 else 0 end "
        f"from {place.schema('analytics')}.nps order by 1"
    )
    source = place.mysql(f"select id, {_ANSWER} from nps order by id")
    must(built == source, "The core table nps is not what MySQL has.")


def _last_counts(said: str) -> str:
    found = re.findall(r"PASS=(\d+) WARN=(\d+)", said)
    return f"{found[-1][0]} passed, {found[-1][1]} warned" if found else ""


@contextmanager
def _around_copy(
    before: Callable[[], None] = lambda: None, after: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Do something before a landing's COPY, and after it and every later statement."""
    copied = list[object]()

    def execute(self: Redshift, statement: str, parameters: Any = ()) -> Rows:
        copies = statement.startswith("copy ")
        if copies:
            before()
        rows = Session.execute(self, statement, parameters)
        if copies:
            copied.append(self)
        if self in copied:
            after()
        return rows

    with patch.object(Redshift, "execute", execute):
        yield


@contextmanager
def _staged(change: Callable[[bytes], bytes]) -> Iterator[None]:
    """Change what a load stages, and leave its count of rows."""
    write = Staging.write

    def changed(self: Staging, text: bytes, rows: int) -> None:
        write(self, change(text), rows)

    with patch.object(Staging, "write", changed):
        yield
