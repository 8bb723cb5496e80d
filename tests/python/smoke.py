"""`make smoke-redshift`: try the whole way on your own Redshift, then drop all of it again.

All that a trial makes bears a name of its own: its schemas, its staged files, its MySQL database.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import yaml
from pipeline import Pipeline, must_end, mysql_administrator
from project import ROOT, copy_project
from round_trips import ROUND_TRIPS, arrives, fits_redshift, landed_columns, table_statements

from loader.cli.session import open_session
from loader.declared.settings import SETTINGS
from loader.local import mysql, sample, services
from loader.local.processes import Registry
from loader.stage import s3
from loader.stage.staging import Staging
from loader.warehouse.redshift import Redshift
from loader.warehouse.session import Session, quote

DAY = sample.LAST_DAY
DAY_BEFORE = DAY - timedelta(days=1)
ANSWER = "id, user_id, score, is_deleted"
LAND_DAY = ("--run-date", f"{DAY}", "--select", "nps")
TRIPS = [trip for trip in ROUND_TRIPS if fits_redshift(trip)]
FEW_ROWS = "minimum_rows_scale: 0.001"  # the sample's minimum of 150,000 answers is 150 then
DROPPED = "everything is dropped, nothing is left"
interrupts: list[int] = []


class StepError(Exception):
    """A step did not do what it must, and has said so."""


@contextmanager
def step(name: str) -> Iterator[list[str]]:
    """Say how a step went, and what was put into the list.

    Raises:
        StepError: it did not do what it must.
    """
    began, failure, found = time.monotonic(), "", list[str]()
    try:
        yield found
    except Exception as error:  # whatever it is, the rest is to be dropped
        failure = str(error) or type(error).__name__
    word = "FAIL" if failure else "pass"
    print(f"{word} {time.monotonic() - began:6.1f} s  {name:42} {''.join(found)}".rstrip())
    if failure:
        print(f"\n{failure}\n")
        raise StepError(failure)


@dataclass(frozen=True, kw_only=True)
class Place(Pipeline):
    """Where a trial happens; `own` is what it sets in the environment, whatever that says."""

    own: Mapping[str, str]

    @property
    def env(self) -> dict[str, str]:
        """The caller's environment with the trial's own settings."""
        return {**os.environ, **self.own}

    def loader(
        self, *arguments: str, status: int | None = None, **changes: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run the loader's command line; a signal that has ended it ends the trial, too."""
        done = super().loader(*arguments, **changes)
        if done.returncode > 128:
            interrupt(done.returncode - 128, None)
        return must_end(status, done)

    def schema(self, name: str) -> str:
        """One of the trial's schemas, quoted."""
        return quote(f"{self.database}_{name}")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in the warehouse, in a session of its own."""
        with self.inside(), closing(Session(open_session(None).profile)) as session:
            rows = session.execute(statement)
            session.execute("commit")
            return rows

    def succeeds(self, *arguments: str) -> str:
        """Run a command of the loader that must succeed; returns what it said."""
        return self.loader(*arguments, status=0).stdout

    def builds(self, *command: str) -> str:
        """Run dbt, which must succeed; then the core table is what MySQL has."""
        said = self.build(*command)
        built = self.query(
            "select response_id, user_id, score, case when is_deleted then 1 else 0 end "
            f"from {self.schema('analytics')}.nps order by 1"
        )
        source = self.mysql(f"select {ANSWER} from nps order by 1")
        assert built == source, "The core table nps is not what MySQL has."
        return "{} passed, {} warned".format(*re.findall(r"PASS=(\d+) WARN=(\d+)", said)[-1])

    def day(self) -> list[tuple[Any, ...]]:
        """The day's answers in raw_data."""
        nps = f"{self.schema('raw_data')}.nps"
        return self.query(f"select {ANSWER} from {nps} where _run_date = '{DAY}' order by 1")

    def compare_day(self) -> None:
        """See whether the day is what MySQL has."""
        source = self.mysql(f"select {ANSWER} from nps where date(updated_at) = '{DAY}' order by 1")
        assert self.day() == source, f"nps {DAY} is not what MySQL has."

    def refuses_day(self, because: str, change: Callable[[bytes], bytes]) -> str:
        """Land the day from text that was changed on the way, which must fail and change nothing.

        Returns: what its message says after the reason.
        """
        old, write = self.day(), Staging.write
        with patch.object(Staging, "write", lambda self, text, n: write(self, change(text), n)):
            said = self.fails(*LAND_DAY)
        assert because in said, f"It failed for another reason: {said}"
        assert self.day() == old, "The rows of the day are not what they were."
        return said.partition(because)[2].split(" (")[0].split(".")[0]

    def schemas(self, *, drop: bool = False) -> list[str]:
        """The trial's schemas in the warehouse."""
        found = self.query("select nspname from pg_namespace order by nspname")
        names = [name for (name,) in found if name.startswith(self.database)]
        for name in names if drop else ():
            self.query(f"drop schema {quote(name)} cascade")
        return names

    def files(self, *, drop: bool = False) -> list[str]:
        """The keys of the trial's files in the bucket."""
        with self.inside():
            stage = open_session(None).settings.stage
            client = s3.connect(stage)
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=stage.bucket, Prefix=f"{stage.prefix}/"
            )
            keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
            for key in keys if drop else ():
                client.delete_object(Bucket=stage.bucket, Key=key)
        return keys

    def drop(self) -> None:
        """Remove the trial's schemas and files, and see whether any is left."""
        for thread in threading.enumerate():
            if thread.name.startswith(("load", "upload")):  # an interrupted load's
                thread.join(60)
        left = list[str]()
        for things in (self.schemas, self.files):
            try:
                things(drop=True)
                left += things()
            except Exception as error:  # the rest is to be removed all the same
                left.append(str(error))
        assert not left, (
            f"Still there: {', '.join(left)}\n\nRemove by hand: the schemas whose names begin with "
            f"{self.database}, and in the bucket what lies under {self.own['LOADER_S3_PREFIX']}/."
        )


def land_and_build(place: Place) -> None:
    """Land the sample and build from it, then a day of it again."""
    with step("loader check") as found:
        found.append(f"{len(place.succeeds('check').splitlines())} checks passed")
    with step("dbt debug"):
        place.build("debug")
    with step("loader load --full-refresh") as found:
        loads = place.load("--full-refresh")
        for table in loads:
            ((rows,),) = place.mysql(f"select count(*) from {table}")
            landed = place.value(f"select count(*) from {place.schema('raw_data')}.{table}")
            assert landed == rows, f"{table}: {rows} rows in MySQL, {landed} in the warehouse."
        rows = sum(load["landed_rows"] for load in loads.values())
        found.append(f"{rows:,} rows of {len(loads)} tables")
    with step("dbt seed"):
        place.build("seed")
    with step("dbt build") as found:
        found.append(place.builds("build", "--vars", f"{{{FEW_ROWS}}}"))
    with step(f"loader load --run-date {DAY}, twice"):
        # An answer of the day before moves into the day, so that an old version stays behind.
        place.mysql(
            f"update nps set score = 10 - score where date(updated_at) = '{DAY}'",
            f"update nps set updated_at = '{DAY} 12:00:00' where date(updated_at) = '{DAY_BEFORE}'"
            " order by id limit 1",
        )
        for _ in range(2):
            place.load("--run-date", f"{DAY}")
            place.compare_day()
    with step(f"dbt run --vars 'run_date: {DAY}'") as found:
        found.append(place.builds("run", "--vars", f"{{run_date: {DAY}, {FEW_ROWS}}}"))


def disturb(place: Place) -> None:
    """Land a day while something else happens."""
    with step("a landing seen from another session") as found:
        old, seen = place.day(), list[object]()
        place.mysql(f"update nps set score = 10 - score where date(updated_at) = '{DAY}'")
        with around_copy(after=lambda: seen.append(place.day())):
            place.load(*LAND_DAY)
        assert len(seen) > 1, "Nobody looked."
        assert seen == [old] * len(seen), "Another session saw rows that were not committed."
        place.compare_day()
        found.append(f"{len(seen)} looks from another session between COPY and commit")
    with step("a landing in conflict") as found:
        copies = list[int]()
        table = f"{place.schema('raw_data')}.nps"

        def interfere() -> None:
            copies.append(1)
            if len(copies) == 1:
                place.query(f"update {table} set score = -1 where _run_date = '{DAY}'")

        with around_copy(before=interfere):
            place.load(*LAND_DAY)
        place.compare_day()
        again = len(copies) - 1
        found.append(f"a conflict, tried again {again} x" if again else "no conflict was raised")
    with step("a bad row is refused") as found:
        found.append(place.refuses_day("column id: ", lambda text: b"x" + text))  # no number
    with step("a short count is rolled back") as found:
        lost = place.refuses_day("the counts differ: ", lambda text: text.partition(b"\n")[2])
        found.append(lost)


@contextmanager
def around_copy(before: Any = lambda: None, after: Any = lambda: None) -> Iterator[None]:
    """Do something before a landing's COPY, and after it and every later statement."""
    copied = list[object]()

    def execute(self: Redshift, statement: str, parameters: Any = ()) -> Any:
        if copies := statement.startswith("copy "):
            before()
        rows = Session.execute(self, statement, parameters)
        if copies:
            copied.append(self)
        if self in copied:
            after()
        return rows

    with patch.object(Redshift, "execute", execute):
        yield


def keep_and_compare(place: Place) -> None:
    """Keep history, repair, run the daily job, and read every type back."""
    with step("dbt snapshot") as found:
        place.build("snapshot")
        history = f"{place.schema('analytics')}.nps_history"
        versions = place.value(f"select count(*) from {history}")
        current = place.value(f"select count(*) from {history} where dbt_valid_to is null")
        ((answers,),) = place.mysql("select count(*) from nps")
        assert current == answers, f"{current} versions hold, of {answers} answers."
        assert versions > current, "The answers that changed have no older version."
        found.append(f"{versions} versions of {answers} answers")
    with step("dbt source freshness"):
        place.build("source", "freshness")
    with step("dbt run-operation prune_raw_data"):
        place.build("run-operation", "prune_raw_data", "--args", "{days: 0, dry_run: false}")
        moved = place.value(f"select count(*) from {place.schema('archive')}.nps")
        assert moved == 1, f"{moved} rows were archived, not the one that was left behind."
    with step("loader verify --repair"):
        place.mysql("delete from nps order by id limit 1")
        said = place.succeeds("verify", "--select", "nps", "--values", "--repair")
        assert "1 differ" in said, f"The answer that was deleted in MySQL was not found: {said}"
        place.builds("run", "--select", "nps")
        place.succeeds("verify", "--select", "nps", "--values")
    with step("loader run") as found:  # so few rows are no summary, so the gate keeps the old one
        place.mysql("insert into channel values ('Smoke')")
        said = place.loader("run", "--select", "channel", "--full-refresh", "--json").stdout
        built = place.query(f"select channel_name from {place.schema('analytics')}.channel")
        assert ("Smoke",) in built, f"The row has not reached the core table: {said}"
        refused = [failure["message"] for failure in json.loads(said)["dbt"]["failures"]]
        assert len(refused) == 1, refused
        assert "row_count_at_least" in refused[0], refused
        found.append("channel built, channel_performance kept as it was")
    with step("dbt docs generate"):
        place.build("docs", "generate")
    with step("every type reads back equal") as found:
        compare_types(place)
        found.append(f"{len(TRIPS)} columns equal")
    with step("no staged file is left"):
        assert not place.files(), f"Still in the bucket: {', '.join(place.files())}."


def compare_types(place: Place) -> None:
    """See whether every MySQL type reads back as what was written, at its edges."""
    place.mysql(*table_statements("every_type", TRIPS))
    sources = place.folder / "models" / "sources" / "_raw_data__sources.yml"
    declared = yaml.safe_load(sources.read_text())
    loader = {"source": f"{place.database}.every_type", "primary_key": ["id"]}
    added = {"name": "every_type", "config": {"meta": {"loader": loader}}}
    declared["sources"][0]["tables"].append(added)
    sources.write_text(yaml.safe_dump(declared))
    place.load("--select", "every_type")
    columns = landed_columns(TRIPS, "redshift")
    rows = place.query(f"select {columns} from {place.schema('raw_data')}.every_type order by id")
    for trip, column in zip(TRIPS, zip(*rows, strict=True), strict=True):
        assert arrives(trip, column), f"{trip[0]}: {trip[2]!r:.200} arrived as {column!r:.200}."


@contextmanager
def new_place(home: Path) -> Iterator[Place]:
    """Make a place with a sample of two days; afterwards the embedded MySQL is as it was."""
    name = f"smoke_{datetime.now(UTC):%Y%m%d%H%M%S}_{secrets.token_hex(2)}"
    folder = home / "smoke" / name
    folder.mkdir(parents=True)
    copy_project(folder, name)
    shutil.copy(ROOT / "profiles.yml.example", folder / "profiles.yml")
    registry, passwords = Registry(home), services.passwords(home)
    ran = registry.running("mysql")
    port = mysql.start(home, registry, passwords, print, services.CACHE_MB)
    prefix = os.environ.get("LOADER_S3_PREFIX") or SETTINGS["LOADER_S3_PREFIX"].default
    own = {
        "DBT_TARGET": "redshift", "DBT_SCHEMA": name, "DBT_PROFILES_DIR": str(folder),
        "DBT_TARGET_PATH": str(folder / "target"), "DBT_LOG_LEVEL_FILE": "none",
        "LOADER_MYSQL_HOST": "127.0.0.1", "LOADER_MYSQL_PORT": str(port),
        "LOADER_MYSQL_USER": "loader", "LOADER_MYSQL_PASSWORD": passwords["loader"],
        "LOADER_MYSQL_TLS": "off", "LOADER_S3_PREFIX": f"{prefix}/{name}",
        "LOADER_KEEP_PARTS": "never", "LOADER_TIMEZONE": "UTC",
    }  # fmt: skip
    endpoints = services.Endpoints(
        folder=home, mysql_port=port, postgres_port=0, s3_port=0, env={},
        admin_password=passwords["sample"], postgres_password="",
    )  # fmt: skip
    with mysql_administrator(endpoints) as cursor:
        cursor.execute(f"create database {name} character set utf8mb4")
        cursor.execute(f"grant select on {name}.* to 'loader'@'%'")
        try:
            address = sample.Address(port, passwords["sample"], name)
            sample.fill(address, folder, lambda *_: None, DAY_BEFORE)
            yield Place(
                folder=folder, database=name, warehouse="", target_folder=folder,
                endpoints=endpoints, own=own,
            )  # fmt: skip
        finally:
            cursor.execute(f"revoke select on {name}.* from 'loader'@'%'")
            cursor.execute(f"drop database {name}")
            shutil.rmtree(folder)
            if not ran:
                registry.stop("mysql")


def missing_settings() -> list[str]:
    """What the environment does not say, of what every trial needs."""
    profile = (ROOT / "profiles.yml.example").read_text()
    needed = [*re.findall(r"env_var\('(REDSHIFT_\w+)'\)", profile), "REDSHIFT_USER"]
    if os.environ.get("REDSHIFT_METHOD", "database") == "database":
        needed.append("REDSHIFT_PASSWORD")
    needed += ["LOADER_IAM_ROLE", "LOADER_S3_BUCKET"]
    missing = [name for name in needed if not os.environ.get(name)]
    if boto3.Session().get_credentials() is None:
        missing.append("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    return missing


def interrupt(number: int, _: object) -> None:
    """End the trial at the first signal; a second one would come between the clean-up."""
    interrupts.append(number)
    if len(interrupts) == 1:
        raise KeyboardInterrupt


def main(home: Path) -> int:
    """Take every step until one fails, and drop everything; returns the exit status."""
    if missing := missing_settings():
        print(
            f"Error: Missing in the environment: {', '.join(missing)}. Nothing was touched.\n\n"
            "docs/your-own.md says what each is."
        )
        return 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    began = time.monotonic()
    try:
        with new_place(home.resolve()) as place:
            print(f"Schemas {place.database}_...")
            try:
                land_and_build(place)
                disturb(place)
                keep_and_compare(place)
            finally:
                interrupts.append(0)  # from here on nothing may come between
                with step(DROPPED):
                    place.drop()
    except (StepError, KeyboardInterrupt):
        print("Interrupted" if interrupts[0] else "Failed")
        return 130 if interrupts[0] else 1  # what shells say of a program that Ctrl-C has ended
    print(f"All steps passed in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if sys.argv[1:] else ".local")))
