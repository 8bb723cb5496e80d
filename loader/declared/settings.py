"""Settings from the environment, checked at start."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loader.declared.windows import Zone, parse_zone
from loader.errors import ConfigError

LOCAL_ENV = Path(".local/local.env")
"""What `make up` writes: how to reach the embedded services; it rules the target `local`."""

KEEP = ("never", "on_failure", "always")
TLS = ("auto", "verify", "off")
MYSQL_TLS = ("auto", "verify", "verify-ca", "off")
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
_OLD = re.compile("LOADER_(SLACK_WEBHOOK|EMAIL_TO|SMTP_.*)")
_SECRET_LENGTH = 16


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
    "LOADER_MYSQL_TLS": Setting(
        "verify, verify-ca, off, or auto: verify unless it is this machine", "auto"
    ),
    "LOADER_MYSQL_TLS_CA": Setting("file of the authority that signed the certificate", ""),
    "LOADER_S3_BUCKET": Setting("bucket that the files are staged in"),
    "LOADER_S3_PREFIX": Setting("folder in that bucket", "mysql_to_redshift"),
    "LOADER_S3_TLS": Setting("verify, off, or auto: verify unless it is this machine", "auto"),
    "LOADER_S3_KMS_KEY_ID": Setting("KMS key that encrypts the staged files", ""),
    "LOADER_KEEP_PARTS": Setting("when staged files stay: never, on_failure, always", "never"),
    "LOADER_PART_MB": Setting("size of one staged file after compression, in MB", "8"),
    "LOADER_SLICES": Setting("slices of the Redshift; a load stages a multiple of them", "8"),
    "LOADER_IAM_ROLE": Setting("role that Redshift's COPY reads the bucket with", ""),
    "LOADER_MASK_SALT": Setting("secret that hashes of masked columns are made with", ""),
    "LOADER_REPAIR_PERCENT": Setting("share of a table that is repaired without --yes", "1"),
    "LOADER_TIMEZONE": Setting("time zone whose days the windows are", "UTC"),
    "LOADER_ANSWER_SECONDS": Setting("how long a server may take to answer", "7200"),
    "LOADER_STEP_SECONDS": Setting("how long a step of `loader run` may take", "86400"),
    "LOADER_RETRIES": Setting("how often a step of `loader run` is tried again", "2"),
    "LOADER_RETRY_SECONDS": Setting("how long it waits before that", "60"),
    "LOADER_REPORTS": Setting("folder of the runs' reports", ".local/runs"),
    "LOADER_NOTIFY": Setting("who is notified of a run, as apprise addresses; a secret", ""),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MySQLSettings:
    """How to reach the source."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: str
    tls_ca: str
    answer_seconds: int


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """Where files are staged, how large they get and when they stay."""

    bucket: str
    prefix: str
    tls: str
    kms_key_id: str
    part_bytes: int
    slices: int
    keep: str


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How `loader run` tries again, and where it reports.

    Attributes:
        retries: how often a step is tried again that failed for a passing reason; 0 for never.
        step_seconds: how long a step may take, all its attempts together.
    """

    retries: int
    retry_seconds: int
    reports: Path
    step_seconds: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that the environment decides, the warehouse's connection aside."""

    mysql: MySQLSettings
    stage: StageSettings
    iam_role: str
    mask_salt: str = field(repr=False)
    repair_percent: int
    zone: Zone
    answer_seconds: int
    run: RunSettings
    notify: tuple[str, ...] = field(repr=False)


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

    answer_seconds = _positive("LOADER_ANSWER_SECONDS", value("LOADER_ANSWER_SECONDS"))
    return Settings(
        mysql=_mysql(value, answer_seconds),
        stage=StageSettings(
            bucket=value("LOADER_S3_BUCKET"),
            prefix=value("LOADER_S3_PREFIX").strip("/"),
            tls=_one_of("LOADER_S3_TLS", value("LOADER_S3_TLS"), TLS),
            kms_key_id=value("LOADER_S3_KMS_KEY_ID"),
            part_bytes=_positive("LOADER_PART_MB", value("LOADER_PART_MB")) * 1_000_000,
            slices=_positive("LOADER_SLICES", value("LOADER_SLICES")),
            keep=_one_of("LOADER_KEEP_PARTS", value("LOADER_KEEP_PARTS"), KEEP),
        ),
        iam_role=value("LOADER_IAM_ROLE"),
        mask_salt=_long_enough("LOADER_MASK_SALT", value("LOADER_MASK_SALT")),
        repair_percent=_positive("LOADER_REPAIR_PERCENT", value("LOADER_REPAIR_PERCENT")),
        zone=parse_zone(value("LOADER_TIMEZONE")),
        answer_seconds=answer_seconds,
        run=RunSettings(
            retries=_whole("LOADER_RETRIES", value("LOADER_RETRIES")),
            retry_seconds=_whole("LOADER_RETRY_SECONDS", value("LOADER_RETRY_SECONDS")),
            reports=Path(value("LOADER_REPORTS")),
            step_seconds=_positive("LOADER_STEP_SECONDS", value("LOADER_STEP_SECONDS")),
        ),
        notify=_addresses(env),
    )


def _addresses(env: Mapping[str, str]) -> tuple[str, ...]:
    """Split LOADER_NOTIFY where an address follows a space or a comma.

    Raises:
        ConfigError: it holds something else, or who is notified is set as it was before.
    """
    if old := sorted(name for name in env if _OLD.fullmatch(name) and env[name]):
        raise ConfigError(
            f"{', '.join(old)}: who is notified is set by LOADER_NOTIFY alone.",
            "Unset it. LOADER_NOTIFY takes the address of Slack's webhook as it is, and an e-mail "
            "as mailtos://USER:PASSWORD@SMTP_HOST:587?from=SENDER&to=RECIPIENT,RECIPIENT; with a "
            "space between, both. `loader notify` tries them.",
        )
    text = env.get("LOADER_NOTIFY", "").strip()
    addresses = re.split(r"[\s,]+(?=[A-Za-z0-9]+://)", text) if text else []
    for number, address in enumerate(addresses, start=1):
        if not re.fullmatch(r"[A-Za-z0-9]+://\S+", address):
            raise ConfigError(
                f"Address {number} of LOADER_NOTIFY is none.",
                "Write addresses as SERVICE://…, as apprise reads them, with a space between.",
            )
    return tuple(addresses)


def _mysql(value: Callable[[str], str], answer_seconds: int) -> MySQLSettings:
    host, authority = value("LOADER_MYSQL_HOST"), value("LOADER_MYSQL_TLS_CA")
    tls = _one_of("LOADER_MYSQL_TLS", value("LOADER_MYSQL_TLS"), MYSQL_TLS)
    if tls == "auto":
        tls = "off" if host in THIS_MACHINE else "verify"
    if tls == "verify-ca" and not authority:
        raise ConfigError(
            "LOADER_MYSQL_TLS is verify-ca without LOADER_MYSQL_TLS_CA, so that whoever has a "
            "certificate of any known authority would be sent the password.",
            "Set LOADER_MYSQL_TLS_CA to the authority that signed the server's certificate, such "
            "as ca.pem of MySQL's data folder; or LOADER_MYSQL_TLS to verify.",
        )
    return MySQLSettings(
        host=host,
        port=_positive("LOADER_MYSQL_PORT", value("LOADER_MYSQL_PORT")),
        user=value("LOADER_MYSQL_USER"),
        password=value("LOADER_MYSQL_PASSWORD"),
        tls=tls,
        tls_ca=authority,
        answer_seconds=answer_seconds,
    )


def _positive(name: str, text: str) -> int:
    return _whole(name, text, least=1)


def _whole(name: str, text: str, least: int = 0) -> int:
    if text.isascii() and text.isdigit() and int(text) >= least:
        return int(text)
    raise ConfigError(f"{name} is {text!r}.", f"Set it to a whole number, {least} or more.")


def _long_enough(name: str, secret: str) -> str:
    if secret and len(secret) < _SECRET_LENGTH:
        raise ConfigError(
            f"{name} has {len(secret)} characters, which can be guessed.",
            f"Set it to {_SECRET_LENGTH} random ones or more.",
        )
    return secret


def _one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    if text in known:
        return text
    raise ConfigError(f"{name} is {text!r}.", f"Set it to one of: {', '.join(known)}.")
