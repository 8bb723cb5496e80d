"""The newest version of every key in a raw table, as the numbers and texts that MySQL has too."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loader.source.days import within
from loader.source.read_plan import DELETED_AT, LOAD_ID, RUN_DATE
from loader.source.types import RawColumn
from loader.verify.digest import PRIME, Compared, Side, any_of, kind_of, numbers
from loader.warehouse.columns import RawTables
from loader.warehouse.session import quote

_PENDING = "_pending"
_DAY, _DISPLACED = f"landed.{RUN_DATE}", f"landed.{RUN_DATE} is null"


def warehouse_side(warehouse: RawTables, what: Compared, pending: bool) -> Side:
    """Write the warehouse's side.

    Unless some days were asked for, all that the warehouse holds is compared: what the source has
    of it is either due or set aside, and anything else is a difference.

    Args:
        pending: whether the keys of `set_aside` are left out.
    """
    writer = _Writer(warehouse)
    of_row = numbers(writer, what)
    texts = [writer.text(column) for column in what.key]
    displaced = f"case when {_DISPLACED} then 1 else 0 end"
    return Side(
        numbers=of_row,
        fields=", ".join([of_row.key, *texts, of_row.version, of_row.values, displaced]),
        rows=_newest(warehouse, what, pending),
        day=_DAY if what.cursor else "",
        day_number=f"({_DAY} - date '1970-01-01')",
        of_days=lambda windows: any_of(
            [_DISPLACED, *(within(_DAY, True, window, what.zone) for window in windows)]
        ),
    )


@dataclass(frozen=True)
class _Writer:
    """The warehouse's SQL for a row's numbers and texts."""

    warehouse: RawTables

    def whole(self, column: RawColumn) -> str:
        name = _column(column)
        is_wide = column.type.startswith("numeric")
        return f"cast({f'mod({name}, {PRIME})' if is_wide else name} as bigint)"

    def micros(self, column: RawColumn) -> str:
        return self.warehouse.micros(f"cast({_column(column)} as timestamp)")

    def text(self, column: RawColumn) -> str:
        name, (kind, *_) = _column(column), column.type.partition("(")
        if kind in ("bytea", "varbyte"):
            return self.warehouse.staged_bytes(name)
        if kind in ("date", "timestamp"):
            time = "" if kind == "date" else " HH24:MI:SS.US"
            return f"to_char({name}, 'YYYY-MM-DD{time}')"
        if kind in ("varchar", "text"):
            return name
        return f"cast(cast({name} as {column.type}) as varchar)"  # the raw column may be wider

    def told(self, column: RawColumn) -> str:
        match kind_of(column):
            case "instant":
                return f"cast({self.micros(column)} as varchar)"
            case "float":
                number = f"cast({_column(column)} as {column.type})"  # the raw one may be wider
                return self.warehouse.bits(f"cast({number} as double precision) + 0")
        return self.text(column)

    def value(self, column: RawColumn) -> str:
        told = self.told(column)
        is_text = kind_of(column) == "text"
        return f"coalesce({self.warehouse.sha256(told) if is_text else told}, chr(30))"

    def joined(self, texts: Sequence[str]) -> str:
        return " || chr(31) || ".join(texts)

    def hashed(self, text: str) -> str:
        return self.warehouse.hashed(text)


def _of_window(what: Compared, cursor: RawColumn) -> str:
    """Write that a row is of the window, or was displaced from it."""
    by_cursor = within(_column(cursor), what.is_date, what.due, what.zone)
    return f"({within(_DAY, True, what.due, what.zone)} or ({_DISPLACED} and {by_cursor}))"


def _newest(warehouse: RawTables, what: Compared, pending: bool) -> str:
    """Write FROM and WHERE of the newest versions: of each key, the one of the greatest load."""
    names = [quote(column.name) for column in what.key]
    joins = [f"from {warehouse.relation(what.table.name)} as landed"]
    conditions = ["1 = 1"]
    if names and (repeated := _repeated(warehouse, what, ", ".join(names))):
        joins.append(f"left join ({repeated}) as repeated on {_same('repeated', names)}")
        conditions.append(f"(repeated.newest is null or repeated.newest = landed.{LOAD_ID})")
    if pending:
        joins.append(f"left join {_PENDING} as pending on {_same('pending', names)}")
        conditions.append(f"pending.{names[0]} is null")
    if DELETED_AT in warehouse.raw_columns(what.table.name):
        conditions.append(f"landed.{DELETED_AT} is null")
    if what.cursor and what.due.start:
        conditions.append(_of_window(what, what.cursor))
    return f"{' '.join(joins)} where {' and '.join(conditions)}"


def _repeated(warehouse: RawTables, what: Compared, key: str) -> str:
    """Write the query for the newest load of keys that more than one load may have landed.

    The keys of one load are unique, so only those that a later one than the oldest of the rows
    compared has landed have to be looked at; unless that is most of the table.
    """
    relation = warehouse.relation(what.table.name)
    compared = _of_window(what, what.cursor) if what.cursor and what.due.start else "1 = 1"
    ((oldest,),) = warehouse.execute(
        f"select min(landed.{LOAD_ID}) from {relation} as landed where {compared}"
    )
    later = f"{LOAD_ID} > {warehouse.literal(oldest or '')}"
    ((rows,),) = warehouse.execute(f"select count(*) from {relation} where {later}")
    if not oldest or not rows:
        return ""
    query = f"select {key}, max({LOAD_ID}) as newest from {relation}"
    if rows > what.about_rows // 2:
        return f"{query} group by {key} having count(*) > 1"
    return f"{query} where {later} group by {key}"


def set_aside(warehouse: RawTables, what: Compared, keys: Iterable[Sequence[Sequence[str]]]) -> int:
    """Remember keys whose present version is not due yet, until the transaction ends.

    Args:
        keys: batches of keys, each the texts of its columns.

    Returns:
        How many there are.
    """
    count = 0
    for batch in keys:
        if not count:
            listed = ", ".join(quote(column.name) for column in what.key)
            relation = warehouse.relation(what.table.name)
            warehouse.execute(
                f"create temporary table {_PENDING} as select {listed} from {relation} where 1 = 0"
            )
        rows = ", ".join(f"({', '.join(_literals(warehouse, what, key))})" for key in batch)
        warehouse.execute(f"insert into {_PENDING} values {rows}")
        count += len(batch)
    return count


def _same(other: str, names: Sequence[str]) -> str:
    return " and ".join(f"{other}.{name} = landed.{name}" for name in names)


def _column(column: RawColumn) -> str:
    return f"landed.{quote(column.name)}"


def _literals(warehouse: RawTables, what: Compared, key: Sequence[str]) -> list[str]:
    return [
        warehouse.from_staged_bytes(text)
        if column.type.startswith(("bytea", "varbyte"))
        else f"cast({warehouse.literal(text)} as {column.type})"
        for column, text in zip(what.key, key, strict=True)
    ]
