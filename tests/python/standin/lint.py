"""Check all SQL of the project as Redshift would, without a cluster: `make lint` calls it.

The project is compiled for the target `redshift` against the stand-in, so that what its macros
ask the warehouse is checked as well; then come the operations and the loader's own statements.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import boto3
from dbt.cli.main import dbtRunner
from pipeline import Pipeline, administer

from loader.declared.profile import load_profile
from loader.declared.settings import environment, load_settings
from loader.declared.tables import read_tables
from loader.local import services
from loader.local.services import Endpoints
from loader.source.read_plan import RUN_DATE
from loader.source.types import REDSHIFT, Column, raw_column
from loader.warehouse import Landing, open_warehouse
from loader.warehouse.ledger import REPAIR, Load
from standin import strict
from standin.relay import Standin

ROOT = Path(__file__).parents[3]
CATALOG = Path(__file__).with_name("catalog.pgsql")
DATABASE = "standin_lint"


def main() -> int:
    """Check everything; returns the exit status."""
    endpoints = services.up(ROOT / ".local", print)
    with _standin(endpoints) as server, tempfile.TemporaryDirectory() as scratch:
        shutil.copy(ROOT / "profiles.yml.example", f"{scratch}/profiles.yml")
        project = Pipeline(
            folder=ROOT, database="prod", warehouse=DATABASE, target_folder=Path(scratch),
            endpoints=endpoints, standin=server,
        )  # fmt: skip
        with project.inside():
            return _check_all(Path(scratch))


def _check_all(scratch: Path) -> int:
    warehouse_statements = list(loader_statements())
    operations = (["run-operation", name] for name in ("prune_raw_data", "list_published"))
    for command in (["compile"], *operations):
        result = dbtRunner().invoke(["--quiet", "--no-use-colors", *command])
        if not result.success:
            print(f"dbt {command[0]} on the stand-in: {result.exception or 'failed'}")
            return 1
    compiled = list((scratch / "target" / "compiled").rglob("*.sql"))
    refused = strict.main([str(scratch)])
    for statement in warehouse_statements:
        try:
            strict.check(statement)
        except strict.RefusedByRedshiftError as error:
            print(f"loader: {error}: {statement}")
            refused += 1
    print(
        f"{len(compiled)} compiled models and tests and {len(warehouse_statements)} statements of "
        f"the loader: Redshift would refuse {refused}."
    )
    return 1 if refused or not compiled else 0


@contextmanager
def _standin(endpoints: Endpoints) -> Iterator[Standin]:
    drop = f"drop database if exists {DATABASE} with (force)"
    administer(endpoints, drop, f"create database {DATABASE} owner warehouse")
    administer(endpoints, CATALOG.read_text(), on=DATABASE)
    server = Standin(
        backend=endpoints.postgres_port, password=endpoints.postgres_password,
        stage=boto3.client("s3", region_name="us-east-1"),
    )  # fmt: skip
    yield server
    server.close()
    administer(endpoints, drop)


def loader_statements() -> Iterator[str]:
    """Write what loads of every declared table may send; also makes the tables, empty."""
    env = environment(ROOT, "redshift")
    schema, tables = read_tables(ROOT)
    profile = load_profile(ROOT, "redshift", env)
    warehouse = open_warehouse(profile, schema, load_settings(env, "redshift"))
    warehouse.prepare()
    whole = Load(
        load_id="x", table_name="x", mode="full_refresh", window_start=None, window_end=None,
        started_at=datetime(2026, 7, 2), manifest="s3://b/m.json",
    )  # fmt: skip
    days = replace(whole, window_start=date(2026, 7, 1), window_end=date(2026, 7, 2))
    for table in tables.values():
        names = {*table.identifying, *filter(None, (table.deleted,))}
        columns = [
            raw_column(Column(name=name, data_type="int", column_type="int"), REDSHIFT)
            for name in sorted(names)
        ]
        line = warehouse.line([*names, RUN_DATE])
        form = warehouse.form(columns, whole.load_id)
        of_keys = [replace(whole, mode=REPAIR)] if table.primary_key else []
        statements = warehouse.create_statements(table, columns)
        with warehouse.transaction():
            for statement in statements:
                warehouse.execute(statement)
        yield from statements
        for load in (whole, *of_keys, *([days] if table.cursor else [])):
            landing = Landing(table=table, load=load, line=line, form=form)
            yield from warehouse.landing_statements(landing)
    warehouse.close()


if __name__ == "__main__":
    sys.exit(main())
