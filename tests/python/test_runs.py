"""What became of the daily runs is counted in the warehouse, for pipeline_runs to show."""

from contextlib import closing

from reports import failed, report

from loader.cli.session import open_session
from loader.run.notify import looking
from loader.run.report import record_run

COUNTS = "failed_runs, dbt_failures, dbt_warnings, verify_findings, stale_tables"
STATEMENT = (
    "select cast(run_on as varchar), last_outcome, last_failed_step, runs, "
    f"{COUNTS}, cast(last_ended_at as varchar) from analytics.pipeline_runs order by 1"
)


def test_runs_are_counted_per_day(built):
    """The view was built when there was no run yet."""
    assert built.query(STATEMENT) == []
    with built.inside(), closing(open_session(None).warehouse()) as warehouse:
        record_run(warehouse, failed())
        began, ended = "2026-11-22T01:00:00+00:00", "2026-11-22T01:10:00.5+00:00"
        record_run(warehouse, report(run_id="2", started_at=began, ended_at=ended))
    assert built.query(STATEMENT) == [
        ("2026-11-21", "failed", "build", 1, 1, 2, 1, 1204, 1, "2026-11-21 03:10:00"),
        ("2026-11-22", "succeeded", None, 1, 0, 0, 0, 0, 0, "2026-11-22 01:10:00.5"),
    ]


def test_the_commands_that_a_message_tells_people_to_look_with_work(built):
    now = failed(target=built.kind)
    commands = [command.split() for command in looking(now)]
    kinds = ["loader status", "dbt show", "dbt run-operation"]
    assert [" ".join(words[:2]) for words in commands] == kinds
    built.loader(*commands[0][1:], status=0)
    assert "last_landed_at" in built.build(*commands[1][1:])
    assert "nps_summary" in built.build(*commands[2][1:])


def test_a_run_is_recorded_where_nothing_was_ever_loaded(new_pipeline):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    with pipeline.inside(), closing(open_session(None).warehouse()) as warehouse:
        record_run(warehouse, report())
    recorded = pipeline.query("select run_id, outcome from raw_data._runs")
    assert recorded == [(report()["run_id"], "succeeded")]


def test_a_table_that_is_declared_no_more_has_no_health(built):
    built.query(
        "insert into raw_data._loads (load_id, table_name, mode, started_at, outcome) "
        "values ('1', 'of_old', 'catch_up', '2026-07-01', 'landed')"
    )
    tables = [name for (name,) in built.query("select table_name from analytics.pipeline_health")]
    assert "nps" in tables
    assert "of_old" not in tables
