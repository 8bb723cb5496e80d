"""Whatever says when a row was written: its days land, are compared and repaired alike."""

import json
import random
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from conftest import is_on_mariadb
from test_verify import agrees, differing, kinds, verify


@dataclass(frozen=True)
class Kind:
    """A kind of cursor: its columns in MySQL, and how an instant is written into them.

    A row that is added has `added` set, and one that changes `changed`; in both, {} is the instant.
    """

    columns: str
    declared: dict
    added: str
    changed: str
    none: tuple = ()


def one(kind_of_column, value, *none, **declared):
    """Make a kind of one column."""
    at = f"at = {value}"
    return Kind(f"at {kind_of_column} null, key (at)", {"cursor": "at", **declared}, at, at, none)


DIGITS = "date_format({}, '%Y%m%d%H%i%s')"
SECONDS = "timestampdiff(second, '1970-01-01', {})"
CURSORS = {
    "datetime": one("datetime(3)", "{}", "null", "'0000-00-00'"),
    "seconds": one("int unsigned", SECONDS, "null", "0", cursor_kind="seconds"),
    "milliseconds": one(
        "bigint", f"{SECONDS} * 1000 + 7", "null", "-1", "253402300800000",
        cursor_kind="milliseconds",
    ),
    "microseconds": one(
        "bigint unsigned", f"{SECONDS} * 1000000 + 7", "0", "18446744073709551615",
        cursor_kind="microseconds",
    ),
    "char": one("char(14)", DIGITS, "null", "''", "'00000000000000'", "'infinity'"),
    "varchar": one("varchar(20)", DIGITS, "null", "'never'", cursor_kind="digits"),
    "binary": one("binary(14)", DIGITS, "null", "''"),
    "bigint": one("bigint", DIGITS, "null", "0", "202607010000", cursor_kind="digits"),
    "list": Kind(
        "changed datetime null, added timestamp null, key (changed), key (added)",
        {"cursor": ["changed", "added"]}, "added = {}", "changed = {}",
        ("null", "'0000-00-00'"),
    ),
    "list of days": Kind(
        "changed date null, seen date null, added date not null, key (changed), key (seen), "
        "key (added)",
        {"cursor": ["changed", "seen", "added"]}, "added = date({})", "seen = date({})",
        ("'0000-00-00'",),
    ),
    "list of seconds": Kind(
        "changed int null, added int not null, key (changed), key (added)",
        {"cursor": ["changed", "added"], "cursor_kind": "seconds"},
        f"added = {SECONDS}", f"changed = {SECONDS}", ("0", "-5"),
    ),
}  # fmt: skip
MALFORMED = {
    "char": "'20260231000000'", "binary": "'2026070200000x'", "bigint": "20260702240000",
    "varchar": "'20260700000000'", "datetime": "'2026-02-00'",  # of which CONVERT_TZ() makes NULL
}  # fmt: skip
FIRST = date(2026, 7, 1)
ALWAYS = ("datetime", "seconds", "char", "list", "list of days")
ALIKE = pytest.mark.deep(because="its kind is much like one that is tried always")
EVERY = pytest.mark.parametrize(
    "kind", [each if each in ALWAYS else pytest.param(each, marks=ALIKE) for each in CURSORS]
)


def day(number):
    return FIRST + timedelta(days=number)


def change(pipeline, kind, condition, at):
    changed = CURSORS[kind].changed.format(f"timestamp'{at}'")
    pipeline.mysql(f"update t set v = v + 100, {changed} where {condition}")


def add(pipeline, kind, key, at):
    added = CURSORS[kind].added.format(f"timestamp'{at}'")
    pipeline.mysql(f"replace into t set id = {key}, v = {key}, {added}")


@pytest.fixture
def table(new_pipeline):
    """Make forty rows, eight a day from July 1st on."""

    def made(kind):
        own = CURSORS[kind]
        pipeline = new_pipeline(
            [{"name": "t", "primary_key": ["id"], "lookback_days": 2, **own.declared}]
        )
        column, _, value = own.added.partition(" = ")
        at = value.format("timestamp'2026-07-01 00:00:00' + interval (seq - 1) * 3 hour")
        pipeline.mysql(
            f"create table t (id int primary key, v int, {own.columns})",
            f"insert into t (id, v, {column}) select seq, seq, {at} from seq_1_to_40",
        )
        return pipeline

    return made


def newest(pipeline, columns="id, v"):
    """The newest version of each key that is there, as core takes it."""
    return pipeline.query(
        f"select {columns} from (select *, rank() over (partition by id order by _load_id desc) "
        "as place from raw_data.t) as ranked where place = 1 and _deleted_at is null order by id"
    )


def source(pipeline):
    return list(pipeline.mysql("select id, v from t order by id"))


def days_of(pipeline):
    return pipeline.query(
        "select _run_date, count(*) from raw_data.t where _run_date is not null "
        "group by 1 order by 1"
    )


@EVERY
@pytest.mark.parametrize("zone", ["UTC", pytest.param("-05:00", marks=ALIKE)])
def test_days_land_in_any_order_and_once_all_are_landed_nothing_differs(table, kind, zone):
    """Law 1, of each kind: days, a range, late commits, changes and whole landings converge."""
    pipeline, env = table(kind), {"LOADER_TIMEZONE": zone}
    is_day = "days" in kind or zone == "UTC"
    for number in (3, 0, 4):
        landed = pipeline.load("--run-date", str(day(number)), **env)["t"]["landed_rows"]
        assert landed == (8 if is_day or number != 4 else 6)
    assert days_of(pipeline)[0] == (day(0), 8)
    pipeline.load("--start-date", str(day(-1)), "--end-date", str(day(4)), **env)
    assert newest(pipeline) == source(pipeline)
    expected = [(day(n), 8) for n in range(5)] if is_day else [
        (day(-1), 2), *((day(n), 8) for n in range(4)), (day(4), 6),
    ]  # fmt: skip
    assert days_of(pipeline) == expected
    assert agrees(pipeline, "--values", **env)

    change(pipeline, kind, "id % 7 = 0", f"{day(5)} 12:00:00")
    change(pipeline, kind, "id % 11 = 0", f"{day(4)} 12:00:00")
    add(pipeline, kind, 99, f"{day(4)} 13:00:00")  # committed late
    assert pipeline.load(**env)["t"]["mode"] == "catch_up"
    assert newest(pipeline) == source(pipeline)
    assert agrees(pipeline, "--values", **env)
    pipeline.load("--full-refresh", **env)
    assert newest(pipeline) == source(pipeline)
    assert agrees(pipeline, "--run-date", str(day(1)), "--values", **env)


@EVERY
def test_a_verify_finds_what_no_window_has_seen_and_a_repair_lands_just_that(table, kind):
    pipeline = table(kind)
    pipeline.load("--start-date", str(day(0)), "--end-date", str(day(9)))
    pipeline.mysql("delete from t where id = 13")
    pipeline.load("--run-date", str(day(1)))  # its last version is of no window any more
    add(pipeline, kind, 99, f"{day(2)} 01:00:00")
    add(pipeline, kind, 9, f"{day(3)} 03:00:00")
    pipeline.mysql("delete from t where id = 10", "update t set v = 0 where id = 11")
    change(pipeline, kind, "id = 12", f"{day(20)} 01:00:00")
    change(pipeline, kind, "id = 30", f"{day(0)} 07:00:00")  # is set back
    found = differing(pipeline)
    assert kinds(found) == (1, 2, 2)
    assert found[str(day(2))][2] == 1
    assert found[str(day(1))][3] == 2
    assert kinds(differing(pipeline, "--run-date", str(day(2)))) == (1, 0, 0)
    assert kinds(differing(pipeline, "--run-date", str(day(1)))) == (0, 2, 1)
    assert kinds(differing(pipeline, "--values")) == (1, 2, 3)
    verify(pipeline, "--values", "--repair")
    assert agrees(pipeline, "--values")
    first, version = CURSORS[kind].declared["cursor"], "id = 10 and _deleted_at is not null"
    first = first if isinstance(first, str) else first[0]
    ((gone, *rest),) = pipeline.query(
        f"select {first}, v, _run_date from raw_data.t where {version}"
    )
    assert rest == [None, None]
    shown = str(bytes(gone) if isinstance(gone, memoryview) else gone)
    assert re.search("2026|178|32303236", shown), "the last known version"
    pipeline.load()
    assert newest(pipeline) == source(pipeline)
    assert agrees(pipeline, "--values")


@pytest.mark.deep(because="the rules that it draws from have a test each")
@pytest.mark.parametrize("kind", ["list", "list of days", "binary", "milliseconds"])
def test_whatever_the_order_of_changes_windows_and_repairs_all_days_together_are_the_source(
    table, kind
):
    pipeline, draw = table(kind), random.Random(kind)
    env = {"LOADER_TIMEZONE": draw.choice(["UTC", "+09:00"])}
    for number in range(14):
        at = f"{day(draw.randrange(12))} {draw.randrange(24):02}:30:00"
        match draw.randrange(6):
            case 0:
                add(pipeline, kind, 100 + number, at)
            case 1 | 2:
                change(pipeline, kind, f"id % 9 = {draw.randrange(9)}", at)
            case 3:
                pipeline.load("--run-date", str(day(draw.randrange(12))), **env)
            case 4:
                pipeline.load("--full-refresh", **env)
            case 5:
                done = pipeline.loader("verify", "--json", "--repair", "--yes", **env)
                assert [each["error"] for each in json.loads(done.stdout)["tables"]] == [None]
    pipeline.load("--start-date", str(day(-1)), "--end-date", str(day(14)), **env)
    assert newest(pipeline) == source(pipeline)
    assert agrees(pipeline, "--values", **env)


@EVERY
def test_a_row_without_a_day_is_refused_by_its_number_and_nothing_lands(table, kind):
    pipeline = table(kind)
    column = CURSORS[kind].added.partition(" = ")[0]
    for value in CURSORS[kind].none:
        pipeline.mysql(f"update t set {column} = {value} where id in (1, 2)")
        for arguments in (("--run-date", str(day(1))), ("--full-refresh",)):
            said = pipeline.fails(*arguments)
            assert re.search(r"\.t holds no day \(.*\) in 2 rows, which", said), value
            assert ", ".join(CURSORS[kind].declared["cursor"]) in said or "cursor at of" in said
    assert pipeline.query("select 1 from pg_tables where tablename = 't'") == []


@pytest.mark.parametrize("zone", ["UTC", "+09:00"])
@pytest.mark.parametrize(("kind", "value"), MALFORMED.items())
def test_a_cursor_of_no_day_is_refused_by_its_row(table, kind, value, zone):
    pipeline, env = table(kind), {"LOADER_TIMEZONE": zone}
    pipeline.load("--full-refresh", **env)
    pipeline.mysql(f"update t set at = {value} where id = 17")
    said = pipeline.fails("--full-refresh", **env)
    assert "id 17: column at has no equal in the warehouse" in said
    assert newest(pipeline)[16] == (17, 17)
    done = pipeline.loader("verify", **env, status=1)
    assert re.search(r"the cursor column at holds \S+, which is no day", done.stderr)


@EVERY
@pytest.mark.only("postgres", because="the statements are MySQL's")
def test_a_window_is_served_by_the_indexes_of_the_cursor_and_reads_no_more(table, kind):
    """Law 7: where a single row is looked for among a thousand, no statement reads them all."""
    pipeline = table(kind)
    column, _, value = CURSORS[kind].added.partition(" = ")
    at = value.format("timestamp'2026-08-01 00:00:00' + interval seq hour")
    pipeline.mysql(
        f"insert into t (id, v, {column}) select seq, seq, {at} from seq_1001_to_9000",
        "analyze table t",
    )
    change(pipeline, kind, "id % 100 = 0", "2026-07-20 00:00:00")
    assert_served(pipeline, "2026-08-20")


def assert_served(pipeline, run_date):
    """Make sure that an index serves whatever a window's load asks of MySQL."""
    done = pipeline.loader("plan", "--run-date", run_date, "--json")
    (plan,) = json.loads(done.stdout)
    selects = [each for each in plan["statements"] if "`t`" in each]
    assert len(selects) == 3
    for statement in selects:
        explained = pipeline.mysql(f"explain format=traditional {statement}")
        types = {row[-7 if is_on_mariadb() else -8] for row in explained}
        assert types <= {"range", "index_merge", "ref", None}, explained


# -- rows that are only ever added -----------------------------------------------------------------

ADDED = {
    "name": "t", "primary_key": ["id"], "cursor": "id", "cursor_kind": "increasing",
    "lookback_days": 1,
}  # fmt: skip
INCREASING = {"cursor": "at", "cursor_kind": "increasing"}
TODAY = datetime.now(UTC).date()


@pytest.fixture
def log(new_pipeline):
    """Twenty rows, of which every other number is still free."""
    return new_pipeline(
        [ADDED],
        "create table t (id bigint unsigned primary key, v int)",
        "insert into t select seq * 2, seq from seq_1_to_20",
    )


def append(pipeline, first, last):
    pipeline.mysql(f"insert into t select seq, seq from seq_{first}_to_{last}")


def test_a_load_takes_what_is_above_the_largest_landed_number(log):
    assert log.load("--run-date", str(day(0)))["t"]["landed_rows"] == 20
    assert days_of(log) == [(day(0), 20)]
    append(log, 41, 45)
    assert log.load("--run-date", str(day(1)))["t"]["landed_rows"] == 5
    append(log, 46, 46)
    # What an earlier day has landed stays its; the newest rows wait for a later one.
    log.mysql("insert into t values (3, 3)")  # committed late
    assert log.load("--run-date", str(day(0)))["t"]["landed_rows"] == 21
    assert log.load("--run-date", str(day(-1)))["t"]["landed_rows"] == 0
    assert days_of(log) == [(day(0), 21), (day(1), 5)]
    landed = log.load("--start-date", str(day(1)), "--end-date", str(day(9)))["t"]
    assert landed["landed_rows"] == 6
    assert days_of(log) == [(day(0), 21), (day(1), 5), (day(8), 1)]
    assert newest(log) == source(log)
    assert agrees(log, "--values")
    append(log, 50, 52)
    (found,) = verify(log)["tables"]
    assert (found["agrees"], found["pending"]) == (True, 3)
    assert log.load()["t"]["mode"] == "catch_up"
    assert days_of(log)[2:] == [(day(8), 1), (TODAY - timedelta(days=1), 3)]
    log.load("--full-refresh")
    assert newest(log) == source(log)
    assert days_of(log)[:2] == [(day(0), 21), (day(1), 5)]


def test_a_first_landing_is_whole_and_the_next_day_brings_what_committed_meanwhile(log):
    yesterday = TODAY - timedelta(days=1)
    assert log.load()["t"]["mode"] == "full_refresh"
    assert days_of(log) == [(yesterday, 20)]
    log.mysql("insert into t values (3, 3)", "insert into t values (41, 41)")
    window = ("--start-date", str(yesterday), "--end-date", str(TODAY + timedelta(days=1)))
    assert log.load(*window)["t"]["landed_rows"] == 22
    assert days_of(log) == [(yesterday, 21), (TODAY, 1)]
    append(log, 42, 43)
    assert log.load("--run-date", str(TODAY))["t"]["landed_rows"] == 3
    assert newest(log) == source(log)


def test_a_verify_of_what_is_only_added_finds_what_came_late_and_a_repair_lands_it(log):
    log.load("--run-date", str(day(0)))
    append(log, 41, 45)
    log.load("--run-date", str(day(1)))
    log.mysql(
        "insert into t values (5, 5), (46, 46)",
        "delete from t where id = 6", "update t set v = 0 where id = 42",
    )  # fmt: skip
    assert kinds(found := differing(log)) == (1, 1, 0)
    assert list(found) == [str(day(0))]
    assert list(differing(log, "--values")) == [str(day(0)), str(day(1))]
    assert kinds(differing(log, "--run-date", str(day(1)), "--values")) == (0, 0, 1)
    verify(log, "--values", "--repair")
    assert agrees(log, "--values")
    assert newest(log) == source(log)[:-1]
    log.load()
    assert newest(log) == source(log)
    assert agrees(log, "--values", "--run-date", str(day(0)))
    log.mysql("update t set id = 9223372036854775807 where id = 46")
    assert "in 1 row, which" in log.fails("--full-refresh")


@pytest.mark.only("postgres", because="the statements are MySQL's")
def test_what_is_above_the_largest_landed_number_is_read_by_its_key_alone(log):
    append(log, 100, 5000)
    log.load("--run-date", str(day(0)))
    append(log, 5001, 5010)
    assert_served(log, str(day(1)))


@pytest.mark.parametrize(
    ("columns", "declared", "says"),
    [
        ("at int not null", {"cursor": "at"}, "is int.*, and nothing says what its values are"),
        ("at char(20)", {"cursor": "at"}, "or declare cursor_kind: digits"),
        ("at datetime", {"cursor": "at", "cursor_kind": "seconds"}, "at is datetime"),
        ("at float", {"cursor": "at", "cursor_kind": "seconds"}, "at is float"),
        ("at date, a datetime", {"cursor": ["at", "a"]}, "a is datetime, and at is date"),
        ("at datetime, a char(14)", {"cursor": ["at", "a"]}, "List columns of one kind"),
        ("at date", {"cursor": ["at", "b"]}, "has no column b"),
        ("at date", {"cursor": []}, "cursor is"),
        ("at int", {"cursor_kind": "seconds"}, "cursor is missing, and cursor_kind is there"),
        ("at date", {"cursor": "at", "cursor_kind": "days"}, "Use one of: seconds, milli"),
        ("at int not null, key (at)", INCREASING, "increasing and is no unique key by itself"),
    ],
)
@pytest.mark.only("postgres", because="nothing of it is the warehouse's")
def test_what_is_no_cursor_is_refused_and_told_what_would_be(new_pipeline, columns, declared, says):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"], **declared}])
    pipeline.mysql(f"create table t (id int primary key, {columns})")
    done = pipeline.loader("load")
    assert done.returncode
    assert re.search(says, done.stderr), done.stderr
