"""The daily run under Airflow 3, a task for each table; copy this file into the folder of DAGs.

The project is installed on the workers (`make .venv/installed`), with its settings in the file ENV,
a NAME='value' a line. Copy the tables once before the first run: `loader load --full-refresh`,
then `dbt build`, and set `start_date` to the day of that copy, or Airflow runs every day since the
one below. Either this DAG or `loader run` works on a target, not both.
"""

import json
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

PROJECT = "/opt/mysql_to_redshift"
ENV = "/etc/mysql_to_redshift.env"
IN_PROJECT = f"set -aeo pipefail; . {ENV}; PATH=$PWD/.venv/bin:$PATH"
# The day of the data interval, and the one before it for rows that were committed late.
START, END = "{{ macros.ds_add(data_interval_start | ds, -1) }}", "{{ data_interval_end | ds }}"
DAYS = f"--start-date {START} --end-date {END}"


def tables(status: str) -> list[dict[str, str]]:
    """Name each declared table for a task of its own."""
    return [{"TABLE": each["table"]} for each in json.loads(status)["tables"]]


with DAG(
    dag_id="mysql_to_redshift",
    description="Lands MySQL's day in Redshift, a task a table, and builds the summaries.",
    schedule=CronDataIntervalTimetable("15 3 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=True,  # a run for each day that was missed; any order ends in the same rows
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "cwd": PROJECT},
):
    declared = BashOperator(
        task_id="tables",
        bash_command=f"{IN_PROJECT}; loader status --json | tr -d '\\n'",
        output_processor=tables,
    )
    load = BashOperator.partial(
        task_id="load",
        bash_command=f'{IN_PROJECT}; exec loader load --select "$TABLE" {DAYS}',
        append_env=True,
        max_active_tis_per_dag=4,  # for the source's sake; a pool does it across DAGs
        map_index_template="{{ task.env['TABLE'] }}",
    ).expand(env=declared.output)
    build = BashOperator(
        task_id="build",
        max_active_tis_per_dag=1,  # builds of one target take turns, those of a backfill too
        # All that was landed since the last build, of whatever day, whole copies and deletions
        # included. Tests look at the new rows; on Sundays, at all.
        bash_command=f"{IN_PROJECT}; "
        "LOADER_CHECKS={{ 'all' if data_interval_end.weekday() == 6 else 'new' }} "
        "exec dbt build",
    )
    verify = BashOperator(task_id="verify", bash_command=f"{IN_PROJECT}; exec loader verify {DAYS}")
    notify = BashOperator(
        task_id="notify",
        bash_command=f"{IN_PROJECT}; loader notify --message 'Airflow: {{{{ run_id }}}} failed'; "
        "exit 1",  # or the run would count as one that succeeded
        trigger_rule="one_failed",
        retries=0,
    )
    load >> build >> verify >> notify
    [declared, load, build] >> notify
