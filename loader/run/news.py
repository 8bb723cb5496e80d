"""What a run's build may leave out: what would be as it is, because nothing came of what it reads.

A run whose build went well notes what it had taken in. The next one builds what stands on tables
with a newer load, and what may change without one: because it asks for the time, reads a table that
is not the loader's, or was published otherwise since.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from loader.declared.tables import SOURCE
from loader.run.dbt import Dbt
from loader.run.published import held_back, published
from loader.warehouse import Warehouse
from loader.warehouse.ledger import COMPARE, Load

_SUFFIXES = (".sql", ".yml", ".yaml", ".csv", ".md")
_NOT_READ = ("target", "logs")
_VARIABLE = re.compile(rb"env_var\(\s*['\"](\w+)")
_CLOCK = "macro.mysql_to_redshift.words_of_time"
_CLOCK_OF_JINJA = re.compile(r"run_started_at|datetime\.(utc)?now|\.today\(")
_BUILT = ("model", "snapshot", "test")
_NO_RELATION = ("ephemeral", "test")


class News:
    """What came since the last build of everything that went well."""

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
        self._last: dict[str, Any] = {"newest": {}, "published": {}, "asking": []}
        with suppress(FileNotFoundError, ValueError):
            noted = json.loads(self._file.read_text())
            if noted.get("project") == self._project:
                self._last = noted
        with closing(new_warehouse()) as warehouse:
            self._loads = [load for load in warehouse.loads() if _brings(load)]
            self._published = _published(warehouse)
            tables = "select lower(table_schema), lower(table_name) from information_schema.tables"
            with warehouse.transaction():
                self._there = set(map(tuple, warehouse.execute(tables)))

    def selectors(self) -> list[str]:
        """Say in dbt's words what has to be built; empty for everything.

        A warehouse that was put back, or is another one, has other loads.
        """
        manifest, last = self._dbt.manifest(), self._last
        newest = _newest(self._loads)
        same = {name for name, load in newest.items() if last["newest"].get(name) == load}
        if not same or not manifest:
            return []
        found = {f"{name}+" for name in last["asking"]}
        for unique_id, parents in manifest["parent_map"].items():
            kind, _, *names = unique_id.split(".")
            if not parents and kind == "source" and (names[0] != SOURCE or names[1] not in same):
                found.add(f"source:{names[0]}.{names[1]}+")
            elif not parents and kind in _BUILT:
                found.add(f"{names[0]}+")
        return sorted(
            found.union(
                f"{node['name']}+" for node in manifest["nodes"].values() if self._is_another(node)
            )
        )

    def _is_another(self, node: Mapping[str, Any]) -> bool:
        """Whether a node's table is gone, or a summary was published otherwise, or is held."""
        kind = node["config"]["materialized"]
        if kind in _NO_RELATION or node["resource_type"] not in (*_BUILT, "seed"):
            return False
        at = self._last["published"].get(node["alias"])
        is_published = at and at == self._published.get(node["alias"])
        is_there = (node["schema"].lower(), node["alias"].lower()) in self._there
        return not is_there or (kind == "checked_table" and not is_published)

    def note(self) -> None:
        """Note that a build of everything went well; without this package's macros, nothing."""
        manifest = self._dbt.manifest()
        if _CLOCK not in manifest.get("macros", ()):
            return
        with closing(self._new_warehouse()) as warehouse:
            now = _published(warehouse)
        noted = {"project": self._project, "newest": _newest(self._loads), "published": now}
        asking = sorted(_asking(manifest, self._last["asking"]))
        self._file.write_text(json.dumps({**noted, "asking": asking}))


def _asking(manifest: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    """What asks for the time: by the SQL of what was compiled, as known of the rest, by Jinja."""
    macros = {name: each for name, each in manifest["macros"].items() if name[:9] != "macro.dbt"}
    words = macros[_CLOCK]["macro_sql"].partition("%}")[2].partition("{%")[0].strip()
    for node in manifest["nodes"].values():
        code, jinja, calls = node.get("compiled_code"), node["raw_code"], [node]
        for each in calls:  # which grows
            called = macros.keys() & each["depends_on"].get("macros", ())
            calls += [macros[name] for name in called if macros[name] not in calls]
            jinja += each.get("macro_sql", "")
        asks = re.search(words, code.lower()) if code else node["name"] in known
        if node["resource_type"] in _BUILT and (asks or _CLOCK_OF_JINJA.search(jinja)):
            yield node["name"]


def _brings(load: Load) -> bool:
    """Whether a load may have changed what its table holds."""
    is_copy = load.window.is_whole and load.mode != COMPARE
    return load.outcome == "landed" and (is_copy or bool(load.landed_rows))


def _newest(loads: Sequence[Load]) -> dict[str, str]:
    """The newest load of each table."""
    return {load.table_name: load.load_id for load in sorted(loads, key=lambda load: load.load_id)}


def _published(warehouse: Warehouse) -> Mapping[str, str]:
    """Since when each summary is published as it is; one that somebody holds is to be built."""
    held = held_back(warehouse)
    return {name: str(at) for name, at in published(warehouse).items() if name not in held}


def _fingerprint(project: Path, target: str, apart: Path) -> str:
    """Hash all files of a project that dbt reads, the variables that they ask for, and the target.

    Args:
        apart: the folder that dbt writes into.
    """
    found = hashlib.sha256(f"{version('mysql_to_redshift')} {target}".encode())
    for folder, folders, names in os.walk(project, followlinks=True):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _NOT_READ and here / name != apart
        )
        for file in (here / name for name in sorted(names) if name.endswith(_SUFFIXES)):
            text = file.read_bytes()
            given = [os.environ.get(name.decode()) for name in _VARIABLE.findall(text)]
            found.update(f"{file} {hashlib.sha256(text).hexdigest()} {given}".encode())
    return found.hexdigest()
