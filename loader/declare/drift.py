"""How MySQL has changed since its tables were declared."""

from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial

from loader.declare.personal import personal
from loader.declare.survey import Found
from loader.declared.tables import Table
from loader.errors import LoaderError
from loader.source.declaration import check_declaration
from loader.source.types import Dialect


def differences(
    found: Sequence[Found],
    there: Collection[str],
    declared: Collection[Table],
    patterns: Sequence[str],
    dialect: Dialect,
) -> Iterator[str]:
    """Say what of the declared tables is not in MySQL as it is declared.

    Args:
        found: what was found by the patterns.
        there: the names of all that MySQL has.
        patterns: what was asked about; other declared tables are not looked at.
        dialect: what the warehouse takes as a name.
    """
    looked_at = {each.place: each for each in found}
    for table in declared:
        place = table.place
        if place not in there and any(fnmatchcase(place, pattern) for pattern in patterns):
            yield f"{place}: MySQL has no such table any more, and {table.name} is declared"
        if (each := looked_at.get(place)) is None:
            continue
        try:
            check_declaration(table, each.description, dialect, partial(_declared, table))
        except LoaderError as error:
            yield error.fact.rstrip(".")
        for column in each.description.columns:
            if column.name.lower() not in table.policies and personal(column).pii:
                yield f"{place}: {column.name} looks personal, and nothing says how it lands"


def _declared(table: Table, _: str) -> Collection[str]:
    """The columns that a declaration names: one that is left out may be gone from MySQL."""
    return table.policies
