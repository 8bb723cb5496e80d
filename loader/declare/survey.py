"""What MySQL has: its tables and views by pattern, with what a declaration is chosen from."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from loader.declared.tables import Table
from loader.errors import CommandLineError
from loader.source import mysql
from loader.source.read_plan import Description

_SERVERS_OWN = {"information_schema", "mysql", "performance_schema", "sys"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A table or a view that MySQL has.

    Attributes:
        is_view: whether it is one; views are found by their whole name alone.
        comment: what MySQL says of it; empty without.
        key: the columns of its primary key in their order, or of the shortest unique one without
            NULL; empty if it has neither.
        touched: the columns that MySQL itself sets at every change of a row.
    """

    database: str
    name: str
    is_view: bool
    comment: str
    key: tuple[str, ...]
    touched: frozenset[str]
    description: Description

    @property
    def place(self) -> str:
        """Its name in MySQL."""
        return f"{self.database}.{self.name}"


def survey(
    source: mysql.Source, patterns: Sequence[str], excepted: Sequence[str] = ()
) -> tuple[list[Found], set[str]]:
    """Find tables by patterns such as `shop.*`, in which `*`, `?` and `[…]` stand for characters.

    Args:
        excepted: patterns of what is not meant.

    Returns:
        What was found, and the names of all that this user may read.

    Raises:
        CommandLineError: a pattern matches nothing; says what there is.
        SourceError: MySQL does not answer.
    """
    rows = mysql.fetch(
        source,
        "select table_schema, table_name, table_type, table_comment "
        "from information_schema.tables order by table_schema, table_name",
    )
    # MariaDB lists sequences among its tables.
    rows = [row for row in rows if row[0].lower() not in _SERVERS_OWN and row[2] != "SEQUENCE"]
    _check_patterns(rows, patterns)
    found = [
        _look_at(source, database, name, "VIEW" in kind, comment)
        for database, name, kind, comment in rows
        if _is_meant(f"{database}.{name}", "VIEW" in kind, patterns)
        and not any(fnmatchcase(f"{database}.{name}", pattern) for pattern in excepted)
    ]
    return found, {f"{database}.{name}" for database, name, *_ in rows}


def _is_meant(place: str, is_view: bool, patterns: Sequence[str]) -> bool:
    """Whether a table matches a pattern; a view is meant by its whole name alone."""
    return place in patterns or (
        not is_view and any(fnmatchcase(place, pattern) for pattern in patterns)
    )


def _check_patterns(rows: Sequence[tuple[str, ...]], patterns: Sequence[str]) -> None:
    for pattern in patterns:
        matched = [row for row in rows if fnmatchcase(f"{row[0]}.{row[1]}", pattern)]
        databases = ", ".join(sorted({row[0] for row in rows})) or "none"
        if not matched:
            raise CommandLineError(
                f"No table that this user may read is called {pattern}.",
                "Write DATABASE.TABLE, in quotes where it holds a *, such as 'shop.*'. "
                f"Databases: {databases}.",
            )
        if not any(_is_meant(f"{row[0]}.{row[1]}", "VIEW" in row[2], [pattern]) for row in matched):
            raise CommandLineError(
                f"{pattern} matches views only: {', '.join(row[1] for row in matched)}.",
                "A view is declared by its whole name, DATABASE.VIEW.",
            )


def _look_at(source: mysql.Source, database: str, name: str, is_view: bool, comment: str) -> Found:
    table = Table(name=name, database=database, source=name, primary_key=())
    place = (database, name)
    with source.cursor() as cursor:
        cursor.execute(
            "select index_name, column_name, nullable from information_schema.statistics "
            "where table_schema = %s and table_name = %s and non_unique = 0 "
            "order by index_name <> 'PRIMARY', index_name, seq_in_index",
            place,
        )
        parts = list(cursor)
        cursor.execute(
            "select column_name from information_schema.columns where table_schema = %s "
            "and table_name = %s and lower(extra) like '%%on update current_timestamp%%'",
            place,
        )
        touched = frozenset(column for (column,) in cursor)
    return Found(
        database=database,
        name=name,
        is_view=is_view,
        comment="" if is_view else comment,
        key=_key(parts),
        touched=touched,
        description=mysql.describe(source, table),
    )


def _key(parts: Sequence[tuple[str, str | None, str | None]]) -> tuple[str, ...]:
    """Choose the primary key, or the shortest other one; MySQL calls the former PRIMARY.

    >>> _key([("a", "x", ""), ("a", "y", ""), ("b", "z", ""), ("c", "w", "YES")])
    ('z',)
    """
    indexes = dict[str, list[tuple[str | None, str | None]]]()
    for index, column, nullable in parts:
        indexes.setdefault(index, []).append((column, nullable))
    keys = {
        index: tuple(str(column) for column, _ in columns)
        for index, columns in indexes.items()
        if all(column is not None and nullable != "YES" for column, nullable in columns)
    }
    return keys.get("PRIMARY") or min(keys.values(), key=len, default=())
