"""Beside others: two that write one table at once, and a developer's target next to production.

What is done in one target changes nothing in another's, and --empty nothing that holds rows.
"""

import threading

import pytest
from pipeline import DAYS, Forked, until

pytestmark = pytest.mark.deep(because="a project is built, and dbt starts dozens of times")
SUMMARY = "nps_summary"
CLONED = (SUMMARY, "nps_history", "channel_group")


@pytest.fixture(scope="module")
def made(new_project):
    """A project with a few rows, built, and a process that forks dbt."""
    pipeline = new_project()
    pipeline.start_anew()
    pipeline.one_session(DAYS[0])
    answer(pipeline)
    pipeline.load("--full-refresh")
    pipeline.build("seed")
    pipeline.build("run", "--exclude", "pipeline_runs")
    pipeline.build("snapshot")
    pipeline.build("parse")
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
    assert statuses == [0], forked.said


def until_waiting(pipeline, count, is_over):
    """Wait until so many sessions wait for a lock, or nothing is left to wait for."""
    waiting = (
        "select count(*) from pg_stat_activity "
        "where wait_event_type = 'Lock' and datname = current_database()"
    )
    until(lambda: pipeline.value(waiting) >= count or is_over(), 240)


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
        pipeline.build("run", "--select", "nps")
    twice_at_once(pipeline, forked, f"analytics.{table}", *command)
    assert pipeline.value(f"select count(*) from analytics.{table}") > 0
    twice = f"select {key} from analytics.{table} group by {key} having count(*) > 1"
    assert pipeline.query(twice) == []
    assert pipeline.value("select count(*) from pg_tables where tablename like '%candidate%'") == 0


@pytest.mark.only("redshift", because="PostgreSQL's default is READ COMMITTED")
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_of_two_publishes_into_an_empty_summary_one_set_of_rows_is_left(made, isolation):
    pipeline, forked = made
    pipeline.query(f"delete from analytics.{SUMMARY}")
    run = ("run", "--select", SUMMARY)
    twice_at_once(pipeline, forked, f"analytics.{SUMMARY}", *run, isolation=isolation)
    ((rows, days),) = pipeline.query(
        f"select count(*), count(distinct answered_on) from analytics.{SUMMARY}"
    )
    assert rows == days > 0


@pytest.fixture
def jane(made, tmp_path):
    """Run dbt in a developer's target beside production, which stays as it is; returns its words.

    Her target folder is her own, or dbt would read the project anew at every change of target.
    """
    pipeline, forked = made
    pipeline.build("run", "--select", "nps", SUMMARY, "sessions_by_hour")  # newest rows
    state = pipeline.target_folder / "target"
    own = {"DBT_SCHEMA": "jane", "DBT_TARGET_PATH": str(state.with_name("jane"))}

    def dbt(*command, fails=False):
        if command[0] == "clone" or "--defer" in command:
            command = (*command, "--state", str(state))
        assert (forked.run("dbt", *command, env=own) != 0) is fails, forked.said
        return forked.said

    dbt.env = own
    before = of_production(pipeline)
    yield dbt
    assert of_production(pipeline) == before
    pipeline.query(
        "drop schema if exists jane_raw_data, jane_analytics, jane_archive, jane_adhoc cascade"
    )


def of_production(pipeline):
    """Every row of every table that is not jane's, and every view."""
    tables = pipeline.query(
        "select schemaname || '.' || tablename from pg_tables "
        "where schemaname in ('raw_data', 'analytics', 'archive') order by 1"
    )
    assert len(tables) > 9
    views = "select viewname, definition from pg_views where schemaname = 'analytics' order by 1"
    rows = "select cast(t as varchar) from {} as t order by 1"
    return [pipeline.query(views), *(pipeline.query(rows.format(name)) for (name,) in tables)]


def test_a_clone_changes_nothing_and_gives_way_to_tables_of_ones_own(made, jane):
    """What a hook deletes from a clone's view is deleted in production."""
    pipeline, _ = made
    before = of_production(pipeline)
    newest = pipeline.value("select max(_watermark) from analytics.nps")
    pipeline.load("--full-refresh", **jane.env)
    # Landed whole before production was built: all of production's rows have vanished, it seems.
    pipeline.query(f"update jane_raw_data._loads set load_id = '{newest}' where table_name = 'nps'")
    jane("clone", "--select", "staging", "core", *CLONED, "--full-refresh")
    assert of_production(pipeline) == before
    assert pipeline.value("select count(*) from jane_analytics.nps") > 0
    pipeline.load("--full-refresh", **jane.env)
    for command in (
        ("run", "--select", "staging", "core", SUMMARY),
        ("seed",),
        ("snapshot", "--select", "nps_history"),
    ):
        jane(*command)
    kinds = pipeline.query(
        "select distinct relkind from pg_class where relnamespace = 'jane_analytics'::regnamespace "
        f"and relname in {CLONED}"
    )
    assert kinds == [("r",)]


def test_a_deferred_run_checks_the_inputs_that_it_reads(made, jane):
    """One summary can be built where nothing is landed, a view between it and its rows or not."""
    pipeline, _ = made
    deferred = ("run", "--defer", "--select", SUMMARY, "sessions_by_hour")
    said = jane(*deferred, "--vars", "minimum_rows_scale: 1.0", fails=True)
    assert "nps_summary was not published: 1 input check failed before it was built" in said
    assert '"analytics"."nps"' in said
    for favored in ((), ("--favor-state",)):
        jane(*deferred, *favored)
        for name in (SUMMARY, "sessions_by_hour"):
            own, theirs = (
                pipeline.query(f"select * from {schema}.{name}")
                for schema in ("jane_analytics", "analytics")
            )
            assert own == theirs


def test_an_operation_refuses_a_view_in_a_tables_place(made, jane):
    """A developer who has no rows of their own may read production's through views."""
    pipeline, _ = made
    pipeline.load("--full-refresh", "--select", "nps", **jane.env)
    pipeline.query(
        "create schema jane_analytics; create schema jane_archive; "
        "create table jane_analytics._publications as select * from analytics._publications; "
        "create table jane_archive.nps_summary__20260101000000 as "
        "select * from analytics.nps_summary limit 1"
    )
    for operation, arguments, table in (
        ("restore_published", "{model: nps_summary}", "analytics.nps_summary"),
        ("prune_raw_data", "{days: 0, dry_run: false}", "raw_data.nps"),
    ):
        pipeline.query(
            f"drop table if exists jane_{table}; create view jane_{table} as select * from {table}"
        )
        said = jane("run-operation", operation, "--args", arguments, fails=True)
        assert f"jane_{table} is a view" in said.replace('"', "")


def test_empty_is_refused_where_rows_are_and_passes_where_none_are(made, jane):
    """It made every view one without rows, and a snapshot one in which all was deleted."""
    pipeline, forked = made
    before = of_production(pipeline)
    for command in ("build", "snapshot"):
        assert forked.run("dbt", command, "--empty") != 0
        assert "holds rows, and --empty would build it without any" in forked.said
        assert of_production(pipeline) == before
    pipeline.load("--full-refresh", **jane.env)
    for command in (("build",), ("snapshot",)):
        jane(*command, "--empty")
    assert pipeline.value("select count(*) from jane_analytics.nps_summary") == 0
    jane("run", "--select", "staging", "core", SUMMARY)
    assert pipeline.value("select count(*) from jane_analytics.nps_summary") == 1
    assert "--empty would build it without any" in jane("build", "--empty", fails=True)


def test_a_retry_counts_as_the_command_that_it_repeats(made):
    """Its hooks act as that command's do: here they drop what has vanished from MySQL."""
    pipeline, _ = made
    answer(pipeline)
    pipeline.load("--full-refresh", "--select", "nps")
    pipeline.build("run", "--select", "nps")
    pipeline.mysql("delete from nps where id = 1")
    pipeline.load("--full-refresh", "--select", "nps")
    model = pipeline.folder / "models/core/nps.sql"
    text = model.read_text()
    model.write_text(f"{text} where 1 / (response_id - response_id) = 1")
    pipeline.dbt("run", "--select", "nps", status=1)
    model.write_text(text)
    pipeline.dbt("retry", status=0)
    assert pipeline.value("select min(response_id) from analytics.nps") == 2
