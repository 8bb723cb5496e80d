"""Real services for every test worker; nothing of MySQL, PostgreSQL or S3 is mocked."""

import gc
import inspect
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.loaders import JSONFileLoader
from certificates import make_certificate
from ending import ends_servers
from pipeline import (
    KINDS,
    ROOT,
    Pipeline,
    administer,
    copy_database,
    copy_project,
    mysql_administrator,
    write_sources,
)
from standin.relay import Standin
from xdist.scheduler import LoadScopeScheduling

from loader.local import mysql, processes, sample, services
from loader.local.services import Endpoints

BUILT = (
    "_gate.py", "_numbers.py", "_grants.py", "_repository.py", "_redshift.py", "_rollback.py",
    "_runs.py", "_page.py", "_metrics.py",
)  # fmt: skip
LONGEST = (
    "built", "test_run", "test_machine", "test_counting", "test_redshift", "test_convergence",
    "test_verify", "test_types", "test_cursors", "test_beside", "test_history", "test_commands",
)  # fmt: skip
# What runs on both warehouses under `make test`; the rest joins under `make test-rest`.
ON_BOTH = ("test_types.py",)
# redshift_connector asks which module connects; reading all callers' source took it longer than
# connecting.
inspect.stack = partial(inspect.stack, context=0)
# Every load of a test makes a client; reading boto3's own files took most of the time for it.
_read_once = cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda _, path: _read_once(path)
# A shell ignores Ctrl-C for what it starts in the background, and so would every command here.
signal.signal(signal.SIGINT, signal.default_int_handler)
_NUMBERS = itertools.count(1)


class _ByModuleAndWarehouse(LoadScopeScheduling):
    """A module's tests on one warehouse run in one process, which has set up what they need.

    So do all modules that look at the built sample, which takes longest to set up.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _scope_of(nodeid)


def _scope_of(nodeid: str) -> str:
    module, _, test = nodeid.partition("::")
    kind = next((kind for kind in KINDS if f"[{kind}" in test), "")
    return f"built {kind}" if kind and module.endswith(BUILT) else f"{module} {kind}".strip()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Distribute the tests."""
    return _ByModuleAndWarehouse(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the Makefile's targets give."""
    parser.addoption("--everywhere", action="store_true", help="every test on every warehouse")
    parser.addoption("--rest", action="store_true", help="what takes longer, once")
    parser.addoption("--mysql", action="store_true", help="on Oracle's MySQL, not on MariaDB")


def pytest_configure(config: pytest.Config) -> None:
    """Find the MySQL that `make test-mysql` is to run on; the workers inherit the setting."""
    if not config.getoption("mysql"):
        return
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/mysql/bin:/opt/homebrew/opt/mysql/bin"
    found = shutil.which(os.environ.get(mysql.GIVEN) or "mysqld", path=path)
    if not found or mysql.is_mariadb(found):
        raise pytest.UsageError(
            f"There is no MySQL of Oracle's here ({found or 'no mysqld'} is not it): set "
            f"{mysql.GIVEN} to the path of its mysqld, such as that of an unpacked archive of "
            "MySQL (…/bin/mysqld); it need not be installed beside MariaDB."
        )
    os.environ[mysql.GIVEN] = found


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a marked test cannot run on (`only`, `reads`), and what takes too long.

    The latter is what is marked `deep`, and most of what Redshift runs as PostgreSQL does: `--rest`
    has the one on PostgreSQL, and the other unless it is deep, which `--everywhere` has. What takes
    one process longest comes first, or the others would wait for it at the end.
    """
    left_out = []
    everywhere, rest = config.getoption("everywhere"), config.getoption("rest")
    for item in items:
        only, deep, reads = map(item.get_closest_marker, ("only", "deep", "reads"))
        if not all(marker.kwargs.get("because") for marker in (only, deep, reads) if marker):
            raise pytest.UsageError(f"{item.nodeid}: say why it does not always run")
        params = item.callspec.params if hasattr(item, "callspec") else {}
        kind = params.get("warehouse_kind")
        again = kind == "redshift" and not only and item.path.name not in ON_BOTH
        elsewhere = only and kind not in (None, only.args[0])
        elsewhere = elsewhere or (reads and (reads.args[0] == "mariadb") != is_on_mariadb())
        # On a busy machine they take four times as long as alone; `make soak` takes what it takes.
        if (deep or again) and config.getoption("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))
        wanted = everywhere or (again != bool(deep) if rest else not (again or deep))
        if elsewhere or not wanted:
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: not any(each in _scope_of(item.nodeid) for each in LONGEST))


@cache
def is_on_mariadb() -> bool:
    """Whether the server that tests read from is MariaDB."""
    log = ROOT / ".local" / "test" / "apt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return mysql.is_mariadb(mysql.find_server(log, print))


def pytest_collection_finish() -> None:
    """Spare the collector of garbage all of dbt, pandas and the rest."""
    gc.freeze()


@pytest.fixture(scope="session", params=KINDS)
def warehouse_kind(request: pytest.FixtureRequest) -> str:
    """The warehouse that a test runs on: every test that needs one runs on each."""
    return str(request.param)


@pytest.fixture(scope="session")
def endpoints() -> Iterator[Endpoints]:
    """A MySQL or MariaDB, a PostgreSQL and an S3 of this worker's own.

    A process of its own ends them, because a worker that is killed could not.
    """
    folder = ROOT / ".local" / "test" / os.environ.get("PYTEST_XDIST_WORKER", "main")
    with ends_servers(folder):
        services.down(folder)
        shutil.rmtree(folder, ignore_errors=True)
        yield services.up(folder, print)
    for process in processes.STARTED:
        process.wait()


@pytest.fixture(scope="session")
def standin(endpoints: Endpoints) -> Iterator[Standin]:
    """A stand-in for Redshift before this worker's PostgreSQL; COPY reads this worker's S3."""
    administer(endpoints, "create database redshift owner warehouse")
    administer(endpoints, (ROOT / "tests/python/standin/catalog.pgsql").read_text(), on="redshift")
    keys = {
        name: endpoints.env[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")
    }
    stage = boto3.Session(**keys, region_name="us-east-1").client(
        "s3",
        endpoint_url=endpoints.env["AWS_ENDPOINT_URL_S3"],
        # What COPY says of a damaged file is the decompressor's word, not boto3's.
        config=Config(response_checksum_validation="when_required"),
    )
    started = Standin(
        backend=endpoints.postgres_port, password=endpoints.postgres_password, stage=stage
    )
    yield started
    started.close()


@pytest.fixture
def redshift(standin: Standin) -> Iterator[Standin]:
    """The stand-in with an empty log and no fault left over."""
    standin.log.clear()
    yield standin
    left, standin.faults[:] = list(standin.faults), []
    assert not left, "a fault was never met"


Server = Standin | None


@pytest.fixture(scope="session")
def server(warehouse_kind: str, request: pytest.FixtureRequest) -> Server:
    """What stands before PostgreSQL, if anything does."""
    return request.getfixturevalue("standin") if warehouse_kind == "redshift" else None


def _dbt_folder(folder: Path) -> Path:
    """Make a folder for what dbt has parsed, with a profiles.yml."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "profiles.yml.example", folder / "profiles.yml")
    return folder


@pytest.fixture
def superuser(endpoints: Endpoints) -> Callable[..., None]:
    """Run statements in PostgreSQL as its administrator."""
    return lambda *statements: administer(endpoints, *statements)


def _new_warehouse(endpoints: Endpoints, server: Server, name: str = "") -> str:
    name = name or f"warehouse_{next(_NUMBERS)}"
    template = "redshift" if server else "template1"
    copy_database(endpoints, template, name)
    return name


def _new_database(endpoints: Endpoints) -> str:
    name = f"source_{next(_NUMBERS)}"
    with mysql_administrator(endpoints) as cursor:
        cursor.execute(f"create database {name} character set utf8mb4")
        cursor.execute(f"grant select on {name}.* to 'loader'@'%'")
    return name


def _pipeline(endpoints: Endpoints, server: Server, folder: Path, database: str) -> Pipeline:
    return Pipeline(
        folder=folder,
        database=database,
        warehouse=_new_warehouse(endpoints, server),
        target_folder=_dbt_folder(folder / "dbt"),
        endpoints=endpoints,
        standin=server,
    )


def _new_pipeline(endpoints: Endpoints, server: Server, folder: Path) -> Callable[..., Pipeline]:
    def new(tables: Sequence[dict[str, Any]], *statements: str) -> Pipeline:
        database = _new_database(endpoints)
        own = folder / database
        own.mkdir()
        made = _pipeline(endpoints, server, write_sources(own, database, tables), database)
        made.mysql("select 1", *statements)
        return made

    return new


@pytest.fixture
def new_pipeline(endpoints: Endpoints, server: Server, tmp_path: Path) -> Callable[..., Pipeline]:
    """Make a pipeline that declares some tables; MySQL runs the statements that are given."""
    return _new_pipeline(endpoints, server, tmp_path)


@pytest.fixture(scope="module")
def module_pipeline(
    endpoints: Endpoints, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Pipeline]:
    """The same, for what a module's tests only look at."""
    return _new_pipeline(endpoints, server, tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(scope="session")
def kept() -> dict[tuple[str, str], Pipeline]:
    """What is made once a process for each warehouse, in whatever order tests ask for it."""
    return {}


@pytest.fixture(scope="session")
def new_project(
    endpoints: Endpoints, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Pipeline]:
    """Make a copy of the whole project, in databases of its own; a few rows are enough for it.

    A var of the command line would have dbt read the project anew whenever it comes or goes.
    """

    def new(scale: str = "0.000001") -> Pipeline:
        database = _new_database(endpoints)
        folder = copy_project(tmp_path_factory.mktemp("project"), database)
        file = folder / "dbt_project.yml"
        file.write_text(file.read_text().replace("rows_scale: 1.0", f"rows_scale: {scale}"))
        return _pipeline(endpoints, server, folder, database)

    return new


@pytest.fixture
def project(
    new_project: Callable[..., Pipeline], warehouse_kind: str, kept: dict[tuple[str, str], Pipeline]
) -> Pipeline:
    """The whole project with the sample's tables, empty; dbt parses it once a worker."""
    if ("project", warehouse_kind) not in kept:
        kept["project", warehouse_kind] = new_project("1.0")
    pipeline = kept["project", warehouse_kind]
    pipeline.start_anew()
    return pipeline


@pytest.fixture(scope="session")
def sample_source(endpoints: Endpoints) -> sample.Address:
    """The sample, filled once; tests only read it."""
    address = sample.Address(endpoints.mysql_port, endpoints.admin_password)
    sample.fill(address, endpoints.folder, lambda *_: None)
    return address


@pytest.fixture(scope="session")
def landed_warehouse(
    endpoints: Endpoints,
    server: Server,
    warehouse_kind: str,
    sample_source: object,
    kept: dict[tuple[str, str], Pipeline],
) -> Pipeline:
    """The repository's project with the sample landed and built; tests only look at it."""
    if found := kept.get(("landed", warehouse_kind)):
        return found
    pipeline = Pipeline(
        folder=ROOT,
        database="prod",
        warehouse=_new_warehouse(endpoints, server, f"{warehouse_kind}_built"),
        target_folder=_dbt_folder(endpoints.folder / f"dbt-{warehouse_kind}"),
        endpoints=endpoints,
        standin=server,
    )
    pipeline.load("--start-date", "2024-08-01", "--end-date", "2026-08-01")
    pipeline.build("seed")
    pipeline.build("run")
    copy_database(endpoints, pipeline.warehouse, f"{warehouse_kind}_landed")
    kept["landed", warehouse_kind] = replace(pipeline, warehouse=f"{warehouse_kind}_landed")
    return kept["landed", warehouse_kind]


@pytest.fixture
def built(landed_warehouse: Pipeline, endpoints: Endpoints, warehouse_kind: str) -> Pipeline:
    """A copy that a test may change, always of one name, so that dbt parses the project once."""
    administer(endpoints, f"drop database {warehouse_kind}_built with (force)")
    copy_database(endpoints, landed_warehouse.warehouse, f"{warehouse_kind}_built")
    return replace(landed_warehouse, warehouse=f"{warehouse_kind}_built")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of localhost, which signs itself, and its key."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
