"""What both sides compute of their rows, so that a few numbers tell whether they hold the same.

Every row becomes one whole number below 2^31 by arithmetic that MySQL, PostgreSQL and Redshift do
alike: whole numbers as they are, instants as microseconds, texts as the first twelve digits of
their MD5. Of many rows the sum of the squares is compared, together with their number: two sets of
rows that differ have the same sum about once in 2^60 times. Squares, because a plain sum would not
see that two rows have exchanged their versions.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from loader.copytext import SEPARATOR
from loader.reading import Description, Reading, day_of, read_columns, where, within
from loader.tables import Table
from loader.types import Column, Landed, quote_mysql
from loader.windows import Window, Zone

PRIME = 2_147_483_629
"""The largest number that a row becomes, and 1; products of two of them fit a BIGINT."""
_FACTOR = 1_103_515_245
NULL_NUMBER = -1_234_567_891
"""What stands for NULL."""
_CHANGING = ("null", "strip", "truncate")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What is compared of a table's rows.

    Attributes:
        key: what identifies a row; empty if nothing does.
        cursor: the column that says which version it is, None without.
        values: the columns whose values are compared as well.
        left_out: the columns whose values would be, and cannot.
        due: the days that are compared, up to those that are not landed yet; a table without a
            cursor has none.
    """

    table: Table
    key: tuple[Landed, ...]
    cursor: Landed | None
    values: tuple[Landed, ...]
    left_out: tuple[str, ...]
    due: Window
    zone: Zone

    @property
    def is_date(self) -> bool:
        """Whether the cursor holds days, which no time zone moves."""
        return self.cursor is not None and self.cursor.type == "date"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side's SQL for the same rows.

    Attributes:
        fields: what is selected of a row: its key's number, the key's texts, the version's
            microseconds (0 without a cursor), the values' number, and whether a landing has found
            the row gone from its window (1) or not (0).
        rows: FROM and WHERE; more conditions may follow after `and`.
        day: the day that a row belongs to; empty without a cursor.
        day_number: the days from 1970 to it.
        of_days: writes the condition that a row belongs to one of some windows, or was found gone.
        key: the key's number.
        row: the row's number.
    """

    fields: str
    rows: str
    day: str
    day_number: str
    of_days: Callable[[Sequence[Window]], str]
    key: str
    row: str

    def totals(self, bucket: str, also: str = "") -> str:
        """Write the statement for the number of rows and their digest, per bucket."""
        numbered = f"select {bucket} as bucket, {self.row} as x {self.rows}{also}"
        return f"select bucket, count(*), sum(x * x) from ({numbered}) as numbered group by bucket"

    def listing(self, also: str = "") -> str:
        """Write the statement for the rows' fields, in the order of the key's number."""
        return f"select {self.fields} {self.rows}{also} order by {self.key}"


def values_of(
    table: Table, columns: Sequence[Landed], held: Collection[str]
) -> tuple[tuple[Landed, ...], tuple[str, ...]]:
    """Tell the columns whose values can be compared from those whose cannot.

    Args:
        held: the columns that the raw table has.
    """
    named = {name.lower() for name in (*table.primary_key, table.cursor or "")}
    others = [column for column in columns if column.name not in named]
    exact = [each for each in others if is_exact(table, each) and each.name in held]
    left_out = [column.name for column in others if column not in exact]
    return tuple(exact), tuple(left_out)


def is_exact(table: Table, column: Landed) -> bool:
    """Whether a value is the same on both sides, so that it can be compared and be a key."""
    policy = table.policy(column.name)
    changes = policy.is_hashed or policy.on_unrepresentable in _CHANGING
    return kind_of(column) != "float" and not changes


def kind_of(column: Landed) -> str:
    """Say how a column becomes a number: `whole`, `instant`, `text`, or not at all: `float`."""
    name, _, sizes = column.type.partition("(")
    if name in ("smallint", "integer", "bigint") or (name == "numeric" and ",0)" in sizes):
        return "whole"
    if name in ("date", "timestamp"):
        return "instant"
    return "float" if name in ("real", "double precision") else "text"


def folded(numbers: Sequence[str]) -> str:
    """Write the one number, between -PRIME and PRIME, that some numbers become together."""
    first, *others = numbers
    whole = f"mod({first}, {PRIME})"
    for number in others:
        whole = f"mod({whole} * {_FACTOR} + mod({number}, {PRIME}), {PRIME})"
    return whole


def key_and_row(
    key: Sequence[str], cursor: Sequence[str], values: Sequence[str]
) -> tuple[str, str, str]:
    """Write the numbers of a key, of the values, and of the whole row."""
    value = folded(values) if values else "0"
    identity = folded(key) if key else value
    versions = [*cursor, *([value] if values and key else [])]
    return identity, value, folded([identity, *versions])


def source_side(description: Description, read: Reading, what: Compared) -> Side:
    """Write MySQL's side."""
    table, zone = what.table, what.zone
    columns = {
        lands.name: column
        for lands, column in zip(read.columns, read_columns(table, description), strict=True)
    }

    def number(lands: Landed) -> str:
        return _number(columns[lands.name], lands)

    cursor = what.cursor and columns[what.cursor.name]
    key, values, row = key_and_row(
        [number(lands) for lands in what.key],
        [number(what.cursor)] if what.cursor else [],
        [f"coalesce({number(lands)}, {NULL_NUMBER})" for lands in what.values],
    )
    version = number(what.cursor) if what.cursor else "0"
    day = day_of(cursor, zone) if cursor else ""
    name = quote_mysql(cursor.name) if cursor else ""
    fields = [key, *(lands.text for lands in what.key), version, values, "0"]
    return Side(
        fields=f"concat_ws(0x{SEPARATOR.hex()}, {', '.join(fields)})",
        rows=f"from {quote_mysql(table.database)}.{quote_mysql(table.source)}"
        + where(within(name, what.is_date, what.due, zone) if cursor else "1 = 1", read.kept),
        day=day,
        day_number=f"(to_days({day}) - 719528)",
        of_days=lambda windows: any_of(within(name, what.is_date, each, zone) for each in windows),
        key=key,
        row=row,
    )


def any_of(conditions: Iterable[str]) -> str:
    """Write that one of some conditions holds; none holds of none."""
    return f"({' or '.join(conditions) or '1 = 0'})"


def _number(column: Column, lands: Landed) -> str:
    """Write a value's number in MySQL; signed, because it refuses unsigned minus something."""
    quoted = quote_mysql(column.name)
    match kind_of(lands):
        case "instant":
            return f"timestampdiff(microsecond, '1970-01-01', {quoted})"
        case "whole":
            is_wide = lands.type.startswith("numeric")
            return f"cast({f'mod({quoted}, {PRIME})' if is_wide else quoted} as signed)"
    return f"cast(conv(left(md5({lands.text}), 12), 16, 10) as signed)"
