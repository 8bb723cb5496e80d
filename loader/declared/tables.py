"""The tables to copy, read from the dbt source YAML that documents and tests them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loader.declared.policies import Policy, Wrong, column_policies, loader_of
from loader.declared.yaml_file import read_yaml
from loader.errors import CommandLineError, ConfigError

SOURCE = "raw_data"
_KNOWN = {"source", "primary_key", "cursor", "deleted", "lookback_days", "exclude_rows"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """One declared table.

    Attributes:
        name: the raw table's name, and the dbt source table's.
        database, source: where MySQL has it.
        primary_key: its key columns; empty for a table that has none and is copied whole.
        cursor: the column that says when a row was last written; None means always copied whole.
        deleted: the column that says a row was deleted softly.
        lookback_days: how many landed days a catch-up lands again, for late commits.
        exclude_rows: a MySQL condition; the rows that it holds for are left out. Empty for none.
        policies: per column that is declared, by its name in lower case, how its values land.
    """

    name: str
    database: str
    source: str
    primary_key: tuple[str, ...]
    cursor: str | None = None
    deleted: str | None = None
    lookback_days: int = 0
    exclude_rows: str = ""
    policies: Mapping[str, Policy] = field(default_factory=dict)

    def policy(self, column: str) -> Policy:
        """How a column's values land; names do not differ by case."""
        return self.policies.get(column.lower(), Policy())


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
            for declared in source.get("tables") or []:
                if loader := loader_of(declared):
                    table = _table(file.relative_to(project_dir), declared, loader)
                    tables[table.name] = table
    if not tables:
        raise ConfigError(
            f"No source table under {project_dir / 'models'} declares `config: meta: loader:`.",
            f"Run the loader in the dbt project's root, or declare a table of source {SOURCE}.",
        )
    return schema, tables


def select_tables(tables: Mapping[str, Table], names: tuple[str, ...]) -> list[Table]:
    """The tables that were named, or all of them.

    Args:
        names: of one table each, or of several that spaces separate.

    Raises:
        CommandLineError: a name is not declared; lists those that are.
    """
    names = tuple(name for text in names for name in ([text] if text in tables else text.split()))
    if unknown := [name for name in names if name not in tables]:
        raise CommandLineError(
            f"No declared table is called {', '.join(unknown)}.",
            f"Known tables: {', '.join(tables)}.",
        )
    return [tables[name] for name in dict.fromkeys(names or tables)]


def _table(file: Path, declared: dict[str, Any], loader: dict[str, Any]) -> Table:
    """Check one declaration."""
    where = f"{file}, table {declared.get('name')}"

    def wrong(fact: str, remedy: str) -> ConfigError:
        return ConfigError(f"{where}: {fact}", remedy)

    name = str(declared.get("name", ""))
    if not name.isprintable() or name[:1] in ("", "_") or name != name.lower():
        raise wrong(
            f"the name {name!r} cannot be a raw table's.",
            "Use lower case, because Redshift folds names, characters that can be printed, and "
            "no leading _, which is the loader's own tables'.",
        )
    if unknown := set(loader) - _KNOWN:
        raise wrong(
            f"meta.loader has no key {', '.join(sorted(unknown))}.",
            f"Known keys: {', '.join(sorted(_KNOWN))}.",
        )
    database, _, source = str(loader.get("source", "")).partition(".")
    if not (database and source):
        raise wrong(
            f"source is {loader.get('source')!r}.", "Write it as database.table, as MySQL has it."
        )
    _check_columns(loader, wrong)
    lookback = loader.get("lookback_days", 0)
    if not isinstance(lookback, int) or lookback < 0:
        raise wrong(f"lookback_days is {lookback!r}.", "Write a whole number of days, 0 or more.")
    return Table(
        name=name,
        database=database,
        source=source,
        primary_key=tuple(loader["primary_key"]),
        cursor=loader.get("cursor"),
        deleted=loader.get("deleted"),
        lookback_days=lookback,
        exclude_rows=_condition(loader, wrong),
        policies=column_policies(declared, wrong),
    )


def _check_columns(loader: dict[str, Any], wrong: Wrong) -> None:
    key, cursor, deleted = (loader.get(name) for name in ("primary_key", "cursor", "deleted"))
    if odd := [each for each in (cursor, deleted) if not isinstance(each, str | None)]:
        raise wrong(f"{odd[0]!r} is not a column's name.", "Write one name.")
    names = isinstance(key, list) and all(isinstance(each, str) for each in key)
    if not names or (cursor and not key):
        raise wrong(
            f"primary_key is {key!r}." if key else "primary_key is missing.",
            "List the key's columns; [] is for a table without one, which is copied whole "
            "and so has no cursor.",
        )


def _condition(loader: dict[str, Any], wrong: Wrong) -> str:
    condition = loader.get("exclude_rows", "")
    if not isinstance(condition, str) or ("exclude_rows" in loader and not condition.strip()):
        raise wrong(
            f"exclude_rows is {condition!r}.", 'Write a condition of MySQL, such as "is_test = 1".'
        )
    return condition.strip()
