"""The rows of MySQL that are due, as the numbers and texts that the warehouse has too."""

from collections.abc import Sequence
from datetime import UTC, datetime

from loader.declared.tables import Table
from loader.declared.windows import DAY, Window, Zone
from loader.source import mysql
from loader.source.copytext import SEPARATOR
from loader.source.days import day_of, where, within
from loader.source.read_plan import Description, ReadPlan
from loader.source.types import RawColumn, as_bytes, quote_mysql
from loader.verify.digest import PRIME, Compared, Side, any_of, kind_of, numbers


def source_side(description: Description, read: ReadPlan, what: Compared) -> Side:
    """Write MySQL's side."""
    writer = _Writer()
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
    source: mysql.Source, table: Table, description: Description, read: ReadPlan, zone: Zone
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


class _Writer:
    """MySQL's SQL for a row's numbers and texts."""

    def whole(self, column: RawColumn) -> str:
        """Write it signed, because MySQL refuses unsigned minus something."""
        is_wide = column.type.startswith("numeric")
        return f"cast({f'mod({column.value}, {PRIME})' if is_wide else column.value} as signed)"

    def micros(self, column: RawColumn) -> str:
        return f"timestampdiff(microsecond, '1970-01-01', {column.value})"

    def text(self, column: RawColumn) -> str:
        return as_bytes(column.value)

    def told(self, column: RawColumn) -> str:
        match kind_of(column):
            case "instant":
                return self.micros(column)
            case "float":  # as the first coordinate of a point; 0e0 makes 0 of -0
                return f"hex(substr(st_asbinary(point({column.value} + 0e0, 0)), 6, 8))"
        return self.text(column)

    def value(self, column: RawColumn) -> str:
        told = self.told(column)
        return f"coalesce({f'sha2({told}, 256)' if kind_of(column) == 'text' else told}, 0x1E)"

    def joined(self, texts: Sequence[str]) -> str:
        return f"concat_ws(0x1F, {', '.join(texts)})"

    def hashed(self, text: str) -> str:
        return f"cast(conv(left(sha2({text}, 256), 12), 16, 10) as signed)"
