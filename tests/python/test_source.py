"""The source is production: what reading it costs it, and what it need not allow."""

import time
from threading import Event, Thread

import pytest
from pipeline import mysql_administrator

from loader.load.job import RateLimit

pytestmark = pytest.mark.only("postgres", because="no warehouse is asked")
TABLE = {"name": "t", "primary_key": ["id"], "cursor": "at"}
DAY, NEXT_DAY = "2026-07-02", "2026-07-03"
ROWS, ROWS_OF_A_DAY = 20_000, 20


@pytest.fixture(scope="module")
def pipeline(module_pipeline):
    """A table with a thousand days, landed up to the one that the tests land."""
    pipeline = module_pipeline([TABLE])
    pipeline.mysql(
        "create table t (id int primary key, at datetime(6) not null, v varchar(56), key (at))",
        f"insert into t select seq, date_sub('{DAY} 12:00', interval mod(seq, 1000) day), "
        f"sha2(seq, 224) from seq_1_to_{ROWS}",
        "analyze table t",
    )
    pipeline.load("--run-date", DAY)
    return pipeline


def handlers(pipeline):
    """How many rows the server has looked at by an index, and without one."""
    with mysql_administrator(pipeline.endpoints) as administrator:
        administrator.execute("show global status like 'Handler_read%'")
        counts = {name: int(value) for name, value in administrator.fetchall()}
    return counts["Handler_read_next"], counts["Handler_read_rnd_next"]


def test_a_day_costs_the_rows_of_the_day(pipeline):
    """They are counted and read by the cursor's index; the table's other rows are not looked at."""
    before = handlers(pipeline)
    assert pipeline.load("--run-date", DAY)["t"]["landed_rows"] == ROWS_OF_A_DAY
    by_index, without = (b - a for a, b in zip(before, handlers(pipeline), strict=True))
    assert 2 * ROWS_OF_A_DAY <= by_index < 10 * ROWS_OF_A_DAY
    assert without < ROWS / 10  # those of information_schema


def test_a_large_day_is_replaced_at_once(pipeline):
    """Though the planner, which has never seen that day, takes its rows for a single one."""
    pipeline.query("analyze raw_data.t")
    pipeline.mysql(
        f"insert into t select seq, '{NEXT_DAY}', sha2(seq, 224) from seq_100001_to_130000",
    )
    pipeline.load("--run-date", NEXT_DAY)
    began = time.monotonic()
    pipeline.load("--run-date", NEXT_DAY)
    seconds = time.monotonic() - began
    pipeline.mysql("delete from t where id > 100000")
    assert seconds < 4  # each row compared with each would take 10 s


def test_a_replica_that_takes_no_writes_can_be_the_source(pipeline):
    with mysql_administrator(pipeline.endpoints) as administrator:
        administrator.execute("set global read_only = 1")
        try:
            assert pipeline.load("--run-date", DAY)["t"]["landed_rows"] == ROWS_OF_A_DAY
        finally:
            administrator.execute("set global read_only = 0")


def test_no_more_rows_a_second_are_read_than_is_asked(pipeline):
    began = time.monotonic()
    landed = pipeline.load("--full-refresh", "--max-rows-per-second", str(ROWS))["t"]["landed_rows"]
    assert time.monotonic() - began > 1
    assert landed == ROWS


def test_tables_share_the_brake_and_a_run_that_ends_waits_for_none():
    stopping, began = Event(), time.monotonic()
    rate_limit = RateLimit(1_000, stopping)
    tables = [Thread(target=rate_limit.wait, args=(100,)) for _ in range(3)]
    for table in tables:
        table.start()
    for table in tables:
        table.join()
    assert time.monotonic() - began > 0.3
    stopping.set()
    rate_limit.wait(10**6)
    assert time.monotonic() - began < 10
