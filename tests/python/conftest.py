"""Real services for every test worker; nothing of MySQL, PostgreSQL or S3 is mocked."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest
from pipeline import ROOT, Pipeline, copy_project, write_sources

from loader.local import sample, services
from loader.local.services import Endpoints

_NUMBERS = itertools.count(1)
_BUILT, _LANDED = "warehouse_built", "warehouse_landed"


@pytest.fixture(scope="session")
def endpoints() -> Iterator[Endpoints]:
    """A MariaDB, a PostgreSQL and an S3 of this worker's own."""
    folder = ROOT / ".local" / "test" / os.environ.get("PYTEST_XDIST_WORKER", "main")
    services.down(folder)
    shutil.rmtree(folder, ignore_errors=True)
    started = services.up(folder, print)
    yield started
    services.down(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def target_folder(endpoints: Endpoints) -> Path:
    """Where dbt keeps what it has parsed of the repository, and where profiles.yml is."""
    return _dbt_folder(endpoints.folder / "dbt")


def _dbt_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "profiles.yml.example", folder / "profiles.yml")
    return folder


def _superuser(endpoints: Endpoints, *statements: str) -> None:
    connection = psycopg2.connect(
        host="127.0.0.1", port=endpoints.postgres_port, user="postgres",
        password=endpoints.postgres_password, dbname="postgres",
    )  # fmt: skip
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@pytest.fixture
def superuser(endpoints: Endpoints) -> Callable[..., None]:
    """Run statements in PostgreSQL as its administrator."""
    return lambda *statements: _superuser(endpoints, *statements)


def _new_warehouse(endpoints: Endpoints) -> str:
    name = f"warehouse_{next(_NUMBERS)}"
    _superuser(endpoints, f"create database {name} owner warehouse")
    return name


def _new_database(endpoints: Endpoints) -> str:
    name = f"source_{next(_NUMBERS)}"
    with (
        pymysql.connect(
            host="127.0.0.1", port=endpoints.mysql_port, user="sample",
            password=endpoints.admin_password, autocommit=True,
        ) as connection,
        connection.cursor() as cursor,
    ):  # fmt: skip
        cursor.execute(f"create database {name} character set utf8mb4")
        cursor.execute(f"grant select on {name}.* to 'loader'@'%'")
    return name


NewPipeline = Callable[[Sequence[dict[str, Any]]], Pipeline]


def _new_pipeline(endpoints: Endpoints, folder: Path) -> NewPipeline:
    def new(tables: Sequence[dict[str, Any]]) -> Pipeline:
        database = _new_database(endpoints)
        own = folder / database
        own.mkdir()
        return Pipeline(
            folder=write_sources(own, database, tables),
            database=database,
            warehouse=_new_warehouse(endpoints),
            target_folder=_dbt_folder(own / "dbt"),
            endpoints=endpoints,
        )

    return new


@pytest.fixture
def new_pipeline(endpoints: Endpoints, tmp_path: Path) -> NewPipeline:
    """Make a pipeline that declares the tables it is given, in empty databases."""
    return _new_pipeline(endpoints, tmp_path)


@pytest.fixture(scope="module")
def module_pipeline(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> NewPipeline:
    """The same, for what a module's tests only look at."""
    return _new_pipeline(endpoints, tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(scope="session")
def _project(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = tmp_path_factory.mktemp("project")
    database = _new_database(endpoints)
    return Pipeline(
        folder=copy_project(folder, database),
        database=database,
        warehouse=_new_warehouse(endpoints),
        target_folder=_dbt_folder(folder / "dbt"),
        endpoints=endpoints,
    )


@pytest.fixture
def project(_project: Pipeline) -> Pipeline:
    """The whole project with the sample's tables, empty; dbt parses it once a worker."""
    _project.query("drop schema if exists raw_data, analytics, archive, adhoc cascade")
    for table, columns in sample.TABLES.items():
        _project.mysql(
            f"drop table if exists {table}", f"create table {table} ({columns}) engine=InnoDB"
        )
    return _project


@pytest.fixture(scope="session")
def sample_source(endpoints: Endpoints) -> sample.Address:
    """The sample, filled once; tests only read it."""
    address = sample.Address(endpoints.mysql_port, endpoints.admin_password)
    sample.fill(address, endpoints.folder, lambda *_: None)
    return address


@pytest.fixture(scope="session")
def landed_warehouse(
    endpoints: Endpoints, target_folder: Path, sample_source: sample.Address
) -> Pipeline:
    """The repository's project with the sample landed and built; tests only look at it."""
    pipeline = Pipeline(
        folder=ROOT,
        database="prod",
        warehouse=_BUILT,
        target_folder=target_folder,
        endpoints=endpoints,
    )
    _superuser(endpoints, f"create database {_BUILT} owner warehouse")
    pipeline.load("--start-date", "2024-08-01", "--end-date", "2026-08-01")
    pipeline.build("build")
    _superuser(endpoints, f"create database {_LANDED} owner warehouse template {_BUILT}")
    return replace(pipeline, warehouse=_LANDED)


@pytest.fixture
def built(landed_warehouse: Pipeline, endpoints: Endpoints) -> Pipeline:
    """A copy that a test may change, always of one name, so that dbt parses the project once."""
    _superuser(
        endpoints,
        f"drop database {_BUILT}",
        f"create database {_BUILT} owner warehouse template {_LANDED}",
    )
    return replace(landed_warehouse, warehouse=_BUILT)
