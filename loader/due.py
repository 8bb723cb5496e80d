"""The rows of MySQL that are due, as the numbers and texts that the warehouse has too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from loader import mysql
from loader.copytext import SEPARATOR
from loader.days import day_of, where, within
from loader.digest import PRIME, Compared, Side, any_of, kind_of, numbers
from loader.reading import Description, Reading, read_columns
from loader.tables import Table
from loader.types import Column, Landed, as_bytes, quote_mysql
from loader.windows import DAY, Window, Zone


def source_side(description: Description, read: Reading, what: Compared) -> Side:
    """Write MySQL's side."""
    lands = zip(read.columns, read_columns(what.table, description), strict=True)
    writer = _Writer({landed.name: column for landed, column in lands})
    cursor = description.column(what.table.cursor) if what.table.cursor else None
    name = quote_mysql(cursor.name) if cursor else ""
    day = day_of(cursor, what.zone) if cursor else ""
    of_row = numbers(writer, what)
    texts = [writer.text(column) for column in what.key]
    fields = [of_row.key, *texts, of_row.version, of_row.values, "0"]
    return Side(
        numbers=of_row,
        fields=f"concat_ws(0x{SEPARATOR.hex()}, {', '.join(fields)})",
        rows=f"from {quote_mysql(what.table.database)}.{quote_mysql(what.table.source)}"
        + where(within(name, what.is_date, what.due, what.zone) if cursor else "1 = 1", read.kept),
        day=day,
        day_number=f"(to_days({day}) - 719528)",
        of_days=lambda windows: any_of(
            within(name, what.is_date, window, what.zone) for window in windows
        ),
    )


def future_rows(
    source: mysql.Source, table: Table, description: Description, read: Reading, zone: Zone
) -> int | None:
    """Count the rows that MySQL dates beyond today, which no window holds yet; None if undated."""
    cursor = description.column(table.cursor) if table.cursor else None
    if cursor is None:
        return None
    later = Window(zone.day(datetime.now(UTC)) + DAY, None)
    name, is_date = quote_mysql(cursor.name), cursor.data_type == "date"
    statement = (
        f"select count(*) from {quote_mysql(table.database)}.{quote_mysql(table.source)}"
        + where(within(name, is_date, later, zone), read.kept)
    )
    return int(mysql.fetch(source, statement)[0][0])


@dataclass(frozen=True)
class _Writer:
    """MySQL's SQL for a row's numbers and texts."""

    columns: dict[str, Column]

    def whole(self, column: Landed) -> str:
        """Write it signed, because MySQL refuses unsigned minus something."""
        name = self._name(column)
        is_wide = column.type.startswith("numeric")
        return f"cast({f'mod({name}, {PRIME})' if is_wide else name} as signed)"

    def micros(self, column: Landed) -> str:
        return f"timestampdiff(microsecond, '1970-01-01', {self._name(column)})"

    def text(self, column: Landed) -> str:
        return as_bytes(column.text)

    def told(self, column: Landed) -> str:
        return self.micros(column) if kind_of(column) == "instant" else self.text(column)

    def value(self, column: Landed) -> str:
        told = self.told(column)
        return f"coalesce({f'md5({told})' if kind_of(column) == 'text' else told}, 0x1E)"

    def joined(self, texts: Sequence[str]) -> str:
        return f"concat_ws(0x1F, {', '.join(texts)})"

    def hashed(self, text: str) -> str:
        return f"cast(conv(left(md5({text}), 12), 16, 10) as signed)"

    def _name(self, column: Landed) -> str:
        return quote_mysql(self.columns[column.name].name)
