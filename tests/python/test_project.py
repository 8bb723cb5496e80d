"""What holds for any project of this kind, the repository's and one that `make own` has left."""

import io
import json
import re
import shutil
from contextlib import redirect_stdout

import pytest
import yaml
from dbt.cli.main import dbtRunner
from pipeline import ROOT

from loader.declared.tables import read_tables

SEMANTIC = ("metrics", "semantic_models")
BESIDE = "report.html"  # `make site` writes it there
LINEAGE = "#!/overview?g_v=1&g_i=%2Bexposure:*"
ELSEWHERE = ("data:image/svg+xml;", "https://docs.getdbt.com/")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """What dbt knows of the project without asking a warehouse."""
    folder = tmp_path_factory.mktemp("dbt")
    shutil.copy(ROOT / "profiles.yml.example", folder / "profiles.yml")
    asked = re.findall(r"env_var\('(PG\w+)'\)", (folder / "profiles.yml").read_text())
    env = {"DBT_TARGET": "postgres", "DBT_LOG_LEVEL_FILE": "none", **dict.fromkeys(asked, "none")}
    options = ["--project-dir", ROOT, "--profiles-dir", folder, "--target-path", folder]
    with pytest.MonkeyPatch.context() as changed, redirect_stdout(io.StringIO()) as said:
        for name, value in env.items():
            changed.setenv(name, value)
        done = dbtRunner().invoke(["--no-use-colors", "parse", *map(str, options)])
    assert done.success, said.getvalue()
    assert "[WARNING]" not in said.getvalue()
    return json.loads((folder / "manifest.json").read_text())


def anchors(page):
    """What the headings of a page are called in a link, as GitHub does."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_link_of_readme_and_docs_leads_somewhere():
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for link, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", path.read_text()):
            if "://" not in link:
                page = path.parent / link if link else path
                assert page.exists(), f"{path.name}: {link}"
                assert not anchor or anchor in anchors(page), f"{path.name}: {link}#{anchor}"


def test_no_link_of_the_site_is_broken(nodes):
    known = {
        f"#!/{kind}/{name}"
        for each in ("nodes", "sources", "exposures", *SEMANTIC)
        for name, node in nodes[each].items()
        for kind in (node["resource_type"],)
    }
    texts = [
        doc["block_contents"] for doc in nodes["docs"].values() if doc["package_name"] != "dbt"
    ]
    texts += [node["description"] for each in ("nodes", "sources") for node in nodes[each].values()]
    links = {link for text in texts for link in re.findall(r"\]\(([^)]+)\)", text)}
    assert links
    for link in links:
        assert link in known | {BESIDE, LINEAGE} or link.startswith(ELSEWHERE), link
    assert f"--output target/{BESIDE}" in (ROOT / "Makefile").read_text()
    assert not [text for text in texts if "{#" in text]


def test_every_key_is_tested_and_every_model_has_an_owner(nodes):
    """A copy of a table without a key has none."""
    tests = [node for node in nodes["nodes"].values() if node["resource_type"] == "test"]
    keyless = "macro.mysql_to_redshift.whole_copy"
    for node in nodes["nodes"].values():
        if node["resource_type"] != "model" or node["name"].startswith("stg_"):
            continue
        kinds = {
            test["test_metadata"]["name"]
            for test in tests
            if test.get("attached_node") == node["unique_id"]
        }
        has_key = keyless not in node["depends_on"]["macros"]
        assert bool(kinds & {"unique", "primary_key"}) == has_key, node["name"]
        assert node["group"], node["name"]


def test_loader_and_dbt_know_the_same_tables(nodes):
    _, tables = read_tables(ROOT)
    known = {
        node["name"]
        for node in nodes["sources"].values()
        if (node["config"]["meta"] or {}).get("loader")
    }
    assert known == set(tables)


def test_the_declarations_of_schemas_agree():
    texts = [(ROOT / "macros/generate_schema_name.sql").read_text()]
    for file in (ROOT / "models" / "sources").glob("*.yml"):
        texts += [each["schema"] for each in yaml.safe_load(file.read_text())["sources"]]
    assert len(texts) > 1
    for text in texts:
        assert "target.schema == 'analytics'" in text
        assert "target.schema ~ '_'" in text
