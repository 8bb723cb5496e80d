"""Connections to the warehouse, as dbt's adapter of a target makes them."""

import time
from typing import Any

from loader.declared.profile import Profile
from loader.errors import ConfigError, LandingError
from loader.warehouse.transience import is_transient_text

CONNECT_SECONDS = 60
"""How long connecting may take, whatever the profile says."""
# A machine that is gone is noticed within two minutes. [PostgreSQL: libpq, "Parameter Key Words"]
_KEEPALIVES = {
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
    "tcp_user_timeout": 120_000,
}
_POSTGRES_NEEDS = {"host", "port", "user", "password", "dbname"}


def connect(profile: Profile, answer_seconds: float) -> tuple[Any, int]:
    """Open a connection: same options, same authentication.

    Returns:
        A DB-API connection (psycopg2's or redshift_connector's) that is not in autocommit mode,
        and the number of the server's process that serves it.

    Raises:
        ConfigError: the adapter refuses the target's keys.
        LandingError: no connection.
    """
    try:
        if profile.type == "postgres":
            connection = _open_postgres(profile, min(answer_seconds, CONNECT_SECONDS))
            process = connection.get_backend_pid()
        else:
            opened = _open_by_adapter(profile, min(answer_seconds, CONNECT_SECONDS))
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


def _open_by_adapter(profile: Profile, seconds: float) -> Any:
    """Let the adapter connect: Redshift has a dozen ways to authenticate."""
    from dbt.adapters.contracts.connection import Connection
    from dbt.adapters.factory import get_adapter_class_by_name
    from dbt_common.exceptions import DbtBaseException

    credentials = adapter_credentials(profile)
    credentials.connect_timeout = max(int(min(seconds, credentials.connect_timeout or seconds)), 1)
    manager = get_adapter_class_by_name(profile.type).ConnectionManager
    connection = Connection(type=profile.type, name="loader", credentials=credentials)
    try:
        return manager.open(connection)
    except DbtBaseException as error:
        raise _no_connection(profile, error) from None


def postgres_options(keys: dict[str, Any]) -> dict[str, Any]:
    """What dbt-postgres hands to psycopg2, which is more quickly done than dbt is imported.

    A test compares the two. [dbt-postgres: connections.py]
    """
    options = {name: keys.get(name) for name in ("host", "port", "user")}
    options["dbname"] = keys.get("dbname", keys.get("database"))
    options["password"] = keys.get("password", keys.get("pass"))
    options["connect_timeout"] = keys.get("connect_timeout", 10)
    options["application_name"] = keys.get("application_name", "dbt")
    if path := keys.get("search_path"):
        options["options"] = "-c search_path=" + path.replace(" ", "\\ ")
    for name in ("keepalives_idle", "sslmode", "sslcert", "sslkey", "sslrootcert"):
        options[name] = keys.get(name)
    return {name: value for name, value in options.items() if value not in (None, "", 0)}


def _open_postgres(profile: Profile, seconds: float) -> Any:
    import psycopg2

    options = postgres_options(dict(profile.output))
    if not options.keys() >= _POSTGRES_NEEDS:
        adapter_credentials(profile)
    options = {**_KEEPALIVES, **options}
    options["connect_timeout"] = max(int(min(seconds, options.get("connect_timeout", seconds))), 1)
    retries = int(profile.output.get("retries", 1))
    for attempt in range(retries + 1):
        try:
            connection = psycopg2.connect(**options)
            break
        except psycopg2.OperationalError as error:
            if attempt == retries:
                adapter_credentials(profile)  # a key may be wrong
                raise _no_connection(profile, error) from None
            time.sleep(attempt * attempt)
    if role := profile.output.get("role"):
        with connection.cursor() as cursor:
            cursor.execute(f"set role {role}")
        connection.commit()  # or a rollback would undo it
    return connection


def _no_connection(profile: Profile, error: Exception) -> LandingError:
    return LandingError(
        f"Cannot connect to the warehouse {profile.place}: {' '.join(str(error).split())}",
        "Run `make up` to start the embedded services."
        if profile.target == "local"
        else "Check the target in profiles.yml, and that the warehouse is up.",
        transient=is_transient_text(str(error)),
    )
