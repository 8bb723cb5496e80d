"""Run docs/airflow_dag.py on the embedded services, and compare with what `loader run` does.

Two warehouses begin alike. What happens on three days is landed and built in one by Airflow, each
day by itself and two of them in the wrong order, in the other by the loader.
"""

import re
import shutil
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta

import psycopg2
from ending import ends_servers
from pipeline import administer
from project import ROOT, copy_project

from loader.local import sample, services

HOME = ROOT / ".local" / "airflow"
AIRFLOW = HOME / "bin" / "airflow"
BIN = ROOT / ".venv" / "bin"
DAY = timedelta(days=1)
BY_LOADER, BY_AIRFLOW = "warehouse", "by_airflow"
# What says when and by which load, which differs; and views of all that each load has landed.
OF_THE_RUN = re.compile("_|pipeline_|stg_")
TIMES = {
    "load_id", "loaded_at", "watermark",
    "dbt_updated_at", "dbt_valid_from", "dbt_valid_to", "dbt_scd_id",
}  # fmt: skip


class Trial:
    """A dbt project, two warehouses, and Airflow's home, all in one folder."""

    def __init__(self, folder):
        self.folder, self.project = folder, folder / "project"
        self.endpoints = services.up(folder / "services", print)
        self.address = sample.Address(self.endpoints.mysql_port, self.endpoints.admin_password)
        self.project.mkdir()
        copy_project(self.project, "prod")
        shutil.copy(ROOT / "profiles.yml.example", self.project / "profiles.yml")
        (self.project / ".venv").symlink_to(ROOT / ".venv")
        dag = (ROOT / "docs" / "airflow_dag.py").read_text()
        for there, here in (
            ("/opt/mysql_to_redshift", self.project),
            ("/etc/mysql_to_redshift.env", folder / "env"),
            ("timedelta(minutes=1)", "timedelta(seconds=1)"),
        ):  # fmt: skip
            assert dag.count(there) == 1
            dag = dag.replace(there, str(here))
        (folder / "dags").mkdir()
        (folder / "dags" / "airflow_dag.py").write_text(dag)

    def env(self, warehouse):
        """The settings of a warehouse, as the file that the DAG reads has them."""
        return {
            **{name: value for name, value in self.endpoints.env.items() if value},
            "DBT_TARGET": "postgres", "PGHOST": "127.0.0.1", "PGUSER": "warehouse",
            "PGPORT": str(self.endpoints.postgres_port), "PGPASSWORD": "local",
            "PGDATABASE": warehouse, "PGSSLMODE": "disable",
        }  # fmt: skip

    def type_in(self, *words):
        """Type a command in the loader's warehouse."""
        env = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(self.folder), **self.env(BY_LOADER)}
        run(*words, env=env, cwd=self.project)
        said(" ".join(words))

    def airflow_env(self):
        """Airflow's environment; what the DAG's commands read is in a file."""
        settings = self.env(BY_AIRFLOW)
        (self.folder / "env").write_text("".join(f"{k}='{v}'\n" for k, v in settings.items()))
        return {
            "PATH": f"{HOME / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder),
            "AIRFLOW_HOME": str(self.folder / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING", "NO_PROXY": "127.0.0.1,localhost",
        }  # fmt: skip

    def test_dag(self, day):
        """Let `airflow dags test` run the DAG for a day."""
        due = f"{day + DAY}T03:15:00+00:00"
        run("airflow", "dags", "test", "mysql_to_redshift", due, env=self.airflow_env())
        said(f"airflow dags test, {day}")

    def rows(self, warehouse):
        """All that core, snapshots and marts hold, by table."""
        with closing(
            psycopg2.connect(
                host="127.0.0.1", port=self.endpoints.postgres_port, user="warehouse",
                password="local", dbname=warehouse,
            )
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            cursor.execute(
                "select table_name, array_agg(column_name::text order by column_name) "
                "from information_schema.columns where table_schema = 'analytics' group by 1"
            )
            columns = {name: found for name, found in cursor if not OF_THE_RUN.match(name)}
            found = {}
            for name, all_of in columns.items():
                listed = ", ".join(f'"{each}"' for each in all_of if each.lstrip("_") not in TIMES)
                cursor.execute(f"select {listed} from analytics.{name}")
                found[name] = sorted(map(repr, cursor))
            return found


def run(*words, env, cwd=None):
    """Run a command to its end, and return what it said."""
    program = AIRFLOW if words[0] == "airflow" else BIN / words[0]
    done = subprocess.run(
        [str(program), *words[1:]],
        env=env, cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def main():
    """Go through it, and say what was compared."""
    folder = HOME / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ends_servers(folder / "services"):
        trial = Trial(folder)
        said("services")
        run("airflow", "db", "migrate", env=trial.airflow_env())
        said("airflow db migrate")
        sample.fill(trial.address, folder, lambda *_: None)
        trial.type_in("loader", "load", "--full-refresh")
        trial.type_in("dbt", "build", "--exclude-resource-type", "unit_test")
        administer(
            trial.endpoints, f"create database {BY_AIRFLOW} owner warehouse template {BY_LOADER}"
        )
        said("first copy")
        a_day(trial)
        missed_days(trial)


def a_day(trial):
    """A day is landed and built on both sides; a table that is copied whole has lost a row."""
    day = sample.play(trial.address).day
    with sample.writer(trial.address) as connection, connection.cursor() as cursor:
        cursor.execute("delete from channel where channelname = 'TikTok'")
        assert cursor.rowcount == 1
        connection.commit()
    trial.test_dag(day)
    by_loader(trial, day - DAY, day + DAY)
    compare(trial)


def missed_days(trial):
    """Two days that were missed are made up for: by Airflow one by one, the later one first."""
    first = sample.play(trial.address).day
    last = sample.play(trial.address).day
    by_loader(trial, first - DAY, last + DAY)
    for day in (last, first):
        trial.test_dag(day)
    compare(trial)


def by_loader(trial, start, end):
    """A range is run, and then built what belongs to no day: whole copies."""
    trial.type_in("loader", "run", "--start-date", str(start), "--end-date", str(end))
    trial.type_in("dbt", "build", "--exclude-resource-type", "unit_test")


def compare(trial):
    """Both warehouses hold the same."""
    ours, theirs = trial.rows(BY_LOADER), trial.rows(BY_AIRFLOW)
    assert ours.keys() == theirs.keys()
    assert {"nps", "nps_history", "channel_summary"} <= ours.keys()
    for name, rows in ours.items():
        differ = sorted({*rows} ^ {*theirs[name]})[:4]
        assert rows == theirs[name], f"{name}: {len(rows)}, {len(theirs[name])} rows; {differ}"


def said(what):
    print(f"{time.monotonic() - BEGAN:5.0f} s  {what}", flush=True)


BEGAN = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
