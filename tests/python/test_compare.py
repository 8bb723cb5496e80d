"""A table of `mode: compare` costs what differs, and ends up as the source all the same."""

import json
import re

import pytest
from pipeline import column, write_sources
from test_cursors import newest

TABLE = {"name": "t", "primary_key": ["id"], "mode": "compare"}
COUNTS = ("source_rows", "staged_rows", "copied_rows", "landed_rows")


@pytest.fixture
def pipeline(new_pipeline):
    return new_pipeline(
        [TABLE],
        "create table t (id int primary key, v varchar(9), f double, r float)",
        "insert into t select seq, seq, seq / 7, seq / 7 from seq_1_to_3000",
    )


def change(pipeline):
    """One row of each kind: stale, by a text and by a double; gone; and new."""
    pipeline.mysql(
        "update t set v = 'x' where id = 3",
        "update t set f = 0.1 where id = 5",
        "delete from t where id = 4",
        "insert into t values (9999, '', null, null)",
    )


def counts(load):
    assert load["outcome"] == "landed"
    assert len({load[name] for name in COUNTS}) == 1
    return load["mode"], load["landed_rows"]


def test_a_load_lands_exactly_what_differs_deletions_included(pipeline):
    assert counts(pipeline.load()["t"])[1] == 3000
    change(pipeline)
    before = len(pipeline.raw("t"))
    assert counts(pipeline.load()["t"]) == ("compare", 4)
    assert newest(pipeline, "id, v, f") == pipeline.mysql("select id, v, f from t order by id")
    assert len(pipeline.raw("t")) == before + 4
    assert counts(pipeline.load()["t"]) == ("compare", 0)
    assert counts(pipeline.load("--run-date", "2026-07-01")["t"]) == ("compare", 0)
    assert pipeline.load("--full-refresh")["t"]["landed_rows"] == 3000
    assert len(pipeline.raw("t")) == 3000
    assert pipeline.staged() == []
    (status,) = json.loads(pipeline.loader("status", "--json").stdout)["tables"]
    assert status["last"]["landed_rows"] == 3000


def test_a_column_that_is_new_brings_the_whole_table(pipeline):
    pipeline.load()
    pipeline.mysql("alter table t add column note int not null default 7")
    load = pipeline.load()["t"]
    assert (load["mode"], load["landed_rows"]) == ("full_refresh", 3000)
    assert pipeline.query("select distinct note from raw_data.t") == [(7,)]
    pipeline.mysql(
        "alter table t modify v varchar(200)", "update t set v = repeat('v', 99) where id = 1"
    )
    assert counts(pipeline.load()["t"]) == ("compare", 1)
    pipeline.mysql("update t set v = '1'", "alter table t modify v int")
    assert "column v was" in pipeline.fails()
    assert "column v was" in pipeline.loader("verify").stderr


def test_plan_says_what_the_load_does(pipeline):
    pipeline.load()
    plan = " ".join(pipeline.loader("plan", "--sql").stdout.split())
    assert "only what differs" in plan
    assert re.search(r'copy [^;]*"_deleted_at"', plan, re.IGNORECASE), plan
    assert "concat(" not in plan  # MySQL is not asked for every row
    write_sources(pipeline.folder, pipeline.database, [{**TABLE, "primary_key": ["id", "v"]}])
    pipeline.mysql("update t set v = '' where v is null")
    refused = pipeline.fails()
    assert "its rows were landed by key id, and key id, v is declared now" in refused
    assert refused.splitlines()[0] in " ".join(pipeline.loader("plan").stdout.split())


def test_verify_finds_and_repairs_by_keys(pipeline):
    pipeline.load()
    change(pipeline)
    done = pipeline.loader("verify", "--json", "--repair", status=0)
    report = json.loads(done.stdout)
    assert [report["tables"][0][kind] for kind in ("missing", "extra", "stale")] == [1, 1, 2]
    assert counts(report["loads"][0]) == ("compare", 4)
    pipeline.loader("verify", status=0)


def test_a_column_that_cannot_be_compared_is_refused_by_name(new_pipeline):
    masked = {**TABLE, "columns": [column("secret", mask="hash")]}
    pipeline = new_pipeline([masked, {**TABLE, "name": "floats"}])
    pipeline.mysql(
        "create table t (id int primary key, secret varchar(9))",
        "create table floats (id double primary key)",
    )
    for name, why in (("t", "secret is declared"), ("floats", "id is a key of floats")):
        checked = pipeline.loader("check", "--select", name, LOADER_MASK_SALT="s" * 16, status=1)
        assert f"column {why}" in " ".join(checked.stdout.split())
        said = pipeline.fails("--select", name, LOADER_MASK_SALT="s" * 16)
        assert f"column {why}" in said
        assert "copied whole" in said
    assert pipeline.query("select 1 from pg_tables where tablename in ('t', 'floats')") == []
