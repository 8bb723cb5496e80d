"""What a run's build may leave out: what would be as it is, because nothing came of what it reads.

A run whose build went well notes what it had taken in. The next one builds what stands on tables
with a newer load, and what may change without one: because it asks for the time, reads a table that
is not the loader's, has warned, or is another relation by now.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from loader.declared.tables import SOURCE
from loader.errors import LandingError
from loader.run.dbt import Dbt
from loader.run.published import held_back, publications
from loader.warehouse import Warehouse
from loader.warehouse.ledger import changing

_SUFFIXES = (".sql", ".yml", ".yaml", ".csv", ".md")
_VARIABLE = re.compile(rb"env_var\(\s*['\"](\w+)")
_CLOCK = "macro.mysql_to_redshift.words_of_time"
_CLOCK_OF_JINJA = re.compile(r"run_started_at|datetime\.(utc)?now|\.today\(")
_OF_DBT = ("dbt", "dbt_postgres", "dbt_redshift")
_RELATIONS = (
    "select lower(nspname), lower(relname), pg_class.oid from pg_class "
    "inner join pg_namespace on pg_namespace.oid = relnamespace "
    "where relkind in ('r', 'v', 'm', 'p')"
)


class News:
    """What came since the last build of everything that went well.

    Attributes:
        selectors: what has to be built, in dbt's words; none for everything.
    """

    def __init__(self, dbt: Dbt, target: str, new_warehouse: Callable[[], Warehouse]) -> None:
        """Read what that build had taken in, and what there is now.

        Args:
            dbt: of this run.
            target: the profile's.
            new_warehouse: makes a warehouse with a connection of its own.
        """
        self._dbt = dbt
        self._new_warehouse = new_warehouse
        self._file = dbt.folder / "last_build.json"
        self._project = _fingerprint(Path.cwd(), target, dbt.folder.parent)
        self._last: dict[str, Any] = {"loads": {}, "published": {}, "relations": {}, "again": []}
        with suppress(FileNotFoundError, ValueError):
            noted = json.loads(self._file.read_text())
            if noted.get("project") == self._project:
                self._last = noted
            else:  # what was built from other files since may still be there when these are back
                self._file.unlink()
        with closing(new_warehouse()) as warehouse:
            self._loads = {it.table_name: it.load_id for it in changing(warehouse.loads())}
            self._read(warehouse)
        self._held_before, self._published_before = self._held, self._published
        manifest = dbt.manifest()
        self.selectors = self._select(manifest) if manifest and self._last["loads"] else []

    def _read(self, warehouse: Warehouse) -> None:
        """Read which relations there are, and since when each summary is as it is, by whom."""
        rows = publications(warehouse).items()
        self._published = {name: (str(each.at), each.by) for name, each in rows}
        self._held = held_back(warehouse).keys()
        with warehouse.transaction():
            found = warehouse.execute(_RELATIONS)
        self._relations = {f"{schema}.{name}": int(oid) for schema, name, oid in found}

    def _select(self, manifest: Mapping[str, Any]) -> list[str]:
        """Name what has to be built, each with all that reads it.

        A warehouse that was put back, or is another one, has other loads and relations.
        """
        same = {name for name, load in self._loads.items() if self._last["loads"].get(name) == load}
        found, nodes = set(self._last["again"]), {**manifest["nodes"], **manifest["sources"]}
        roots = [name for name, parents in manifest["parent_map"].items() if not parents]
        for node in (nodes[name] for name in roots if name in nodes):
            if node["resource_type"] in ("model", "snapshot", "test"):
                found.add(node["name"])
            elif (of := node.get("source_name")) and (of != SOURCE or node["name"] not in same):
                found.add(f"source:{of}.{node['name']}")
        found |= {node["name"] for node in manifest["nodes"].values() if self._is_another(node)}
        if not same or not all(re.fullmatch(r"[\w.:]+", name) for name in found):
            return []  # nothing is as it was, or has a name that dbt would take for a list
        return sorted(f"{name}+" for name in found)

    def _is_another(self, node: Mapping[str, Any]) -> bool:
        """Whether a relation is gone or was made anew, or a summary published otherwise or held."""
        if not _is_relation(node):
            return False
        relation, name = _relation(node), node["alias"]
        if self._relations.get(relation) != self._last["relations"].get(relation, 0):
            return True
        at, _ = self._published.get(name, ("", ""))
        is_as_it_was = name not in self._held and at == self._last["published"].get(name)
        return _is_summary(node) and not is_as_it_was

    def note(self) -> None:
        """Note that a build of everything went well; without this package's macros, nothing.

        What cannot be noted is built again.
        """
        manifest = self._dbt.manifest()
        if _CLOCK not in manifest.get("macros", ()):
            return
        with suppress(LandingError, OSError):
            with closing(self._new_warehouse()) as warehouse:
                self._read(warehouse)
            held = self._held | self._held_before
            nodes = filter(_is_relation, manifest["nodes"].values())
            noted = {
                "project": self._project,
                "loads": self._loads,
                "published": {
                    name: at
                    for name, (at, by) in self._published.items()
                    if (at, by) == self._published_before.get(name) or by in self._dbt.invocations
                    if name not in held
                },
                "relations": {name: self._relations.get(name) for name in map(_relation, nodes)},
                "again": sorted(set(self._again(manifest))),
            }
            self._file.write_text(json.dumps(noted))

    def _again(self, manifest: Mapping[str, Any]) -> Iterator[str]:
        """Name what is built always: what asks for the time, and tests that warn."""
        every = manifest["macros"].items()
        macros = {name: each for name, each in every if each["package_name"] not in _OF_DBT}
        words = macros[_CLOCK]["macro_sql"].partition("%}")[2].partition("{%")[0].strip()
        asking = _macros_that_ask(macros)
        for unique_id, node in manifest["nodes"].items():
            calls, code = node["depends_on"].get("macros", ()), self._dbt.code.get(unique_id)
            owner = manifest["nodes"].get(node.get("attached_node"), node)
            if _is_summary(owner) and owner is not node:  # dbt never runs a check of the gate
                code = f"{node['test_metadata']} {node['config'].get('where')}"
                code += "".join(macros[name]["macro_sql"] for name in calls if ".test_" in name)
            asks = re.search(words, code.lower()) if code else node["name"] in self._last["again"]
            if asks or asking & {*calls} or _CLOCK_OF_JINJA.search(node.get("raw_code") or ""):
                yield owner["name"] if _is_summary(owner) else node["name"]
        yield from (each["node"].split(".")[2] for each in self._dbt.warnings)


def _macros_that_ask(macros: Mapping[str, Any]) -> set[str]:
    """The macros in which Jinja asks for the time, itself or by one that it calls."""
    calls = {name: {*each["depends_on"]["macros"]} for name, each in macros.items()}
    found = {name for name, each in macros.items() if _CLOCK_OF_JINJA.search(each["macro_sql"])}
    while callers := {name for name in calls if calls[name] & found} - found:
        found |= callers
    return found


def _is_relation(node: Mapping[str, Any]) -> bool:
    kinds = ("model", "snapshot", "seed")
    return node["resource_type"] in kinds and node["config"]["materialized"] != "ephemeral"


def _is_summary(node: Mapping[str, Any]) -> bool:
    return bool(node["config"].get("materialized") == "checked_table")


def _relation(node: Mapping[str, Any]) -> str:
    return f"{node['schema']}.{node['alias']}".lower()


def _fingerprint(project: Path, target: str, apart: Path) -> str:
    """Hash what dbt reads of a project, the variables that its files ask for, and the target."""
    found, seen = hashlib.sha256(f"{version('mysql_to_redshift')} {target}".encode()), set[str]()
    for folder, folders, names in os.walk(project, followlinks=True):
        here, real = Path(folder), os.path.realpath(folder)
        left = [name for name in folders if name[0] != "." and here / name != apart]
        folders[:] = sorted(left) if real not in seen else []
        seen.add(real)
        for file in (here / name for name in sorted(names) if name.endswith(_SUFFIXES)):
            with suppress(OSError), file.open("rb") as text:  # a link may lead nowhere
                found.update(f"{file} {hashlib.file_digest(text, 'sha256').hexdigest()}".encode())
                variables = () if file.suffix == ".csv" else _VARIABLE.findall(file.read_bytes())
                given = [os.environ.get(name.decode()) for name in variables]
                found.update(f"{given}".encode())
    return found.hexdigest()
