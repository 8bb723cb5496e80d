"""A pipeline of one's own for a test: a MySQL database, a warehouse database, a dbt project."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import psycopg2
import pymysql
from dbt.cli.main import dbtRunner
from project import COMPILED, DBT_FILES, ROOT, copy_project  # noqa: F401 - for tests too
from standin import copying
from standin.relay import ROLE, Standin

from loader import cli
from loader.cli.session import open_session
from loader.local import sample
from loader.local.s3 import BUCKET
from loader.local.services import Endpoints
from loader.warehouse.base import Warehouse
from loader.warehouse.ledger import Load
from loader.warehouse.postgres import Postgres
from loader.warehouse.redshift import Redshift

KINDS = ("postgres", "redshift")
BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Everything one test may change without another one seeing it.

    Attributes:
        folder: the dbt project; the repository itself or a copy.
        database: in MySQL.
        warehouse: the PostgreSQL database.
        target_folder: where dbt keeps what it has parsed; shared, so that it parses once.
        standin: what the commands take for Redshift; None for PostgreSQL itself.
    """

    folder: Path
    database: str
    warehouse: str
    target_folder: Path
    endpoints: Endpoints
    standin: Standin | None = None

    def copied(self, folder: Path) -> "Pipeline":
        """The same databases, and a copy of the project whose files a test may change."""
        copy_project(folder, self.database)
        shutil.copytree(self.target_folder, folder / "dbt")
        return replace(self, folder=folder, target_folder=folder / "dbt")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text in a file of `models`, where it must be, by another."""
        path = self.folder / "models" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    @property
    def kind(self) -> str:
        """The target of profiles.yml.example that commands run on."""
        return "redshift" if self.standin else "postgres"

    @property
    def adapter(self) -> type[Warehouse]:
        """The loader's class for it."""
        return {"postgres": Postgres, "redshift": Redshift}[self.kind]

    def setting(self, name: str) -> str:
        """The variable that profiles.yml.example reads a port, password or database from."""
        return ("REDSHIFT_" if self.standin else "PG") + name

    @property
    def env(self) -> dict[str, str]:
        """The environment of a command: what the profile's target asks for, nothing of ours."""
        own = {name: value for name, value in self.endpoints.env.items() if value}
        return {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(self.target_folder),
            **own,
            "LOADER_S3_PREFIX": self.warehouse,
            "DBT_TARGET": self.kind,
            "DBT_PROFILES_DIR": str(self.target_folder),
            "DBT_TARGET_PATH": str(self.target_folder / "target"),
            "DBT_LOG_LEVEL_FILE": "none",  # dbt would leave the file open
            **COMPILED,
            **self._target,
        }

    @property
    def _target(self) -> dict[str, str]:
        port = self.standin.port if self.standin else self.endpoints.postgres_port
        own = {
            "HOST": "127.0.0.1", "PORT": str(port), "USER": "warehouse", "PASSWORD": "local",
            "DATABASE": self.warehouse, "SSLMODE": "disable",
        }  # fmt: skip
        role = {"LOADER_IAM_ROLE": ROLE} if self.standin else {}
        return {self.setting(name): value for name, value in own.items()} | role

    def start(self, *command: str, **changes: str | None) -> subprocess.Popen[str]:
        """Start a command in the project's folder; a change of None takes a variable away."""
        env = {**self.env, **changes}
        return subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            cwd=self.folder,
            env={name: value for name, value in env.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *command: str, status: int | None = None, **changes: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which must be of that exit status, if one is given."""
        with self.start(*command, **changes) as process:
            said = process.communicate(timeout=200)
        return must_end(status, subprocess.CompletedProcess(command, process.returncode, *said))

    def loader(
        self, *arguments: str, status: int | None = None, **changes: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run the loader's command line likewise, within this process.

        What would be a traceback is an exception here.
        """
        out, err = io.StringIO(), io.StringIO()
        with self.inside(**changes), redirect_stdout(out), redirect_stderr(err):
            sys.argv[:], before = ["loader", *arguments], sys.argv[:]
            try:
                cli.main()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
            finally:
                sys.argv[:] = before
        said = (out.getvalue(), err.getvalue())
        return must_end(status, subprocess.CompletedProcess(arguments, code, *said))

    def load(self, *arguments: str, **changes: str | None) -> dict[str, dict[str, Any]]:
        """Load, which must succeed; returns the report's loads by table."""
        done = self.loader("load", "--json", *arguments, status=0, **changes)
        return {load["table_name"]: load for load in json.loads(done.stdout)["loads"]}

    def fails(self, *arguments: str, **changes: str | None) -> str:
        """Load, which must fail; returns what it said."""
        done = self.loader("load", "--json", *arguments, status=1, **changes)
        loads = json.loads(done.stdout)["loads"]
        return "\n".join(
            f"{load['error']}\n\n{load['remedy']}" for load in loads if load["outcome"] == "failed"
        )

    @contextmanager
    def inside(self, **changes: str | None) -> Iterator[None]:
        """Give this process the pipeline's environment and folder for a while."""
        before, folder = dict(os.environ), Path.cwd()
        env = {name: value for name, value in {**self.env, **changes}.items() if value is not None}
        os.environ.clear()
        os.environ.update(env)
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)

    def dbt(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run dbt as `run` does."""
        return self.run("dbt", "--no-use-colors", *arguments, **options)

    def build(self, *arguments: str, **changes: str | None) -> str:
        """Run dbt within this process, which must succeed; returns what it said."""
        success, said = self._dbt(arguments, changes)
        assert success, said
        return said

    def build_fails(self, *arguments: str, **changes: str | None) -> str:
        """Run dbt within this process, which must fail; returns what it said."""
        success, said = self._dbt(arguments, changes)
        assert not success, said
        return said

    def _dbt(self, arguments: Sequence[str], changes: Mapping[str, str | None]) -> tuple[bool, str]:
        flags = ["--no-use-colors"]
        if arguments[0] not in {"docs", "parse"}:
            flags.append("--no-write-json")  # nobody reads it, and it takes a fifth of the time
        with self.inside(**changes), redirect_stdout(io.StringIO()) as output:
            result = dbtRunner().invoke([*flags, *arguments])
        return result.success, f"{output.getvalue()}\n{result.exception or ''}"

    @contextmanager
    def warehouse_connection(self, **options: Any) -> Iterator[Any]:
        """Connect to the warehouse as its owner, in autocommit."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.endpoints.postgres_port, user="warehouse",
            password="local", dbname=self.warehouse, application_name="test", **options,
        )  # fmt: skip
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the warehouse."""
        with self.warehouse_connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def value(self, statement: str) -> Any:
        """Ask the warehouse for one value."""
        return self.query(statement)[0][0]

    def mysql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in MySQL as the user who writes; returns the last one's rows."""
        connection = pymysql.connect(
            host="127.0.0.1", port=self.endpoints.mysql_port, user="sample",
            password=self.endpoints.admin_password, database=self.database, autocommit=True,
            init_command="set time_zone = '+00:00', sql_mode = ''",
        )  # fmt: skip
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(with_sequences(statement))
                return list(cursor.fetchall())
        finally:
            connection.close()

    def artifact(self, name: str) -> dict[str, Any]:
        """What dbt has written of itself: its manifest, catalog or a run's results."""
        return json.loads((self.target_folder / "target" / f"{name}.json").read_text())

    def start_anew(self) -> None:
        """Leave nothing in the warehouse, and the sample's tables empty in MySQL."""
        self.query("drop schema if exists raw_data, analytics, archive, adhoc cascade")
        for table, columns in sample.TABLES.items():
            self.mysql(
                f"drop table if exists {table}", f"create table {table} ({columns}) engine=InnoDB"
            )

    def one_session(self, day: str) -> None:
        """Write a session of the sample, paid and of one channel, into MySQL."""
        session = "repeat('a', 32)"
        self.mysql(
            "insert into channel values ('Google')",
            f"insert into user_session_channel values (1, {session}, 'Google', '{day}')",
            f"insert into session_timestamp values ({session}, '{day}')",
            f"insert into session_transaction values ({session}, 0, 1, '{day}')",
        )

    def few_rows(self, day: str) -> None:
        """Have nothing but a session of the sample and nine answers, of a day, in MySQL."""
        self.start_anew()
        self.one_session(day)
        self.mysql(
            "insert into nps (id, user_id, score, created_at, updated_at) "
            f"select seq, 1, 5, '{day}', '{day}' from seq_1_to_9"
        )

    def staged(self) -> list[Path]:
        """The objects in the bucket under this pipeline's prefix, as files.

        rclone removes folders with their last file. If a file of another folder comes just then,
        its PUT fails, boto3 sends it again, and the first one leaves a file that no listing shows.
        """
        found = (self.bucket / self.warehouse).rglob("*")
        hidden = ".rclone_temp_put_"  # [rclone serve s3: Object uploads (PUT)]
        return sorted(path for path in found if path.is_file() and not path.name.startswith(hidden))

    def parts(self) -> list[Path]:
        """Those of them that hold rows."""
        return [file for file in self.staged() if file.suffix == ".zst"]

    def staged_texts(self) -> list[bytes]:
        """What the parts hold."""
        return [copying.decompressed(part.read_bytes()) for part in self.parts()]

    @property
    def bucket(self) -> Path:
        """Where the S3 server keeps the bucket's files."""
        return self.endpoints.folder / "s3" / "data" / BUCKET

    def loads(self) -> list[Load]:
        """The ledger's rows; none before anything was loaded."""
        with self.inside(), closing(open_session(None).warehouse()) as warehouse:
            return warehouse.loads()

    def through_driver(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the warehouse through the loader's own connection."""
        with self.inside(), closing(open_session(None).warehouse()) as warehouse:
            return warehouse.execute(statement)

    def raw(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """A raw table's rows, sorted."""
        return self.query(f"select {columns} from raw_data.{table} order by 1")


def must_end(
    status: int | None, done: subprocess.CompletedProcess[str]
) -> subprocess.CompletedProcess[str]:
    """Give what became of a command, whose exit status must be that one, if one is given."""
    assert status in (None, done.returncode), done.stdout + done.stderr
    return done


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for something that takes a moment."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def with_sequences(statement: str) -> str:
    """Write MariaDB's sequence tables, such as seq_1_to_9, as any MySQL understands them.

    [MariaDB: Sequence Storage Engine; MySQL: JSON_TABLE()]
    """

    def rows(found: re.Match[str]) -> str:
        first, last = map(int, found.groups())
        return (
            f"(select number + {first - 1} as seq from json_table("
            f"concat('[0', repeat(',0', {last - first}), ']'), '$[*]' "
            f"columns (number for ordinality)) as numbers) as {found[0]}"
        )

    return re.sub(r"seq_(\d+)_to_(\d+)", rows, statement)


class Forked:
    """Runs a pipeline's commands in children that may have to die; see forked.py."""

    def __init__(self, pipeline: Pipeline) -> None:
        script = Path(__file__).with_name("forked.py")
        self._process = pipeline.start("python", str(script))
        self.said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # is waited for, once it has nothing more to read
            pass

    def run(self, *command: str, **options: Any) -> int:
        """Run a command to its end, or until it dies; returns its exit status.

        Args:
            options: `env`, what to change of the environment; `die_before`, a step's number.
        """
        return self.run_at_once({"command": command, **options})[0]

    def run_at_once(self, *runs: Mapping[str, Any]) -> list[int]:
        """Run several commands at once; returns their exit statuses."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(runs) + "\n")
        self._process.stdin.flush()
        answer = next(line for line in self._process.stdout if line.startswith("ended"))
        statuses, self.said = json.loads(answer.removeprefix("ended"))
        return statuses


@contextmanager
def mysql_administrator(endpoints: Endpoints) -> Iterator[Any]:
    """Give a cursor of MySQL's administrator."""
    with (
        pymysql.connect(
            host="127.0.0.1", port=endpoints.mysql_port, user="sample",
            password=endpoints.admin_password, autocommit=True,
        ) as connection,
        connection.cursor() as cursor,
    ):  # fmt: skip
        yield cursor


def administer(endpoints: Endpoints, *statements: str, on: str = "postgres") -> None:
    """Run statements in one of PostgreSQL's databases as its administrator."""
    connection = psycopg2.connect(
        host="127.0.0.1", port=endpoints.postgres_port, user="postgres",
        password=endpoints.postgres_password, dbname=on,
    )  # fmt: skip
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


DAYS = ("2026-07-01", "2026-07-02", "2026-07-03")


def two_days(new_pipeline: Callable[..., Pipeline]) -> Pipeline:
    """Make a table `t` with two rows on each of two days."""
    table = {"name": "t", "primary_key": ["id"], "cursor": "updated_at", "lookback_days": 1}
    return new_pipeline(
        [table],
        "create table t (id int primary key, v int, updated_at datetime not null, "
        "key (updated_at))",
        f"insert into t values (1, 10, '{DAYS[0]}'), (2, 20, '{DAYS[0]} 23:59:59'), "
        f"(3, 30, '{DAYS[1]}'), (4, 40, '{DAYS[1]}')",
    )


@contextmanager
def another_load(pipeline: Pipeline, day: str) -> Iterator[tuple[Warehouse, str | None]]:
    """Land a day of `t`, then hold its lock as another load does.

    Yields:
        That load's warehouse, and the id of the newest load.
    """
    pipeline.load("--run-date", day)
    with pipeline.inside():
        session = open_session(None)
        with closing(session.warehouse()) as warehouse:
            yield warehouse, warehouse.lock(session.tables["t"])


def copy_database(endpoints: Endpoints, old: str, new: str) -> None:
    """Copy one of PostgreSQL's databases, whoever is connected to it."""
    # The stand-in's threads may take a moment to see that their client has gone.
    end = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{old}'"
    administer(
        endpoints, end, f"create database {new} owner warehouse template {old} strategy file_copy"
    )


def column(name: str, *, pii: Any = None, **policy: Any) -> dict[str, Any]:
    """Declare a column, and what becomes of its values."""
    meta = {"loader": policy} if policy else {}
    return {"name": name, "config": {"meta": meta if pii is None else {"pii": pii, **meta}}}


def write_sources(folder: Path, database: str, tables: Sequence[dict[str, Any]]) -> Path:
    """Write a project that declares nothing but some tables to load."""
    folder.joinpath("dbt_project.yml").write_text(
        "name: tables\nversion: '1.0'\nprofile: mysql_to_redshift\n"
    )
    declared = []
    for table in tables:
        loader = {key: value for key, value in table.items() if key not in ("name", "columns")}
        loader.setdefault("source", f"{database}.{table['name']}")
        config, columns = {"meta": {"loader": loader}}, table.get("columns", [])
        declared.append({"name": table["name"], "config": config, "columns": columns})
    folder.joinpath("models").mkdir(exist_ok=True)
    folder.joinpath("models", "sources.yml").write_text(
        json.dumps({"sources": [{"name": "raw_data", "tables": declared}]})
    )
    return folder
