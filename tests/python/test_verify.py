"""What a comparison finds without trusting any history, and what a repair lands of it."""

import gc
import json
import re
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from loader.cli.landing import route_of
from loader.cli.session import open_session
from loader.load import repair
from loader.load import window as loading
from loader.load.job import unwatched
from loader.load.jobs import run_jobs
from loader.source import mysql, types
from loader.verify import differences
from loader.verify.compare import compare, repair_jobs
from loader.warehouse import postgres, session

TABLE = {"name": "t", "primary_key": ["id"], "cursor": "updated_at", "lookback_days": 1}
CREATE = (
    "create table t (id int unsigned primary key, v int, updated_at datetime(3) not null, "
    "key (updated_at))"
)
TODAY = datetime.now(UTC).date()


def verify(pipeline, *arguments, status=0, **changes):
    """Compare; returns the report."""
    done = pipeline.loader("verify", "--json", *arguments, **changes, status=status)
    return json.loads(done.stdout)


def differing(pipeline, *arguments, **changes):
    """The days of the one table that differ: rows of both sides, missing, extra, stale."""
    (found,) = verify(pipeline, *arguments, status=1, **changes)["tables"]
    return {day["day"]: tuple(day[name] for name in day if name != "day") for day in found["days"]}


def kinds(days):
    """How many rows are missing, extra and stale on all of some days."""
    return tuple(sum(day[place] for day in days.values()) for place in (2, 3, 4))


def agrees(pipeline, *arguments, **changes):
    (found,) = verify(pipeline, *arguments, **changes)["tables"]
    return found["agrees"] and not found["days"]


@pytest.fixture
def pipeline(new_pipeline):
    """Forty rows, eight a day, landed by one load of the month's first days."""
    made = new_pipeline([TABLE])
    made.mysql(
        CREATE,
        "insert into t select seq, seq, '2026-07-01' + interval (seq - 1) * 3 hour "
        "from seq_1_to_40",
    )
    made.load("--start-date", "2026-07-01", "--end-date", "2026-07-11")
    return made


def test_a_command_that_fails_as_nobody_thought_ends_in_a_sentence(pipeline, monkeypatch):
    monkeypatch.setattr(pipeline.adapter, "loads", None)
    for command in ("status", "load", "plan"):
        done = pipeline.loader(command, status=1)
        assert done.stderr.startswith("Error: TypeError at "), done.stderr


def test_what_a_days_verify_reads_does_not_grow_with_the_runs_before_it(pipeline, monkeypatch):
    """Each run's keys were looked up again for every row of the day, all of them, once a row."""
    ran, execute = [], postgres.Postgres.execute
    monkeypatch.setattr(
        session.Session, "execute", lambda *told: ran.append(told[1]) or execute(*told)
    )
    for number, day in enumerate(("2026-07-11", "2026-07-12", "2026-07-13"), 1):
        pipeline.mysql(f"update t set updated_at = '{day}', v = -{number} where id % 3 = 0")
        pipeline.load("--run-date", day)
        ran.clear()
        assert agrees(pipeline, "--run-date", day, "--values")
        assert not [each for each in ran if "as newer" in each]
        if pipeline.kind == "postgres":
            assert "set local enable_nestloop = off" in ran
    pipeline.mysql("update t set v = 7, updated_at = '2026-07-12 12:00' where id = 3")
    pipeline.load("--run-date", "2026-07-12")
    pipeline.query("update raw_data.t set v = 0 where id = 3 and v = 7")
    assert list(differing(pipeline, "--run-date", "2026-07-12", "--values")) == ["2026-07-12"]
    assert list(differing(pipeline, "--values")) == ["2026-07-12"]
    assert agrees(pipeline, "--run-date", "2026-07-13", "--values")


# -- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize(("zone", "day"), [("+09:00", "2026-07-03"), ("-03:30", "2026-07-02")])
def test_days_are_those_of_the_declared_time_zone(pipeline, zone, day):
    """16:00 in UTC is the next day in Seoul; the ledger's days are of the zone as well."""
    pipeline.query("drop table raw_data.t")
    pipeline.load("--start-date", "2026-06-30", "--end-date", "2026-07-11", LOADER_TIMEZONE=zone)
    (found,) = verify(pipeline, LOADER_TIMEZONE=zone)["tables"]
    assert (found["rows"], found["pending"], found["days"]) == (40, 0, [])
    pipeline.mysql("insert into t values (101, 0, '2026-07-02 16:00:00')")
    assert differing(pipeline, LOADER_TIMEZONE=zone) == {day: (9, 8, 1, 0, 0)}


@pytest.mark.parametrize(
    ("zone", "kind", "end"),
    [("UTC", "date", "9999-12-31"), ("+09:00", "datetime(6)", "9999-12-31 23:59:59.999999"),
     ("-05:00", "timestamp", "2038-01-19 03:14:07")],
)  # fmt: skip
def test_rows_dated_beyond_today_are_named_and_compared_to_the_end_of_the_calendar(
    new_pipeline, zone, kind, end
):
    """They ended verify with a traceback, were landed by no window, and nobody was told of them."""
    pipeline = new_pipeline([TABLE])
    days = [f"'{TODAY + n * timedelta(days=1)} 12:00:00'" for n in (-3, 2)]
    days += [f"'{end}'", "'2037-12-31'"]
    pipeline.mysql(
        CREATE.replace("datetime(3)", kind),
        *(f"insert into t values ({n}, 0, {day})" for n, day in enumerate(days, 1)),
    )
    env = {"LOADER_TIMEZONE": zone}
    load = pipeline.loader("load", "--run-date", str(TODAY - timedelta(days=3)), **env).stdout
    says = "3 rows are dated beyond today by updated_at; no window holds them before their day"
    assert load.count(says) == 1
    assert "3 rows" in pipeline.loader("status", **env).stdout.split("beyond today")[1]
    assert "3 are dated beyond today by updated_at" in pipeline.loader("check", **env).stdout
    (found,) = verify(pipeline, **env)["tables"]
    assert (found["rows"], found["pending"], found["future"]) == (1, 3, 3)
    assert "3 pending, 3 of them beyond today" in pipeline.loader("verify", **env).stdout

    assert pipeline.load("--full-refresh", **env)["t"]["future_rows"] == 3
    (status,) = json.loads(pipeline.loader("status", "--json", **env).stdout)["tables"]
    assert status["newest_row"] <= str(TODAY)
    assert agrees(pipeline, "--values", **env)
    pipeline.mysql("delete from t where id >= 3")
    found = differing(pipeline, "--values", **env)
    assert sum(extra for _, _, _, extra, _ in found.values()) == 2
    verify(pipeline, "--repair", **env)
    assert agrees(pipeline, "--values", **env)
    assert pipeline.raw("t", "id") == [(n,) for n in (1, 2, 3, 3, 4, 4)]


def change_each_way(pipeline):
    pipeline.mysql(
        "insert into t values (101, 0, '2026-07-02 01:00:00.5')",  # a late commit
        "update t set updated_at = '2026-07-03 02:00:00.007' where id = 1",  # to a landed day
        "update t set updated_at = updated_at + interval 1 second where id = 9",
        "delete from t where id in (20, 21)",
    )


def test_each_kind_of_difference_is_found_on_its_day(pipeline, monkeypatch):
    """However many parts days are divided into before rows are listed."""
    change_each_way(pipeline)
    found = {"2026-07-02": (9, 8, 1, 0, 1), "2026-07-03": (7, 8, 0, 2, 1)}
    assert differing(pipeline) == found
    days = ("--start-date", "2026-07-03", "--end-date", "2026-07-05")
    assert differing(pipeline, *days)["2026-07-03"][3:] == (2, 0)
    assert differing(pipeline, "--run-date", "2026-07-01") == {"2026-07-01": (7, 8, 0, 0, 1)}
    assert agrees(pipeline, "--run-date", "2026-07-04")

    listed, stream = [], session.Session.stream

    def watch(warehouse, statement):
        for row in stream(warehouse, statement):
            listed.append(row)
            yield row

    monkeypatch.setattr(session.Session, "stream", watch)
    assert differing(pipeline) == found
    undivided = len(listed)
    listed.clear()
    monkeypatch.setattr(differences, "_BUCKET_ROWS", 1)
    assert differing(pipeline) == found
    assert len(listed) < 12 < undivided == 24


def test_more_rows_than_a_cursor_may_hold_are_read_with_several(new_pipeline, monkeypatch, request):
    """On Redshift a FETCH gives 1,000 rows at most, and the leader node keeps all of a cursor's."""
    pipeline = new_pipeline([TABLE])
    monkeypatch.setattr(differences, "_LISTED_ROWS", 500)
    if pipeline.standin:
        monkeypatch.setattr(request.getfixturevalue("redshift"), "cursor_bytes", 40_000)
    pipeline.mysql(CREATE.replace("unsigned", ""))
    pipeline.load("--run-date", "2026-07-02")
    pipeline.mysql(
        "insert into t select 1500 - cast(seq as signed), seq, '2026-07-02' from seq_1_to_3000"
    )
    assert differing(pipeline) == {"2026-07-02": (3000, 0, 3000, 0, 0)}
    verify(pipeline, "--repair", "--yes")
    pipeline.mysql(
        "update t set updated_at = '2026-07-02 01:00:00' where id % 2 = 0",
        "delete from t where id % 3 = 0",
    )
    assert differing(pipeline) == {"2026-07-02": (2000, 3000, 0, 1000, 1000)}
    verify(pipeline, "--repair", "--yes")
    assert agrees(pipeline)


@pytest.mark.parametrize("place", ["/proc/self", "/dev/full"])
def test_no_room_for_what_differs_is_one_sentence(pipeline, monkeypatch, place):
    """In the first nobody may make a file, in the second nobody may write."""
    change_each_way(pipeline)
    before, done = pipeline.raw("t"), []
    with monkeypatch.context() as full:
        full.setattr(tempfile, "tempdir", place)
        if place == "/dev/full":
            opened = lambda **_: Path(place).open("w+b", buffering=0)  # noqa: E731, SIM115
            full.setattr(repair, "TemporaryFile", opened)
        for options in ([], ["--repair", "--yes"]):
            done.append(pipeline.loader("verify", "--json", *options))
            gc.collect()
    for each in done:
        assert (each.returncode, each.stderr) == (1, "")
        (found,) = json.loads(each.stdout)["tables"]
        assert found["error"].startswith("There is no room to keep what differs: ")
        assert place in found["error"]
        assert "TMPDIR" in found["remedy"]
    assert pipeline.raw("t") == before


def test_rows_that_changed_on_days_not_landed_yet_are_pending(pipeline):
    """On either side: what the warehouse has of such a row is no difference."""
    pipeline.load("--start-date", "2026-07-01", "--end-date", "2026-07-04")
    pipeline.mysql(
        "insert into t values (101, 0, '2026-07-11')",
        f"update t set updated_at = '{TODAY}' where id = 1",
        "update t set updated_at = '2026-07-20' where id = 9",
        "insert into t values (102, 0, '2026-07-10')",
    )
    (found,) = verify(pipeline, "--repair", status=0)["tables"]
    assert (found["pending"], found["missing"], found["extra"], found["stale"]) == (3, 1, 0, 0)
    assert pipeline.value("select count(*) from raw_data.t where id = 101") == 0
    pipeline.load("--run-date", "2026-07-01")  # what has moved is displaced, and still pending
    assert agrees(pipeline)
    pipeline.load("--start-date", "2026-07-11", "--end-date", "2026-07-21")
    assert agrees(pipeline)


def test_a_table_without_a_cursor_is_compared_by_its_values_and_landed_whole(new_pipeline):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    pipeline.mysql(
        "create table t (id int primary key, v varchar(9))",
        "insert into t select seq, seq from seq_1_to_20",
    )
    pipeline.load()
    assert agrees(pipeline)
    pipeline.mysql(
        "update t set v = 'x' where id = 3",
        "delete from t where id = 4",
        "insert into t values (99, '')",
    )
    assert differing(pipeline) == {None: (20, 20, 1, 1, 1)}
    (repaired,) = verify(pipeline, "--repair")["loads"]
    assert (repaired["mode"], repaired["landed_rows"]) == ("full_refresh", 20)
    assert agrees(pipeline)


def test_rows_that_nothing_identifies_are_counted(new_pipeline):
    pipeline = new_pipeline([{"name": "t", "primary_key": []}])
    pipeline.mysql("create table t (v int)", "insert into t values (1), (1), (2), (null)")
    pipeline.load()
    assert agrees(pipeline)
    pipeline.mysql("insert into t values (1)", "delete from t where v is null")
    assert differing(pipeline) == {None: (4, 4, 1, 1, 0)}
    verify(pipeline, "--repair")
    assert agrees(pipeline)


# -- keys ----------------------------------------------------------------------------------------


def test_keys_that_mysql_takes_for_equal_are_not(new_pipeline):
    """Of 'a', 'A' and 'a ' a case-insensitive key holds one; the warehouse may hold the others."""
    pipeline = new_pipeline([{**TABLE, "primary_key": ["k"]}])
    pipeline.mysql(
        "create table t (k varchar(9) collate utf8mb4_general_ci primary key, updated_at date)",
        "insert into t values ('a', '2026-07-01'), ('b', '2026-07-01'), ('c', '2026-07-01')",
    )
    pipeline.load("--run-date", "2026-07-01")
    pipeline.mysql("update t set k = 'A' where k = 'a'", "update t set k = 'b ' where k = 'b'")
    assert differing(pipeline) == {"2026-07-01": (3, 3, 2, 2, 0)}
    if pipeline.kind == "redshift":  # whose keys do not end in a blank
        (failed,) = verify(pipeline, "--repair", status=1)["loads"]
        assert "k b : column k has no equal in the warehouse" in failed["error"]
        pipeline.mysql("update t set k = 'B' where k = 'b '")
    verify(pipeline, "--repair")
    assert agrees(pipeline)
    deleted = "select k, _deleted_at is not null from raw_data.t where _run_date is null"
    assert sorted(pipeline.query(deleted)) == [
        ("a", False), ("a", True), ("b", False), ("b", True),
    ]  # fmt: skip


# -- what is repaired ----------------------------------------------------------------------------


def test_a_repair_lands_exactly_what_differs(pipeline):
    pipeline.mysql("update t set v = 0, updated_at = '2026-07-06' where id = 30")
    pipeline.load("--run-date", "2026-07-06")  # two versions of a row
    change_each_way(pipeline)
    pipeline.mysql("delete from t where id = 30")
    before = pipeline.raw("t", "id, v, updated_at")
    (status,) = json.loads(pipeline.loader("status", "--json").stdout)["tables"]
    (repaired,) = verify(pipeline, "--repair")["loads"]
    (after,) = json.loads(pipeline.loader("status", "--json").stdout)["tables"]
    newest = {"newest_row": "2026-07-05", "age": 0}
    assert {**after, "age": 0} == {**status, **newest}  # a repair covers no day
    counts = ("source_rows", "staged_rows", "copied_rows", "landed_rows")
    assert [repaired[name] for name in counts] == [6] * 4
    assert (repaired["mode"], repaired["outcome"]) == ("repair", "landed")
    assert (repaired["window_start"], repaired["window_end"]) == ("2026-07-02", "2026-07-07")

    of_load = f"from raw_data.t where _load_id = '{repaired['load_id']}' order by id"
    assert pipeline.query(
        f"select id, v, cast(updated_at as varchar), _run_date, _deleted_at is not null {of_load}"
    ) == [
        (1, 1, "2026-07-03 02:00:00.007", date(2026, 7, 3), False),
        (9, 9, "2026-07-02 00:00:01", date(2026, 7, 2), False),
        (20, None, "2026-07-03 09:00:00", None, True),
        (21, None, "2026-07-03 12:00:00", None, True),
        (30, None, "2026-07-06 00:00:00", None, True),
        (101, 0, "2026-07-02 01:00:00.5", date(2026, 7, 2), False),
    ]
    # Nothing that was landed is lost, but no window has the older versions.
    earlier = f"_load_id <> '{repaired['load_id']}'"
    assert pipeline.raw(f"t where {earlier}", "id, v, updated_at") == before
    older = f"{earlier} and id in (1, 9, 20, 21, 30, 101) and _run_date is not null"
    assert pipeline.raw(f"t where {older}") == []
    assert agrees(pipeline)
    pipeline.mysql("insert into t values (102, 0, '2026-07-09')")
    verify(pipeline, "--repair")
    (after,) = json.loads(pipeline.loader("status", "--json").stdout)["tables"]
    assert after["newest_row"] == "2026-07-09"
    assert pipeline.staged() == []


def test_a_row_that_comes_back_after_its_repair_is_there_again(pipeline):
    pipeline.mysql("delete from t where id = 5")
    verify(pipeline, "--repair")
    pipeline.mysql("insert into t values (5, 55, '2026-07-09')")
    assert differing(pipeline) == {"2026-07-09": (1, 0, 1, 0, 0)}
    pipeline.load("--run-date", "2026-07-09")
    assert agrees(pipeline)
    pipeline.load("--start-date", "2026-07-01", "--end-date", "2026-07-11")
    assert agrees(pipeline)
    pipeline.load("--full-refresh")
    assert pipeline.value("select count(*) from raw_data.t where _deleted_at is not null") == 0


def test_a_large_repair_asks_first_and_changes_nothing(pipeline):
    pipeline.mysql(
        "insert into t select 1000 + seq, 0, '2026-07-04' from seq_1_to_101",
        "delete from t where id = 1",
    )
    done = pipeline.loader("verify", "--repair", status=1)
    assert "t: 102 of 140 rows differ (101 missing, 1 extra, 0 stale)" in done.stderr
    assert "--yes" in done.stderr
    assert "Traceback" not in done.stderr
    assert pipeline.value("select count(*) from raw_data.t") == 40
    assert pipeline.value("select count(*) from raw_data._loads") == 1
    (repaired,) = verify(pipeline, "--repair", LOADER_REPAIR_PERCENT="80")["loads"]
    assert repaired["staged_rows"] == 102
    pipeline.mysql("delete from t where id > 1000")
    assert verify(pipeline, "--repair", "--yes")["loads"][0]["staged_rows"] == 101
    assert agrees(pipeline)


def test_a_repair_lands_what_the_source_says_then_not_what_was_found_before(pipeline):
    pipeline.mysql(
        "update t set updated_at = '2026-07-04' where id = 1",
        "delete from t where id = 2",
        "insert into t values (103, 0, '2026-07-04')",
        "update t set updated_at = '2026-07-04' where id = 4",
    )
    with pipeline.inside():
        session = open_session(None)
        found = compare(session.tables["t"], session.warehouse)
        assert found.differing == 4
        pipeline.mysql(
            f"update t set updated_at = '{TODAY}' where id = 1",  # now pending
            "insert into t values (2, 0, '2026-07-05')",  # there again
            "delete from t where id = 103",  # gone again
            "update t set updated_at = '2026-07-06' where id = 4",  # moved on
        )
        (job,) = repair_jobs([found], session.settings, confirmed=False)
        with unwatched() as watcher:
            (outcome,) = run_jobs([job], route_of(session), 1, watcher)
    assert outcome.load.landed_rows == 3
    assert agrees(pipeline)
    assert pipeline.value("select _deleted_at is not null from raw_data.t where id = 103")


def test_a_repair_whose_counts_differ_changes_nothing(pipeline, monkeypatch):
    """Rows that MySQL counted and did not send are not taken for deleted."""
    change_each_way(pipeline)
    monkeypatch.setattr(loading, "read_repaired", lambda *_: iter(()))
    report = verify(pipeline, "--repair", status=1)
    assert "5 counted in MySQL, 0 staged" in report["loads"][0]["error"]
    assert pipeline.value("select count(*) from raw_data.t") == 40


def test_a_repair_that_brings_a_row_and_its_deletion_is_refused(pipeline, monkeypatch):
    """Core would lose the row. It takes two texts of one key, as a ZEROFILL once had."""
    exact = types.exact_text
    padded = "lpad(`id`, 6, '0')"
    monkeypatch.setattr(
        types, "exact_text", lambda column: padded if column.name == "id" else exact(column)
    )
    pipeline.mysql("update t set updated_at = updated_at + interval 1 second where id = 9")
    before = pipeline.raw("t")
    (failed,) = verify(pipeline, "--repair", status=1)["loads"]
    assert "2 copied, 1 landed. The table is as it was." in failed["error"]
    assert pipeline.raw("t") == before


def test_a_raw_table_that_was_landed_before_deletions_were_gains_their_column(pipeline):
    pipeline.query("alter table raw_data.t drop column _deleted_at")
    assert agrees(pipeline)
    pipeline.mysql("delete from t where id = 1")
    report = verify(pipeline, "--repair")
    assert report["said"] == [
        "t: column _deleted_at (timestamp) is new; rows landed earlier hold NULL"
    ]
    assert agrees(pipeline)


# -- how it is said, and what it costs -----------------------------------------------------------


def test_a_person_reads_a_line_a_table_and_the_days_that_differ(new_pipeline):
    pipeline = new_pipeline([TABLE, {**TABLE, "name": "never"}, {**TABLE, "name": "undated"}])
    pipeline.mysql(
        CREATE,
        CREATE.replace("table t", "table never"),
        "create table undated (id int primary key, updated_at datetime, key (updated_at))",
        "insert into t values (1, 1, '2026-07-01'), (2, 2, '2026-07-02')",
    )
    pipeline.load(
        "--select", "t", "undated", "--start-date", "2026-07-01", "--end-date", "2026-07-03"
    )
    done = pipeline.loader("verify", "--select", "t", "never", status=0)
    assert "t                 2 rows  agree" in done.stdout
    assert "never  not landed yet" in done.stdout

    pipeline.mysql("delete from t where id = 2", "insert into undated values (1, null)")
    done = pipeline.loader("verify", status=1)
    assert "1 rows  1 differ" in done.stdout
    assert "2026-07-02            0               1        0      1      0" in done.stdout
    assert "\nThe same command with --repair (and --yes, of much) lands what" in done.stdout
    assert "in 1 row, which" in done.stderr  # undated
    done = pipeline.loader("verify", "--select", "t", "--repair", status=0)
    assert "t  repair " in done.stdout


def test_a_key_that_is_not_the_same_on_both_sides_is_said(new_pipeline):
    pipeline = new_pipeline([{**TABLE, "primary_key": ["k"]}])
    pipeline.mysql("create table t (k double primary key, updated_at date)")
    pipeline.load("--run-date", "2026-07-01")
    (found,) = verify(pipeline, status=1)["tables"]
    assert "column k (double precision) tells rows apart" in found["error"]
    assert "--select" in found["remedy"]


def test_mysql_reads_an_index_alone_and_one_snapshot(pipeline, monkeypatch):
    statements = []
    fetch = mysql.fetch
    monkeypatch.setattr(
        mysql, "fetch", lambda on, asked, *of: statements.append(asked) or fetch(on, asked, *of)
    )
    assert agrees(pipeline)
    (found,) = (each for each in statements if "sum(" in each)
    explained = pipeline.mysql(f"explain format=traditional {found}")
    (of_table,) = (row for row in explained if row[2] == "t")
    assert "updated_at" in of_table
    assert "Using index" in re.split("; ?", of_table[-1])
