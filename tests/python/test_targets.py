"""What is done in one target changes nothing in another's, and --empty nothing that holds rows."""

import shutil
from dataclasses import replace

import pytest
from pipeline import DAYS, copy_project

JANE = {"DBT_SCHEMA": "jane"}
BUILT = ("--select", "staging", "core", "nps_summary")
RUN = ("run", *BUILT, "--vars", "minimum_rows_scale: 0.00001")


def answers(pipeline, *ids, day):
    """Write answers of one day in MySQL, or change them on another."""
    rows = ", ".join(f"({n}, {n}, {n % 11}, '{DAYS[0]}', '{day} 08:00:00')" for n in ids)
    pipeline.mysql("replace into nps (id, user_id, score, created_at, updated_at) values " + rows)


@pytest.fixture
def production(project, tmp_path):
    """Production, where a day has been landed and built since jane copied raw_data."""
    folder = copy_project(tmp_path, project.database)
    shutil.copytree(project.target_folder, tmp_path / "dbt")
    made = replace(project, folder=folder, target_folder=tmp_path / "dbt")
    made.mysql("insert into channel values ('Google')")
    answers(made, *range(1, 9), day=DAYS[0])
    made.load("--full-refresh")
    made.build(*RUN)
    made.load("--full-refresh", **JANE)
    answers(made, 8, 9, day=DAYS[1])
    made.load("--run-date", DAYS[1])
    made.build(*RUN)
    yield made
    made.query(
        "drop schema if exists jane_raw_data, jane_analytics, jane_archive, jane_adhoc cascade"
    )


def of_production(pipeline):
    """Every row of every table that is not jane's."""
    tables = pipeline.query(
        "select schemaname || '.' || tablename from pg_tables "
        "where schemaname in ('raw_data', 'analytics', 'archive') order by 1"
    )
    assert len(tables) > 9
    return {
        name: pipeline.query(f"select cast(t as varchar) from {name} as t order by 1")
        for (name,) in tables
    }


def test_a_clone_runs_no_hook_on_the_tables_that_its_views_read(production, tmp_path):
    """What is deleted from such a view is deleted in production."""
    channel = production.folder / "models/core/channel.sql"
    own = "{{ config(post_hook='delete from ' ~ this) }}\n"
    channel.write_text(own + channel.read_text())
    production.build("parse")
    state = tmp_path / "state"
    state.mkdir()
    shutil.copy(production.target_folder / "target/manifest.json", state)
    before = of_production(production)
    clone = ("clone", *BUILT, "--state", str(state), "--full-refresh")
    for _ in range(2):
        production._dbt(clone, JANE)
    assert of_production(production) == before
    assert production.value("select count(*) from jane_analytics.nps") == 9


def test_an_operation_refuses_a_view_in_a_tables_place(production):
    """A developer who has no rows of their own may read production's through views."""
    production.load("--run-date", DAYS[1], **JANE)  # and so has a row to archive
    production.query(
        "create schema jane_analytics; create schema jane_archive; create table archive.nps "
        "(like raw_data.nps); create table jane_analytics._publications as "
        "select * from analytics._publications; create table "
        "jane_archive.nps_summary__20260101000000 as select * from analytics.nps_summary limit 1"
    )
    before = of_production(production)
    for operation, arguments, table in (
        ("restore_published", "{model: nps_summary}", "analytics.nps_summary"),
        ("prune_raw_data", "{days: 0, dry_run: false}", "archive.nps"),
        ("prune_raw_data", "{days: 0, dry_run: false}", "raw_data.nps"),
    ):
        production.query(
            f"drop table if exists jane_{table}; create view jane_{table} as select * from {table}"
        )
        said = production.build_fails("run-operation", operation, "--args", arguments, **JANE)
        assert f"jane_{table} is a view" in said.replace('"', "")
        assert of_production(production) == before


def test_empty_is_refused_where_rows_are_and_passes_where_none_are(production):
    """It made every view one without rows, and a snapshot one in which all was deleted."""
    production.build("snapshot", "--select", "nps_history")
    views = "select viewname, definition from pg_views where schemaname = 'analytics' order by 1"
    before = of_production(production), production.query(views)
    for command in ("build", "run", "snapshot"):
        said = production.build_fails(command, "--empty")
        assert "holds rows, and --empty would build it without any" in said
        assert (of_production(production), production.query(views)) == before
    for command in ("build", "build", "run", "snapshot"):
        production.build(command, "--empty", **JANE)
    assert production.value("select count(*) from jane_analytics.nps_summary") == 0
    production.build(*RUN, **JANE)
    assert production.value("select count(*) from jane_analytics.nps_summary") == 1
    assert "--empty" in production.build_fails("build", "--empty", **JANE)


def test_a_retry_counts_as_the_command_that_it_repeats(production):
    """Its hooks act as that command's do: here they drop what has vanished from MySQL."""
    production.mysql("delete from nps where id = 1")
    production.load("--full-refresh")
    model = production.folder / "models/core/nps.sql"
    text = model.read_text()
    model.write_text(f"{text} where 1 / (score - score) = 1")
    assert production.dbt("run", "--select", "nps").returncode == 1
    model.write_text(text)
    done = production.dbt("retry")
    assert done.returncode == 0, done.stdout
    assert production.value("select min(response_id) from analytics.nps") == 2
