"""Other people's tools, each in an environment of its own under `.local/bench/`."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TypeAlias

from bench.measure import Cost, measured
from bench.place import FOLDER, Place
from bench.tables import DATABASE, Table, connection
from bench.ways import Way
from loader.declared.windows import DAY
from loader.local.processes import write_secret

_INSTALL_SECONDS = 600

Run: TypeAlias = Callable[[Place, Sequence[Table]], Cost]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A tool from PyPI.

    Attributes:
        packages: what pip installs.
        program: what is there afterwards, in the environment.
    """

    name: str
    packages: tuple[str, ...]
    program: str

    @property
    def home(self) -> Path:
        """Its environment."""
        return FOLDER / self.name

    @property
    def path(self) -> str:
        """The program."""
        return str(next(self.home.glob(self.program), self.home / self.program))

    def missing(self) -> str:
        """Install it if it is not there; says why it cannot be."""
        if not (self.home / "installed").exists():
            shutil.rmtree(self.home, ignore_errors=True)
            print(f"Installing {self.name} into {self.home.relative_to(Path.cwd())} (once)")
            pip = [str(self.home / "bin" / "python"), "-m", "pip", "install", "-qq"]
            for command in (
                [sys.executable, "-m", "venv", str(self.home)],
                [*pip, "--disable-pip-version-check", *self.packages],
            ):
                if why := _failed(command):
                    return why
            if why := _failed([self.path, "--version"]):
                return why
            (self.home / "installed").touch()
        return ""


# Newer ones of these two download their program when they first run.
INGESTR = Peer(name="ingestr", packages=("ingestr<1",), program="bin/ingestr")
SLING = Peer(
    name="sling",
    packages=("sling-linux-amd64==1.4.11",),
    program="lib/python*/site-packages/sling_linux_amd64/bin/sling-linux-amd64",
)
DLT = Peer(
    name="dlt",
    packages=("dlt[postgres,sql_database]", "sqlalchemy", "pymysql", "pyarrow"),
    program="bin/python",
)


def peers() -> list[Way]:
    """Every tool that installs here."""
    return [
        replace(_way(INGESTR, "ingestr; no staging", _ingestr()), prepare=_prepare_ingestr),
        _way(SLING, "Sling; no staging", _sling("full-refresh")),
        replace(_way(DLT, "dlt, with pyarrow; no staging", _dlt("replace")), prepare=_prepare_dlt),
        Way(
            name="pgloader",
            about="pgloader; no staging",
            schema=DATABASE,
            prepare=lambda place, tables: place.empty_schema(DATABASE),
            run=_pgloader,
            missing=_missing_pgloader,
        ),
    ]


def merges(day: date | None = None) -> dict[str, Run]:
    """How those of them that can bring and merge what has changed, by name.

    Args:
        day: the day of the changes, for one that does not find out by itself; None for all days.
    """
    key = ("--primary-key", "id")
    days = ("--interval-start", str(day), "--interval-end", str(day + DAY)) if day else ()
    by_ingestr = ("--incremental-strategy", "merge", "--incremental-key", "updated_at", *days)
    return {
        INGESTR.name: _ingestr(*key, *by_ingestr),
        SLING.name: _sling("incremental", *key, "--update-key", "updated_at"),
        DLT.name: _dlt("merge"),
    }


def _way(peer: Peer, about: str, run: Run) -> Way:
    return Way(
        name=peer.name,
        about=about,
        schema=f"peer_{peer.name}",
        prepare=lambda place, tables: place.empty_schema(f"peer_{peer.name}"),
        run=run,
        missing=peer.missing,
    )


def _prepare_ingestr(place: Place, tables: Sequence[Table]) -> None:
    """Make views to read from; its own queries would round decimals to whole numbers."""
    place.empty_schema("peer_ingestr")
    with connection(place.endpoints) as source, source.cursor() as cursor:
        for table in tables:
            cursor.execute(
                f"create or replace view {DATABASE}.{table.name}_short as "
                f"select {_listed(table)} from {DATABASE}.{table.name}"
            )


def _ingestr(*options: str) -> Run:
    return lambda place, tables: measured(
        place,
        *(
            [
                INGESTR.path, "ingest", "--yes", "--progress", "log",
                "--source-uri", place.mysql_url("mysql+pymysql"),
                "--source-table", f"{DATABASE}.{table.name}_short",
                "--dest-uri", place.postgres_url,
                "--dest-table", f"peer_ingestr.{table.name}",
                *options,
            ]
            for table in tables
        ),
    )  # fmt: skip


def _listed(table: Table) -> str:
    """Its columns; JSON as short text, because it makes a longer VARCHAR than PostgreSQL has."""
    return ", ".join(
        f"cast({each.name} as char(500)) as {each.name}" if each.kind == "json" else each.name
        for each in table.columns
    )


def _sling(*options: str) -> Run:
    return lambda place, tables: measured(
        place,
        *(
            [
                SLING.path, "run",
                "--src-conn", place.mysql_url("mysql"),
                "--src-stream", f"{DATABASE}.{table.name}",
                "--tgt-conn", place.postgres_url + "?sslmode=disable",
                "--tgt-object", f"peer_sling.{table.name}",
                "--mode", *options,
            ]
            for table in tables
        ),
    )  # fmt: skip


def _prepare_dlt(place: Place, tables: Sequence[Table]) -> None:
    """Let it forget what it has brought before."""
    del tables
    place.empty_schema("peer_dlt")
    shutil.rmtree(place.project / ".local" / "dlt", ignore_errors=True)


def _dlt(disposition: str) -> Run:
    script = Path(__file__).with_name("dlt_script.py")
    return lambda place, tables: measured(
        place,
        [
            DLT.path, str(script), disposition,
            place.mysql_url("mysql+pymysql"), place.postgres_url,
            *(table.name for table in tables),
        ],
    )  # fmt: skip


def _pgloader(place: Place, tables: Sequence[Table]) -> Cost:
    """Write what it is to do; without a limit to what it reads ahead, its memory is used up."""
    names = ", ".join(f"'{table.name}'" for table in tables)
    orders = place.folder / "pgloader.load"
    write_secret(
        orders,
        f"load database from {place.mysql_url('mysql')} into {place.postgres_url}\n"
        "with include drop, create tables, create no indexes, no foreign keys, "
        f"prefetch rows = 10000\nincluding only table names matching {names};\n",
    )
    return measured(place, [shutil.which("pgloader") or "", str(orders)])


def _missing_pgloader() -> str:
    return "" if shutil.which("pgloader") else "not installed (Debian: apt-get install pgloader)"


def _failed(command: Sequence[str]) -> str:
    """Run a command to its end; says why it failed."""
    try:
        subprocess.run(  # noqa: S603 - the commands are ours
            command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS
        )
    except subprocess.CalledProcessError as error:
        return " ".join((error.stderr or error.stdout).split())[-200:] or "it does not install"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)[:200]
    return ""
