"""What a run's build may leave out: what would be as it is, because nothing came of what it reads.

A run whose build went well notes what it had taken in. The next one builds what stands on tables
with a newer load, and what may change without one: because it asks for the time, reads a table that
is not the loader's, or was published otherwise since.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
_CLOCK = "macro.mysql_to_redshift.words_of_time"
_BUILT = ("model", "snapshot", "test")


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
            if noted["project"] == self._project:
                self._last = noted
        with closing(new_warehouse()) as warehouse:
            self._loads = [load for load in warehouse.loads() if _brings(load)]
            self._published = _published(warehouse)

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
        for node in manifest["nodes"].values():
            name, at = node["name"], last["published"].get(node.get("alias"))
            if node["config"]["materialized"] == "checked_table" and (
                not at or at != self._published.get(node["alias"])
            ):
                found.add(f"{name}+")
        return sorted(found)

    def note(self) -> None:
        """Note that a build of everything went well; without this package's macros, nothing."""
        manifest = self._dbt.manifest()
        if _CLOCK not in manifest.get("macros", ()):
            return
        with closing(self._new_warehouse()) as warehouse:
            now = _published(warehouse)
        noted = {"project": self._project, "newest": _newest(self._loads), "published": now}
        self._file.write_text(json.dumps({**noted, "asking": sorted(self._asking(manifest))}))

    def _asking(self, manifest: Mapping[str, Any]) -> Iterator[str]:
        """What asks for the time: what was built by now, and what was known of the rest."""
        words = manifest["macros"][_CLOCK]["macro_sql"].partition("%}")[2].partition("{%")[0]
        for node in manifest["nodes"].values():
            code = node.get("compiled_code")
            if node["resource_type"] in _BUILT and (
                re.search(words.strip(), code.lower())
                if code
                else node["name"] in self._last["asking"]
            ):
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
    """Hash all files of a project that dbt reads, with the target and the loader's version.

    Args:
        apart: the folder that dbt writes into.
    """
    found = hashlib.sha256(f"{version('mysql_to_redshift')} {target}".encode())
    for folder, folders, names in os.walk(project):
        here = Path(folder)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and here / name != apart
        )
        for file in (here / name for name in sorted(names) if name.endswith(_SUFFIXES)):
            found.update(f"{file} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return found.hexdigest()
