"""The embedded services: MariaDB or MySQL, PostgreSQL 18, and rclone's S3."""

import re
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loader.local import mysql, postgres, s3
from loader.local.processes import Registry, write_secret

CACHE_MB = 256
DBT_FOLDERS = {"target": ".local/dbt/target", "logs": ".local/dbt/logs"}
_EXAMPLE = "profiles.yml.example"
# What ends them though clients are connected; the S3 server keeps nothing that it has not written.
# [PostgreSQL: Shutting Down the Server]
_ENDED_BY = {"s3": signal.SIGKILL, "postgres": signal.SIGINT, "mysql": signal.SIGTERM}
_PORT_DEFAULT = re.compile(r"(env_var\('LOCAL_PG_PORT', ')\d+(')")


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


def up(folder: Path, say: Callable[[str], None], cache_mb: int = CACHE_MB) -> Endpoints:
    """Start what does not run yet, and write `local.env`.

    Args:
        folder: where everything is kept; made if it is not there.
        say: told what takes long.
        cache_mb: the megabytes of tables that MySQL and PostgreSQL each keep in memory.

    Raises:
        ConfigError: a server is not installed or does not start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    registry = Registry(folder)
    secret = passwords(folder)
    mysql_port = mysql.start(folder, registry, secret, say, cache_mb)
    postgres_port = postgres.start(folder, registry, secret, cache_mb)
    s3_port = s3.start(folder, registry, secret)
    env = {
        "LOADER_MYSQL_URL": "",
        "LOADER_MYSQL_AUTH": "",
        "LOADER_MYSQL_HOST": "127.0.0.1",
        "LOADER_MYSQL_PORT": str(mysql_port),
        "LOADER_MYSQL_USER": "loader",
        "LOADER_MYSQL_PASSWORD": secret["loader"],
        "LOADER_MYSQL_TLS": "off",
        "LOADER_S3_BUCKET": s3.BUCKET,
        "LOADER_S3_PREFIX": "",
        "LOADER_S3_TLS": "",
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
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    write_secret(folder / "local.env", "".join(f"{k}={v}\n" for k, v in env.items()))
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
    return [name for name, ended_by in _ENDED_BY.items() if registry.stop(name, ended_by)]


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


def passwords(folder: Path) -> dict[str, str]:
    """Make the services' passwords once and keep them where only this user reads."""
    file = folder / "secrets"
    if not file.exists():
        names = ("loader", "sample", "postgres", "s3")
        write_secret(file, "".join(f"{name}={secrets.token_hex(16)}\n" for name in names))
    return dict(line.split("=") for line in file.read_text().splitlines())
