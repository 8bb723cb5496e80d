"""The daily run under Airflow 3; copy this file into Airflow's folder of DAGs.

The project is installed on the worker (`make .venv/installed`), with its settings in the file ENV.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PROJECT = "/opt/mysql_to_redshift"
ENV = "/etc/mysql_to_redshift.env"

with DAG(
    dag_id="mysql_to_redshift",
    description="Lands MySQL's new days in Redshift and builds the summaries.",
    schedule="15 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a run catches up by itself with what the ledger lacks
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
):
    BashOperator(
        task_id="loader_run",
        bash_command=f"set -a; . {ENV}; exec .venv/bin/loader run",
        cwd=PROJECT,
        skip_on_exit_code=75,  # another run goes on
    )
