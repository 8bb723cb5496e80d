"""Rows that MySQL dates beyond today."""

from datetime import UTC, datetime

from loader.declared.tables import Table
from loader.declared.windows import DAY, Window, Zone
from loader.source import mysql
from loader.source.days import where, within
from loader.source.read_plan import Description, ReadPlan
from loader.source.types import quote_mysql


def future_rows(
    source: mysql.Source, table: Table, description: Description, read: ReadPlan, zone: Zone
) -> int | None:
    """Count the rows dated beyond today, which no window holds yet; None without a cursor."""
    cursor = description.column(table.cursor) if table.cursor else None
    if cursor is None:
        return None
    later = Window(zone.day(datetime.now(UTC)) + DAY, None)
    beyond = within(quote_mysql(cursor.name), cursor.data_type == "date", later, zone)
    place = f"{quote_mysql(table.database)}.{quote_mysql(table.source)}"
    return int(mysql.fetch(source, f"select count(*) from {place}{where(beyond, read.kept)}")[0][0])
