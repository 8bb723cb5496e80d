"""Another tool's whole daily job: Sling brings what has changed, dbt builds and tests the same.

Its project is the repository's own, over the tables that Sling keeps: these hold each row once, so
a core model is a view of them; what reads the loader's ledger is left out.
"""

import re
import shutil
from dataclasses import replace

from bench.measure import Cost, measured
from bench.peers import SLING
from bench.place import ROOT, Place, program

_SCHEMA = "peer_sling"
_CURSORS = {
    "nps": ("id", "updated_at"),
    "user_session_channel": ("sessionid", "created_at"),
    "session_timestamp": ("sessionid", "ts"),
    "session_transaction": ("sessionid", "updated_at"),
    "channel": ("", ""),
}
"""Key and cursor of each table; one without is brought whole."""
_CORE = (
    "{{{{ config(materialized='view', unique_key='{key}') }}}}\n\n"
    "select * from {{{{ ref('stg_prod__{name}') }}}}\n"
)
_COLUMNS = (
    "{% macro loader_columns() %}cast(null as date) as _run_date, null as _load_id, "
    "cast(current_timestamp as timestamp) as _loaded_at, "
    "cast(null as timestamp) as _deleted_at{% endmacro %}\n"
)
_OF_THE_LEDGER = (
    "pipeline_*.sql",
    "_pipeline__*",
    "_loader__sources.yml",
    "*unit_tests.yml",
    "*exposures.yml",
)
_LEDGERS_TESTS = re.compile(r" *data_tests: \[key_of_newest_version, row_count_matches_ledger\]\n")


class PeersDay:
    """The tool and its dbt project."""

    about = "Sling, then `dbt build` of the same summaries and tests"

    def __init__(self, place: Place) -> None:
        """Write its project.

        Args:
            place: with the repository's project.
        """
        folder = place.folder / "peers_day"
        shutil.rmtree(folder, ignore_errors=True)
        ignored = shutil.ignore_patterns("target", "logs", ".local", *_OF_THE_LEDGER)
        shutil.copytree(place.project, folder, ignore=ignored)
        self._place = replace(place, project=folder)
        models = folder / "models"
        for name in _CURSORS:
            model = models / "core" / f"{name}.sql"
            (key,) = re.findall(r"key='(\w+)'", model.read_text())
            model.write_text(_CORE.format(name=name, key=key))
        sources = models / "sources" / "_raw_data__sources.yml"
        text = re.sub(r"(?m)^    schema: .*", f"    schema: {_SCHEMA}", sources.read_text())
        sources.write_text(_LEDGERS_TESTS.sub("", text))
        macro = folder / "macros" / "newest_rows.sql"
        before, _, _ = (
            (ROOT / "macros" / "newest_rows.sql")
            .read_text()
            .partition("{% macro loader_columns() %}")
        )
        macro.write_text(before.removesuffix(before[before.rindex("{#-") :]) + _COLUMNS)

    def begin(self) -> None:
        """Bring and build everything, where nothing is."""
        self._place.drop_schemas("analytics", "raw_data", _SCHEMA)
        self._place.empty_schema(_SCHEMA)
        self.run()
        self._place.settle()

    def run(self) -> Cost:
        """Do a day's job."""
        build = [program("dbt"), "--quiet", "build", "--exclude-resource-type", "unit_test"]
        return measured(self._place, *(self._sling(name) for name in _CURSORS), build)

    def _sling(self, name: str) -> list[str]:
        key, cursor = _CURSORS[name]
        incremental = ["incremental", "--primary-key", key, "--update-key", cursor]
        return [
            SLING.path, "run",
            "--src-conn", self._place.mysql_url("mysql"),
            "--src-stream", f"prod.{name}",
            "--tgt-conn", self._place.postgres_url + "?sslmode=disable",
            "--tgt-object", f"{_SCHEMA}.{name}",
            "--mode", *(incremental if key else ["truncate"]),
        ]  # fmt: skip
