"""One table, compared as the two hold it at one instant."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from loader.declared.settings import Settings
from loader.declared.tables import Table
from loader.declared.windows import WHOLE, Window
from loader.errors import LandingError, SourceError
from loader.source import mysql
from loader.source.copytext import SEPARATOR
from loader.source.days import where, within
from loader.source.keys import KeyColumns, key_columns
from loader.source.read_plan import ReadPlan, check_declaration, plan_read
from loader.source.types import RawColumn, quote_mysql
from loader.verify.differences import Differences, Finding
from loader.verify.digest import Compared, is_exact, values_of
from loader.verify.drill import Both, find
from loader.verify.due import future_rows, source_side
from loader.verify.newest import set_aside, warehouse_side
from loader.warehouse import Warehouse
from loader.warehouse.columns import land_anew
from loader.warehouse.ledger import covered_end


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
    began = time.monotonic()
    landed_before = covered_end(warehouse.loads(table.name), settings.zone)
    due = _due(table, window, landed_before)
    if landed_before is None or due is None:
        return Comparison(table=table, finding=Finding(table=table.name, is_landed=False))
    with warehouse.snapshot(), mysql.connect(settings.mysql) as source:
        held = warehouse.raw_columns(table.name)  # its instant comes before the source's
        with mysql.snapshot(source, table):
            description = mysql.describe(source, table)
            check_declaration(table, description, warehouse.dialect, warehouse.raw_columns)
            read = plan_read(table, description, WHOLE, settings.zone, warehouse.dialect)
            what = Compared(
                table=table,
                key=_identifying(table, read, warehouse, table.primary_key),
                cursor=next(
                    iter(_identifying(table, read, warehouse, (table.cursor or "",))), None
                ),
                due=due,
                landed_before=landed_before,
                zone=settings.zone,
                about_rows=description.rows,
            )
            if with_values or not table.cursor:
                values, left_out = values_of(table, read.columns, held)
                what = replace(what, values=values, left_out=left_out)
            keys = key_columns(table, description, read, settings.zone)
            mysql.check_cursor(source, table, read)
            future = future_rows(source, table, description, read, settings.zone)
            pending = _set_aside(source, warehouse, read, what, keys)
            here = source_side(description, read, what)
            there = warehouse_side(warehouse, what, pending > 0)
            both = Both(
                source=source, warehouse=warehouse, read=read,
                what=what, keys=keys, here=here, there=there,
            )  # fmt: skip
            finding, differences = find(both)
    finding = replace(
        finding,
        pending=pending,
        future=future or 0,
        left_out=what.left_out,
        seconds=time.monotonic() - began,
    )
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


def _identifying(
    table: Table, read: ReadPlan, warehouse: Warehouse, names: Sequence[str]
) -> tuple[RawColumn, ...]:
    """Look up columns that tell rows or versions apart.

    Raises:
        LandingError: the raw table does not have one yet.
        SourceError: the values of one are not the same on both sides.
    """
    held = warehouse.raw_columns(table.name)
    wanted = {name.lower() for name in names}
    found = {column.name: column for column in read.columns if column.name in wanted}
    for column in found.values():
        if column.name not in held:
            raise LandingError(
                f"{warehouse.schema}.{table.name} has no column {column.name}.",
                land_anew(warehouse.relation(table.name), table),
            )
        if not is_exact(table, column):
            raise SourceError(
                f"{table.name}: column {column.name} ({column.type}) tells rows apart, and its "
                "values are not the same text on both sides, so nothing can be compared.",
                "Leave the table out: loader verify --select ...",
            )
    return tuple(found[name.lower()] for name in names if name)


def _set_aside(
    source: mysql.Source, warehouse: Warehouse, read: ReadPlan, what: Compared, keys: KeyColumns
) -> int:
    """Give the warehouse the keys that have changed on days which are not landed yet."""
    if what.table.cursor is None:
        return 0
    name, later = quote_mysql(what.table.cursor), Window(what.landed_before, None)
    conditions = where(within(name, what.is_date, later, what.zone), keys.kept)
    statement = f"select {keys.texts} from {keys.source}{conditions}"
    batches = mysql.stream(source, replace(read, rows=statement))
    return set_aside(
        warehouse, what, ([keys.key(row.split(SEPARATOR)) for row in batch] for batch in batches)
    )
