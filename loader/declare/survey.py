"""What MySQL has: tables by pattern, what looks personal, and what is not as it is declared."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from loader.declared.policies import Policy
from loader.declared.tables import Table
from loader.errors import CommandLineError, LoaderError
from loader.source import mysql
from loader.source.declaration import check_declaration
from loader.source.read_plan import Description
from loader.source.texts import BINARIES, TEXTS, Column
from loader.source.types import Dialect

_SERVERS_OWN = {"information_schema", "mysql", "performance_schema", "sys"}
_SECRET = re.compile(
    r"passw|(?:^|_)(?:new)?pass\d?(?:$|_)|pwd|secret(?!ar)|(?:private|api|access)_?key|"
    r"salt(?:$|_)|(?:^|_)otp(?:$|_)|credential"
)
_PERSONAL = re.compile(
    r"e_?mail|(?:^|_)mail$|phone|mobile|(?:^|_)fax|birth|(?:^|_)born|(?:^|_)dob|token|iban|(?:^|_)bic(?:$|_)|"
    r"card_?n|ccnum|(?:^|_)cv[cv]|(?:^|_)ssn|passport|tax_?(?:id|n)|vat_?n|"
    r"(?:first|last|full|middle|sur|family|given|maiden|user|nick)_?name|(?:^|_)login$|address|"
    r"street|post_?code|postal|(?:^|_)zip|(?:^|_)(?:last|first)?ip(?:$|_)|gender|(?:^|_)sex(?:$|_)"
)
# A column `name` is a person's in a table of people only.
_PEOPLE = re.compile(
    r"(?:^|_)(?:user|customer|client|contact|person|people|employee|staff|member|patient|student|"
    r"teacher|driver|guest|passenger|subscriber|recipient|author|lead|applicant)s?$"
)
# Of numbers and days only those that tell who somebody is: most are counts, keys or events.
_OF_ONE = re.compile(
    r"phone|mobile|birth|(?:^|_)(?:born|dob)|card_?n|ccnum|(?:^|_)ssn|tax_?n|passport"
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A table or a view that MySQL has; views are found by their whole name alone.

    Attributes:
        comment: what MySQL says of a table; empty without.
    """

    database: str
    name: str
    comment: str
    description: Description

    @property
    def place(self) -> str:
        """Its name in MySQL, `database.table`."""
        return f"{self.database}.{self.name}"

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row, in lower case; empty if none do."""
        return next(iter(self.description.unique_keys), ())


def survey(
    source: mysql.Source, patterns: Sequence[str], excepted: Sequence[str] = ()
) -> tuple[list[Found], list[str], set[str]]:
    """Find tables by patterns such as `shop.*`, in which `*`, `?` and `[…]` stand for characters.

    Args:
        excepted: patterns of what is not meant.

    Returns:
        What was found; the views that match a pattern, and were not asked for by their whole names;
        and the names of all that this user may read.

    Raises:
        CommandLineError: a pattern matches nothing; says what there is.
        SourceError: MySQL does not answer.
    """
    rows = mysql.fetch(
        source,
        "select table_schema, table_name, table_type, table_comment "
        "from information_schema.tables order by table_schema, table_name",
    )
    # MariaDB lists sequences among its tables. [MariaDB: Information Schema TABLES Table]
    rows = [row for row in rows if row[0].lower() not in _SERVERS_OWN and row[2] != "SEQUENCE"]
    _check_patterns(rows, patterns)
    there = {f"{database}.{name}" for database, name, *_ in rows}
    rows = [row for row in rows if not _matches(f"{row[0]}.{row[1]}", excepted)]
    found = [
        Found(
            database=database,
            name=name,
            comment="" if "VIEW" in kind else comment,
            description=mysql.describe(
                source, Table(name=name, database=database, source=name, primary_key=())
            ),
        )
        for database, name, kind, comment in rows
        if _is_meant(f"{database}.{name}", "VIEW" in kind, patterns)
    ]
    views = {f"{row[0]}.{row[1]}" for row in rows if "VIEW" in row[2]} - {*patterns}
    return found, sorted(each for each in views if _matches(each, patterns)), there


def differences(
    found: Sequence[Found],
    there: Collection[str],
    declared: Collection[Table],
    patterns: Sequence[str],
    dialect: Dialect,
) -> Iterator[str]:
    """Say what of the declared tables is not in MySQL as it is declared.

    Args:
        found: what was found by the patterns.
        there: the names of all that MySQL has.
        patterns: what was asked about; other declared tables are not looked at.
        dialect: what the warehouse takes as a name.
    """
    looked_at = {each.place: each for each in found}
    for table in declared:
        place = table.place
        if place not in there and _matches(place, patterns):
            yield f"{place}: MySQL has no such table any more, and {table.name} is declared"
        if (each := looked_at.get(place)) is None:
            continue
        try:
            # What is declared counts as held: a column that is left out may be gone from MySQL.
            check_declaration(
                table, each.description, dialect, {table.name: table.policies}.__getitem__
            )
        except LoaderError as error:
            yield error.fact.rstrip(".")
        for column in each.description.columns:
            if column.name.lower() not in table.policies and personal(column, each.name).pii:
                yield f"{place}: {column.name} looks personal, and nothing says how it lands"


def _is_meant(place: str, is_view: bool, patterns: Sequence[str]) -> bool:
    """Whether a table matches a pattern; a view is meant by its whole name alone."""
    return place in patterns or (not is_view and _matches(place, patterns))


def _matches(place: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(place, pattern) for pattern in patterns)


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


def words_of(name: str) -> str:
    """Write a column's name in lower case, its words joined by underscores."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|\W+", "_", name).lower()


def personal(column: Column, table: str) -> Policy:
    """Tell from a column's name whether its values are personal, or a secret that nobody needs.

    Args:
        table: its table's name in MySQL.

    >>> personal(Column(name="homePhone", data_type="varchar", column_type="varchar(9)"), "t").pii
    True
    >>> personal(Column(name="password_hash", data_type="char", column_type="char(60)"), "t").mask
    'drop'
    """
    words = words_of(column.name)
    if column.data_type in TEXTS | BINARIES and _SECRET.search(words):
        return Policy(pii=True, mask="drop")
    if column.data_type in TEXTS | BINARIES:
        is_name = words == "name" and bool(_PEOPLE.search(words_of(table)))
        return Policy(pii=is_name or bool(_PERSONAL.search(words)))
    return Policy(pii=bool(_OF_ONE.search(words)) and not words.endswith("_id"))
