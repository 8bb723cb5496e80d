"""What kinds of cursor the columns of a table can be."""

from collections.abc import Collection

from loader.declared.tables import CURSOR_KINDS, DIGITS
from loader.errors import SourceError
from loader.source.days import FIRST, Days
from loader.source.texts import DATES, INTEGERS, Column

_DIGITS = 14  # YYYYMMDDHHMMSS
_CHARACTERS = {"char", "varchar", "binary", "varbinary"}


def check_types(place: str, days: Days, unique_keys: Collection[tuple[str, ...]]) -> None:
    """Refuse columns that are not what the cursor's kind says, or of different kinds.

    Args:
        place: the table, for messages.
        unique_keys: the columns of each, in lower case.

    Raises:
        SourceError: names the column, and what may be declared.
    """
    cursor = days.cursor
    for column in days.columns:
        where = f"{place}: the cursor column {column.name} is {column.column_type}"
        if cursor.kind not in (kinds := kinds_of(column)):
            is_said = cursor.kind or not any(kinds)
            told = "" if is_said else ", and nothing says what its values are"
            named = " or ".join(filter(None, kinds))
            raise SourceError(
                f"{where}{told}.",
                f"Use a column of one of the types {', '.join(FIRST)}, or none"
                + (f"; or declare cursor_kind: {named}." if named else "."),
            )
        if _sort(column) != _sort(days.columns[0]):
            raise SourceError(
                f"{where}, and {days.columns[0].name} is {days.columns[0].column_type}.",
                "List columns of one kind: of days, of instants, or of what cursor_kind says.",
            )
    is_unique = (days.columns[0].name.lower(),) in unique_keys and len(days.columns) == 1
    if days.is_increasing and not is_unique:
        raise SourceError(
            f"{place}: the cursor {cursor} is declared increasing and is no unique key by "
            "itself, so that rows with the largest landed value could be missed.",
            "Name one column that is a unique key, or another kind of cursor.",
        )


def kinds_of(column: Column) -> tuple[str, ...]:
    """List the kinds of cursor that a column can be; the empty one where its type says it."""
    if column.data_type in DATES:
        return ("",)
    if column.data_type in INTEGERS:
        return CURSOR_KINDS
    if column.data_type in _CHARACTERS:
        return ("", DIGITS) if column.length == _DIGITS else (DIGITS,)
    return ()


def _sort(column: Column) -> tuple[bool, bool]:
    return column.data_type in DATES, column.data_type == "date"
