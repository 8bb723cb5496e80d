"""Connections to the warehouse, as dbt's adapter of a target makes them."""

import re
from typing import Any

from loader.declared.profile import Profile
from loader.errors import ConfigError, LandingError, did_you_mean, is_transient_text

CONNECT_SECONDS = 60
"""How long connecting may take, whatever the profile says."""
# A machine that is gone is noticed within two minutes. [PostgreSQL: libpq, "Parameter Key Words"]
KEEPALIVES = {
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
    "tcp_user_timeout": 120_000,
}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_NEEDED = ("host", "port", "user", "password", "dbname")
_OPTIONAL = (
    "application_name", "connect_timeout", "keepalives_idle", "sslmode", "sslcert", "sslkey",
    "sslrootcert",
)  # fmt: skip


def connect(profile: Profile, answer_seconds: float) -> tuple[Any, int]:
    """Open a connection: same options, same authentication as dbt's.

    Returns:
        A DB-API connection (psycopg2's or redshift_connector's) that is not in autocommit mode,
        and the number of the server's process that serves it.

    Raises:
        ConfigError: the adapter refuses the target's keys.
        LandingError: no connection.
    """
    seconds = int(min(answer_seconds, CONNECT_SECONDS)) or 1
    try:
        if profile.type == "postgres":
            connection = _open_postgres(profile, seconds)
            process = connection.get_backend_pid()
        else:
            opened = open_by_adapter(profile, seconds)
            connection, process = opened.handle, opened.backend_pid
            connection._usock.settimeout(None)  # the driver goes on with that of connecting
        connection.autocommit = False
    except OSError as error:
        raise _no_connection(profile, error) from None
    return connection, process


def adapter_credentials(profile: Profile) -> Any:
    """Make the adapter's own credentials of a target's keys.

    Raises:
        ConfigError: the adapter refuses one of them; names the key alone.
    """
    from dbt.adapters.factory import load_plugin

    keys = {key: value for key, value in profile.output.items() if key not in ("type", "threads")}
    credentials_class = load_plugin(profile.type)
    try:
        keys = credentials_class.translate_aliases(keys)
        credentials_class.validate(keys)
        return credentials_class.from_dict(keys)
    except Exception as error:
        # A validator's message quotes the value, which may be the password.
        wrong = [str(part) for part in getattr(error, "absolute_path", None) or ()]
        raise ConfigError(
            f"Target {profile.target} is not what {profile.type} needs: "
            f"{', '.join(wrong) or type(error).__name__} "
            f"({getattr(error, 'validator', None) or 'wrong'}).",
            "Mend profiles.yml; `dbt debug` says more.",
        ) from None


def open_by_adapter(profile: Profile, seconds: int) -> Any:
    """Let dbt's adapter connect: Redshift has a dozen ways to authenticate."""
    from dbt.adapters.contracts.connection import Connection
    from dbt.adapters.factory import get_adapter_class_by_name
    from dbt_common.exceptions import DbtBaseException

    credentials = adapter_credentials(profile)
    credentials.connect_timeout = min(seconds, credentials.connect_timeout or seconds)
    manager = get_adapter_class_by_name(profile.type).ConnectionManager
    connection = Connection(type=profile.type, name="loader", credentials=credentials)
    try:
        return manager.open(connection)
    except DbtBaseException as error:
        raise _no_connection(profile, error) from None


def _open_postgres(profile: Profile, seconds: int) -> Any:
    """Hand psycopg2 what dbt-postgres would, without the second that importing dbt takes.

    A test compares the two. [dbt-postgres: connections.py]
    """
    import psycopg2

    keys = {"application_name": "dbt", "connect_timeout": 10, **profile.output}
    keys.setdefault("password", keys.get("pass"))
    keys.setdefault("dbname", keys.get("database"))
    if not all(keys.get(name) for name in _NEEDED):
        adapter_credentials(profile)  # says which of them is missing
    options = {name: keys[name] for name in (*_NEEDED, *_OPTIONAL) if keys.get(name)}
    options["connect_timeout"] = min(seconds, options.get("connect_timeout", seconds))
    if path := keys.get("search_path"):
        options["options"] = "-c search_path=" + path.replace(" ", "\\ ")
    try:
        connection = psycopg2.connect(**{**KEEPALIVES, **options})
    except psycopg2.OperationalError as error:
        adapter_credentials(profile)  # a key may be wrong
        raise _no_connection(profile, error) from None
    if role := profile.output.get("role"):
        with connection.cursor() as cursor:
            cursor.execute(f"set role {role}")
        connection.commit()  # or a rollback would undo it
    return connection


def _no_connection(profile: Profile, error: Exception) -> LandingError:
    said, mode = " ".join(str(error).split()), str(profile.output.get("sslmode"))
    remedy = "Check the target in profiles.yml, what it reads, and that the warehouse is up."
    if profile.target == "local" and "password authentication" not in said:
        remedy = "Run `make up` to start the embedded services."
    elif re.search("ssl|certificate|no encryption", said, re.IGNORECASE):
        remedy = did_you_mean(mode, _SSL_MODES) if mode not in _SSL_MODES else ""
        remedy += (
            f"The target's sslmode is {mode}; PGSSLMODE or REDSHIFT_SSLMODE sets it. verify-full "
            "wants a certificate that names the host, and its authority in PGSSLROOTCERT; disable "
            "sends all in clear."
        )
    fact = f"Cannot connect to the warehouse {profile.place}: {said}"
    return LandingError(fact, remedy, transient=is_transient_text(str(error)))
