"""A window is replaced whole or not at all, and nothing is lost on the way."""

import re
import threading
import time
from dataclasses import replace
from datetime import date, datetime

import psycopg2
import pytest
from cutting import relayed
from pipeline import DAYS, administer, another_load, two_days

from loader.declared.windows import DAY, parse_zone
from loader.load import window
from loader.source import mysql
from loader.warehouse import base, postgres, session

DAY_1, DAY_2, DAY_3 = DAYS


@pytest.fixture
def pipeline(new_pipeline):
    return two_days(new_pipeline)


def test_a_row_that_moved_to_a_later_window_is_not_forgotten(pipeline):
    """Its day is landed again before the later one: only the last known version is left of it."""
    pipeline.load("--run-date", DAY_1)
    pipeline.mysql(f"update t set v = 11, updated_at = '{DAY_3}' where id = 1")
    report = pipeline.load("--run-date", DAY_1)
    assert report["t"]["landed_rows"] == 1
    assert pipeline.raw("t", "id, v, _run_date") == [(1, 10, None), (2, 20, date(2026, 7, 1))]
    pipeline.load("--run-date", DAY_3)
    newest = pipeline.query(
        "select distinct on (id) id, v from raw_data.t order by id, _load_id desc"
    )
    assert newest == [(1, 11), (2, 20)]


def test_an_empty_window_or_source_replaces_the_rows_that_were_there(pipeline):
    pipeline.load("--full-refresh")
    pipeline.mysql(f"update t set updated_at = '{DAY_3}' where id < 3")
    report = pipeline.load("--run-date", DAY_1)["t"]
    assert (report["landed_rows"], report["outcome"]) == (0, "landed")
    assert pipeline.value(f"select count(*) from raw_data.t where _run_date = '{DAY_1}'") == 0
    assert pipeline.value("select count(*) from raw_data.t where _run_date is null") == 2
    pipeline.mysql("delete from t")
    assert pipeline.load("--full-refresh")["t"]["landed_rows"] == 0
    assert pipeline.raw("t") == []


def test_a_table_without_a_cursor_is_copied_whole_whatever_is_asked(new_pipeline):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    pipeline.mysql("create table t (id int primary key)", "insert into t values (1), (2)")
    pipeline.load("--run-date", DAY_1)
    pipeline.mysql("delete from t where id = 1")
    pipeline.load("--run-date", DAY_1)
    assert pipeline.raw("t", "id") == [(2,)]
    assert pipeline.value("select _run_date = current_date from raw_data.t")


@pytest.mark.parametrize(
    ("zone", "kind"), [("+05:45", "datetime"), ("-05:00", "datetime"), ("+09:00", "date")]
)
def test_a_row_of_any_century_is_of_the_day_that_its_window_holds(new_pipeline, zone, kind):
    """MySQL's CONVERT_TZ() leaves an instant before 1970, and on many servers after 2037, alone."""
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"], "cursor": "at"}])
    instants = [
        "1000-01-02 03:00:00", "1883-11-18 22:00:00", "1969-12-31 00:30:00", "1969-12-31 20:00:00",
        "1970-01-01 00:00:00", "1970-01-01 18:00:00", "2026-02-28 19:00:00", "2038-01-19 20:00:00",
        "2100-06-30 23:00:00", "9999-12-31 04:00:00", "9999-12-31 23:59:59",
    ]  # fmt: skip
    pipeline.mysql(
        f"create table t (id int primary key, at {kind} not null, key (at))",
        *(f"insert into t values ({n}, '{at}')" for n, at in enumerate(instants)),
    )
    offset = parse_zone(zone).info.utcoffset(None) if zone != "UTC" and kind != "date" else 0 * DAY

    def day(instant):
        try:
            return (datetime.fromisoformat(instant) + offset).date()
        except OverflowError:
            return date.max

    expected = [(n, day(at)) for n, at in enumerate(instants)]
    pipeline.load("--full-refresh", LOADER_TIMEZONE=zone)
    assert pipeline.raw("t", "id, _run_date") == expected
    pipeline.load("--start-date", "1000-01-01", "--end-date", "1970-01-01", LOADER_TIMEZONE=zone)
    pipeline.load("--start-date", "1970-01-01", "--end-date", "1970-01-02", LOADER_TIMEZONE=zone)
    assert pipeline.raw("t", "id, _run_date") == expected
    pipeline.loader("verify", LOADER_TIMEZONE=zone, status=0)


@pytest.mark.only("postgres", because="Redshift has no indexes")
def test_a_window_and_a_load_are_found_by_one_index(pipeline):
    """PostgreSQL 18 looks for the window once in each load, and need not be told how many."""
    pipeline.mysql(
        "insert into t select seq + 10, 1, '2026-01-01' + interval mod(seq, 100) day "
        "from seq_1_to_20000"
    )
    pipeline.load("--full-refresh")
    newest = pipeline.load("--run-date", DAY_1)["t"]["load_id"]
    assert indexed(pipeline) == {"_deleted_at", "_load_id, _run_date"}
    for rows, searches in (
        ("_run_date >= '2026-01-05' and _run_date < '2026-01-06'", r"[2-9]"),
        (f"_load_id = '{newest}'", "1"),
    ):
        plan = f"{pipeline.query(f'explain (analyze) select v from raw_data.t where {rows}')}"
        assert re.search(rf"t__load_id__run_date_idx.*Index Searches: {searches}\b", plan)


@pytest.mark.only("postgres", because="Redshift has no indexes")
def test_an_older_postgres_has_an_index_of_each(pipeline, monkeypatch):
    monkeypatch.setattr(postgres, "_SKIP_SCAN_SINCE", 10**6)
    pipeline.load("--run-date", DAY_1)
    assert indexed(pipeline) == {"_deleted_at", "_load_id", "_run_date"}


def indexed(pipeline):
    """The columns of the raw table's indexes."""
    found = pipeline.query("select indexdef from pg_indexes where tablename = 't'")
    return {re.search(r"btree \((.*?)\)", made)[1] for (made,) in found}


# -- readers and failures ------------------------------------------------------------------------


def test_readers_see_the_old_window_or_the_new_one(pipeline, monkeypatch):
    """A reader looks at the table between any two statements of a landing."""
    pipeline.mysql("insert into t select seq + 10, 1, '2026-07-01' from seq_1_to_500")
    pipeline.load("--full-refresh")
    pipeline.mysql("update t set v = 2 where v = 1", "delete from t where id <= 4")
    seen = set()
    execute = pipeline.adapter.execute

    def look():
        seen.update(pipeline.query("select count(*), count(distinct id), max(v) from raw_data.t"))

    def watched(self, statement, parameters=()):
        look()
        rows = execute(self, statement, parameters)
        look()
        return rows

    monkeypatch.setattr(pipeline.adapter, "execute", watched)
    pipeline.load("--full-refresh")
    look()
    assert seen == {(504, 504, 40), (500, 500, 2)}


@pytest.mark.parametrize("lost", ["counted in MySQL", "staged", "copied", "landed"])
def test_counts_that_differ_roll_back_and_say_which(pipeline, monkeypatch, lost):
    pipeline.load("--run-date", DAY_1)
    before = pipeline.raw("t")
    place, name, change = {
        "counted in MySQL": (mysql, "count_window", lambda rows: rows + 1),
        "staged": (window, "_stage", lambda load: replace(load, staged_rows=1)),
        "copied": (pipeline.adapter, "_copy", lambda rows: rows - 1),
        "landed": (
            pipeline.adapter,
            "landing_statements",
            lambda statements: [*statements[:-1], "select 1 as landed"],
        ),
    }[lost]
    right = getattr(place, name)
    monkeypatch.setattr(place, name, lambda *args: change(right(*args)))
    said = pipeline.fails("--run-date", DAY_1)
    assert "the counts differ" in said
    assert lost in said
    assert pipeline.raw("t") == before
    assert pipeline.value("select count(*) from raw_data._loads where outcome = 'failed'") == 1


@pytest.mark.parametrize("who", ["MySQL", "warehouse"])
def test_a_server_that_stops_answering_fails_the_load_in_time(pipeline, monkeypatch, who):
    monkeypatch.setattr(window, "RETRY_SECONDS", (0,))
    pipeline.load("--run-date", DAY_1)
    before = pipeline.raw("t")
    server, changes = relayed(pipeline, who)
    if who == "MySQL":
        server.silent_at = b"select concat("
    else:
        copy = pipeline.adapter._copy

        def silent(*arguments):
            server.is_silent = True
            return copy(*arguments)

        monkeypatch.setattr(pipeline.adapter, "_copy", silent)
    began = time.monotonic()
    said = pipeline.fails("--run-date", DAY_1, LOADER_ANSWER_SECONDS="2", **changes)
    server.close()
    assert time.monotonic() - began < 60
    assert "LOADER_ANSWER_SECONDS" in said or "Cannot connect to the warehouse" in said
    assert pipeline.raw("t") == before


def test_retries_outlast_a_warehouse_that_is_away_for_a_while(pipeline, monkeypatch):
    """COPY breaks off, and the first attempts to connect again fail."""
    monkeypatch.setattr(window, "RETRY_SECONDS", (0, 0, 0))
    copy, connect, failed = pipeline.adapter._copy, session.connect, []

    def cut(self, *arguments):
        if not failed:
            failed.append("copy")
            self._opened.close()
        return copy(self, *arguments)

    def away(profile, seconds):
        if failed and len(failed) < 3:
            failed.append("connect")
            return connect(replace(profile, output={**profile.output, "port": 1}), seconds)
        return connect(profile, seconds)

    monkeypatch.setattr(pipeline.adapter, "_copy", cut)
    monkeypatch.setattr(session, "connect", away)
    assert pipeline.load("--run-date", DAY_1)["t"]["landed_rows"] == 2
    assert failed == ["copy", "connect", "connect"]


@pytest.mark.only("postgres", because="Redshift has no advisory locks")
def test_who_may_only_read_does_not_keep_a_load_out(pipeline, superuser, monkeypatch):
    monkeypatch.setattr(base, "LOCK_SECONDS", 1)
    pipeline.load("--run-date", DAY_1)
    superuser("drop role if exists analyst", "create role analyst")
    with pipeline.warehouse_connection() as other, other.cursor() as cursor:
        cursor.execute("grant usage on schema raw_data to analyst")
        cursor.execute("grant select on all tables in schema raw_data to analyst")
        administer(pipeline.endpoints, "grant analyst to warehouse")
        cursor.execute("set role analyst")
        cursor.execute("begin")
        for table in ("t", "_lock_t", "_loads"):
            cursor.execute(f"select * from raw_data.{table}")
        cursor.execute("select pg_advisory_lock(hashtext('raw_data'), hashtext('t'))")
        with pytest.raises(psycopg2.Error, match="permission denied"):
            cursor.execute("lock raw_data._lock_t in share row exclusive mode")
        cursor.execute("rollback")
        cursor.execute("begin; select * from raw_data._lock_t")
        assert pipeline.load("--run-date", DAY_2)["t"]["landed_rows"] == 2
        cursor.execute("rollback; reset role")
    administer(
        pipeline.endpoints, "drop owned by analyst", "drop role analyst", on=pipeline.warehouse
    )


def test_a_second_load_of_the_same_table_waits_and_then_refuses(pipeline, monkeypatch):
    monkeypatch.setattr(base, "LOCK_SECONDS", 1)
    with another_load(pipeline, DAY_1):
        said = pipeline.fails("--run-date", DAY_2)
    assert "Another load of t has been running for 1 seconds" in said
    assert pipeline.raw("t", "id") == [(1,), (2,)]
    assert pipeline.load("--run-date", DAY_2)["t"]["landed_rows"] == 2


def test_a_second_load_goes_on_when_the_first_one_ends(pipeline):
    with another_load(pipeline, DAY_1) as (warehouse, newest):
        threading.Timer(0.5, warehouse.close).start()
        began = time.monotonic()
        second = pipeline.load("--run-date", DAY_2)["t"]
    assert time.monotonic() - began > 0.4
    assert second["load_id"] > newest
