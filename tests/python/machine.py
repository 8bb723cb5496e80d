"""A state machine that drives the whole pipeline on real services, and what must hold at its end.

What happens to MySQL, to the loader and to dbt is drawn at random: changes, loads of any windows
in any order and at once, builds, kills, cut connections, changed columns. A reader looks at the
published tables all the while. At the end, a last load and build must make everything equal.
"""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import independent
import psycopg2
from cutting import relayed
from history import assert_histories_equal, assert_summaries_equal
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pipeline import Forked, Pipeline, until

from loader.warehouse.ledger import Load

FIRST = date(2026, 7, 1)
DAYS = 6
CHANNELS = ("Google", "Organic", "Direct", "Naver")
CORE = {
    # core table: its columns, the source's in the same order
    "nps": (
        "response_id, user_id, score, cast(is_deleted as integer), answered_at, updated_at",
        "id, user_id, score, is_deleted, created_at, updated_at",
    ),
    "user_session_channel": (
        "session_id, user_id, channel_name, created_at", "sessionid, userid, channel, created_at"
    ),
    "session_timestamp": ("session_id, session_at", "sessionid, ts"),
    "session_transaction": (
        "session_id, amount, cast(is_refunded as integer), updated_at",
        "sessionid, amount, refunded, updated_at",
    ),
    "channel": ("channel_name", "channelname"),
}  # fmt: skip
Rule = Callable[..., None]
RUN = ("dbt", "run", "--no-version-check")
SNAPSHOT = ("dbt", "snapshot", "--no-version-check")
REPAIR = ("loader", "verify", "--repair", "--yes")
DEPTHS = st.sampled_from([{}, {"LOADER_CHECKS": "new"}])
"""How a build comes to its summaries: whole, or as `loader run` does."""

days = st.integers(0, DAYS - 1).map(lambda n: FIRST + timedelta(days=n))
windows = st.tuples(days, st.integers(1, DAYS)).map(
    lambda drawn: (drawn[0], min(drawn[0] + timedelta(days=drawn[1]), FIRST + DAYS * timedelta(1)))
)
BUILDS = st.sampled_from([(), (), ("--full-refresh",)]) | windows.map(
    lambda drawn: ("--vars", f"{{start_date: {drawn[0]}, end_date: {drawn[1]}}}")
)
"""What a build is told: to build what has landed since the last one, everything, or a window."""
tables = st.lists(st.sampled_from([*CORE]), unique=True, max_size=3)
KINDS_OF_CHANGE = ("answer", "visit", "updated_answer", "refund", "hard_delete", "changed_column")
changes = st.tuples(st.sampled_from(KINDS_OF_CHANGE), st.integers(0, 29), days)
places = st.sampled_from(["MySQL", "S3", "warehouse"])


class Reader:
    """Looks at the published tables in a thread of its own, and keeps what it saw.

    A table that was there once must always be there; its key must be unique; its content must be
    one that some command left behind.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._stop = threading.Event()
        self._seen = dict[str, set[tuple[Any, ...]]]()
        self._left_behind = dict[str, set[tuple[Any, ...]]]()
        self.violations = list[str]()
        self.looks = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look once more, then end."""
        self._stop.set()
        self._thread.join()
        self.note()
        for name, seen in self._seen.items():
            if odd := seen - self._left_behind.get(name, set()):
                self.violations.append(f"{name} was seen as {odd}, which no command left behind")

    def note(self) -> None:
        """Keep what a command has left behind."""
        with self._pipeline.warehouse_connection() as connection, connection.cursor() as cursor:
            for name in self._tables(cursor):
                content = self._content(cursor, name)
                self._left_behind.setdefault(name, set()).add(content)

    def _watch(self) -> None:
        with self._pipeline.warehouse_connection() as connection, connection.cursor() as cursor:
            while not self._stop.wait(0.01):
                for name in {*self._tables(cursor), *self._seen}:
                    try:
                        content = self._content(cursor, name)
                    except psycopg2.Error as error:
                        self.violations.append(f"{name}: {error}")
                        continue
                    self._seen.setdefault(name, set()).add(content)
                    self.looks += 1

    def _tables(self, cursor: Any) -> list[str]:
        cursor.execute(
            "select relname from pg_class where relnamespace = to_regnamespace('analytics') "
            "and relkind = 'r' and relname = any(%s)",
            ([*CORE, *independent.MARTS],),
        )
        return [name for (name,) in cursor]

    def _content(self, cursor: Any, name: str) -> tuple[Any, ...]:
        key = independent.MARTS.get(name) or CORE[name][0].split(",")[0]
        cursor.execute(
            f"select count(*), count(distinct ({key})), "
            "coalesce(sum(('x' || left(md5(seen::text), 8))::bit(32)::bigint), 0) "
            f"from analytics.{name} as seen"
        )
        count, keys, digest = cursor.fetchone()
        if count != keys:
            self.violations.append(f"{name} has {count} rows of {keys} keys")
        return count, digest


def command(**drawn: st.SearchStrategy[Any]) -> Callable[[Rule], Rule]:
    """Make a rule of what somebody does; after two such, something must happen in MySQL."""

    def of(function: Rule) -> Rule:
        return precondition(lambda self: self.since_change < 3)(rule(**drawn)(function))

    return of


class Pipelines(RuleBasedStateMachine):
    """Everything that can happen to one pipeline; `pipeline` and `forked` are a subclass's."""

    pipeline: Pipeline
    forked: Forked
    done: dict[str, int]

    @initialize(progress=st.integers(0, 2), luck=st.integers(0, 99))
    def begin(self, progress: int, luck: int) -> None:
        """Start with a source that has a little of everything: landed, built, or neither."""
        assume(luck)  # or the first history would be the simplest, in which next to nothing happens
        self.pipeline.start_anew()
        self.reader = Reader(self.pipeline)
        self.next_answer = self.next_visit = 1
        self.clock = self.since_change = 0
        self.hard_deleted = False
        self.pipeline.mysql("insert into channel values ('Email')")
        for number in range(4):
            self._answer(number, FIRST + number * timedelta(days=1))
            self._visit(number, FIRST + number * timedelta(days=1))
        for command in (("dbt", "seed"), self.load_command(None, []), RUN)[: progress + 1]:
            self.succeeds(*command)

    def count(self, what: str) -> None:
        """Keep a figure for the report."""
        self.done[what] = self.done.get(what, 0) + 1

    @invariant()
    def count_step(self) -> None:
        """Know how long MySQL has been the same."""
        self.since_change += 1

    # -- the source ------------------------------------------------------------------------------

    @rule(changes=st.lists(changes, min_size=1, max_size=6))
    def change_source(self, changes: list[tuple[str, int, date]]) -> None:
        """Things happen in MySQL."""
        self.since_change = 0
        for kind, number, day in changes:
            getattr(self, f"_{kind}")(number, day)
            self.count(kind.replace("_", " "))

    def _answer(self, number: int, day: date) -> None:
        for _ in range(number % 5 + 1):
            key = self.next_answer
            self.next_answer += 1
            score = "null" if key % 9 == 0 else key * 7 % 11
            self.pipeline.mysql(
                "insert into nps (id, user_id, score, created_at, updated_at) values "
                f"({key}, {key % 5}, {score}, '{day} 08:{key % 60:02}:00', "
                f"'{day} 08:00:00.{key:06}')"
            )

    def _visit(self, number: int, day: date) -> None:
        """Some visits have no time, some a payment."""
        for _ in range(number % 3 + 1):
            key = self.next_visit
            self.next_visit += 1
            session, channel = f"{key:032}", CHANNELS[key % len(CHANNELS)]
            self.pipeline.mysql(
                f"insert into channel values ('{channel}') on duplicate key update "
                "channelname = channelname",
                "insert into user_session_channel values "
                f"({key % 4}, '{session}', '{channel}', '{day} 10:00:00')",
            )
            if key % 5:
                self.pipeline.mysql(
                    f"insert into session_timestamp values ('{session}', '{day} 1{key % 10}:00')"
                )
            if key % 3 == 0:
                self.pipeline.mysql(
                    "insert into session_transaction values "
                    f"('{session}', 0, {key}.50, '{day} 12:00:00')"
                )

    def _updated_answer(self, number: int, day: date) -> None:
        """Its cursor moves on or back, and some are withdrawn."""
        self.clock += 1
        self.pipeline.mysql(
            f"update nps set score = {self.clock % 11}, is_deleted = {int(number % 6 == 0)}, "
            f"updated_at = '{day} 20:00:00.{self.clock:06}' where id = {number}"
        )

    def _refund(self, number: int, day: date) -> None:
        self.pipeline.mysql(
            f"update session_transaction set refunded = 1, updated_at = '{day} 23:00:00' "
            f"where sessionid = '{number // 3 * 3:032}'"
        )

    def _hard_delete(self, number: int, day: date) -> None:
        """Rows vanish without a trace, among them a channel that nobody came through."""
        self.hard_deleted = True
        self.pipeline.mysql(
            f"delete from nps where id = {number}",
            *(
                f"delete from {table} where sessionid = '{number:032}'"
                for table in CORE
                if table not in ("nps", "channel")
            ),
            "delete from channel where channelname not in "
            "(select channel from user_session_channel)",
        )

    def _changed_column(self, number: int, day: date) -> None:
        """A column is added or made wider; another change stops the loads until it is declared."""
        if number % 2:
            self.pipeline.mysql("alter table nps modify score smallint")
            return
        self.clock += 1
        self.pipeline.mysql(
            f"alter table nps add column extra_{self.clock} varchar(20) default 'new'"
        )

    # -- loads -----------------------------------------------------------------------------------

    def load_command(self, window: tuple[date, date] | None, tables: list[str]) -> list[str]:
        """Write the command that loads a window, or everything."""
        dates = ["--full-refresh"]
        if window:
            dates = ["--start-date", str(window[0]), "--end-date", str(window[1])]
        return ["loader", "load", *dates, *selected(tables)]

    def succeeds(self, *command: str, env: dict[str, str] | None = None) -> None:
        """Run a command that nothing stands against."""
        status = self.forked.run(*command, env=env or {})
        assert status == 0, f"{command} ended with {status}:\n{self.forked.said}"
        self.reader.note()

    def may_fail(self, *runs: dict[str, Any]) -> list[int]:
        """Run commands that something may come between."""
        statuses = self.forked.run_at_once(*runs)
        assert not {3} & set(statuses), self.forked.said
        self.reader.note()
        return statuses

    def dies(
        self, command: Sequence[str], step: int | None, env: dict[str, str] | None = None
    ) -> bool:
        """Run a command, which dies before that step if it takes so many; says whether it did."""
        status = self.may_fail({"command": command, "die_before": step, "env": env or {}})[0]
        assert status in ((0,) if step is None else (0, -9)), self.forked.said
        return status != 0

    @command(window=st.none() | windows, tables=tables, step=st.none() | st.integers(0, 120))
    def load(self, window: tuple[date, date] | None, tables: list[str], step: int | None) -> None:
        """Load a window, or tables whole; the load may die before one of its steps."""
        died = self.dies(self.load_command(window, tables), step)
        self.count("kills of the loader" if died else "loads" if window else "full loads")

    @command(one=windows, other=st.none() | windows)
    def load_two_at_once(self, one: tuple[date, date], other: tuple[date, date] | None) -> None:
        """Two loads of the same tables; one waits for the other."""
        statuses = self.may_fail(*(
            {"command": self.load_command(window, ["nps", "channel"])} for window in (one, other)
        ))  # fmt: skip
        assert statuses == [0, 0], self.forked.said
        self.count("loads at once")

    @command(window=st.none() | windows, place=places, size=st.integers(0, 60_000))
    def load_cut(self, window: tuple[date, date] | None, place: str, size: int) -> None:
        """A connection of a load ends at some byte."""
        with self.cut(place, size) as env:
            command = self.load_command(window, ["nps", "channel"])
            self.may_fail({"command": command, "env": env})
        self.count(f"cuts of {place}")

    @contextmanager
    def cut(self, place: str, size: int) -> Iterator[dict[str, str]]:
        """Put a relay before a server; yields what to change of the environment."""
        relay, env = relayed(self.pipeline, place)
        relay.cut_after(size)
        yield env
        relay.close()

    # -- builds ----------------------------------------------------------------------------------

    def land_what_never_was(self) -> None:
        """A build asks for every table to be there; what was drawn must not depend on that."""
        landed = {load.table_name for load in self.pipeline.loads() if load.outcome == "landed"}
        if missing := sorted(set(CORE) - landed):
            self.succeeds(*self.load_command(None, missing))

    @command(options=BUILDS, env=DEPTHS, step=st.none() | st.integers(0, 150))
    def build(self, options: tuple[str, ...], env: dict[str, str], step: int | None) -> None:
        """Build; the build may die before one of its statements.

        Once all summaries have been built from the same rows, they are whole ones' equals.
        """
        self.land_what_never_was()
        if self.dies([*RUN, *options], step, env):
            self.count("kills of dbt")
            return
        assert_summaries_equal(self.pipeline)
        self.count("narrow builds" if env else "builds")

    @command(size=st.integers(0, 300_000))
    def build_cut(self, size: int) -> None:
        """A connection of a build ends at some byte."""
        self.land_what_never_was()
        with self.cut("warehouse", size) as env:
            self.may_fail({"command": [*RUN], "env": env})
        self.count("cuts of warehouse")

    @command()
    def take_snapshots(self) -> None:
        """Note what is new in the histories, each kept narrowly and by comparing whole tables."""
        if not self.pipeline.value("select to_regclass('analytics.nps')"):
            self.land_what_never_was()
            self.succeeds(*RUN)
        self.succeeds(*SNAPSHOT)
        assert_histories_equal(self.pipeline)
        self.count("snapshots")

    # -- what compares, and what does it all ---------------------------------------------------

    @command(tables=tables, values=st.booleans(), step=st.none() | st.integers(0, 120))
    def repair(self, tables: list[str], values: bool, step: int | None) -> None:
        """What differs is landed, deletions included; the repair may die before a step."""
        self.land_what_never_was()
        died = self.dies([*REPAIR, *(["--values"] if values else []), *selected(tables)], step)
        self.count("kills of a repair" if died else "repairs")

    @command(window=windows, step=st.none() | st.integers(0, 200))
    def run_day(self, window: tuple[date, date], step: int | None) -> None:
        """The daily job lands a window, builds it, compares; or dies and leaves a lease behind.

        A row that was deleted in MySQL may be landed still when the one it belongs to is not.
        """
        self.land_what_never_was()
        dates = ["--start-date", str(window[0]), "--end-date", str(window[1])]
        status = self.may_fail({"command": ["loader", "run", *dates], "die_before": step})[0]
        said = self.forked.said
        if found := set(re.findall(r" FAIL \d+ (relationships_session_[a-z]+|\w+)", said)):
            alone = "select 1 from analytics.{} where session_id not in ({}) limit 1"
            parents = "select session_id from analytics.user_session_channel"
            for test in found:
                child = test.removeprefix("relationships_")
                assert child in CORE, said
                assert self.pipeline.query(alone.format(child, parents)), said
            self.count("daily jobs that found a row without the one it belongs to")
            return
        assert status in (0, -9), said
        if status:
            self.let_leases_expire()
            self.take_snapshots()  # of each history's two only one may have been
        else:
            assert_summaries_equal(self.pipeline)
        self.count("kills of the daily job" if status else "daily jobs")

    def let_leases_expire(self) -> None:
        """Let time pass: the dbt of a job that was killed ends, and so does the job's lease."""
        others = (
            "select count(*) from pg_stat_activity where datname = current_database() "
            "and application_name <> 'test'"
        )
        until(lambda: not self.pipeline.value(others), 30)
        self.reader.note()
        if self.pipeline.value("select to_regclass('raw_data._leases')"):
            self.pipeline.query("update raw_data._leases set expires_at = taken_at")

    # -- the end ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Load and build once more; now everything must be equal."""
        if not hasattr(self, "reader"):
            return
        window = (FIRST, FIRST + DAYS * timedelta(days=1))
        try:
            if self.hard_deleted and self.clock % 2:
                self.succeeds(*self.load_command(None, []))
            else:
                self.succeeds(*self.load_command(window, []))
            if self.hard_deleted and not self.clock % 2:
                self.succeeds(*REPAIR)
            self.succeeds(
                "dbt", "build", "--no-version-check", "--exclude-resource-type", "unit_test"
            )
            assert_core_equals_source(self.pipeline)
            assert_histories_equal(self.pipeline)
            independent.assert_marts_equal(self.pipeline)
            assert_ledger_is_true(self.pipeline)
            assert self.pipeline.staged() == []
        finally:
            self.reader.stop()
        assert self.reader.violations == []
        assert self.reader.looks
        self.done["looks of the reader"] = (
            self.done.get("looks of the reader", 0) + self.reader.looks
        )
        self.count("runs")


def selected(tables: list[str]) -> list[str]:
    """Write the option that names some tables; none means all."""
    return ["--select", *tables] if tables else []


def assert_ledger_is_true(pipeline: Pipeline) -> None:
    """Compare each landed load's counts with one another, and the last ones with the rows."""
    last = dict[str, Load]()
    for load in pipeline.loads():
        if load.outcome != "landed":
            continue
        counts = (load.source_rows, load.staged_rows, load.copied_rows, load.landed_rows)
        assert len(set(counts)) == 1, load
        if load.table_name not in last or load.load_id > last[load.table_name].load_id:
            last[load.table_name] = load
    assert set(last) == set(CORE)
    for table, load in last.items():
        rows = f"select count(*) from raw_data.{table} where _load_id = '{load.load_id}'"
        assert pipeline.value(rows) == load.landed_rows, load


def assert_core_equals_source(pipeline: Pipeline) -> None:
    """Compare every core table with what the source holds."""
    for table, (columns, in_mysql) in CORE.items():
        built = pipeline.query(f"select {columns} from analytics.{table} order by 1")
        assert built == pipeline.mysql(f"select {in_mysql} from {table} order by 1"), table
