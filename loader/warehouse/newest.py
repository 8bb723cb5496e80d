"""The newest version of every key in a raw table, as the numbers and texts that MySQL has too."""

from collections.abc import Iterable, Sequence

from loader.digest import NULL_NUMBER, PRIME, Compared, Side, any_of, key_and_row, kind_of
from loader.reading import DELETED_AT, LOAD_ID, RUN_DATE, within
from loader.types import Landed
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
    columns = {column.name: column for column in (*what.key, *what.values)}
    number = {name: _number(warehouse, column) for name, column in columns.items()}
    version = _number(warehouse, what.cursor) if what.cursor else "0"
    key, values, row = key_and_row(
        [number[column.name] for column in what.key],
        [version] if what.cursor else [],
        [f"coalesce({number[column.name]}, {NULL_NUMBER})" for column in what.values],
    )
    displaced = f"case when {_DISPLACED} then 1 else 0 end"
    texts = [_text(warehouse, column) for column in what.key]
    return Side(
        fields=", ".join([key, *texts, version, values, displaced]),
        rows=_newest(warehouse, what, pending),
        day=_DAY if what.cursor else "",
        day_number=f"({_DAY} - date '1970-01-01')",
        of_days=lambda windows: any_of(
            [_DISPLACED, *(within(_DAY, True, window, what.zone) for window in windows)]
        ),
        key=key,
        row=row,
    )


def _of_window(what: Compared, cursor: Landed) -> str:
    """Write that a row is of the window, or was displaced from it."""
    by_cursor = within(_column(cursor), what.is_date, what.due, what.zone)
    return f"({within(_DAY, True, what.due, what.zone)} or ({_DISPLACED} and {by_cursor}))"


def _newest(warehouse: RawTables, what: Compared, pending: bool) -> str:
    """Write FROM and WHERE of the newest versions.

    The newest version is the greatest load's. The keys of one load are unique, so only those that
    a later load than the oldest has landed have to be ranked.
    """
    relation = warehouse.relation(what.table.name)
    names = [quote(column.name) for column in what.key]
    listed = ", ".join(names)
    joins, conditions = [f"from {relation} as landed"], ["1 = 1"]
    oldest, newest = warehouse.execute(f"select min({LOAD_ID}), max({LOAD_ID}) from {relation}")[0]
    if names and oldest != newest:
        joins.append(
            f"left join (select {listed}, max({LOAD_ID}) as newest from {relation} "
            f"where {LOAD_ID} > {warehouse.literal(oldest)} group by {listed}) as later "
            f"on {_same('later', names)}"
        )
        conditions.append(f"(later.newest is null or later.newest = landed.{LOAD_ID})")
    if pending:
        joins.append(f"left join {_PENDING} as pending on {_same('pending', names)}")
        conditions.append(f"pending.{names[0]} is null")
    if DELETED_AT in warehouse.raw_columns(what.table.name):
        conditions.append(f"landed.{DELETED_AT} is null")
    if what.cursor and what.due.start:
        conditions.append(_of_window(what, what.cursor))
    return f"{' '.join(joins)} where {' and '.join(conditions)}"


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


def _column(column: Landed) -> str:
    return f"landed.{quote(column.name)}"


def _number(warehouse: RawTables, column: Landed) -> str:
    name = _column(column)
    match kind_of(column):
        case "instant":
            return warehouse.micros(f"cast({name} as timestamp)")
        case "whole":
            is_wide = column.type.startswith("numeric")
            return f"cast({f'mod({name}, {PRIME})' if is_wide else name} as bigint)"
    return warehouse.hashed(_text(warehouse, column))


def _text(warehouse: RawTables, column: Landed) -> str:
    """Write a value's text as it was staged, but for an instant's closing zeros."""
    name = _column(column)
    kind = column.type.partition("(")[0]
    if kind in ("bytea", "varbyte"):
        return warehouse.staged_bytes(name)
    if kind in ("date", "timestamp"):
        time = "" if kind == "date" else " HH24:MI:SS.US"
        return f"to_char({name}, 'YYYY-MM-DD{time}')"
    if kind in ("varchar", "text"):
        return name
    return f"cast(cast({name} as {column.type}) as varchar)"  # the raw column may be wider


def _literals(warehouse: RawTables, what: Compared, key: Sequence[str]) -> list[str]:
    return [
        warehouse.from_staged_bytes(text)
        if column.type.startswith(("bytea", "varbyte"))
        else f"cast({warehouse.literal(text)} as {column.type})"
        for column, text in zip(what.key, key, strict=True)
    ]
