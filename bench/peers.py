"""Other people's tools, each in an environment of its own under `.local/bench/`."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Cost, measured
from bench.place import FOLDER, Place
from bench.tables import DATABASE, Table
from bench.ways import Way

_INSTALL_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A tool from PyPI.

    Attributes:
        packages: what pip installs.
        program: what is there afterwards.
        version: what pip calls the version of.
    """

    name: str
    packages: tuple[str, ...]
    program: str

    @property
    def home(self) -> Path:
        """Its environment."""
        return FOLDER / self.name

    def path(self, program: str) -> str:
        """A program of its environment."""
        return str(self.home / "bin" / program)

    def missing(self) -> str:
        """Install it if it is not there; says why it cannot be."""
        if not (self.home / "installed").exists():
            shutil.rmtree(self.home, ignore_errors=True)
            print(f"Installing {self.name} into {self.home.relative_to(Path.cwd())} (once)")
            pip = [self.path("python"), "-m", "pip", "install", "-qq"]
            for command in (
                [sys.executable, "-m", "venv", str(self.home)],
                [*pip, "--disable-pip-version-check", *self.packages],
                [self.path(self.program), "--version"],
            ):
                if why := _failed(command):
                    return why
            (self.home / "installed").touch()
        return ""


# Newer ones of these two fetch their program from where not every machine may.
INGESTR = Peer(name="ingestr", packages=("ingestr<1",), program="ingestr")
SLING = Peer(name="sling", packages=("sling==1.4.11", "sling-linux-amd64==1.4.11"), program="sling")
DLT = Peer(
    name="dlt",
    packages=("dlt[postgres,sql_database]", "pymysql", "pyarrow", "connectorx"),
    program="dlt",
)


def peers() -> list[Way]:
    """Every tool that installs here."""
    return [
        _way(INGESTR, "ingestr; no staging", _ingestr),
        _way(SLING, "Sling; no staging", _sling),
        _way(DLT, "dlt, with pyarrow; no staging", _dlt),
        Way(
            name="pgloader",
            about="pgloader; no staging",
            schema=DATABASE,
            prepare=lambda place, tables: place.empty_schema(DATABASE),
            run=_pgloader,
            missing=_missing_pgloader,
        ),
    ]


def _way(peer: Peer, about: str, run: Callable[[Place, Sequence[Table]], Cost]) -> Way:
    return Way(
        name=peer.name,
        about=about,
        schema=f"peer_{peer.name}",
        prepare=lambda place, tables: place.empty_schema(f"peer_{peer.name}"),
        run=run,
        missing=peer.missing,
    )


def _ingestr(place: Place, tables: Sequence[Table]) -> Cost:
    return measured(
        place,
        *(
            [
                INGESTR.path("ingestr"), "ingest", "--yes", "--progress", "log",
                "--source-uri", place.mysql_url("mysql+pymysql"),
                "--source-table", f"{DATABASE}.{table.name}",
                "--dest-uri", place.postgres_url,
                "--dest-table", f"peer_ingestr.{table.name}",
            ]
            for table in tables
        ),
    )  # fmt: skip


def _sling(place: Place, tables: Sequence[Table]) -> Cost:
    return measured(
        place,
        *(
            [
                SLING.path("sling"), "run",
                "--src-conn", place.mysql_url("mysql"),
                "--src-stream", f"{DATABASE}.{table.name}",
                "--tgt-conn", place.postgres_url + "?sslmode=disable",
                "--tgt-object", f"peer_sling.{table.name}",
                "--mode", "full-refresh",
            ]
            for table in tables
        ),
    )  # fmt: skip


def _dlt(place: Place, tables: Sequence[Table]) -> Cost:
    script = Path(__file__).with_name("dlt_script.py")
    addresses = [place.mysql_url("mysql+pymysql"), place.postgres_url]
    names = [table.name for table in tables]
    return measured(place, [DLT.path("python"), str(script), *addresses, *names])


def _pgloader(place: Place, tables: Sequence[Table]) -> Cost:
    del tables  # it takes every table of the database
    program = shutil.which("pgloader") or ""
    return measured(place, [program, place.mysql_url("mysql"), place.postgres_url])


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
