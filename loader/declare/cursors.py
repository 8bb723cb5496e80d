"""Which columns tell when a row changed: by their types, their names and their values."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from loader.declare.survey import Found, words_of
from loader.declared.tables import DIGITS, Cursor, Table
from loader.errors import SourceError
from loader.source import mysql
from loader.source.days import where
from loader.source.declaration import kinds_of
from loader.source.read_plan import Description, ReadPlan, cost_of_windows
from loader.source.texts import Column, quote_mysql

_CHANGED = re.compile(
    r"(?:^|_)(?:last|time|date)?(?:upd|updated?|modif|modified|changed?|edited|written|touched|mtime)"
    r"(?:_|$)"
)
_CREATED = re.compile(
    r"(?:^|_)(?:time|date)?(?:add|added|creat|created?|creation|inserted|registered|ctime)(?:_|$)"
)
_NO_TIME = re.compile("next|check|expir|until|_(?:by|id|user|count)$")
_SINCE, _YEAR = 631_152_000, 31_536_000  # 1990, in seconds from 1970
_SORTS = {"datetime": 1, "timestamp": 1, "date": 2, "int": 3, "bigint": 3}
_PER_SECOND = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}


def choose_cursor(
    source: mysql.Source, table: Table, found: Found, plan: Callable[[Table], ReadPlan], most: int
) -> tuple[Cursor | None, list[str]]:
    """Choose the column that tells when a row changed, or two, if their days can be read.

    Args:
        plan: plans to read a table, with the cursor that is tried.
        most: the rows up to which a table without an index is looked at.

    Returns:
        The cursor, and what a person should know of it; or why there is none.
    """
    remarks = list[str]()
    for columns in _candidates(found.description):
        cursor = Cursor(columns=tuple(column.name for column in columns))
        cost = cost_of_windows(replace(table, cursor=cursor), found.description)
        if columns[-1].nullable:
            remarks.append(f"{cursor} may be NULL, so it is no cursor")
        elif cost and found.description.rows > most:
            remarks.append(f"{cursor} would be its cursor, but {cost}")
        else:
            try:
                cursor, counted = _with_kind(source, table, columns)
                with_cursor = replace(table, cursor=cursor)
                mysql.check_cursor(source, with_cursor, plan(with_cursor))
            except SourceError as error:
                remarks.append(
                    f"{cursor} is no cursor: {error.fact.partition('. ')[0].rstrip('.')}"
                )
            else:
                return cursor, [*_by_name(columns), *counted, *filter(None, [cost])]
    return None, remarks


def tells_changes(name: str, what: re.Pattern[str] = _CHANGED) -> bool:
    """Whether a column's name says that it holds when a row changed, or what else happened."""
    words = words_of(name)
    return bool(what.search(words)) and not _NO_TIME.search(words)


def _candidates(description: Description) -> Iterator[list[Column]]:
    """List columns that may be a cursor, the likeliest first.

    One that may be NULL has the column beside it that says when a row was added.
    """
    named = [
        column
        for column in description.columns
        if _sort(column) and (column.is_touched or tells_changes(column.name))
    ]
    added = [each for each in description.columns if tells_changes(each.name, _CREATED)]
    for column in sorted(named, key=lambda each: (_sort(each), not each.is_touched)):
        beside = [each for each in added if _sort(each) == _sort(column) and not each.nullable]
        yield [column, *beside[:1]] if column.nullable else [column]


def _sort(column: Column) -> int:
    """Number the sorts of columns that no list may mix; 0 for one that cannot be a cursor."""
    return _SORTS.get(column.data_type) or (4 if kinds_of(column) == ("", DIGITS) else 0)


def _with_kind(
    source: mysql.Source, table: Table, columns: list[Column]
) -> tuple[Cursor, list[str]]:
    """Tell by the least and the largest value what integers count."""
    cursor = Cursor(columns=tuple(column.name for column in columns))
    if _sort(columns[0]) != 3:  # noqa: PLR2004 - integers
        return cursor, []
    kinds, remarks = set[str](), list[str]()
    place = f"{quote_mysql(table.database)}.{quote_mysql(table.source)}"
    for column in columns:
        name = column.quoted
        query = f"select min({name}), max({name}) from {place}{where(f'{name} > 0')}"
        ((least, most),) = mysql.fetch(source, query)
        kind = _kind(least, most)
        if not kind:
            held = f"{least} to {most}, which are no times" if most else "no time yet"
            raise SourceError(f"{column.name} holds {held}", "")
        kinds.add(kind)
        remarks.append(f"{column.name} counts {kind}, as its values, {least} to {most}, say")
    if len(kinds) > 1:
        raise SourceError(f"{' and '.join(cursor.columns)} count different things", "")
    return replace(cursor, kind=kinds.pop()), remarks


def _kind(least: int | None, most: int | None) -> str:
    """What both are times of, between 1990 and the next year; empty for none."""
    for kind, unit in _PER_SECOND.items():
        if least and most and _SINCE * unit <= least <= most <= (time.time() + _YEAR) * unit:
            return kind
    return ""


def _by_name(columns: list[Column]) -> list[str]:
    first, *others = columns
    if others:
        both = f"{first.name} and {others[0].name} were chosen by their names"
        return [f"{both}: make sure that every change sets {first.name}"]
    if first.is_touched:
        return []
    return [f"{first.name} was chosen by its name: make sure that every change sets it"]
