"""The ways to bring both tables from MySQL to PostgreSQL that need nothing but this repository."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measure import Cost, WayError, measured
from bench.place import SCHEMA, Place, program
from bench.tables import DATABASE, Table
from loader.errors import ConfigError
from loader.local.postgres import find_binaries


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way.

    Attributes:
        name: as --only takes it.
        about: one line for the table.
        schema: where its tables are found afterwards; empty if it lands nothing.
        prepare: makes the target empty; not timed.
        run: does the work.
        staged: how many bytes went through S3, told from what the run has cost and written.
        missing: why it cannot run here; empty if it can.
    """

    name: str
    about: str
    run: Callable[[Place, Sequence[Table]], Cost]
    schema: str = ""
    prepare: Callable[[Place, Sequence[Table]], None] = lambda place, tables: None
    staged: Callable[[Place, Cost], int] = lambda place, cost: 0
    missing: Callable[[], str] = lambda: ""


def ways() -> list[Way]:
    """Every way that is part of the repository, the raw pipe first."""
    return [
        Way(
            name="raw",
            about="raw pipe: `mariadb --quick --batch`, `psql` COPY; no staging, no checks",
            schema="raw_pipe",
            prepare=lambda place, tables: place.empty_schema("raw_pipe", tables),
            run=_raw_pipe,
        ),
        Way(name="wire", about="the wire's limit: received, and thrown away", run=_receive),
        Way(
            name="loader",
            about="**`loader load --full-refresh`**, through S3, every check on",
            schema=SCHEMA,
            prepare=lambda place, tables: place.empty_schema(SCHEMA),
            run=_loader,
            staged=_loader_staged,
        ),
        Way(
            name="airflow",
            about="Airflow's operators: pandas, CSV on S3, COPY",
            schema="airflow",
            prepare=lambda place, tables: place.empty_schema("airflow", tables),
            run=python("bench.airflow"),
            staged=lambda place, cost: json.loads(cost.output.splitlines()[-1])["staged_bytes"],
            missing=lambda: "" if _has_pandas() else "pandas is not installed",
        ),
    ]


def _raw_pipe(place: Place, tables: Sequence[Table]) -> Cost:
    client = shutil.which("mariadb") or shutil.which("mysql")
    if client is None:
        raise WayError("no mariadb client is installed")
    psql = find_binaries() / "psql"
    read = (
        f"{client} --no-defaults -h 127.0.0.1 -P {place.endpoints.mysql_port} -u loader "
        "--default-character-set=utf8mb4 --quick --batch --skip-column-names -e"
    )
    return measured(
        place,
        *(
            f"{read} 'select * from {DATABASE}.{table.name}' | {psql} -qX "
            f"{place.postgres_url} -c "
            f"\"copy raw_pipe.{table.name} from stdin with (null 'NULL')\""
            for table in tables
        ),
    )


def python(module: str, *options: str) -> Callable[[Place, Sequence[Table]], Cost]:
    """Make a way of a module that takes the tables' names."""

    def run(place: Place, tables: Sequence[Table]) -> Cost:
        names = [table.name for table in tables]
        return measured(place, [sys.executable, "-m", module, *options, *names])

    return run


_receive = python("bench.receive")


def _loader(place: Place, tables: Sequence[Table]) -> Cost:
    names = [table.name for table in tables]
    return measured(
        place, [program("loader"), "load", "--full-refresh", "--json", "--select", *names]
    )


def _loader_staged(place: Place, cost: Cost) -> int:
    return sum(load["staged_bytes"] for load in json.loads(cost.output)["loads"])


def _has_pandas() -> bool:
    try:
        import pandas  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def check_tools() -> None:
    """See whether the baseline can run at all.

    Raises:
        ConfigError: there is no MySQL client.
    """
    if not (shutil.which("mariadb") or shutil.which("mysql")):
        raise ConfigError(
            "No MySQL client is installed.", "Debian, Ubuntu: apt-get install mariadb-client-core."
        )
