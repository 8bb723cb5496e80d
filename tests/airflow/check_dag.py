"""Run docs/airflow_dag.py on the embedded services, and compare with what `loader run` does.

Two warehouses begin alike. What happens on three days is landed and built in one by Airflow, in the
other by the loader: a day on which a table cannot be landed at first, and two days that were
missed, the later one first, by `airflow backfill` and its scheduler.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from datetime import timedelta

import psycopg2
from ending import ends_servers
from pipeline import administer
from project import ROOT, copy_project
from receivers import Webhook, serving

from loader.local import sample, services

HOME = ROOT / ".local" / "airflow"
AIRFLOW = HOME / "bin" / "airflow"
BIN = ROOT / ".venv" / "bin"
DAY = timedelta(days=1)
BY_LOADER, BY_AIRFLOW = "warehouse", "by_airflow"
LOST = "session_transaction"  # the table that cannot be landed at first
BACKFILL_SECONDS = 600
# What says when and by which load, which differs; and views of all that each load has landed.
OF_THE_RUN = re.compile("_|pipeline_|stg_")
TIMES = {
    "load_id", "loaded_at", "watermark",
    "dbt_updated_at", "dbt_valid_from", "dbt_valid_to", "dbt_scd_id",
}  # fmt: skip


class Trial:
    """A dbt project, two warehouses, and Airflow's home, all in one folder."""

    def __init__(self, folder, webhook):
        self.folder, self.project, self.webhook = folder, folder / "project", webhook
        self.port, self.jwt_secret = free_port(), secrets.token_hex(32)
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
        settings = {**self.env(BY_AIRFLOW), "LOADER_NOTIFY": self.webhook.url}
        (self.folder / "env").write_text("".join(f"{k}='{v}'\n" for k, v in settings.items()))
        return {
            "PATH": f"{HOME / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder),
            "AIRFLOW_HOME": str(self.folder / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING", "NO_PROXY": "127.0.0.1,localhost",
            "AIRFLOW__API__PORT": str(self.port), "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": f"http://localhost:{self.port}",
            "AIRFLOW__API_AUTH__JWT_SECRET": self.jwt_secret,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",  # the sample's days are not today's
        }  # fmt: skip

    def test_dag(self, day, status=0):
        """Let `airflow dags test` run the DAG for a day."""
        # Not 03:15: that is what a backfill calls the run of the next day.
        due, env = f"{day + DAY}T03:16:00+00:00", self.airflow_env()
        run("airflow", "dags", "test", "mysql_to_redshift", due, env=env, status=status)
        said(f"airflow dags test, {day}, ended with {status}")

    def backfill(self, first, last):
        """Let `airflow backfill` make up for days, the later one first, by a scheduler."""
        env = self.airflow_env()
        run("airflow", "dags", "reserialize", env=env)
        run(
            "airflow", "backfill", "create", "--dag-id", "mysql_to_redshift",
            "--from-date", f"{first}T00:00:00+00:00", "--to-date", f"{last}T23:59:00+00:00",
            "--max-active-runs", "1", "--run-backwards", env=env,
        )  # fmt: skip
        with going_on(self.folder, env, "api-server", "dag-processor", "scheduler"):
            said("airflow backfill create, and a scheduler")
            end = time.monotonic() + BACKFILL_SECONDS
            while {"queued", "running"} & {*(states := self.backfilled())}:
                assert time.monotonic() < end, states
                time.sleep(1)
        assert states == ["success"] * ((last - first) // DAY + 1), states
        said(f"airflow backfill, {first} to {last}")

    def backfilled(self):
        """The states of the backfill's runs, in Airflow's database."""
        with closing(sqlite3.connect(self.folder / "home" / "airflow.db", timeout=60)) as database:
            found = database.execute("select state from dag_run where run_type = 'backfill'")
            return [state for (state,) in found]

    @contextmanager
    def reading(self, warehouse):
        """Read a warehouse."""
        with closing(
            psycopg2.connect(
                host="127.0.0.1", port=self.endpoints.postgres_port, user="warehouse",
                password="local", dbname=warehouse,
            )
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            yield cursor

    def ask(self, warehouse, query):
        """The first column of what a warehouse answers."""
        with self.reading(warehouse) as cursor:
            cursor.execute(query)
            return [first for first, *_ in cursor]

    def rows(self, warehouse):
        """All that core, snapshots and marts hold, by table."""
        with self.reading(warehouse) as cursor:
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


def run(*words, env, cwd=None, status=0):
    """Run a command to its end."""
    program = AIRFLOW if words[0] == "airflow" else BIN / words[0]
    done = subprocess.run(
        [str(program), *words[1:]],
        env=env, cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"


def free_port():
    """Find a port of this machine that nobody listens on."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def going_on(folder, env, *names):
    """Let parts of Airflow go on for a while, each with a log of its own."""
    started = []
    try:
        for name in names:
            with (folder / f"{name}.log").open("w") as log:
                started.append(
                    subprocess.Popen(
                        [str(AIRFLOW), name],
                        env=env,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        yield
    finally:
        for each in started:
            os.killpg(each.pid, signal.SIGTERM)
        for each in started:
            each.wait(60)


def main():
    """Go through it, and say what was compared."""
    folder = HOME / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ends_servers(folder / "services"), serving(Webhook()) as webhook:
        trial = Trial(folder, webhook)
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
    """A day is landed and built on both sides; a table that is copied whole has lost a row.

    Airflow does not get it at first: a table is away. Somebody is told, the other tables land, and
    no summary changes. When the table is back the day is run again.
    """
    day = sample.play(trial.address).day
    in_mysql(trial, "delete from channel where channelname = 'TikTok'")
    before = trial.rows(BY_AIRFLOW)
    in_mysql(trial, f"rename table {LOST} to away")
    trial.test_dag(day, status=1)
    (message,) = trial.webhook.told
    assert "Airflow: " in message["title"], message
    assert "failed" in message["title"], message
    landed = trial.ask(
        BY_AIRFLOW,
        "select table_name from raw_data._loads "
        f"where outcome = 'landed' and window_end = '{day + DAY}'",
    )
    assert {"nps", "session_timestamp"} <= {*landed}, landed
    assert LOST not in landed, landed
    assert trial.rows(BY_AIRFLOW) == before
    said("the failure was told of, the other tables landed, no summary has changed")
    in_mysql(trial, f"rename table away to {LOST}")
    trial.test_dag(day)
    by_loader(trial, day - DAY, day + DAY)
    compare(trial)


def missed_days(trial):
    """Two days that were missed are made up for: by Airflow one by one, the later one first."""
    first = sample.play(trial.address).day
    last = sample.play(trial.address).day
    by_loader(trial, first - DAY, last + DAY)
    trial.backfill(first, last)
    compare(trial)


def in_mysql(trial, statement):
    with sample.writer(trial.address) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()


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
