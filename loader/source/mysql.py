"""Reading MySQL: connect, describe, check, and count the rows of a window.

The source is production: one snapshot per table, no locks, no writes, and predicates on the bare
cursor column, so that its index serves them. The statements are few and plain, so that MySQL 5.7
to 9.7 and MariaDB 10.6 and newer run them alike.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import pymysql
from pymysql.cursors import DictCursor

from loader import lines
from loader.declared.secrets import token
from loader.declared.settings import MySQLSettings
from loader.declared.tables import Table
from loader.declared.windows import DAY, Window
from loader.errors import SourceError, counted, did_you_mean
from loader.source import tls, wire
from loader.source.days import converted
from loader.source.read_plan import Description, ReadPlan
from loader.source.texts import Column, quote_mysql

Source: TypeAlias = wire.Source
_CLIENT_ERRORS = range(2000, 3000)  # such as a lost connection [MySQL: Client Error Messages]
_DENIED, _NOT_THERE = (1044, 1142, 1143), (1049, 1146)  # a database, a table, a column
# A connection refused for now or lost, a lock's time or a deadlock, a table that was changed
# meanwhile. [MySQL: Server Error Messages, Client Error Messages]
_TRANSIENT = (
    1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1412, 2002, 2003, 2006, 2013, 2055,
)  # fmt: skip
_CONNECT_SECONDS = 10
# It reads the same everywhere, waits for a reader who waits for S3, ends no statement, and counts
# rows now. MariaDB skips MySQL's comments of 50700 to 99999. [MariaDB: Comment Syntax]
_SESSION = """
    set session time_zone = '+00:00', sql_mode = '', net_write_timeout = 3600
    /*!50708 , max_execution_time = 0 */ /*!80003 , information_schema_stats_expiry = 0 */
    /*M! , max_statement_time = 0 */
"""
# Whether reads may use an index: MySQL's may be invisible, MariaDB's ignored.
_IS_USED = "1 /*!80000 and is_visible = 'YES' */ /*M!100600 and ignored = 'NO' */"


@contextmanager
def connect(settings: MySQLSettings) -> Iterator[Source]:
    """Connect with a session that reads the same everywhere: UTC, utf8mb4, plain SQL mode.

    Raises:
        SourceError: no connection, or whatever MySQL answers to a statement later.
    """
    where, password = f"MySQL at {settings.host}:{settings.port}", settings.password
    if settings.auth == "iam":
        password = token(settings.host, settings.port, settings.user)
    try:
        context = tls.context(settings)
        connection = pymysql.connect(
            host=settings.host,
            port=settings.port,
            user=settings.user,
            password=password.encode(),  # PyMySQL itself would take it for latin1
            charset="utf8mb4",
            ssl=context,
            ssl_disabled=context is None,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_CONNECT_SECONDS,  # or a server that hangs would never greet
            write_timeout=settings.answer_seconds,
            autocommit=True,
        )
        lines.keep(connection)
    except (pymysql.err.OperationalError, OSError) as error:
        code, reason = (error.args[0], str(error.args[-1])) if error.args else (0, str(error))
        raise SourceError(
            f"Cannot connect to {where} as {settings.user}: {reason}",
            tls.remedy(settings, code, reason),
            transient=code in _TRANSIENT and "SSL" not in reason,
        ) from None
    try:
        connection._read_timeout = settings.answer_seconds  # type: ignore[attr-defined]
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            cursor.execute("set session transaction isolation level repeatable read")
        yield connection
    except pymysql.err.Error as error:
        denied = error.args[0] in _DENIED
        remedy = "Grant it: grant select on ... to the user." if denied else "Nothing was landed."
        if "timed out" in str(error.args[-1]):
            remedy += " LOADER_ANSWER_SECONDS says how long the server may take to answer."
        lost = error.args[0] in _TRANSIENT
        raise SourceError(f"{where}: {error.args[-1]}", remedy, transient=lost) from error
    finally:
        wire.hang_up(connection)


@contextmanager
def snapshot(connection: Source, table: Table) -> Iterator[None]:
    """Everything read inside sees the table, and its columns, as they were at one instant.

    The table is named before anything is read, so that from then on no ALTER of it, nor of what a
    view reads, goes through; the snapshot is that of the first read. [MySQL: Metadata Locking;
    Consistent Nonlocking Reads]
    """
    with connection.cursor() as cursor:
        cursor.execute("start transaction read only")
        try:
            cursor.execute(
                f"select 1 from {quote_mysql(table.database)}.{quote_mysql(table.source)} limit 0"
            )
        except pymysql.err.Error as error:
            if error.args[0] not in (*_DENIED, *_NOT_THERE):  # `describe` says it better
                raise
        yield
        cursor.execute("rollback")


def describe(connection: Source, table: Table) -> Description:
    """Read what MySQL knows of a table.

    Raises:
        SourceError: the table is not there, or this user may not read it.
    """
    place, where = (table.database, table.source), "where table_schema = %s and table_name = %s"
    with suppress(pymysql.err.Error):  # what is missing is said below
        # Without one, all that MySQL says of a function it lacks is "No database selected".
        connection.select_db(table.database)
    with connection.cursor(DictCursor) as named:
        named.execute(
            "select column_name as name, lower(data_type) as data_type, "
            "lower(column_type) as column_type, character_maximum_length as length, "
            "numeric_precision as `precision`, numeric_scale as scale, "
            "character_set_name as charset, is_nullable = 'YES' as nullable, "
            "lower(extra) like '%%on update current_timestamp%%' as is_touched "
            f"from information_schema.columns {where} order by ordinal_position",
            place,
        )
        columns = tuple(Column(**row) for row in named)
    parts = f"select index_name, non_unique, column_name, nullable, {_IS_USED} "
    parts += f"from information_schema.statistics {where} order by index_name, seq_in_index"
    unique_keys, leading = keys_of(fetch(connection, parts, place))
    sizes = f"select engine, table_rows from information_schema.tables {where}"
    engine, rows = next(iter(fetch(connection, sizes, place)), (None, 0))
    if not columns:
        raise _not_there(connection, table)
    return Description(
        columns=columns,
        unique_keys=unique_keys,
        leading=leading,
        engine=engine or "",
        rows=rows or 0,
    )


def _not_there(connection: Source, table: Table) -> SourceError:
    # Unlike SHOW DATABASES this refuses nobody.
    names = "select lower(schema_name) from information_schema.schemata"
    name, known = table.database, {str(each) for (each,) in fetch(connection, names)}
    fact = f"MySQL shows this user no database {name}."
    if name.lower() in known:
        names = "select table_name from information_schema.tables where table_schema = %s"
        known = {str(each) for (each,) in fetch(connection, names, [name])}
        name = table.source
        fact = f"MySQL has no table {table.place}, or this user may not read it."
    remedy = f"Check `source` of table {table.name} in the dbt source YAML, and the user's grants."
    return SourceError(fact, did_you_mean(name, known) + remedy)


def keys_of(
    parts: Sequence[tuple[str, int, str | None, str, int]],
) -> tuple[tuple[tuple[str, ...], ...], frozenset[str]]:
    """Tell from the parts of all indexes which columns are unique, and which begin an index.

    What reads may not use finds no row, but no row is there twice either. A part without a column
    is an expression: the index says nothing of the columns alone.
    [MySQL: CREATE INDEX, "Functional Key Parts"]

    Returns:
        The unique keys without a NULL, the primary one first, then the shortest; and the columns.

    >>> keys_of([("PRIMARY", 0, "ID", "", 1), ("u", 0, None, "", 1), ("i", 1, "b", "", 0)])
    ((('id',),), frozenset({'id'}))
    """
    unique, leading = list[tuple[bool, int, tuple[str, ...]]](), set[str]()
    for index, group in groupby(parts, itemgetter(0)):
        columns = list(group)
        names = tuple((column or "").lower() for _, _, column, *_ in columns)
        if all(column and not (many or null == "YES") for _, many, column, null, _ in columns):
            unique.append((index != "PRIMARY", len(names), names))
        leading |= {names[0]} if columns[0][-1] else set()
    first = sorted(unique, key=itemgetter(0, 1))
    return tuple(names for *_, names in first), frozenset(leading - {""})


def version(settings: MySQLSettings) -> str:
    """Name the server and its version; its own comment on that may be anything."""
    with connect(settings) as connection:
        number = _scalar(connection, "select version()")
    return f"{'MariaDB' if 'mariadb' in number.lower() else 'MySQL'} {number}"


def check_cursor(connection: Source, table: Table, read: ReadPlan) -> None:
    """Refuse what no window of a table could be read with.

    Raises:
        SourceError: MySQL refuses `exclude_rows`, or does not know the time zone; the table
            has rows that every window would miss: says how many; or a view has a key twice.
    """
    try:
        if table.exclude_rows:
            _scalar(connection, f"{read.select('1')} limit 0")
    except pymysql.err.Error as error:
        if error.args[0] in _CLIENT_ERRORS:
            raise
        raise SourceError(
            f"{table.place}: MySQL refuses exclude_rows "
            f"{table.exclude_rows!r}: {' '.join(str(error.args[-1]).split())}. No row was read.",
            f"Correct it in the declaration of table {table.name} in the dbt source YAML.",
        ) from None
    days = read.days
    there = converted("'2026-01-01'", days.zone) if days and days.zone.changes else ""
    if there and _scalar(connection, f"select {there}") == "None":
        raise SourceError(
            "MySQL does not know the time zone of LOADER_TIMEZONE: its zone tables are empty.",
            "As an administrator: mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql; or set "
            "LOADER_TIMEZONE to an offset such as +09:00.",
        )
    if read.description.is_view and read.key and (shown := _scalar(connection, read.repeated_key)):
        raise SourceError(
            f"{table.place} is a view, and its declared key ({', '.join(table.primary_key)}) is no "
            f"key: {shown} is there more than once, or is NULL. No row was read.",
            f"Declare for table {table.name} the columns that tell its rows apart, or "
            "`primary_key: []` without a cursor to copy the view whole.",
        )
    if days and (missed := int(_scalar(connection, read.count_without_cursor))):
        raise SourceError(
            f"The cursor {table.cursor} of {table.place} holds no day ({days.undated_values}) in "
            f"{counted(missed)}, which every window would miss. No row was read.",
            f"See them: {read.select('*', days.undated)}. Fill the cursor and make it NOT NULL, or "
            "remove `cursor` from the declaration to copy the table whole.",
        )


def count_window(connection: Source, table: Table, read: ReadPlan) -> int:
    """Count the window's rows, after a look at what no window holds.

    Raises:
        SourceError: the table has rows which no window holds.
    """
    check_cursor(connection, table, read)
    return int(_scalar(connection, read.count))


def count_future(connection: Source, read: ReadPlan) -> int | None:
    """Count the rows dated beyond today; None where no row can be."""
    if (days := read.days) is None or days.is_increasing:
        return None
    later = days.within(Window(days.zone.today() + DAY))
    return int(_scalar(connection, read.select("count(*)", later)))


def fetch(connection: Source, statement: str, of: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """Run a statement whose answer is small."""
    with connection.cursor() as cursor:
        cursor.execute(statement, of or None)
        return list(cursor.fetchall())


def _scalar(connection: Source, statement: str) -> str:
    return str((fetch(connection, statement) or [("",)])[0][0])
