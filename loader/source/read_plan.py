"""What MySQL says of a table, and the statements that count and read one window of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from loader.declared.tables import Table
from loader.declared.windows import Window, Zone
from loader.errors import SourceError
from loader.source.copytext import NULL, REFUSED, SEPARATOR
from loader.source.days import Days, where
from loader.source.texts import Column, as_bytes, choice, hash_text, marker, quote_mysql
from loader.source.types import REDSHIFT, Dialect, RawColumn, raw_column

LOADER_NAMES = ("_run_date", "_load_id", "_loaded_at", "_deleted_at")
RUN_DATE, LOAD_ID, LOADED_AT, DELETED_AT = LOADER_NAMES
"""The columns that every raw table has besides its source's."""
WIDER = "_wider"
"""What Redshift calls a column while it is being widened."""
LOCK = "_lock_"
"""The prefix of the table that is locked in place of a raw table."""
LARGE = 100_000  # rows, by MySQL's estimate, from which reading all at every load is told
HASH = "char(64)"
"""The raw type of a hash. No other column has it, and it is no wider type of any other, so
hashes never land beside values that were landed as they are."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """A declared table as MySQL has it.

    Attributes:
        columns: in the table's order, invisible and generated ones included.
        unique_keys: the columns of each key without a NULL, the primary one's first.
        leading: the columns that an index begins with.
        engine: the storage engine; only InnoDB reads from a snapshot. A view has none.
        rows: the engine's estimate.
    """

    columns: tuple[Column, ...]
    unique_keys: tuple[tuple[str, ...], ...]
    leading: frozenset[str]
    engine: str
    rows: int

    def column(self, name: str) -> Column | None:
        """Look a column up; MySQL's column names do not differ by case."""
        return next((each for each in self.columns if each.name.lower() == name.lower()), None)

    @property
    def is_view(self) -> bool:
        """Whether it is a view, whose keys and indexes MySQL does not tell."""
        return not self.engine


@dataclass(frozen=True, kw_only=True)
class ReadPlan:
    """How one window of one table is counted and read.

    Attributes:
        source: the table, quoted.
        columns: how each column of the table lands that is not left out.
        key: those of them that identify a row.
        fields: the names of the fields of a row: the columns, and `_run_date` with a cursor.
        row: the expression of a row as one string.
        inside: the condition of a row of the window; empty for all.
        kept: the condition of a row that the declaration does not leave out; empty for all.
        days: those that the cursor puts rows into; None without.
    """

    description: Description
    source: str
    columns: tuple[RawColumn, ...]
    key: tuple[RawColumn, ...]
    fields: tuple[str, ...]
    row: str
    inside: str
    kept: str
    days: Days | None

    def select(self, what: str, *conditions: str) -> str:
        """Write a statement on the table's rows; the conditions of a window come first."""
        return f"select {what} from {self.source}{where(*conditions, self.kept)}"

    @property
    def rows(self) -> str:
        """Write the statement that reads the window's rows, each as one string."""
        return self.select(self.row, self.inside)

    @property
    def count(self) -> str:
        """Write the statement that counts the window's rows."""
        return self.select("count(*)", self.inside)

    @property
    def count_without_cursor(self) -> str:
        """Write the one that counts the rows that no window holds; empty without a cursor."""
        return self.select("count(*)", self.days.undated) if self.days else ""

    @property
    def repeated_key(self) -> str:
        """Write the one that finds a key that a view has twice, or without a value."""
        shown = ", ', ', ".join(
            "'(hashed)'" if each.type == HASH else f"coalesce(min({each.text}), 'NULL')"
            for each in self.key
        )
        names = [each.column.quoted for each in self.key]
        is_wrong = " or ".join(["count(*) > 1", *(f"{name} is null" for name in names)])
        found = self.select(f"convert(concat('(', {shown}, ')') using utf8mb4)")
        return f"{found} group by {', '.join(names)} having {is_wrong} limit 1"

    @property
    def hashed(self) -> list[str]:
        """The fields that MySQL answers a hash of, which wants the salt yet."""
        return [each.name for each in self.columns if each.type == HASH]


def days_of(table: Table, description: Description, zone: Zone) -> Days | None:
    """Say what days the cursor puts a table's rows into; None without one."""
    if table.cursor is None:
        return None
    columns = tuple(filter(None, map(description.column, table.cursor.columns)))
    return Days(cursor=table.cursor, columns=columns, zone=zone)


def cost_of_windows(table: Table, description: Description) -> str:
    """Say what each window costs because its cursor has no index; empty if that is little."""
    is_asked = table.cursor and description.rows >= LARGE and not description.is_view
    columns = table.cursor.columns if table.cursor and is_asked else ()
    if not (bare := [each for each in columns if each.lower() not in description.leading]):
        return ""
    indexes = (f"create index {each} on {table.source} ({each})" for each in bare)
    return (
        f"no index of {table.place} that reads may use begins with {', '.join(bare)}, so every "
        f"window reads the whole table, about {description.rows:,} rows; {'; '.join(indexes)}"
    )


def plan_read(
    table: Table, description: Description, window: Window, days: Days | None, dialect: Dialect
) -> ReadPlan:
    """Write the statements for a window.

    No expression yields NULL: where MySQL answers NULL because a string would pass
    max_allowed_packet, the reader sees it. So rows are joined by CONCAT, which is NULL if one of
    its arguments is, and not by CONCAT_WS, which leaves that argument out.

    Raises:
        SourceError: a column's type has no equal in the warehouse; names table and column.
    """
    read = read_columns(table, description)
    columns = {each.name.lower(): _raw_column(table, each, dialect, days) for each in read}
    expressions = [
        f"if({each.column.quoted} is null, {marker(NULL)}, {each.text})"
        if each.column.nullable
        else each.text
        for each in columns.values()
    ]
    fields = [*columns]
    if days:
        # A row without a day is refused by its cursor's value.
        expressions.append(f"coalesce({days.day}, '')" if days.is_digits else days.day)
        fields.append(RUN_DATE)
    return ReadPlan(
        description=description,
        source=f"{quote_mysql(table.database)}.{quote_mysql(table.source)}",
        columns=tuple(columns.values()),
        key=tuple(columns[name.lower()] for name in table.primary_key),
        fields=tuple(fields),
        row=_joined(expressions),
        inside=days.within(window) if days and not window.is_whole else "",
        # A condition that is neither true nor false leaves no row out.
        kept=f"not coalesce(({table.exclude_rows}), false)" if table.exclude_rows else "",
        days=days,
    )


def _joined(expressions: Sequence[str]) -> str:
    """Write a row as one string of bytes.

    One binary string makes bytes of all that it is joined to, in less of MySQL's time than a cast
    of each would take. Most rows have one, among their marks.
    """
    fields = f", 0x{SEPARATOR.hex()}, ".join(expressions)
    binary = as_bytes("''")
    return f"concat({fields})" if "as binary)" in fields else f"concat({binary}, {fields})"


def read_columns(table: Table, description: Description) -> list[Column]:
    """Leave out the columns that the declaration does."""
    return [each for each in description.columns if not table.policy(each.name).is_left_out]


def _raw_column(table: Table, column: Column, dialect: Dialect, days: Days | None) -> RawColumn:
    policy = table.policy(column.name)
    if policy.mask == "hash":
        text = as_bytes(f"sha2({hash_text(column)}, 256)")
        return RawColumn(name=column.name.lower(), type=HASH, value=text, text=text, column=column)
    try:
        lands = raw_column(column, dialect, policy.on_unrepresentable)
    except SourceError as error:
        raise SourceError(f"{table.place}: {error.fact}", error.remedy) from None
    refused = [days.refused(column)] if days else []
    is_key = lands.name in {name.lower() for name in table.primary_key}
    if is_key and dialect == REDSHIFT and lands.type.startswith("varchar"):
        # Another key may differ by blanks at its end alone, and Redshift would take the two for
        # one. In MySQL a binary text has no such blanks. [Redshift: "Significance of trailing
        # blanks"; MySQL: The CHAR and VARCHAR Types]
        refused.append(f"right({as_bytes(lands.text)}, 1) = 0x20")
    refusal = f"concat({marker(REFUSED)}, {lands.text})"
    return replace(lands, text=choice(refused, refusal, lands.text))
