"""The embedded MySQL or MariaDB, or one that somebody else runs."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pymysql

from loader.errors import ConfigError
from loader.local.processes import Registry, free_port, run, write_secret

GIVEN = "LOADER_TEST_MYSQLD"  # the path of a server that is used whatever else is installed
# The server's binary and what installs its tables; no service that would start by itself.
_DEBIAN_PACKAGES = ("mariadb-server-core", "mariadb-client-core")
_REMEDY = (
    f"Debian, Ubuntu: apt-get install {' '.join(_DEBIAN_PACKAGES)}. macOS: brew install mariadb. "
    "With Docker: `docker compose up -d mysql`, then SAMPLE_MYSQL=127.0.0.1:33306 make up. "
    f"One that is unpacked somewhere: {GIVEN}=/path/of/mysqld make up."
)
_NO_TLS = "--loose-auto-generate-certs=0"  # nobody else is on the wire
_USER = ["--user=root"] if os.geteuid() == 0 else []


def start(
    folder: Path,
    registry: Registry,
    secret: Mapping[str, str],
    say: Callable[[str], None],
    cache_mb: int,
) -> int:
    """Start it if it does not run, with the users that the sample needs; returns its port.

    Raises:
        ConfigError: no server is installed, or it does not start.
    """
    remembered = folder / "sample_mysql"
    if "SAMPLE_MYSQL" in os.environ:
        remembered.write_text(os.environ["SAMPLE_MYSQL"])  # empty: the embedded one again
    if remembered.exists() and (elsewhere := remembered.read_text()):
        return _use(elsewhere, secret)
    home = folder / "mysql"
    if (port := registry.running("mysql")) and GIVEN not in os.environ:
        return port
    home.mkdir(parents=True, exist_ok=True)
    server = find_server(home / "apt.log", say)
    data, scratch = _data(home, server)
    if port:
        return port
    init = home / "init.sql"
    write_secret(init, ";\n".join(_users(secret)) + ";\n")
    port = free_port(registry.port("mysql"))
    command = [
        server, "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1",
        # Relative to the data, because a socket's path holds 107 bytes.
        "--socket=mysql.sock", f"--pid-file={home / 'pid'}", f"--init-file={init}",
        "--loose-mysqlx=0", "--skip-name-resolve", "--local-infile=1", "--skip-log-bin",
        f"--innodb-buffer-pool-size={cache_mb}M", "--innodb-flush-log-at-trx-commit=0",
        "--innodb-fast-shutdown=2", "--innodb-buffer-pool-dump-at-shutdown=0",
        f"--tmpdir={scratch}", _NO_TLS, "--max-allowed-packet=16M", *_USER,
    ]  # fmt: skip
    registry.start("mysql", command, port, home / "log", {})
    return port


def _data(home: Path, server: str) -> tuple[Path, Path]:
    """Find or make the folders of a server's data and of its temporary files."""
    # Of its own, because a MariaDB that starts removes what others keep in the same one.
    data, scratch = home / "data", home / "scratch"
    scratch.mkdir(exist_ok=True)
    if not (data / "mysql").exists():
        shutil.rmtree(data, ignore_errors=True)
        command = [*install(server, data), f"--tmpdir={scratch}", _NO_TLS]
        run(command, home / "install.log")
    elif is_mariadb(server) != (data / "aria_log_control").exists():
        raise ConfigError(
            f"{server} cannot open what is in {data}: MySQL and MariaDB read only their own data.",
            f"Set {GIVEN} to the server that made it, or start from nothing by `make clean`.",
        )
    return data, scratch


def find_server(log: Path, say: Callable[[str], None]) -> str:
    """Find a server on this machine, or install Debian's where that is possible.

    Raises:
        ConfigError: there is none, or LOADER_TEST_MYSQLD names none.
    """
    if given := os.environ.get(GIVEN):
        if found := shutil.which(given):
            return str(Path(found).resolve())
        raise ConfigError(f"{GIVEN}={given} is no program.", "Set it to the path of a mysqld.")
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    path += f"{os.pathsep}/opt/homebrew/bin{os.pathsep}/usr/local/mysql/bin"

    def find() -> str | None:
        return shutil.which("mariadbd", path=path) or shutil.which("mysqld", path=path)

    if found := find():
        return found
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get", path=path) and (not sudo or _may_sudo()):
        say("Installing Debian's MariaDB (about a minute, once)")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (
            ["update"],
            ["install", "-y", "--no-install-recommends", *_DEBIAN_PACKAGES],
        ):
            run([*sudo, "apt-get", "-qq", *arguments], log, quiet)
        if found := find():
            return found
    raise ConfigError("No MySQL server is installed (looked for mariadbd and mysqld).", _REMEDY)


def _may_sudo() -> bool:
    return (
        shutil.which("sudo") is not None
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0  # noqa: S607
    )


def is_mariadb(server: str) -> bool:
    """Whether a server is MariaDB and not Oracle's MySQL."""
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return "MariaDB" in version.stdout


def install(server: str, data: Path) -> list[str]:
    """Write the command that makes an empty data folder: MariaDB's or MySQL's."""
    if not is_mariadb(server):
        return [server, "--no-defaults", "--initialize-insecure", f"--datadir={data}", *_USER]
    command = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    if command is None:
        raise ConfigError(f"{server} is here, but not mariadb-install-db.", _REMEDY)
    return [
        command, "--no-defaults", f"--datadir={data}", "--skip-test-db", "--skip-name-resolve",
        "--auth-root-authentication-method=normal", *_USER,
    ]  # fmt: skip


def _users(secret: Mapping[str, str]) -> list[str]:
    """Write the users: one that reads, as in production, and one that makes the sample."""
    statements = ["create database if not exists prod character set utf8mb4"]
    for user, privileges in (
        ("loader", "select on prod.*"),
        ("sample", "all privileges on *.*"),
    ):
        account = f"'{user}'@'%'"
        statements += [
            f"create user if not exists {account} identified by '{secret[user]}'",
            f"alter user {account} identified by '{secret[user]}'",
            f"grant {privileges} to {account}",
        ]
    statements.append("grant grant option on *.* to 'sample'@'%'")
    return [*statements, "alter user 'root'@'localhost' account lock"]


def _use(address: str, secret: Mapping[str, str]) -> int:
    """Use a server that somebody else started, such as compose.yaml's."""
    host, _, port = address.partition(":")
    if host != "127.0.0.1" or not port.isdigit():
        raise ConfigError(f"SAMPLE_MYSQL is {address!r}.", "Write it as 127.0.0.1:PORT.")
    password = os.environ.get("SAMPLE_MYSQL_ROOT_PASSWORD", "local")
    try:
        with (
            pymysql.connect(
                host=host, port=int(port), user="root", password=password, autocommit=True
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in _users(secret)[:-1]:
                cursor.execute(statement)
            cursor.execute("set global local_infile = 1")
    except pymysql.err.Error as error:
        raise ConfigError(
            f"Cannot use the MySQL at {address}: {error.args[-1]}",
            "Start it, or set SAMPLE_MYSQL to nothing for the embedded one: SAMPLE_MYSQL= make up.",
        ) from None
    return int(port)
