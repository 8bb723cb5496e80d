"""The tables to copy, read from the dbt source YAML that documents and tests them."""

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loader.declared.policies import (
    FOR_ALL,
    Known,
    Policy,
    check_keys,
    column_policies,
    loader_of,
    one_of,
)
from loader.declared.yaml_file import read_yaml
from loader.errors import CommandLineError, ConfigError, did_you_mean

SOURCE = "raw_data"

DIGITS, INCREASING = "digits", "increasing"
CURSOR_KINDS = ("seconds", "milliseconds", "microseconds", DIGITS, INCREASING)
"""What a cursor's values may be that are no dates."""

_KNOWN: Known = {
    **FOR_ALL,
    "source": (
        lambda value: isinstance(value, str) and all(value.partition(".")),
        "Write it as database.table, as MySQL has it.",
    ),
    "primary_key": (
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
        "List the key's columns; [] is for a table without one, which is copied whole and so has "
        "no cursor.",
    ),
    "cursor": (
        lambda value: (
            isinstance(value, str | None)
            or (isinstance(value, list) and {type(each) for each in value} == {str})
        ),
        "Write one column's name, or a list of which the first counts that is not NULL.",
    ),
    "cursor_kind": one_of(*CURSOR_KINDS),
    "mode": one_of("compare"),
    "deleted": (lambda value: isinstance(value, str | None), "Write one column's name."),
    "lookback_days": (
        lambda value: isinstance(value, int) and value >= 0,
        "Write a whole number of days, 0 or more.",
    ),
    "every": (
        lambda value: bool(re.fullmatch("[1-9][0-9]{0,3}d", str(value))),
        "Write a number of days, such as 7d.",
    ),
    "exclude_rows": (
        lambda value: isinstance(value, str) and bool(value.strip()),
        'Write a condition of MySQL, such as "is_test = 1".',
    ),
}


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """What says when a row was last written.

    Attributes:
        columns: of which the first that is not NULL counts.
        kind: one of CURSOR_KINDS: what its numbers count from 1970, or that it is fourteen digits,
            or a number that only rises. Empty where the columns' types say it.
    """

    columns: tuple[str, ...]
    kind: str = ""

    def __str__(self) -> str:
        return ", ".join(self.columns)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One declared table.

    Attributes:
        name: the raw table's name, and the dbt source table's.
        database, source: where MySQL has it.
        primary_key: its key columns; empty for a table that has none and is copied whole.
        cursor: what says when a row was last written; None means always copied whole.
        is_compared: whether a load lands only the rows that differ from what is landed.
        deleted: the column that says a row was deleted softly.
        lookback_days: how many landed days a catch-up lands again, for late commits.
        every_days: how many days apart it lands when nobody names it or a window; 1 is daily.
        exclude_rows: a MySQL condition; the rows that it holds for are left out. Empty for none.
        on_unrepresentable: the policy of columns that declare none; not of the key, the cursor and
            the flag, which the loader needs as they are.
        policies: per column that is declared, by its name in lower case, how its values land.
    """

    name: str
    database: str
    source: str
    primary_key: tuple[str, ...]
    cursor: Cursor | None = None
    is_compared: bool = False
    deleted: str | None = None
    lookback_days: int = 0
    every_days: int = 1
    exclude_rows: str = ""
    on_unrepresentable: str = "fail"
    policies: Mapping[str, Policy] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Its name in MySQL, `database.table`."""
        return f"{self.database}.{self.source}"

    @property
    def identifying(self) -> frozenset[str]:
        """The columns that tell a row's versions apart, key and cursor, in lower case."""
        cursor = self.cursor.columns if self.cursor else ()
        return frozenset(name.lower() for name in (*self.primary_key, *cursor))

    def policy(self, column: str) -> Policy:
        """How a column's values land; names do not differ by case."""
        own = self.policies.get(column.lower(), Policy())
        needed = self.identifying | {(self.deleted or "").lower()}
        if own.on_unrepresentable or column.lower() in needed:
            return own
        return replace(own, on_unrepresentable=self.on_unrepresentable)


def read_tables(project_dir: Path) -> tuple[str, dict[str, Table]]:
    """Read every table that declares a loader.

    Args:
        project_dir: the dbt project's root; the YAML files under `models/` are read.

    Returns:
        The source's schema as written (it may hold Jinja) and the tables by name.

    Raises:
        ConfigError: a declaration is missing or wrong; names file, table and key, or the line.
    """
    schema, tables = SOURCE, dict[str, Table]()
    for file in sorted((project_dir / "models").rglob("*.y*ml")):
        for source in read_yaml(file).get("sources") or []:
            if source.get("name") != SOURCE:
                continue
            schema = source.get("schema", schema)
            for_all = loader_of(source)
            check_keys(f"{file.relative_to(project_dir)}, source {SOURCE}", for_all, FOR_ALL)
            for declared in source.get("tables") or []:
                if loader := loader_of(declared):
                    loader = {**for_all, **loader}
                    table = _table(file.relative_to(project_dir), declared, loader)
                    tables[table.name] = table
    return schema, tables


def select_tables(tables: Mapping[str, Table], names: tuple[str, ...]) -> list[Table]:
    """The tables that were named, or all of them.

    Args:
        names: of one table each, or of several that spaces separate.

    Raises:
        ConfigError: no table is declared.
        CommandLineError: a name is not declared; lists those that are.
    """
    if not tables:
        raise ConfigError(
            "No source table under models/ declares `config: meta: loader:`.",
            "Run the loader in the dbt project's root, or declare tables: loader declare 'shop.*'.",
        )
    names = tuple(name for text in names for name in ([text] if text in tables else text.split()))
    if unknown := [name for name in names if name not in tables]:
        raise CommandLineError(
            f"No declared table is called {', '.join(unknown)}.",
            f"{did_you_mean(unknown[0], tables)}Known tables: {', '.join(tables)}.",
        )
    return [tables[name] for name in dict.fromkeys(names or tables)]


def _table(file: Path, declared: dict[str, Any], loader: dict[str, Any]) -> Table:
    name = declared.get("name")
    where = f"{file}, table {reprlib.repr(name).strip(chr(39))}"
    raw = name if isinstance(name, str) and name.isprintable() and name == name.lower() else ""
    if raw[:1] in ("", "_"):
        raise ConfigError(
            f"{where}: that name cannot be a raw table's.",
            "Use lower case, because Redshift folds names, characters that can be printed, and "
            "no leading _, which is the loader's own tables'.",
        )
    check_keys(where, loader, _KNOWN)
    if loader.get("cursor_kind") and not loader.get("cursor"):
        raise ConfigError(
            f"{where}: cursor is missing, and cursor_kind is there.", _KNOWN["cursor"][1]
        )
    keyless = loader.get("cursor") and not loader.get("primary_key")
    for key in ("source", "primary_key"):
        if key not in loader or (key == "primary_key" and keyless):
            what = "is [], and a cursor needs a key" if key in loader else "is missing"
            raise ConfigError(f"{where}: {key} {what}.", _KNOWN[key][1])
    if "mode" in loader and (loader.get("cursor") or not loader["primary_key"]):
        raise ConfigError(
            f"{where}: `mode: compare` is for a table that has a key and no cursor.",
            "Take out `mode`: a cursor tells what changed, and a table without a key is copied "
            "whole.",
        )
    database, _, source = loader["source"].partition(".")
    cursor = loader.get("cursor") or ()
    columns = (cursor,) if isinstance(cursor, str) else tuple(cursor)
    return Table(
        name=raw,
        database=database,
        source=source,
        primary_key=tuple(loader["primary_key"]),
        cursor=Cursor(columns=columns, kind=loader.get("cursor_kind", "")) if columns else None,
        is_compared="mode" in loader,
        deleted=loader.get("deleted"),
        lookback_days=loader.get("lookback_days", 0),
        every_days=int(loader.get("every", "1d")[:-1]),
        exclude_rows=loader.get("exclude_rows", "").strip(),
        on_unrepresentable=loader.get("on_unrepresentable", "fail"),
        policies=column_policies(where, declared),
    )
