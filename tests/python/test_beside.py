"""Beside others: two that write one table at once, and a developer's target next to production."""

import shutil
import threading
import time

import pytest
from pipeline import DAYS, Forked

SCALE = ("--vars", "minimum_rows_scale: 0.000001")
SUMMARY = "nps_summary"
JANE = {"DBT_SCHEMA": "jane"}
CLONED = (SUMMARY, "nps_history", "channel_group")


@pytest.fixture(scope="module")
def made(new_project):
    """A project with a few rows, built, and a process that forks dbt."""
    pipeline = new_project()
    pipeline.start_anew()
    session = "repeat('a', 32)"
    pipeline.mysql(
        "insert into channel values ('Google')",
        f"insert into user_session_channel values (1, {session}, 'Google', '{DAYS[0]}')",
        f"insert into session_timestamp values ({session}, '{DAYS[0]}')",
        f"insert into session_transaction values ({session}, 0, 1, '{DAYS[0]}')",
    )
    answer(pipeline)
    pipeline.load("--full-refresh")
    pipeline.build("seed")
    pipeline.build("run", "--exclude", "pipeline_runs", *SCALE)
    pipeline.build("snapshot")
    with Forked(pipeline) as forked:
        yield pipeline, forked


def answer(pipeline):
    """Change every answer in MySQL, and add one."""
    pipeline.mysql(
        f"update nps set score = 10 - score, updated_at = '{DAYS[0]} 08:00:00'",
        "insert into nps (user_id, score, created_at, updated_at) "
        f"values (1, 9, '{DAYS[0]}', '{DAYS[0]} 08:00:00')",
    )


def twice_at_once(pipeline, forked, table, *command, isolation="repeatable read"):
    """Run a command up to where it would write a table, then again, then let both go on.

    Redshift's SNAPSHOT is PostgreSQL's REPEATABLE READ, which lets two inserts pass side by side.
    """
    setting = f"alter database {pipeline.warehouse} set default_transaction_isolation"
    if pipeline.standin:
        pipeline.query(f"{setting} = '{isolation}'")
    statuses, ended = [], threading.Event()
    first = threading.Thread(target=lambda: statuses.append(forked.run("dbt", *command)))
    with pipeline.warehouse_connection() as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute(f"lock table {table} in share mode")  # they may read, and not write

        def let_go():
            until_waiting(pipeline, 2, ended.is_set)
            connection.commit()

        first.start()
        until_waiting(pipeline, 1, lambda: not first.is_alive())
        letting_go = threading.Thread(target=let_go)
        letting_go.start()
        try:
            pipeline.build(*command)
        finally:
            ended.set()
            letting_go.join()
            first.join()
            pipeline.query(f"{setting} to default")
    assert statuses == [0], "".join(forked.said)


def until_waiting(pipeline, count, is_over):
    """Wait until so many sessions wait for a lock, or nothing is left to wait for."""
    waiting = (
        "select count(*) from pg_stat_activity "
        "where wait_event_type = 'Lock' and datname = current_database()"
    )
    while pipeline.value(waiting) < count and not is_over():
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("command", "table", "key"),
    [
        (("snapshot", "--select", "nps_history"), "nps_history", "response_id, dbt_valid_to"),
        (("build", "--select", SUMMARY, "--exclude", "test_type:singular"), SUMMARY, "answered_on"),
        (("run", "--select", "nps"), "nps", "response_id"),
        pytest.param(
            ("run", "--select", "nps", "--full-refresh"),
            "nps",
            "response_id",
            marks=pytest.mark.only(
                "postgres",
                because="the stand-in has PostgreSQL's catalog, where a grant on all "
                "tables fails beside a change of one",
            ),
        ),
        (("seed",), "channel_group", "channel_name"),
    ],
)
def test_the_second_of_two_waits_and_adds_nothing(made, command, table, key):
    pipeline, forked = made
    answer(pipeline)
    pipeline.load("--full-refresh", "--select", "nps")
    if table != "nps":
        pipeline.build("run", "--select", "nps", *SCALE)
    twice_at_once(pipeline, forked, f"analytics.{table}", *command, *SCALE)
    assert pipeline.value(f"select count(*) from analytics.{table}") > 0
    twice = f"select {key} from analytics.{table} group by {key} having count(*) > 1"
    assert pipeline.query(twice) == []
    assert pipeline.value("select count(*) from pg_tables where tablename like '%candidate%'") == 0


@pytest.mark.only("redshift", because="PostgreSQL's default is READ COMMITTED")
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_of_two_publishes_into_an_empty_summary_one_set_of_rows_is_left(made, isolation):
    pipeline, forked = made
    pipeline.query(f"delete from analytics.{SUMMARY}")
    run = ("run", "--select", SUMMARY, *SCALE)
    twice_at_once(pipeline, forked, f"analytics.{SUMMARY}", *run, isolation=isolation)
    ((rows, days),) = pipeline.query(
        f"select count(*), count(distinct answered_on) from analytics.{SUMMARY}"
    )
    assert rows == days > 0


@pytest.fixture
def jane(made, tmp_path):
    """Run dbt in a target without a table, beside production; it must succeed or fail."""
    pipeline, forked = made
    pipeline.build("run", "--select", SUMMARY, "sessions_by_hour", *SCALE)  # of the newest rows
    pipeline.build("parse")
    shutil.copy(pipeline.target_folder / "target" / "manifest.json", tmp_path)

    def dbt(*command):
        status = forked.run("dbt", *command, "--state", str(tmp_path), env=JANE)
        return status == 0, "".join(forked.said)

    before = of_production(pipeline)
    yield dbt
    assert of_production(pipeline) == before
    pipeline.query(
        "drop schema if exists jane_raw_data, jane_analytics, jane_archive, jane_adhoc cascade"
    )


def of_production(pipeline):
    """How many rows each table of production has, and what the summary says."""
    return [
        pipeline.query(f"select count(*) from analytics.{name}") for name in ("nps", *CLONED)
    ] + pipeline.query(f"select * from analytics.{SUMMARY}")


def test_what_a_clone_left_gives_way_to_tables_of_ones_own(made, jane):
    pipeline, _ = made
    done, said = jane("clone", "--select", *CLONED)
    assert done, said
    pipeline.load("--full-refresh", **JANE)
    for command in (
        ("run", "--select", "staging", "core", SUMMARY, *SCALE),
        ("seed",),
        ("snapshot", "--select", "nps_history"),
    ):
        done, said = jane(*command)
        assert done, said
    kinds = pipeline.query(
        "select distinct relkind from pg_class where relnamespace = 'jane_analytics'::regnamespace "
        f"and relname in {CLONED}"
    )
    assert kinds == [("r",)]


@pytest.mark.parametrize("favored", [(), ("--favor-state",)])
def test_a_deferred_run_checks_the_inputs_that_it_reads(made, jane, favored):
    """One summary can be built where nothing is landed, a view between it and its rows or not."""
    pipeline, _ = made
    deferred = ("run", "--defer", *favored, "--select", SUMMARY, "sessions_by_hour")
    done, said = jane(*deferred)
    assert not done
    assert "nps_summary was not published: 1 input check failed before it was built" in said
    assert '"analytics"."nps"' in said
    done, said = jane(*deferred, *SCALE)
    assert done, said
    for name in (SUMMARY, "sessions_by_hour"):
        own, theirs = (
            pipeline.query(f"select * from {schema}.{name}")
            for schema in ("jane_analytics", "analytics")
        )
        assert own == theirs
