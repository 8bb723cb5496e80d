"""Settings from the environment: each is declared once, with its type, default and meaning."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints
from urllib.parse import unquote

from loader.declared.secrets import revealed
from loader.declared.windows import Zone, parse_zone
from loader.errors import ConfigError

LOCAL_ENV = Path(".local/local.env")
"""What `make up` writes: how to reach the embedded services; it rules the target `local`."""
SAMPLE = Path("models/sources/_raw_data__sources.yml")
"""What declares the sample's tables; `make own` takes it out."""

THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
_ADDRESS = r"[A-Za-z0-9]+://"
_SECRET_LENGTH = 16
_URL = re.compile(
    r"(?:mysql|mariadb)://(?P<USER>[^:@/]+)(?::(?P<PASSWORD>[^:@/]*))?@(?P<HOST>[\w.-]+)"
    r"(?::(?P<PORT>[1-9]\d{,4}))?(?:/\w*)?"
)


@dataclass(frozen=True)
class Setting:
    """One environment variable; without a default it has to be set."""

    meaning: str
    default: str | None
    secret: bool


SETTINGS: dict[str, Setting] = {}
"""Every setting by its name; the docs and the help of `loader check` show them."""


def _setting(name: str, meaning: str, default: str | None = None, *, secret: bool = False) -> Any:
    SETTINGS[name] = Setting(meaning, default, secret)
    return field(metadata={"name": name}, repr=not secret)


# What makes a setting's value of its name and its text, by the type that it is declared with.


def _whole(least: int) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        if text.isascii() and text.isdigit() and int(text) >= least:
            return int(text)
        raise ConfigError(f"{name} is {text!r}.", f"Set it to a whole number, {least} or more.")

    return read


def _salt(name: str, secret: str) -> str:
    if secret and len(secret) < _SECRET_LENGTH:
        raise ConfigError(
            f"{name} has {len(secret)} characters, which can be guessed.",
            f"Set it to {_SECRET_LENGTH} random ones or more.",
        )
    return secret


def _addresses(name: str, text: str) -> tuple[str, ...]:
    """Split at the spaces or commas that an address follows; the text may be a secret."""
    addresses = re.split(rf"[\s,]+(?={_ADDRESS})", text.strip()) if text.strip() else []
    for number, address in enumerate(addresses, start=1):
        if not re.fullmatch(rf"{_ADDRESS}\S+", address):
            raise ConfigError(
                f"Address {number} of {name} is none.",
                "Write addresses as SERVICE://…, as apprise reads them, with a space between.",
            )
    return tuple(addresses)


Whole = Annotated[int, _whole(0)]
Positive = Annotated[int, _whole(1)]
Megabytes = Annotated[int, lambda name, text: _whole(1)(name, text) * 1_000_000]
Folder = Annotated[str, lambda _, text: text.strip("/")]
File = Annotated[Path, lambda _, text: Path(text)]
Salt = Annotated[str, _salt]
Addresses = Annotated[tuple[str, ...], _addresses]
TimeZone = Annotated[Zone, lambda _, text: parse_zone(text)]


@dataclass(frozen=True, kw_only=True)
class MySQLSettings:
    """How to reach the source."""

    url: str = _setting(
        "LOADER_MYSQL_URL", "`mysql://USER:PASSWORD@HOST:PORT`, for the next four", "", secret=True
    )
    host: str = _setting("LOADER_MYSQL_HOST", "MySQL server to read from; a replica is welcome")
    port: Positive = _setting("LOADER_MYSQL_PORT", "its port", "3306")
    user: str = _setting("LOADER_MYSQL_USER", "a user that may SELECT from the declared tables")
    password: str = _setting("LOADER_MYSQL_PASSWORD", "that user's password", secret=True)
    auth: Literal["password", "iam"] = _setting(
        "LOADER_MYSQL_AUTH", "`password`, or `iam`: a token of RDS for each connection", "password"
    )
    tls: Literal["auto", "verify", "verify-ca", "off"] = _setting(
        "LOADER_MYSQL_TLS",
        "`verify`, `verify-ca`, `off`, or `auto`: verify unless it is this machine",
        "auto",
    )
    tls_ca: str = _setting(
        "LOADER_MYSQL_TLS_CA", "file of the authority that signed the certificate", ""
    )
    answer_seconds: Positive = _setting(
        "LOADER_ANSWER_SECONDS", "how long a server may take to answer", "7200"
    )


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """Where files are staged, how large they get and when they stay."""

    bucket: str = _setting("LOADER_S3_BUCKET", "bucket that the files are staged in")
    prefix: Folder = _setting("LOADER_S3_PREFIX", "folder in that bucket", "mysql_to_redshift")
    tls: Literal["auto", "verify", "off"] = _setting(
        "LOADER_S3_TLS", "`verify`, `off`, or `auto`: verify unless it is this machine", "auto"
    )
    kms_key_id: str = _setting("LOADER_S3_KMS_KEY_ID", "KMS key that encrypts the files", "")
    keep: Literal["never", "on_failure", "always"] = _setting(
        "LOADER_KEEP_PARTS", "when staged files stay: `never`, `on_failure`, `always`", "never"
    )
    part_bytes: Megabytes = _setting("LOADER_PART_MB", "size of a compressed file, in MB", "8")
    slices: Positive = _setting(
        "LOADER_SLICES", "slices of the Redshift; a load stages a multiple of them", "8"
    )


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How `loader run` tries again, and where it reports."""

    step_seconds: Positive = _setting(
        "LOADER_STEP_SECONDS", "how long a step of a run may take, attempts together", "86400"
    )
    retries: Whole = _setting("LOADER_RETRIES", "how often such a step is tried again", "2")
    retry_seconds: Whole = _setting("LOADER_RETRY_SECONDS", "how long it waits before that", "60")
    reports: File = _setting("LOADER_REPORTS", "folder of the runs' reports", ".local/runs")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that the environment decides, the warehouse's connection aside."""

    mysql: MySQLSettings
    stage: StageSettings
    run: RunSettings
    iam_role: str = _setting(
        "LOADER_IAM_ROLE", "role that Redshift's COPY reads the bucket with, or `default`", ""
    )
    mask_salt: Salt = _setting(
        "LOADER_MASK_SALT",
        "secret of 16 characters or more that `mask: hash` hashes with",
        "",
        secret=True,
    )
    repair_percent: Positive = _setting(
        "LOADER_REPAIR_PERCENT", "percent of a table that is repaired without `--yes`", "1"
    )
    zone: TimeZone = _setting("LOADER_TIMEZONE", "time zone whose days the windows are", "UTC")
    notify: Addresses = _setting(
        "LOADER_NOTIFY", "who is notified of a run: addresses of apprise; a secret", "", secret=True
    )


def environment(project_dir: Path, target: str) -> dict[str, str]:
    """The variables that hold for a target.

    For `local` the embedded services' own file wins over the caller's environment, so that a
    trial never reaches a real account by accident; an empty value there removes the variable.
    Where the sample was taken out, a MySQL that the caller names is meant.
    """
    file = project_dir / LOCAL_ENV
    if target != "local" or not file.exists():
        return dict(os.environ)
    own = dict(line.split("=", 1) for line in file.read_text().splitlines() if line)
    is_named = os.environ.get("LOADER_MYSQL_URL") or os.environ.get("LOADER_MYSQL_HOST")
    if is_named and not (project_dir / SAMPLE).exists():
        own = {name: value for name, value in own.items() if not name.startswith("LOADER_MYSQL")}
    return {
        name: value for name, value in {**os.environ, **own}.items() if value or name not in own
    }


def load_settings(env: Mapping[str, str], target: str) -> Settings:
    """Check every setting before anything is touched; an empty one is as one that is not set.

    Raises:
        ConfigError: a setting is missing or means nothing; names all that are missing.
    """
    secret = (name for name, setting in SETTINGS.items() if setting.secret and env.get(name))
    env = _of_url({**env, **{name: revealed(name, env[name]) for name in secret}})
    needless = "LOADER_MYSQL_PASSWORD" if env.get("LOADER_MYSQL_AUTH") == "iam" else ""
    missing = [
        f"{name} ({setting.meaning})"
        for name, setting in SETTINGS.items()
        if setting.default is None and not env.get(name) and name != needless
    ]
    if missing:
        raise ConfigError(
            f"Missing in the environment: {', '.join(missing)}.",
            "Run `make up` for the embedded services."
            if target == "local" and not env.get("LOADER_MYSQL_URL")
            else "Set it and run again; an empty one is as one that is not set.",
        )

    return Settings(
        mysql=_with_tls(MySQLSettings(**_values(MySQLSettings, env))),
        stage=StageSettings(**_values(StageSettings, env)),
        run=RunSettings(**_values(RunSettings, env)),
        **_values(Settings, env),
    )


def _values(group: type[Any], env: Mapping[str, str]) -> dict[str, Any]:
    types, values = get_type_hints(group, include_extras=True), dict[str, Any]()
    for each in fields(group):
        if name := each.metadata.get("name"):
            text, type_ = env.get(name) or SETTINGS[name].default or "", types[each.name]
            known = get_args(type_)
            if hasattr(type_, "__metadata__"):
                values[each.name] = type_.__metadata__[0](name, text)
            elif known and text not in known:
                raise ConfigError(f"{name} is {text!r}.", f"Set it to one of: {', '.join(known)}.")
            else:
                values[each.name] = text
    return values


def _of_url(env: Mapping[str, str]) -> Mapping[str, str]:
    """Take apart the URL that stands for other settings; what is wrong with it is not quoted."""
    if not (url := env.get("LOADER_MYSQL_URL")):
        return env
    if not (found := _URL.fullmatch(url)):
        raise ConfigError(
            "LOADER_MYSQL_URL is no address of a MySQL, or says more than that.",
            "Write mysql://USER:PASSWORD@HOST:PORT, what is special in it as %40 for @ and so on.",
        )
    given = {
        f"LOADER_MYSQL_{name}": unquote(text or "") for name, text in found.groupdict().items()
    }
    if twice := [name for name in given if env.get(name)]:
        raise ConfigError(
            f"LOADER_MYSQL_URL is set, and so is {', '.join(twice)}.", "Unset one or the other."
        )
    return {**env, **given}


def _with_tls(mysql: MySQLSettings) -> MySQLSettings:
    if mysql.tls == "auto":
        mysql = replace(mysql, tls="off" if mysql.host in THIS_MACHINE else "verify")
    if mysql.auth == "iam" and mysql.tls == "off":
        raise ConfigError(
            "LOADER_MYSQL_AUTH is iam, and without TLS the token would be sent in clear.",
            "Set LOADER_MYSQL_TLS to verify, and LOADER_MYSQL_TLS_CA to RDS's authorities.",
        )
    if mysql.tls == "verify-ca" and not mysql.tls_ca:
        raise ConfigError(
            "LOADER_MYSQL_TLS is verify-ca without LOADER_MYSQL_TLS_CA, so that whoever has a "
            "certificate of any known authority would be sent the password.",
            "Set LOADER_MYSQL_TLS_CA to the authority that signed the server's certificate, such "
            "as ca.pem of MySQL's data folder; or LOADER_MYSQL_TLS to verify.",
        )
    return mysql
