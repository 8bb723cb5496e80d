"""A declaration compared with what MySQL has, and its names with what the warehouse takes."""

from collections.abc import Callable, Collection, Sequence

from loader.declared.policies import Policy
from loader.declared.tables import CURSOR_KINDS, DIGITS, Table
from loader.declared.windows import parse_zone
from loader.errors import ConfigError, SourceError, did_you_mean
from loader.source.days import FIRST, Days
from loader.source.read_plan import LOADER_NAMES, WIDER, Description, days_of, read_columns
from loader.source.texts import DATES, INTEGERS, Column
from loader.source.types import REDSHIFT, Dialect

_DIGITS = 14  # YYYYMMDDHHMMSS
_CHARACTERS = {"char", "varchar", "binary", "varbinary"}
_SYSTEM_COLUMNS = ("tableoid", "ctid", "xmin", "xmax", "cmin", "cmax")
# [PostgreSQL: System Columns; Redshift: Names and identifiers, "System column names"]


def check_declaration(
    table: Table,
    description: Description,
    dialect: Dialect,
    held: Callable[[str], Collection[str]],
) -> None:
    """Compare a declaration with what MySQL has, and its names with what the warehouse takes.

    Args:
        held: asks the warehouse for a raw table's columns: one that is left out may be gone.

    Raises:
        ConfigError: a column is personal, and nothing says how its values may land.
        SourceError: a key, cursor or soft-delete column is not there or not fit for its use,
            the warehouse does not take a name, or no column is left to read.
    """
    where = table.place
    _check_consent(table)
    if not (read := read_columns(table, description)):
        raise SourceError(
            f"{where}: every column is left out.", f"Declare one to land, or no table {table.name}."
        )
    _check_names(table, [column.name for column in read], dialect)
    cursor = table.cursor.columns if table.cursor else ()
    named = [*table.primary_key, *cursor, *([table.deleted] if table.deleted else [])]
    named += [name for name, policy in table.policies.items() if policy != Policy()]
    known = [column.name for column in description.columns]
    for name in (each for each in named if description.column(each) is None):
        if not (table.policy(name).is_left_out and name in held(table.name)):
            raise SourceError(
                f"{where} has no column {name}; it has {', '.join(known)}.",
                f"{did_you_mean(name, known)}Correct the declaration of table {table.name} in the "
                "dbt source YAML.",
            )
    key = frozenset(name.lower() for name in table.primary_key)
    keys = (key,) if description.is_view else description.unique_keys
    if key and not any(key.issuperset(unique) for unique in keys):
        raise SourceError(
            f"{where} has no primary or unique key on ({', '.join(table.primary_key)}), "
            "so two rows could share it.",
            "Declare its primary key's columns, or `primary_key: []` without a cursor.",
        )
    if table.is_compared:
        _check_comparable(table, read)
    if days := days_of(table, description, parse_zone("UTC")):
        _check_cursor_types(where, days, description.unique_keys)


def _check_consent(table: Table) -> None:
    """Refuse a table with personal values of which nobody has said how they may land."""
    policies = table.policies.items()
    unsaid = [name for name, each in policies if each.pii and not (each.mask or each.exclude)]
    if unsaid:
        raise ConfigError(
            f"{table.place}: marked `pii: true` without a policy: {', '.join(unsaid)}. No row was "
            "read.",
            "Declare one under the column's `config: meta: loader:`: `mask: hash`, `mask: drop` or "
            "`exclude: true`; `mask: none` lands it as it is.",
        )


def _check_comparable(table: Table, columns: Sequence[Column]) -> None:
    """Refuse `mode: compare` where a change would not be seen.

    The salt of a hash is not MySQL's to know, and two floats that are equal may be written
    otherwise.
    """
    key = {name.lower() for name in table.primary_key}
    for column in columns:
        is_float = column.data_type in ("float", "double") and column.name.lower() in key
        if is_float or table.policy(column.name).mask == "hash":
            why = "a key of floats" if is_float else "declared `mask: hash`"
            raise SourceError(
                f"{table.place}: column {column.name} is {why}, which is not the same text on "
                "both sides, so `mode: compare` would not see what changed.",
                "Leave the column out (`exclude: true`), or take out `mode` in the dbt source "
                f"YAML: table {table.name} is then copied whole.",
            )


def _check_names(table: Table, columns: list[str], dialect: Dialect) -> None:
    """See whether the warehouse takes the names that the table and its columns have.

    [Redshift: Names and identifiers: "only UTF-8 printable characters"]
    """
    if len(table.name.encode()) > dialect.name_bytes:
        raise SourceError(
            f"The name of table {table.name} is longer than {dialect.name_bytes} bytes.",
            "Give it a shorter one in the dbt source YAML; `source` says what MySQL calls it.",
        )
    lower = [name.lower() for name in columns]
    for name, folded in zip(columns, lower, strict=True):
        if folded in (*LOADER_NAMES, WIDER):
            why = "is the loader's own"
        elif folded in _SYSTEM_COLUMNS or (folded == "oid" and dialect == REDSHIFT):
            why = f"is a system column's of {dialect.name}"
        elif len(folded.encode()) > dialect.name_bytes:
            why = f"is longer than the {dialect.name_bytes} bytes that {dialect.name} takes"
        elif not name.isprintable():
            why = "holds a character that cannot be printed"
        elif lower.count(folded) > 1:
            why = "is another one's in lower case"
        else:
            continue
        raise SourceError(
            f"{table.place}: the name of column {name} {why}.",
            "Rename it in MySQL, copy a view that does, or declare `exclude: true` for it.",
        )


def _check_cursor_types(place: str, days: Days, unique_keys: Collection[tuple[str, ...]]) -> None:
    """Refuse columns that are not what the cursor's kind says, or of different kinds."""
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
