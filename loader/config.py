"""Settings from the environment, checked at start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loader.errors import ConfigError
from loader.windows import Zone, parse_zone

LOCAL_ENV = Path(".local/local.env")
"""What `make up` writes: how to reach the embedded services; it rules the target `local`."""

KEEP = ("never", "on_failure", "always")


@dataclass(frozen=True)
class Setting:
    """One environment variable: what it means, and what holds when it is not set."""

    meaning: str
    default: str | None = None


SETTINGS: dict[str, Setting] = {
    "LOADER_MYSQL_HOST": Setting("MySQL server to read from; a replica is welcome"),
    "LOADER_MYSQL_PORT": Setting("its port", "3306"),
    "LOADER_MYSQL_USER": Setting("a user that may SELECT from the declared tables"),
    "LOADER_MYSQL_PASSWORD": Setting("that user's password"),
    "LOADER_MYSQL_TLS": Setting("verify, off, or auto: verify unless it is this machine", "auto"),
    "LOADER_MYSQL_TLS_CA": Setting("file of the authority that signed the certificate", ""),
    "LOADER_S3_BUCKET": Setting("bucket that the files are staged in"),
    "LOADER_S3_PREFIX": Setting("folder in that bucket", "mysql_to_redshift"),
    "LOADER_S3_KMS_KEY_ID": Setting("KMS key that encrypts the staged files", ""),
    "LOADER_KEEP_PARTS": Setting("when staged files stay: never, on_failure, always", "never"),
    "LOADER_PART_MB": Setting("size of one staged file after compression, in MB", "8"),
    "LOADER_IAM_ROLE": Setting("role that Redshift's COPY reads the bucket with", ""),
    "LOADER_REPAIR_PERCENT": Setting("share of a table that is repaired without --yes", "1"),
    "LOADER_TIMEZONE": Setting("time zone whose days the windows are", "UTC"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MySQLSettings:
    """How to reach the source."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: bool
    tls_ca: str


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """Where files are staged, how large they get and when they stay."""

    bucket: str
    prefix: str
    kms_key_id: str
    part_bytes: int
    keep: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that the environment decides, the warehouse's connection aside."""

    mysql: MySQLSettings
    stage: StageSettings
    iam_role: str
    repair_percent: int
    zone: Zone


def environment(project_dir: Path, target: str) -> dict[str, str]:
    """The variables that hold for a target.

    For `local` the embedded services' own file wins over the caller's environment, so that a
    trial never reaches a real account by accident; an empty value there removes the variable.
    """
    variables = dict(os.environ)
    file = project_dir / LOCAL_ENV
    if target == "local" and file.exists():
        for line in file.read_text().splitlines():
            name, _, value = line.partition("=")
            if value:
                variables[name] = value
            else:
                variables.pop(name, None)
    return variables


def load_settings(env: Mapping[str, str], target: str) -> Settings:
    """Check every setting before anything is touched.

    Raises:
        ConfigError: a setting is missing or means nothing; names all that are missing.
    """
    missing = [
        f"{name} ({setting.meaning})"
        for name, setting in SETTINGS.items()
        if setting.default is None and not env.get(name)
    ]
    if missing:
        raise ConfigError(
            f"Missing in the environment: {', '.join(missing)}.",
            "Run `make up` for the embedded services."
            if target == "local"
            else "Set it and run again; `loader check` tests every setting.",
        )

    def value(name: str) -> str:
        return env.get(name) or SETTINGS[name].default or ""

    host = value("LOADER_MYSQL_HOST")
    tls = _one_of("LOADER_MYSQL_TLS", value("LOADER_MYSQL_TLS"), ("auto", "verify", "off"))
    is_local = host in ("127.0.0.1", "::1", "localhost")
    return Settings(
        mysql=MySQLSettings(
            host=host,
            port=_positive("LOADER_MYSQL_PORT", value("LOADER_MYSQL_PORT")),
            user=value("LOADER_MYSQL_USER"),
            password=value("LOADER_MYSQL_PASSWORD"),
            tls=tls == "verify" or (tls == "auto" and not is_local),
            tls_ca=value("LOADER_MYSQL_TLS_CA"),
        ),
        stage=StageSettings(
            bucket=value("LOADER_S3_BUCKET"),
            prefix=value("LOADER_S3_PREFIX").strip("/"),
            kms_key_id=value("LOADER_S3_KMS_KEY_ID"),
            part_bytes=_positive("LOADER_PART_MB", value("LOADER_PART_MB")) * 1_000_000,
            keep=_one_of("LOADER_KEEP_PARTS", value("LOADER_KEEP_PARTS"), KEEP),
        ),
        iam_role=value("LOADER_IAM_ROLE"),
        repair_percent=_positive("LOADER_REPAIR_PERCENT", value("LOADER_REPAIR_PERCENT")),
        zone=parse_zone(value("LOADER_TIMEZONE")),
    )


def _positive(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ConfigError(f"{name} is {text!r}.", "Set it to a whole number above 0.")


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text in known:
        return text
    raise ConfigError(f"{name} is {text!r}.", f"Set it to one of: {', '.join(known)}.")
