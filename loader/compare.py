"""One table, compared as the two hold it at one instant."""

import time
from dataclasses import dataclass, field, replace
from datetime import date

from loader import mysql
from loader.config import Settings
from loader.copytext import SEPARATOR
from loader.differences import Differences, Finding
from loader.digest import Compared, is_exact, source_side, values_of
from loader.drill import Both, find
from loader.errors import LandingError, SourceError
from loader.keys import KeyColumns, key_columns
from loader.ledger import covered_end, day_in
from loader.reading import Reading, check_declaration, reading, where, within
from loader.tables import Table
from loader.types import quote_mysql
from loader.warehouse import Warehouse
from loader.warehouse.columns import land_anew
from loader.warehouse.newest import set_aside, warehouse_side
from loader.windows import WHOLE, Window, Zone


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A finding, the keys behind it, and the day before which all days are landed."""

    table: Table
    finding: Finding
    differences: Differences = field(default_factory=Differences)
    landed_before: date | None = None


def compare(
    table: Table,
    settings: Settings,
    warehouse: Warehouse,
    window: Window | None = None,
    with_values: bool = False,
) -> Comparison:
    """Compare what MySQL holds now with the newest version of each key in the raw table.

    What is due is compared: the rows of days that the ledger shows as landed. A row that changed
    on a later day is pending, and neither side's version of it counts. The warehouse is read as of
    an instant before the source's, so that a load between the two makes no difference.

    Args:
        window: compare these days only; None for all.
        with_values: compare all columns, not the version alone. A table without a cursor always
            is, because nothing else tells its versions apart.

    Raises:
        SourceError, LandingError: one of them cannot be read, or the key cannot be compared.
    """
    began, differences = time.monotonic(), Differences()
    finding = Finding(table=table.name, is_landed=False)
    loads = warehouse.loads(table.name)
    landed_before = covered_end(loads, lambda instant: day_in(settings.zone, instant))
    due = _due(table, window, landed_before)
    if landed_before and due:
        with warehouse.snapshot(), mysql.connect(settings.mysql) as source:
            description = mysql.describe(source, table)
            check_declaration(table, description, warehouse.dialect)
            read = reading(table, description, WHOLE, settings.zone, warehouse.dialect)
            what = _compared(table, read, warehouse, due, settings.zone, with_values)
            keys = key_columns(table, description, read, settings.zone)
            with mysql.snapshot(source):
                mysql.check_cursor(source, table, read)
                pending = _set_aside(source, warehouse, read, what, keys, landed_before)
                both = Both(
                    source=source,
                    warehouse=warehouse,
                    read=read,
                    what=what,
                    keys=keys,
                    here=source_side(description, read, what),
                    there=warehouse_side(warehouse, what, pending > 0),
                )
                finding, differences = find(both, description.rows)
        finding = replace(finding, pending=pending, left_out=what.left_out)
    finding = replace(finding, seconds=time.monotonic() - began)
    return Comparison(
        table=table, finding=finding, differences=differences, landed_before=landed_before
    )


def _due(table: Table, window: Window | None, landed_before: date | None) -> Window | None:
    """The days that can be compared; None if nothing of them has been landed."""
    if table.cursor is None or landed_before is None:
        return WHOLE if landed_before else None
    if window is None or window.start is None or window.end is None:
        return Window(None, landed_before)
    due = Window(window.start, min(window.end, landed_before))
    return due if window.start < landed_before else None


def _compared(  # noqa: PLR0913, PLR0917 - what decides it
    table: Table,
    read: Reading,
    warehouse: Warehouse,
    due: Window,
    zone: Zone,
    with_values: bool,
) -> Compared:
    held = warehouse.raw_columns(table.name)
    lands = {column.name: column for column in read.columns}
    key = tuple(lands[name.lower()] for name in table.primary_key)
    cursor = lands[table.cursor.lower()] if table.cursor else None
    for column in (*key, *filter(None, [cursor])):
        if column.name not in held:
            raise LandingError(
                f"{warehouse.schema}.{table.name} has no column {column.name}.",
                land_anew(warehouse.relation(table.name), table),
            )
        if not is_exact(table, column):
            raise SourceError(
                f"{table.name}: column {column.name} ({column.type}) identifies a row, and its "
                "values are not the same text on both sides, so that nothing can be compared.",
                "Leave the table out: loader verify --select ...",
            )
    values, left_out = values_of(table, read.columns, held)
    if cursor and not with_values:
        values, left_out = (), ()
    return Compared(
        table=table, key=key, cursor=cursor, values=values, left_out=left_out, due=due, zone=zone
    )


def _set_aside(  # noqa: PLR0913, PLR0917 - both sides, and what of them
    source: mysql.Source,
    warehouse: Warehouse,
    read: Reading,
    what: Compared,
    keys: KeyColumns,
    landed_before: date,
) -> int:
    """Give the warehouse the keys that have changed on days which are not landed yet."""
    if what.cursor is None or what.table.cursor is None:
        return 0
    later = within(
        quote_mysql(what.table.cursor),
        what.cursor.type == "date",
        Window(landed_before, None),
        what.zone,
    )
    statement = f"select {keys.texts} from {keys.source}{where(later, keys.kept)}"
    batches = mysql.stream(source, replace(read, rows=statement))
    return set_aside(
        warehouse, what, ([keys.key(row.split(SEPARATOR)) for row in batch] for batch in batches)
    )
