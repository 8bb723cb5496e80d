"""Where the benchmark runs: servers of its own under `.local/bench/`, and a project that loads."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from bench.tables import DATABASE, HEAVY, TABLES, Table, connection
from loader.local import services
from loader.local.own import take_out
from loader.local.processes import Registry
from loader.local.s3 import BUCKET
from loader.local.services import Endpoints

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".local" / "bench"
TABLES_PROJECT = "tables"
_CACHE_MB = psutil.virtual_memory().total // 4 >> 20
"""What each server may keep in memory. [PostgreSQL: Resource Consumption, "shared_buffers"]"""
SCHEMA = "raw_data"
"""Where the loader lands; the other ways take schemas of their own."""
CORE = "analytics"
"""Where dbt merges what was landed."""
_MODEL = """{{ newest_rows(source('raw_data', 'TABLE'), key='id') }}
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The servers, and the dbt project that commands run in.

    Attributes:
        folder: kept from one run to the next, so that the tables are filled once.
        project: declares the tables.
    """

    folder: Path
    project: Path
    endpoints: Endpoints

    @property
    def postgres_url(self) -> str:
        """The warehouse's address, as most tools take it."""
        return f"postgresql://warehouse:local@127.0.0.1:{self.endpoints.postgres_port}/warehouse"

    def mysql_url(self, scheme: str) -> str:
        """The source's address; its user may read and nothing else."""
        user, password = "loader", self.endpoints.env["LOADER_MYSQL_PASSWORD"]
        return f"{scheme}://{user}:{password}@127.0.0.1:{self.endpoints.mysql_port}/{DATABASE}"

    @property
    def env(self) -> dict[str, str]:
        """The environment that every way runs in: this machine's, and how to reach the servers."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {
            **kept,
            **{name: value for name, value in self.endpoints.env.items() if value},
            "HOME": str(self.folder),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "MYSQL_PWD": self.endpoints.env["LOADER_MYSQL_PASSWORD"],
            "PGPASSWORD": "local",
            "PYTHONPATH": str(ROOT),
            "TZ": "UTC",
        }

    def server(self, name: str) -> psutil.Process:
        """One of the servers' processes."""
        entries = json.loads((self.endpoints.folder / "services.json").read_text())
        return psutil.Process(entries[name]["pid"])

    def mysql_examined(self) -> int:
        """How many rows MySQL has looked at since it started."""
        with connection(self.endpoints) as source, source.cursor() as cursor:
            cursor.execute("show global status like 'Handler_read%'")
            return sum(int(value) for _, value in cursor)

    @contextmanager
    def warehouse(self) -> Iterator[Any]:
        """Give a cursor of the warehouse, in autocommit."""
        with closing(psycopg2.connect(self.postgres_url)) as opened, opened.cursor() as cursor:
            opened.autocommit = True
            cursor.execute("set timezone = 'UTC'")
            yield cursor

    def empty_schema(self, schema: str, tables: Sequence[Table] = ()) -> None:
        """Make a schema anew, with plain tables for ways that make none themselves."""
        self.drop_schemas(schema)
        with self.warehouse() as cursor:
            if schema != SCHEMA:
                cursor.execute(f"create schema {schema}")
            for table in tables:
                cursor.execute(table.postgres_ddl(f"{schema}.{table.name}"))

    def drop_schemas(self, *schemas: str) -> None:
        """Leave nothing of them."""
        with self.warehouse() as cursor:
            for schema in schemas:
                cursor.execute(f"drop schema if exists {schema} cascade")

    def settle(self) -> None:
        """Let PostgreSQL do now what it would do at a time of its own."""
        with self.warehouse() as cursor:
            cursor.execute("vacuum analyze")
        self.checkpoint()

    def checkpoint(self) -> None:
        """Let PostgreSQL write what it holds, so that no way pays for the one before."""
        with closing(
            psycopg2.connect(
                host="127.0.0.1", port=self.endpoints.postgres_port, user="postgres",
                password=self.endpoints.postgres_password, dbname="postgres",
            )
        ) as opened, opened.cursor() as cursor:  # fmt: skip
            opened.autocommit = True
            cursor.execute("checkpoint")

    def clean_bucket(self) -> None:
        """Remove what was staged."""
        bucket = self.endpoints.folder / "s3" / "data" / BUCKET
        shutil.rmtree(bucket, ignore_errors=True)
        bucket.mkdir()


def program(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(name))


def open_place() -> Place:
    """Start the servers that do not run yet, and write the project.

    Raises:
        ConfigError: a server is not installed or does not start.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    place = Place(
        folder=FOLDER,
        project=FOLDER / TABLES_PROJECT,
        endpoints=services.up(FOLDER / ".local", print, _CACHE_MB),
    )
    write_project(place.project)
    return place


def write_project(folder: Path) -> None:
    """Write a project that declares the tables, and merges them as the repository's own does."""
    options = {"primary_key": ["id"], "cursor": "updated_at"}
    names = [table.name for table in (*TABLES, HEAVY)]
    write_sources(folder, {name: {"source": f"{DATABASE}.{name}", **options} for name in names})
    for table in TABLES:
        model = _MODEL.replace("TABLE", table.name)
        (folder / "models" / f"{table.name}.sql").write_text(model)


def write_sources(folder: Path, declared: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a project that has nothing but the macros and these declarations, by table."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    for name in ("profiles.yml.example", ".dbtignore"):
        shutil.copy(ROOT / name, folder / name.removesuffix(".example"))
    shutil.copytree(ROOT / "macros", folder / "macros", dirs_exist_ok=True)
    project = {
        "name": "mysql_to_redshift",  # the macros call each other by it
        "version": "1.0",
        "profile": "mysql_to_redshift",
    }
    (folder / "dbt_project.yml").write_text(json.dumps(project, indent=1))
    tables: list[dict[str, Any]] = [
        {"name": name, "config": {"meta": {"loader": each}}} for name, each in declared.items()
    ]
    tables.append({"name": "_loads", "config": {}})  # the ledger, which core models read
    (folder / "models" / "sources.yml").write_text(
        json.dumps({"sources": [{"name": SCHEMA, "tables": tables}]}, indent=1)
    )


def repository(place: Place) -> Place:
    """The same servers, and a copy of the repository's own project."""
    folder = place.folder / "repository"
    for name in ("models", "macros", "tests", "seeds", "snapshots"):
        ignored = shutil.ignore_patterns("python", "airflow")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored, dirs_exist_ok=True)
    text = (ROOT / "dbt_project.yml").read_text()
    # A part of the sample is enough.
    text = text.replace("minimum_rows_scale: 1.0", "minimum_rows_scale: 0.0001")
    (folder / "dbt_project.yml").write_text(text)
    for name in ("profiles.yml.example", ".dbtignore"):
        shutil.copy(ROOT / name, folder / name.removesuffix(".example"))
    return replace(place, project=folder)


def without_sample(place: Place, folder: Path) -> Place:
    """The same servers, and a clone of the repository out of which `make own` took the sample."""
    shutil.rmtree(folder, ignore_errors=True)
    clone = ["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder)]
    subprocess.run(clone, check=True)  # noqa: S603 - the command is ours
    for sentence in take_out(folder):
        print(sentence)
    shutil.copy(ROOT / "profiles.yml.example", folder / "profiles.yml")
    return replace(place, project=folder)


def close_place(place: Place) -> None:
    """Stop the servers; the filled tables stay."""
    registry = Registry(place.folder / ".local")
    for name in ("s3", "postgres", "mysql"):
        registry.stop(name)
