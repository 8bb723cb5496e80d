"""Good teams drift: what the repository promises of itself is checked here."""

import ast
import importlib.util
import re
import shlex
import subprocess

import independent
import pytest
import yaml
from browser import opened
from pipeline import ROOT
from test_cli import is_command
from test_commands import COMMANDS
from test_project import LINEAGE, SEMANTIC


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_no_module_is_longer_than_can_be_read_in_one_sitting():
    for path in [*(ROOT / "loader").rglob("*.py"), *(ROOT / "report").rglob("*.py")]:
        assert len(path.read_text().splitlines()) <= 300, path


ROOMS = (
    "declared", "source", "declare", "stage", "warehouse", "load", "verify", "run", "cli", "local",
)  # fmt: skip


def test_a_room_of_the_loader_uses_only_those_before_it():
    assert {path.parent.name for path in (ROOT / "loader").glob("*/*.py")} == set(ROOMS)
    upwards = set()
    for number, room in enumerate(ROOMS):
        later = {f"loader.{each}" for each in ROOMS[number + 1 :]}
        for path in (ROOT / "loader" / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                for each in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                    module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                    name = f"{module}{each.name}"
                    if ".".join(name.split(".")[:2]) in later:
                        upwards.add((room, name))
    assert upwards == set()


def test_the_locks_name_hashes_and_no_registry():
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "index-url" not in text
        for line in re.split(r"\n(?=\S)", text.strip()):
            assert "--hash=sha256:" in line, line.splitlines()[0]


def test_ci_calls_what_the_readme_tells_people_to_call():
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for script in (ROOT / ".ci" / "run", ROOT / ".github" / "workflows" / "ci.yml"):
        called = set(re.findall(r"\bmake ([a-z-]+)", script.read_text()))
        assert {"test", "lint"} <= called <= targets
        assert all(f"make {target}" in readme for target in called)
    assert set(re.findall(r"\bmake ([a-z-]+)", readme)) <= targets


def test_ci_may_only_read_and_runs_what_is_pinned():
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert not re.findall(r"uses: (?!\S+@[0-9a-f]{40} # v)", text)  # a tag may be moved
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())


def test_every_command_that_is_told_of_can_be_typed():
    """Those of the README run in test_commands.py; none anywhere has an option that is gone."""
    pages = [ROOT / "README.md", ROOT / "models/overview.md", *(ROOT / "docs").glob("*.md")]
    told = {
        (page.name, command)
        for page in pages
        for command in re.findall(r"(?:^|[`/])(loader [a-z][^`|\n]*)", page.read_text(), re.M)
    }
    assert len(told) > 40
    for name, command in told:
        words = shlex.split(command, comments=True)
        dates = ["2026-07-01" if word == "DATE" else word for word in words[1:]]
        assert is_command(["60" if word == "SECONDS" else word for word in dates]), (name, command)


DBT = re.compile(
    r"\bdbt (build|clone|debug|docs (?:generate|serve)|retry|run-operation \w+|run|seed|show"
    r"|snapshot|source freshness|test)\b( [^`|&\n.]*)?"
)
# By test_beside, test_commands, test_rollback and test_runs.
TYPED_ELSEWHERE = {"clone", "docs serve", "retry", "run-operation restore_published", "show"}


def dbt_commands(text):
    """The commands in a text, each with all the options that it is told with."""
    return {(name, frozenset(re.findall(r"--[a-z-]+", rest))) for name, rest in DBT.findall(text)}


def test_every_dbt_command_that_is_told_of_is_typed_by_a_test():
    """In docs and in messages, which may be broken into several strings."""
    typed = dbt_commands("\n".join(COMMANDS))
    told = 0
    for path in tracked():
        ours = path.relative_to(ROOT).parts[0] != "tests"
        if ours and path.suffix in {".md", ".yml", ".py", ".sql"}:
            text = re.sub(r"[\"']\s*~?\s*\n\s*~?\s*f?[\"']", "", path.read_text())
            commands = {each for each in dbt_commands(text) if each[0] not in TYPED_ELSEWHERE}
            told += len(commands)
            assert commands <= typed, (path.name, commands - typed)
    assert told > 40


# -- the dbt project -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest(landed_warehouse):
    """What dbt knows of the project."""
    landed_warehouse.build("docs", "generate", "--static")
    return landed_warehouse.artifact("manifest")


def test_every_node_and_column_is_described(manifest):
    ours = [
        node
        for kind in ("nodes", "sources", "exposures", "groups", *SEMANTIC)
        for node in manifest[kind].values()
        if node["package_name"] == "mysql_to_redshift"
        and node["resource_type"] not in ("operation", "sql_operation")
        and not node.get("test_metadata")  # what a generic test claims is described once
    ]
    assert len(ours) > 40
    for node in ours:
        assert node["description"].strip(), node["unique_id"]
        for column in node.get("columns", {}).values() if has_own_words(node) else ():
            assert column["description"].strip(), f"{node['unique_id']}.{column['name']}"


OF_THE_LOADER = {"_run_date", "_load_id", "_loaded_at", "_deleted_at", "_watermark"}


def has_own_words(node):
    """Whether a table's columns are described with it: those of raw and staging are in core."""
    return not (
        node.get("fqn", [])[1:2] == ["staging"] or "loader" in node["config"].get("meta", {})
    )


def test_the_warehouses_columns_are_the_documented_ones(manifest, landed_warehouse):
    catalog = landed_warehouse.artifact("catalog")
    found = {**catalog["nodes"], **catalog["sources"]}
    assert len(found) > 20
    for unique_id, entry in found.items():
        node = {**manifest["nodes"], **manifest["sources"]}[unique_id]
        documented, there = set(node["columns"]), set(entry["columns"])
        assert documented <= there, unique_id
        assert documented | OF_THE_LOADER >= there or not has_own_words(node), unique_id
    blocks = {doc["name"] for doc in manifest["docs"].values()}
    assert {name.removeprefix("_") for name in OF_THE_LOADER} <= blocks
    described = landed_warehouse.value("select obj_description('analytics.nps_summary'::regclass)")
    assert described.startswith("Net Promoter Score per day.")


def test_every_mart_is_used_by_an_exposure_and_checked_before_it_is_published(manifest):
    used = {name for each in manifest["exposures"].values() for name in each["depends_on"]["nodes"]}
    marts = [
        node for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["fqn"][1] == "marts"
    ]  # fmt: skip
    assert len(marts) == 8
    for mart in marts:
        assert mart["unique_id"] in used
        if mart["name"] not in ("pipeline_health", "pipeline_runs"):
            assert mart["config"]["materialized"] == "checked_table"


# -- the docs site -------------------------------------------------------------------------------

MARTS = (*independent.MARTS, "pipeline_health", "pipeline_runs")
# Writes down what the page draws on a canvas, where the lineage is.
DRAWN = """<script>
const fillText = CanvasRenderingContext2D.prototype.fillText, drawn = new Set();
CanvasRenderingContext2D.prototype.fillText = function (text) {
  document.documentElement.dataset.drawn = [...drawn.add(text)].join("|");
  return fillText.apply(this, arguments);
};
</script>"""


def test_the_static_page_opens_and_shows_landing_page_pictures_and_lineage(
    manifest, landed_warehouse, tmp_path
):
    site = (landed_warehouse.target_folder / "target" / "static_index.html").read_text()
    page = tmp_path / "static_index.html"
    page.write_text(site.replace("<head>", f"<head>{DRAWN}", 1))
    shown = opened(page, tmp_path, at=LINEAGE, known="getIcon|ERR_FILE_NOT_FOUND|%7B%7B")
    assert ">Which table answers which question</h2>" in shown
    assert len(re.findall(r'<img src="data:image/svg\+xml;base64,[^"]+" alt=', shown)) == 2
    drawn = set(re.search('data-drawn="(.*?)"', shown)[1].split("|"))
    assert {*MARTS, "raw_data.nps", "stg_prod__nps", "nps", "The report"} <= drawn


def test_every_mart_gives_a_query_to_paste(manifest, landed_warehouse):
    for name in MARTS:
        description = manifest["nodes"][f"model.mysql_to_redshift.{name}"]["description"]
        (query,) = re.findall(r"(?s)```sql\n(.*?)```", description)
        assert f"from analytics.{name}\n" in query
        rows = landed_warehouse.through_driver(query)
        assert rows or name == "pipeline_runs", name


def test_the_pictures_are_those_of_the_declarations(manifest):
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    page = (ROOT / "models" / "overview.md").read_text()
    assert pictures.with_pictures(page) == page, "run: python docs/pictures.py"
    tested = set()
    for test in manifest["nodes"].values():
        if (test.get("test_metadata") or {}).get("name") == "relationships":
            arguments, table = test["test_metadata"]["kwargs"], test["attached_node"].split(".")[-1]
            (referred,) = re.findall(r"'(\w+)'", arguments["to"])
            tested.add((table, test["column_name"], referred, arguments["field"]))
    _, relations = pictures.declared()
    assert set(relations) == tested
