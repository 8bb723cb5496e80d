"""Load docs/airflow_dag.py with Airflow's own parser, and run its task; `make test-airflow`."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

DAG_FILE = Path(__file__).parents[2] / "docs" / "airflow_dag.py"
ENDS = {0: None, 1: AirflowException, 75: AirflowSkipException}


def main():
    """Say what is wrong, and end with status 1, or say that all is well."""
    bag = DagBag(str(DAG_FILE))
    assert not bag.import_errors, bag.import_errors
    (dag,) = bag.dags.values()
    (task,) = dag.tasks
    assert not dag.catchup
    with TemporaryDirectory() as folder:
        for status, error in ENDS.items():
            assert end(task, Path(folder), status) is error, status
    print(f"Airflow loads {dag.dag_id} and runs its task")


def end(task, folder, status):
    """Run the task with a loader that ends with a status; returns the error's class."""
    loader = folder / ".venv" / "bin" / "loader"
    loader.parent.mkdir(parents=True, exist_ok=True)
    loader.write_text(f'#!/bin/sh\n[ "$* $SETTING" = "run set" ] || exit 3\nexit {status}\n')
    loader.chmod(0o755)
    (folder / "env").write_text("SETTING=set\n")
    task.cwd = str(folder)
    task.bash_command = task.bash_command.replace("/etc/mysql_to_redshift.env", f"{folder}/env")
    try:
        task.execute({})
    except AirflowException as error:
        return type(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
