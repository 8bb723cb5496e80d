"""Make a place: a sample in MySQL, a copy of the project, and an environment that names them."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from project import ROOT, copy_project

from loader.cli.session import open_session
from loader.declared.settings import SETTINGS
from loader.declared.windows import DAY
from loader.local import mysql, sample, services
from loader.local.processes import Registry
from smoke.place import Place

FIRST_DAY = sample.LAST_DAY - DAY


@contextmanager
def new_place(home: Path, say: Callable[[str], None]) -> Iterator[Place]:
    """Make a place, with the sample of two days in MySQL, and enter it.

    On the way out MySQL is as it was; the warehouse and the bucket are `Place.drop`'s.

    Args:
        home: where the embedded MySQL is kept.
        say: told what takes long.
    """
    name = f"smoke_{datetime.now(UTC):%Y%m%d%H%M%S}_{secrets.token_hex(2)}"
    home = home.resolve()
    folder = home / "smoke" / name
    folder.mkdir(parents=True)
    try:
        with _source(home, name, say) as source:
            copy_project(folder, name)
            shutil.copy(ROOT / "profiles.yml.example", folder / "profiles.yml")
            with _entered(folder, _changes(folder, name, source, home)):
                session = open_session(None)
                yield Place(
                    name=name, source=source, session=session, log=folder.with_suffix(".log")
                )
    finally:
        shutil.rmtree(folder)


@contextmanager
def _source(home: Path, name: str, say: Callable[[str], None]) -> Iterator[sample.Address]:
    """Fill a database of the embedded MySQL, which is started if it does not run."""
    registry, passwords = Registry(home), services.passwords(home)
    ran = registry.running("mysql")
    try:
        port = mysql.start(home, registry, passwords, say, services.CACHE_MB)
        address = sample.Address(port, passwords["sample"], name)
        with sample.writer(sample.Address(port, passwords["sample"])) as connection:
            cursor = connection.cursor()
            cursor.execute(f"create database {name} character set utf8mb4")
            try:
                cursor.execute(f"grant select on {name}.* to 'loader'@'%'")
                sample.fill(address, home / "smoke" / name, lambda *_: None, FIRST_DAY)
                yield address
            finally:
                cursor.execute(f"revoke select on {name}.* from 'loader'@'%'")
                cursor.execute(f"drop database {name}")
    finally:
        if not ran:
            registry.stop("mysql")


def _changes(folder: Path, name: str, source: sample.Address, home: Path) -> dict[str, str]:
    """What a run sets in the environment, whatever the caller's says."""
    prefix = os.environ.get("LOADER_S3_PREFIX") or SETTINGS["LOADER_S3_PREFIX"].default
    return {
        "DBT_TARGET": "redshift",
        "DBT_SCHEMA": name,
        "DBT_PROFILES_DIR": str(folder),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_LEVEL_FILE": "none",
        "LOADER_MYSQL_HOST": "127.0.0.1",
        "LOADER_MYSQL_PORT": str(source.port),
        "LOADER_MYSQL_USER": "loader",
        "LOADER_MYSQL_PASSWORD": services.passwords(home)["loader"],
        "LOADER_MYSQL_TLS": "off",
        "LOADER_S3_PREFIX": f"{prefix}/{name}",
        "LOADER_KEEP_PARTS": "never",
        "LOADER_TIMEZONE": "UTC",
    }


@contextmanager
def _entered(folder: Path, changes: dict[str, str]) -> Iterator[None]:
    before, old = dict(os.environ), Path.cwd()
    os.environ.update(changes)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(old)
        os.environ.clear()
        os.environ.update(before)
