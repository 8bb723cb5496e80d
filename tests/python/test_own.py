"""The sample can be left: `make own`, on a clone, and what is then typed."""

import json
import os
import re
import shutil
import subprocess

import pytest
from ending import ends_servers
from pipeline import BIN, COMPILED, ROOT, administer, must_end, mysql_administrator
from test_repository import tracked

from loader.local import services

OF_THE_SAMPLE = re.compile(r"\bnps|\bnet promoter|channel|session_", re.IGNORECASE)


class Clone:
    """A clone of the repository as it is now, whose commands are its own."""

    def __init__(self, folder):
        self.folder = folder
        for file in tracked():
            if file.exists():
                copy = folder / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
        self.git("init", "-q")
        self.commit()

    def run(self, *command, status=0):
        env = {
            "PATH": f"{BIN}:/usr/bin:/bin:/usr/sbin", "HOME": str(self.folder), "CI": "1",
            "PYTHONPATH": str(self.folder), **COMPILED,
            "DBT_PROFILES_DIR": str(self.folder), "DBT_TARGET": "local",
        }  # fmt: skip
        mysqld = {name: os.environ[name] for name in ("LOADER_TEST_MYSQLD",) if name in os.environ}
        done = subprocess.run(
            [BIN / command[0] if (BIN / command[0]).exists() else command[0], *command[1:]],
            cwd=self.folder, env={**env, **mysqld}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return must_end(status, done)

    def must(self, *command):
        return self.run(*command).stdout

    def git(self, *arguments):
        who = ("-c", "user.name=owner", "-c", "user.email=owner@example.com")
        return self.must("git", *who, *arguments)

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-qm", "As it is")

    def own(self, status=0):
        return self.run("python", "-m", "loader.local", "own", status=status)


@pytest.fixture
def clone(tmp_path):
    """A clone whose embedded services end with the test."""
    folder = tmp_path / "clone"
    with ends_servers(folder / ".local"):
        yield Clone(folder)


def test_what_somebody_has_added_beside_the_sample_stays(clone):
    """And nothing of the sample's does: each of its files is named, and what was landed goes."""
    clone.must("python", "-m", "loader.local", "up")
    running, landed = services.up(clone.folder / ".local", print), "create table raw_data.nps ()"
    administer(running, "create schema raw_data", landed, on="warehouse")
    own = ["models/core/orders.sql", "models/core/é.yml", "tests/mine.sql", "seeds/own.csv"]
    for name in own:
        (clone.folder / name).write_text("")
    clone.commit()
    assert "Dropping raw_data from the local warehouse" in clone.own().stdout
    administer(running, landed, on="warehouse")
    folders = ("models/core", "models/staging", "models/semantic", "tests", "seeds", "snapshots")
    left = [file for name in folders for file in (clone.folder / name).glob("*.*")]
    assert sorted(str(file.relative_to(clone.folder)) for file in left) == sorted(own)
    assert [file.name for file in (clone.folder / "tests/python").glob("test_*")] == [
        "test_project.py"
    ]


def test_what_is_not_committed_is_not_at_risk(clone):
    (clone.folder / "README.md").write_text("mine")
    (clone.folder / "new.txt").write_text("mine")
    done = clone.own(status=1)
    assert done.stderr.startswith("Error: Not committed yet: README.md, new.txt. Nothing was touch")
    assert sorted(clone.git("status", "--porcelain").split()) == ["??", "M", "README.md", "new.txt"]
    shutil.rmtree(clone.folder / ".git")
    assert "not a git repository" in clone.own(status=1).stderr
    assert (clone.folder / "models/marts/nps_summary.sql").exists()


@pytest.mark.deep(because="it checks, builds and tests a clone, twice")
def test_a_project_of_ones_own_is_left_and_everything_goes_on_from_there(clone):
    done = clone.own()
    assert "Took out the sample" in done.stdout
    assert "loader declare 'shop.*'" in done.stdout
    assert not [line for line in clone.git("status", "--porcelain").splitlines() if "??" in line]
    clone.commit()
    assert "The sample is not here any more" in clone.own(status=1).stderr

    lint = clone.must("make", "-n", "lint", "SHELL=/bin/sh")
    for tool in ("ruff check", "ruff format", "mypy", "sqlfluff", "standin.lint"):
        assert tool in lint
    clone.must("ruff", "check")
    clone.must("ruff", "format", "--check")
    clone.must("sqlfluff", "lint", "--processes", "1", "models", "tests")
    assert "passed" in clone.must("python", "-m", "pytest", "-n", "0", "tests/python")
    said = clone.must("dbt", "build")
    assert "ERROR=0" in said
    assert "WARN=0" in said
    assert "[WARNING]" not in said
    page_speaks_of_what_is_there(clone)

    own_tables_come_and_build(clone)


def page_speaks_of_what_is_there(clone):
    clone.must("loader", "report", "--output", "report.html")
    page = (clone.folder / "report.html").read_text()
    shown = re.sub(r"(?s)<(script|style).*?</\1>", "", page)
    assert "There is no summary here to draw yet" in shown
    assert "Nothing was ever landed." in shown
    assert not OF_THE_SAMPLE.search(shown)
    clone.must("dbt", "docs", "generate")
    known = json.loads((clone.folder / "target" / "manifest.json").read_text())
    overview = known["docs"]["doc.mysql_to_redshift.__overview__"]["block_contents"]
    assert "pipeline_health" in overview
    project = (clone.folder / "dbt_project.yml").read_text()
    assert not OF_THE_SAMPLE.findall(re.sub(r"\(data:\S+\)", "", overview + project))
    models = {node["name"] for node in known["nodes"].values() if node["resource_type"] == "model"}
    assert models == {"pipeline_health", "pipeline_runs"}


def own_tables_come_and_build(clone):
    endpoints = services.up(clone.folder / ".local", print)
    with mysql_administrator(endpoints) as cursor:
        cursor.execute("create database shop")
        cursor.execute("grant select on shop.* to 'loader'@'%'")
        cursor.execute("create table shop.orders (id int primary key, total decimal(9, 2))")
        cursor.execute("insert into shop.orders values (1, 1.5), (2, 2.5)")
    assert "Tables declared: 1 of 1" in clone.must("loader", "declare", "shop.*")
    clone.must("loader", "check")
    clone.must("loader", "run")
    clone.must("dbt", "build")
    clone.must("sqlfluff", "lint", "--processes", "1", "models", "tests")
    assert "passed" in clone.must("python", "-m", "pytest", "-n", "0", "tests/python")
    clone.must("loader", "report", "--output", "report.html")
    page = (clone.folder / "report.html").read_text()
    assert re.search(r"<td>orders</td>\s*<td class=\"words\"><span class=\"good\">up to date", page)
    assert "succeeded" in page
