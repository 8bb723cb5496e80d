"""What a day costs, and what it still costs when the table has grown: the repository's own project.

Its `nps` is filled with rows of July 2026; each increment changes some of them, on a day of its own
in August: as many whatever the table's size, a thousandth of the large one.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from bench.distance import far_away
from bench.measure import Cost, WayError, measured
from bench.place import CORE, SCHEMA, TABLES_PROJECT, Place, program
from bench.tables import HEAVY, connection, fill, numbers
from loader.declared.windows import DAY
from loader.local import sample

JULY, AUGUST = date(2026, 7, 1), date(2026, 8, 1)
_JULY_DAYS = ("--start-date", str(JULY), "--end-date", str(AUGUST))
NOTHING = "2026-09-01"  # a day without a row
GROWTH = 10
_NPS = ("--select", "nps")
_TWO_TABLES = (*_NPS, "session_transaction")
_MARTS = "nps_summary"
_AWAY_SECONDS = 0.02
_SESSION_SECONDS = 60
TITLES = (
    "Start-up", "Backfill of 31 days", "Verify", "0.1 % changed in a table that has grown",
    "Memory",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a table.

    Attributes:
        what: what was measured.
        seconds, peak_bytes: of every run.
        found: what is no time: a number of another kind, a ratio, or why there is none.
        limit: what it has to stay below.
    """

    what: str
    seconds: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    found: str = ""
    limit: str = ""


@dataclass(frozen=True, kw_only=True)
class Field:
    """The repository's project with its sample, and how much is asked of it.

    Attributes:
        place: with that project.
        rows: of `nps` at first; it grows to ten and twenty times as many.
        runs: of each measurement.
        say: told what goes on.
    """

    place: Place
    rows: int
    runs: int
    say: Callable[[str], None]

    def loader(self, *arguments: str) -> Cost:
        """Run the loader."""
        return measured(self.place, [program("loader"), *arguments])

    def dbt(self, *arguments: str) -> Cost:
        """Run dbt."""
        return measured(self.place, [program("dbt"), "--quiet", *arguments])

    def mysql(self, *statements: str) -> None:
        """Run statements where the sample is."""
        with connection(self.place.endpoints) as source, source.cursor() as cursor:
            cursor.execute("use prod")
            for statement in statements:
                cursor.execute(statement)

    def scanned(self) -> int:
        """How many rows of `nps`, raw and core, PostgreSQL has read otherwise than by an index."""
        with self.place.warehouse() as cursor:
            # A session counts when it ends, which may be a moment after its client has.
            until = time.monotonic() + _SESSION_SECONDS
            others = 1
            while others:
                if time.monotonic() > until:
                    raise WayError(f"{others} other sessions of the warehouse do not end")
                time.sleep(0.05)
                cursor.execute(
                    "select count(*) from pg_stat_activity where backend_type = 'client backend' "
                    "and datname = current_database() and pid <> pg_backend_pid()"
                )
                ((others,),) = cursor.fetchall()
            cursor.execute(
                "select sum(seq_tup_read) from pg_stat_user_tables "
                "where relname = 'nps' and schemaname in (%s, %s)",
                (SCHEMA, CORE),
            )
            ((rows,),) = cursor.fetchall()
        return int(rows)

    def line(self, what: str, run: Callable[[], Cost], limit: str = "", runs: int = 0) -> Line:
        """Measure something several times."""
        costs = [run() for _ in range(runs or self.runs)]
        self.say(f"{what}: {min(cost.seconds for cost in costs):.1f} s")
        return Line(
            what=what,
            seconds=[round(cost.seconds, 3) for cost in costs],
            peak_bytes=[cost.peak_bytes for cost in costs],
            limit=limit,
        )


def measure(place: Place, rows: int, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all sections, each its lines.

    Args:
        place: with the repository's project.
    """
    here = Field(place=place, rows=rows, runs=runs, say=say)
    begin(here)
    start_up = [*_start_up(here)]
    land_anew(here)  # or the gate would notice that there are many more days all at once
    grow(here, rows)
    backfill = [*_backfill(here)]
    small = _increments(here)
    memory = [_memory(here, rows)]
    grow(here, GROWTH * rows)
    here.loader("load", "--full-refresh", *_NPS)
    verify = here.line(
        f"`loader verify`, {GROWTH * rows:,} unchanged rows",
        lambda: here.loader("verify", *_NPS),
        "15 s, 100 MB",
    )
    large = _increments(here)
    grow(here, 2 * GROWTH * rows)
    memory += [_memory(here, 2 * GROWTH * rows), _heavy(here)]
    sections = (start_up, backfill, [verify], _compared(small, large), memory)
    return {
        title: [vars(line) for line in lines] for title, lines in zip(TITLES, sections, strict=True)
    }


def begin(here: Field) -> None:
    """Fill, land and build the sample."""
    endpoints = here.place.endpoints
    address = sample.Address(endpoints.mysql_port, endpoints.admin_password)
    sample.fill(address, here.place.folder, lambda *_: None, AUGUST - 40 * DAY)
    land_anew(here)
    here.dbt("build", "--exclude-resource-type", "unit_test")


def land_anew(here: Field) -> None:
    """Land everything where nothing is."""
    here.place.drop_schemas("analytics", "raw_data")
    here.loader("load", "--full-refresh")


def _start_up(here: Field) -> Iterator[Line]:
    yield here.line("`loader --help`", lambda: here.loader("--help"), "0.3 s", 2 * here.runs)
    yield here.line(
        "`loader load`, five tables, a day without rows",
        lambda: here.loader("load", "--run-date", NOTHING),
        "2 s",
    )
    here.loader("run", "--run-date", NOTHING)
    yield here.line(
        "`loader run`, the same day: landed, built, tested",
        lambda: here.loader("run", "--run-date", NOTHING),
        "8 s",
    )


def grow(here: Field, rows: int) -> None:
    """Let `nps` have so many rows, all of July."""
    here.say(f"nps: {rows:,} rows")
    here.mysql("truncate table nps")
    for chunk in numbers(rows):
        here.mysql(
            "insert into nps select n, 1 + mod(n * 31, 400009), mod(n * 7, 11), "
            "date_add('2024-08-01', interval mod(n * 7919, 63072000) second), "
            f"date_add('{JULY}', interval mod(n * 7919, 31 * 86400000) * 1000 microsecond), 0 "
            f"from {chunk}"
        )
    here.mysql("analyze table nps")


def _backfill(here: Field) -> Iterator[Line]:
    def load(*options: str) -> Cost:
        here.place.settle()  # or PostgreSQL would clean up after the run before meanwhile
        return here.loader("load", *options, *_NPS)

    def load_whole(what: str) -> Line:
        told = f"`loader load --full-refresh` of {here.rows:,} rows{what}"
        return here.line(told, lambda: load("--full-refresh"))

    whole = load_whole("")
    ranged = here.line(
        "`loader load`, the same rows as one range of 31 days", lambda: load(*_JULY_DAYS)
    )
    limit = f"{2 * middle(whole.seconds):.1f} s: twice the plain load"
    yield whole
    yield Line(**{**vars(ranged), "limit": limit})
    yield load_whole(", once windows have been landed, which index the table")
    here.place.settle()
    each = [
        here.loader("load", "--run-date", str(JULY + n * DAY), *_NPS).seconds for n in range(31)
    ]
    here.say(f"31 increments: {sum(each):.1f} s")
    yield Line(what="31 × `loader load --run-date DATE`", seconds=[round(sum(each), 3)])
    here.dbt("build", "--exclude-resource-type", "unit_test")  # or rows lack those they belong to
    limit = f"{sum(each):.1f} s: 31 increments"
    yield _day_by_day(here, _NPS, "", limit=limit)
    with far_away(here.place, _AWAY_SECONDS) as place:
        away = f", two tables, MySQL and S3 {_AWAY_SECONDS * 1000:.0f} ms away"
        for there, what in ((here, ", two tables"), (replace(here, place=place), away)):
            yield _day_by_day(there, _TWO_TABLES, what)


def _day_by_day(here: Field, tables: Sequence[str], what: str, limit: str = "") -> Line:
    """Run a backfill that lands each day by itself; its landing alone is measured."""
    here.place.settle()
    cost = here.loader("run", *_JULY_DAYS, *tables, "--step", "day", "--json")
    (landed,) = (step for step in report_of(cost)["steps"] if step["name"] == "land")
    told = f"the landing of `loader run --step day`, 31 days one by one{what}"
    here.say(f"{told}: {landed['seconds']:.1f} s")
    return Line(what=told, seconds=[landed["seconds"]], limit=limit)


def report_of(cost: Cost) -> dict[str, Any]:
    """Read the JSON that a run has written, with dbt's own lines before it."""
    text = cost.output
    found: dict[str, Any] = json.loads(text[text.index('{"') if '{"' in text else 0 :])
    return found


@dataclass(frozen=True, kw_only=True)
class _Increments:
    """What increments cost at one size, in seconds of each run.

    Attributes:
        scanned: rows that PostgreSQL read without an index while one was landed and merged.
    """

    rows: int
    changed: int
    load: Line
    dbt: list[float]
    core: list[float]
    marts: list[float]
    scanned: int


def _increments(here: Field) -> _Increments:
    """Change some rows, land them, build; several times."""
    with connection(here.place.endpoints) as source, source.cursor() as cursor:
        cursor.execute("select count(*) from prod.nps")
        ((rows,),) = cursor.fetchall()
    changed = GROWTH * here.rows // 1000
    here.dbt("run", "--select", "source:raw_data.nps+")
    here.place.settle()

    def increment(turn: int) -> Cost:
        day = AUGUST + turn * DAY
        here.mysql(
            f"update nps set score = mod(score + 1, 11), updated_at = date_add('{day}', "
            f"interval mod(id, 86400) second) where mod(id, {rows // changed}) = {turn}"
        )
        here.place.checkpoint()
        return here.loader("load", "--run-date", str(day), *_NPS)

    costs, dbt, core, marts = [], [], [], []
    for turn in range(here.runs + 1):
        cost = increment(turn)
        built = here.dbt("run", "--select", "source:raw_data.nps+")
        if turn == 0:
            continue  # the first one after a whole landing makes the indexes
        nodes = _nodes(here.place.project)
        costs.append(cost)
        dbt.append(round(built.seconds, 3))
        core.append(round(nodes["nps"], 3))
        marts.append(round(nodes[_MARTS], 3))
    before = here.scanned()
    increment(here.runs + 1)
    here.dbt("run", *_NPS)
    here.say(f"increments of {rows:,} rows: {min(cost.seconds for cost in costs):.1f} s")
    load = Line(
        what="",
        seconds=[round(cost.seconds, 3) for cost in costs],
        peak_bytes=[cost.peak_bytes for cost in costs],
    )
    return _Increments(
        rows=rows,
        changed=changed,
        load=load,
        dbt=dbt,
        core=core,
        marts=marts,
        scanned=here.scanned() - before,
    )


def _nodes(project: Path) -> dict[str, float]:
    """How long dbt's last run took for each model."""
    results = json.loads((project / "target" / "run_results.json").read_text())["results"]
    return {each["unique_id"].split(".")[-1]: each["execution_time"] for each in results}


def _compared(small: _Increments, large: _Increments) -> Iterator[Line]:
    """The same steps at both sizes."""
    for what, of, is_flat in (
        ("`loader load --run-date DATE`", lambda each: each.load.seconds, True),
        ("`dbt run`, all of it", lambda each: each.dbt, True),
        ("… its merge into core `nps`", lambda each: each.core, True),
        (f"… its rebuild of `{_MARTS}`", lambda each: each.marts, False),
    ):
        for each in (small, large):
            is_large = each is large
            share = middle(of(large)) / middle(of(small))
            yield Line(
                what=f"{what}, {each.changed:,} of {each.rows:,} rows",
                seconds=of(each),
                peak_bytes=each.load.peak_bytes if of(each) is each.load.seconds else [],
                found=f"{share:.2f} × the small one's" if is_large else "",
                limit="1.2 ×" if is_large and is_flat else "",
            )
    for each in (small, large):
        told = "rows that PostgreSQL read without an index to land and merge"
        yield Line(
            what=f"… {told}, {each.changed:,} of {each.rows:,} rows", found=f"{each.scanned:,} rows"
        )


def middle(numbers: Sequence[float]) -> float:
    """Take the median."""
    return sorted(numbers)[len(numbers) // 2]


def _memory(here: Field, rows: int) -> Line:
    return here.line(
        f"`loader load --full-refresh` of {rows:,} rows",
        lambda: here.loader("load", "--full-refresh", *_NPS),
        "120 MB",
        runs=1,
    )


def _heavy(here: Field) -> Line:
    """Rows of ten megabytes."""
    with connection(here.place.endpoints) as source:
        fill(source, HEAVY)
    tables = replace(here, place=replace(here.place, project=here.place.folder / TABLES_PROJECT))
    return tables.line(
        f"`loader load --full-refresh` of {HEAVY.rows} rows of 10 MB",
        lambda: tables.loader("load", "--full-refresh", "--select", HEAVY.name),
        "120 MB",
        runs=1,
    )
