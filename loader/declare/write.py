"""What is written of new tables: their declarations, core models, and what both are tested for."""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from sys import maxsize
from typing import Any

import yaml

from loader.declare.choose import Proposal
from loader.declared.policies import Policy
from loader.declared.tables import SOURCE, Table
from loader.declared.yaml_file import read_yaml
from loader.errors import ConfigError

# A source of more than one file says its schema and freshness in each of them.
_SOURCES_HEAD = """\
version: 2

sources:
  - name: {source}
    description: {description}
    schema: {schema}
    config:
      loaded_at_field: _loaded_at
      freshness:
        warn_after: {{count: 26, period: hour}}
        error_after: {{count: 50, period: hour}}
    tables:
"""
_MODELS_HEAD = "version: 2\n\nmodels:\n"
_LEDGER = """\
      - name: _loads
        description: What became of each load. One row per load.
        config: {{loaded_at_field: ended_at, freshness: null}}
        data_tests:
          - {package}four_counts_agree: {{config: {{where: "outcome = 'landed'"}}}}
"""
PACKAGE = "mysql_to_redshift"
"""The dbt project that the macros come from; any other one calls them by its name."""
_quoted = partial(json.dumps, ensure_ascii=False)


def names_taken(project_dir: Path, tables: Iterable[str]) -> set[str]:
    """The names that new models cannot have: of models, seeds, snapshots, and declared tables."""
    names = set(tables)
    for folder in ("models", "seeds", "snapshots"):
        for file in project_dir.joinpath(folder).rglob("*"):
            if file.suffix in {".sql", ".py", ".csv"}:
                names.add(file.stem.lower())
            if file.suffix in {".yml", ".yaml"}:
                snapshots = read_yaml(file).get("snapshots") or []
                names |= {str(each.get("name")).lower() for each in snapshots}
    return names


def new_files(project_dir: Path, schema: str, proposals: Sequence[Proposal]) -> dict[Path, str]:
    """Write what declares some tables; a file that is there is added to, and loses nothing.

    Args:
        schema: that of the source, as the project declares it, Jinja included.

    Returns:
        The text of every file that is new or longer, the declarations last: a table is declared
        once its model is there.

    Raises:
        ConfigError: a file has been changed so that nothing can be added at its end.
    """
    models, sources = dict[Path, str](), dict[Path, str]()
    is_own = read_yaml(project_dir / "dbt_project.yml").get("name") == PACKAGE
    package = "" if is_own else f"{PACKAGE}."
    databases = dict[str, list[tuple[Proposal, Table]]]()
    for proposal in proposals:
        if proposal.table:
            name = re.sub(r"\W+", "_", proposal.found.database.lower())
            databases.setdefault(name, []).append((proposal, proposal.table))
    folder = project_dir / "models"
    for name, own in databases.items():
        meant = ", ".join(dict.fromkeys(each.found.database for each, _ in own))
        text = f"Tables of {meant} as the loader landed them. Read those in core, not these."
        head = _SOURCES_HEAD.format(
            source=SOURCE, description=_quoted(_prose(text)), schema=_quoted(schema)
        )
        for _, table in own:
            models[folder / "core" / f"{table.name}.sql"] = core_model(table, package)
        file = folder / "core" / f"_{name}__models.yml"
        described = [entry(_model(*each, package), 2) for each in own]
        models[file] = _added(file, _MODELS_HEAD, described)
        file = folder / "sources" / f"_{name}__sources.yml"
        sources[file] = _added(file, head, [entry(_source(*each, package), 6) for each in own])
        if not _declares_ledger(folder):
            sources[folder / "sources" / "_loader__sources.yml"] = head + _LEDGER.format(
                package=package
            )
    return {**models, **sources}


def _declares_ledger(folder: Path) -> bool:
    """Whether the project declares the loader's ledger, which core models read."""
    return any(
        table.get("name") == "_loads"
        for file in folder.rglob("*.y*ml")
        for source in read_yaml(file).get("sources") or []
        for table in source.get("tables") or []
        if source.get("name") == SOURCE
    )


def write_whole(file: Path, text: str) -> None:
    """Write a file; whoever reads it has all of it, or what it was before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f".{file.name}.half")
    half.write_bytes(text.encode())
    half.replace(file)


def core_model(table: Table, package: str = "") -> str:
    """Write the core model of a plain copy.

    Args:
        package: what the macros are called by before their names, the dot included.
    """
    landed = f"source('{SOURCE}', '{table.name}')"
    if not table.primary_key:
        return f"{{{{ {package}whole_copy({landed}) }}}}\n"
    key = list(table.primary_key)
    sort = table.cursor.columns[-1].lower() if table.cursor else key[0]
    shown = repr(key[0]) if len(key) == 1 else repr(key)
    return (
        f"{{{{ config(dist={_column(key[0])!r}, sort={_column(sort)!r}) }}}}\n"
        f"{{{{ {package}newest_rows({landed}, key={shown}) }}}}\n"
    )


def _column(name: str) -> str:
    """Write a column for dist and sort, in quotes if SQL could take its name for something else.

    No word of SQL but a few that begin so has an underscore. [Redshift: Reserved words]
    """
    is_plain = re.fullmatch(r"id|(?!current_|session_)[a-z]+(_[a-z0-9]+)+", name)
    doubled = name.replace('"', '""')
    return name if is_plain else f'"{doubled}"'


def _source(proposal: Proposal, table: Table, package: str) -> dict[str, Any]:
    cursor = table.cursor
    columns = list(cursor.columns) if cursor else []
    loader = {
        "source": proposal.found.place,
        "primary_key": list(table.primary_key),
        "cursor": columns[0] if len(columns) == 1 else columns or None,
        "cursor_kind": cursor.kind if cursor else None,
        "deleted": table.deleted,
        "lookback_days": table.lookback_days if cursor else None,
        "mode": "compare" if table.is_compared else None,
    }
    loader = {key: value for key, value in loader.items() if value not in (None, "")}
    # A load of a compared table that finds no difference lands no row.
    freshness = {"freshness": None} if table.is_compared else {}
    policies = [
        {"name": name, "config": {"meta": _meta(policy)}} for name, policy in table.policies.items()
    ]
    tests = ["key_of_newest_version"] if table.primary_key else []
    return {
        "name": table.name,
        "description": _sentence(proposal) + _rows(table),
        "config": {**freshness, "meta": {"loader": loader}},
        "data_tests": [package + test for test in (*tests, "row_count_matches_ledger")],
        **({"columns": policies} if policies else {}),
    }


def _model(proposal: Proposal, table: Table, package: str) -> dict[str, Any]:
    key = list(table.primary_key)
    grain = f" One row per {' and '.join(key)}." if key else " As it was when it was landed last."
    return {
        "name": table.name,
        "description": _sentence(proposal) + _prose(grain),
        **({"data_tests": [f"{package}primary_key"]} if key else {}),
    }


def _rows(table: Table) -> str:
    key = " and ".join(table.primary_key)
    if not key:
        return " Copied whole with every load."
    way = " and window that it was landed in" if table.cursor else ". Copied whole with every load"
    way = " and load that found it changed" if table.is_compared else way
    return _prose(f" One row per {key}{way}.")


def _sentence(proposal: Proposal) -> str:
    """What MySQL says of a table, as a sentence."""
    found = proposal.found
    text = _prose(" ".join(found.comment.split()) or f"Copy of {found.place}")
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _prose(text: str) -> str:
    """Take out what dbt would read as Jinja, and what cannot be printed."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return shown.replace("{", "(").replace("}", ")")


def _meta(policy: Policy) -> dict[str, Any]:
    loader = {"mask": policy.mask, "on_unrepresentable": policy.on_unrepresentable}
    meta = {"pii": policy.pii, "loader": {key: value for key, value in loader.items() if value}}
    return {key: value for key, value in meta.items() if value}


def entry(content: Mapping[str, Any], indent: int) -> str:
    """Write an entry of a list in YAML; what holds no other list or mapping takes one line."""
    text = yaml.safe_dump(
        [content], sort_keys=False, allow_unicode=True, default_flow_style=None, width=maxsize
    )
    return textwrap.indent(text, " " * indent)


def _added(file: Path, head: str, entries: Sequence[str]) -> str:
    """Add entries at the end of a file, or begin one."""
    added = "\n".join(entries)
    if not file.exists():
        return head + added
    before = file.read_bytes().decode().rstrip()
    after = f"{before}\n\n{added}"
    with suppress(yaml.YAMLError):
        if _listed(after) == _listed(before) + _listed(head + added):
            return after
    raise ConfigError(
        f"{file} does not end with the list that tables are added to; nothing was written.",
        "Let it end with that, or rename it: then a new file is begun.",
    )


def _listed(text: str) -> list[Any]:
    """The models of a file, or the tables of its last source if that is the loader's."""
    content = yaml.safe_load(text)
    content = content if isinstance(content, dict) else {}
    last = (content.get("sources") or [{}])[-1]
    tables = last.get("tables") if last.get("name") == SOURCE else None
    return content.get("models") or tables or []
