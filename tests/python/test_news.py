"""A run builds what may read something new, and nothing that it leaves out would be another."""

import json
from contextlib import nullcontext
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from loader.run import news
from loader.run.dbt import Dbt
from loader.warehouse.ledger import Load
from loader.warehouse.stop import Stop

DAY = "2026-07-01"
OF_NPS, OF_CHANNELS = {"nps_summary", "nps_summary_monthly"}, {"channel_performance"}
OF_SESSIONS = {"channel_summary", "sessions_by_hour", "active_users_monthly"}
SUMMARIES = OF_NPS | OF_CHANNELS | OF_SESSIONS
TABLES = {"nps", "channel", "sessions", "nps_history", "channel_history"}
WORDS = "{% macro words_of_time() %}\\bnow\\s*\\({% endmacro %}"
A, B, APART, SPINE, BOTH = (
    "source.p.raw_data.a", "source.p.raw_data.b", "source.p.raw_data._runs", "model.p.spine",
    "model.p.both",
)  # fmt: skip


def node(name, code, *, materialized="kept_view", calls=()):
    return {
        "name": name, "alias": name, "schema": "Marts", "resource_type": "model",
        "compiled_code": code, "raw_code": "", "depends_on": {"macros": calls},
        "config": {"materialized": materialized},
    }  # fmt: skip


def macro(text, *calls):
    return {"macro_sql": text, "depends_on": {"macros": calls}}


MANIFEST = {
    "macros": {news._CLOCK: macro(WORDS), "m": macro("", "n"), "n": macro("{{ run_started_at }}")},
    "parent_map": {A: [], B: [], APART: [], SPINE: [], "seed.p.s": [], BOTH: [A, B]},
    "nodes": {
        BOTH: node("both", "select 1", materialized="checked_table"),
        "model.p.late": node("late", "select Now()"),
        "model.p.calling": node("calling", None, calls=["m"]),
    },
}
ALWAYS = {"source:raw_data._runs+", "spine+", "late+", "calling+"}


def load(table, number, *, mode="run_date", rows=1, outcome="landed", day=date(2026, 7, 1)):
    at = datetime(2026, 7, 2, tzinfo=UTC)
    return Load(
        load_id=f"{number:03}-aaaaaa", table_name=table, mode=mode, outcome=outcome, started_at=at,
        landed_rows=rows, window_start=day, window_end=day and date(2026, 7, 2),
    )  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Let a run build; returns what it selects, or notes that it went well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(news, "published", lambda held: held.published)
    monkeypatch.setattr(news, "held_back", lambda held: held.held)
    dbt = Dbt(None, Stop())
    dbt.folder.mkdir(parents=True)
    (dbt.folder / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "both.sql").write_text("select 1")

    def run(loads, *, published="now", held=(), ends_well=True, target="t", gone=""):
        there = [("marts", name) for name in ("both", "late", "calling") if name != gone]
        warehouse = SimpleNamespace(
            loads=lambda: loads, published={"both": published}, held=held, close=lambda: None,
            transaction=nullcontext, execute=lambda _: there,
        )  # fmt: skip
        found = news.News(dbt, target, lambda: warehouse)
        selected = found.selectors()
        if ends_well:
            found.note()
        return set(selected)

    return run


FIRST = [load("a", 1), load("b", 2)]
CHANGED_A = ALWAYS | {"source:raw_data.a+"}


def test_everything_is_built_before_a_build_went_well(run):
    assert run(FIRST, ends_well=False) == set()
    assert run(FIRST) == set()
    assert run(FIRST) == ALWAYS


@pytest.mark.parametrize(
    ("new", "selected"),
    [
        ([load("a", 3)], CHANGED_A),
        ([load("a", 3, mode="repair", day=None)], CHANGED_A),
        ([load("a", 3, mode="compare", day=None)], CHANGED_A),
        ([load("a", 3, mode="full_refresh", day=None, rows=0)], CHANGED_A),
        ([load("c", 3)], ALWAYS),  # nothing reads it
        ([load("a", 3, rows=0)], ALWAYS),
        ([load("a", 3, mode="compare", day=None, rows=0)], ALWAYS),
        ([load("a", 3, outcome="failed")], ALWAYS),
    ],
)
def test_what_stands_on_a_table_with_a_newer_load_is_built(run, new, selected):
    run(FIRST)
    assert run([*FIRST, *new], ends_well=False) == selected
    assert run([*FIRST, *new]) == selected  # until it went well
    assert run([*FIRST, *new]) == ALWAYS


def test_a_summary_is_built_if_it_was_published_otherwise_or_is_held(run):
    both = ALWAYS | {"both+"}
    run(FIRST)
    assert run(FIRST, published="put back", held=("both",)) == both
    assert run(FIRST, published="put back", held=("both",)) == both
    assert run(FIRST, published="put back") == both  # no longer held
    assert run(FIRST, published="put back") == ALWAYS


def test_what_is_gone_is_built(run):
    run(FIRST)
    assert run(FIRST, gone="both") == ALWAYS | {"both+"}


def test_everything_is_built_from_other_files_on_another_target_or_warehouse(
    run, tmp_path, monkeypatch
):
    (tmp_path / "models" / "sources.yml").write_text("schema: \"{{ env_var('PLACE', 'a') }}\"")
    run(FIRST)
    monkeypatch.setenv("PLACE", "b")
    assert run(FIRST, ends_well=False) == set()
    monkeypatch.delenv("PLACE")
    assert run(FIRST, target="another", ends_well=False) == set()
    assert run([load("a", 1), load("b", 9)], ends_well=False) == ALWAYS | {"source:raw_data.b+"}
    (tmp_path / "models" / "both.sql").write_text("select 2")
    assert run(FIRST, ends_well=False) == set()


@pytest.mark.timeout(900)
@pytest.mark.deep(because="it runs the daily job nine times")
def test_what_a_run_leaves_out_would_be_as_it_is(new_project):
    project = new_project()
    project.few_rows(DAY)
    file = project.folder / "dbt_project.yml"
    file.write_text(file.read_text().replace("rows_scale: 1.0", "rows_scale: 0.000001"))

    def built(*options, ends_well=True):
        """Which summaries a run builds."""
        done = project.run("loader", "run", *options)
        assert (done.returncode == 0) == ends_well, done.stdout + done.stderr
        file = project.target_folder / "target" / "loader_run" / "run_results.json"
        nodes = json.loads(file.read_text())["results"]
        return SUMMARIES & {each["unique_id"].split(".")[2] for each in nodes}

    def contents():
        return {
            name: sorted(map(repr, project.query(f"select * from analytics.{name}")))
            for name in SUMMARIES | TABLES
        }

    assert built() == SUMMARIES
    assert built() == OF_CHANNELS
    project.mysql("update nps set score = 9, updated_at = '2026-07-02' where id = 1")
    project.load("--run-date", "2026-07-02", "--select", "nps")  # apart from any run
    assert built() == OF_CHANNELS | OF_NPS
    project.mysql("update session_transaction set amount = -5, updated_at = '2026-07-03'")
    for _ in range(2):  # a check that has failed looks again
        assert built("--run-date", "2026-07-03", ends_well=False) < SUMMARIES
    project.mysql("update session_transaction set amount = 5")
    assert built("--run-date", "2026-07-03") == SUMMARIES - OF_NPS
    for name in OF_NPS:
        held = f"{{model: {name}, hold: true}}"
        project.build("run-operation", "restore_published", "--args", held)
    assert built() == SUMMARIES  # a run of some days is none of all that came
    assert built() == OF_CHANNELS | OF_NPS
    for name in OF_NPS:
        project.build("run-operation", "lift_hold", "--args", f"{{model: {name}}}")
    assert built() == OF_CHANNELS | OF_NPS
    assert built() == OF_CHANNELS
    before = contents()
    project.build("build", "--exclude-resource-type", "unit_test")
    assert contents() == before
    assert built() == SUMMARIES  # which somebody has published since
