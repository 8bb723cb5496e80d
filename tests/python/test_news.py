"""A run builds what may read something new, and nothing that it leaves out would be another."""

import json
from contextlib import nullcontext
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from loader.run import news
from loader.run.dbt import Dbt
from loader.run.published import Publication
from loader.warehouse.ledger import Load
from loader.warehouse.stop import Stop

DAY = "2026-07-01"
OF_NPS, OF_CHANNELS = {"nps_summary", "nps_summary_monthly"}, {"channel_performance"}
OF_SESSIONS = {"channel_summary", "sessions_by_hour", "active_users_monthly"}
SUMMARIES = OF_NPS | OF_CHANNELS | OF_SESSIONS
TABLES = {"nps", "channel", "sessions", "nps_history", "channel_history"}
WORDS = "{% macro words_of_time() %}\\bnow\\s*\\({% endmacro %}"
A, B, APART, SPINE, BOTH, SEED = "a", "b", "_runs", "spine", "both", "seed"


def node(name, *, kind="model", materialized="kept_view", calls=(), **more):
    return {
        "name": name, "alias": name, "schema": "Marts", "resource_type": kind, "raw_code": "",
        "depends_on": {"macros": calls}, "config": {"materialized": materialized}, **more,
    }  # fmt: skip


def source(name):
    return node(name, kind="source", source_name="raw_data")


def macro(text, *calls, of="p"):
    return {"macro_sql": text, "depends_on": {"macros": calls}, "package_name": of}


MANIFEST = {
    "macros": {
        news._CLOCK: macro(WORDS),
        "m": macro("", "n", "d"),
        "n": macro("{{ run_started_at }}"),
        "d": macro("{{ modules.datetime.now() }}", of="dbt"),
        "macro.p.test_recent": macro("where day > now()"),
    },
    "parent_map": {A: [], B: [], APART: [], SPINE: [], SEED: [], BOTH: [A, B]},
    "sources": {A: source("a"), B: source("b"), APART: source("_runs")},
    "nodes": {
        SPINE: node("spine"),
        SEED: node("seed", kind="seed"),
        BOTH: node("both", materialized="checked_table"),
        "late": node("late"),
        "calling": node("calling", calls=["m"]),
        "named": node("named", calls=["d"]),
        "few": node("few", kind="test", materialized="test", attached_node=SPINE),
    },
}
RELATIONS = ("spine", "seed", "both", "late", "calling", "named")
ALWAYS = {"source:raw_data._runs+", "spine+", "late+", "calling+"}


def load(
    table, number, *, mode="run_date", rows=1, outcome="landed", day=date(2026, 7, 1), content=None
):
    at = datetime(2026, 7, 2, tzinfo=UTC)
    return Load(
        load_id=f"{number:03}-aaaaaa", table_name=table, mode=mode, outcome=outcome, started_at=at,
        landed_rows=rows, content_hash=content,
        window_start=day, window_end=day and date(2026, 7, 2),
    )  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Let a run build; returns what it selects, and notes that it went well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        news, "publications", lambda of: {"both": Publication(*of.published, "", DAY, False)}
    )
    monkeypatch.setattr(news, "held_back", lambda warehouse: dict.fromkeys(warehouse.held))
    (tmp_path / "models" / "logs").mkdir(parents=True)
    (tmp_path / "models" / "logs" / "both.sql").write_text("select 1")
    (tmp_path / "dbt_project.yml").touch()
    (tmp_path / "models" / "itself").symlink_to(tmp_path)
    (tmp_path / "models" / "nowhere.sql").symlink_to(tmp_path / "none.sql")

    def run(loads, *, target="t", ends_well=True, manifest=MANIFEST, during=(), **now):
        state = {"published": ("once", "by us"), "held": (), "oids": {}, **now}

        def execute(_):
            named = enumerate(RELATIONS)
            oids = {name: number for number, name in named} | state["oids"]
            return [("marts", name, oid) for name, oid in oids.items() if oid is not None]

        warehouse = SimpleNamespace(
            loads=lambda: loads,
            close=lambda: None,
            transaction=nullcontext,
            execute=execute,
            **state,
        )
        dbt = Dbt(None, Stop())
        dbt.folder.mkdir(parents=True, exist_ok=True)
        (dbt.folder / "manifest.json").write_text(json.dumps(manifest))
        dbt.code, dbt.invocations = {"late": "select Now()", "few": "select 1"}, {"by us"}
        dbt.nodes = {
            name: {"node": f"test.p.{name}", "status": "warn"} for name in now.get("warn", ())
        }
        found = news.News(dbt, target, lambda: warehouse)
        vars(warehouse).update(during)
        if ends_well:
            found.note()
        return set(found.selectors)

    return run


FIRST = [load("a", 1, content="same"), load("b", 2)]
CHANGED_A, CHANGED_BOTH = ALWAYS | {"source:raw_data.a+"}, ALWAYS | {"both+"}


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
        ([load("a", 3, day=None, content="other")], CHANGED_A),
        ([load("a", 3, day=None, content="same")], ALWAYS),
        ([load("a", 3, mode="repair"), load("a", 4, day=None, content="same")], CHANGED_A),
        # What was not built of the copy between is to be taken back.
        ([load("a", n, day=None, content=c) for n, c in ((3, "other"), (4, "same"))], CHANGED_A),
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


ELSE = {"published": ("put back", "by another")}


def test_a_summary_is_built_if_it_was_published_otherwise_or_is_held(run):
    run(FIRST)
    assert run(FIRST, **ELSE, held=("both",)) == CHANGED_BOTH
    assert run(FIRST, **ELSE, held=("both",)) == CHANGED_BOTH
    assert run(FIRST, **ELSE) == CHANGED_BOTH  # no longer held
    assert run(FIRST, **ELSE) == ALWAYS


@pytest.mark.parametrize("during", [ELSE, {"held": ()}])
def test_what_others_do_during_a_build_is_none_of_it(run, during):
    run(FIRST, held=("both",) if "held" in during else (), during=during)
    assert run(FIRST, **(ELSE if during == ELSE else {})) == CHANGED_BOTH


@pytest.mark.parametrize("oid", [None, 77])
def test_a_relation_that_is_gone_or_was_made_anew_is_built(run, oid):
    run(FIRST)
    assert run(FIRST, oids={"named": oid}) == ALWAYS | {"named+"}


def test_what_warns_or_asks_for_the_time_is_built_until_it_does_so_no_more(run):
    run(FIRST, warn=("few",))
    assert run(FIRST) == ALWAYS | {"few+"}
    recent = node(
        "recent", kind="test", materialized="test", attached_node=BOTH,
        calls=["macro.p.test_recent"], test_metadata={"name": "recent"},
    )  # fmt: skip
    gated = {**MANIFEST, "nodes": {**MANIFEST["nodes"], "recent": recent}}
    run(FIRST, manifest=gated)
    assert run(FIRST, manifest=gated) == CHANGED_BOTH  # whose gate makes the check


def test_everything_is_built_from_other_files_on_another_target_or_warehouse(
    run, tmp_path, monkeypatch
):
    (tmp_path / "models" / "sources.yml").write_text("schema: \"{{ env_var('PLACE', 'a') }}\"")
    file = tmp_path / "models" / "logs" / "both.sql"

    def is_whole(change, undo):
        run(FIRST)
        assert run(FIRST)
        change()
        built = run(FIRST, ends_well=False)
        undo()
        return built == set() == run(FIRST, ends_well=False)  # what was built may be of the change

    assert is_whole(lambda: monkeypatch.setenv("PLACE", "b"), lambda: monkeypatch.delenv("PLACE"))
    assert is_whole(lambda: file.write_text("select 2"), lambda: file.write_text("select 1"))
    run(FIRST)
    assert run(FIRST, target="another", ends_well=False) == set()
    run(FIRST)
    assert run([load("a", 1), load("b", 9)]) == ALWAYS | {"source:raw_data.b+"}


@pytest.mark.deep(because="it runs the daily job nine times")
def test_what_a_run_leaves_out_would_be_as_it_is(new_project):
    project = new_project()
    project.few_rows(DAY)

    def built(*options, ends_well=True):
        """Which summaries a run builds."""
        project.run("loader", "run", *options, status=0 if ends_well else 1)
        nodes = project.artifact("loader_run/run_results")["results"]
        return SUMMARIES & {each["unique_id"].split(".")[2] for each in nodes}

    def contents():
        # Which load has copied a row that is as it was, core may leave as it is.
        columns = dict.fromkeys(SUMMARIES | TABLES, "*") | {"channel": "channel_name"}
        return {
            name: sorted(map(repr, project.query(f"select {all_of} from analytics.{name}")))
            for name, all_of in columns.items()
        }

    assert built() == SUMMARIES
    assert built() == set()
    project.mysql("update nps set score = 9, updated_at = '2026-07-02' where id = 1")
    project.load("--run-date", "2026-07-02", "--select", "nps")  # apart from any run
    assert built() == OF_NPS
    project.mysql("update session_transaction set amount = -5, updated_at = '2026-07-03'")
    for _ in range(2):  # a check that has failed looks again
        assert built("--run-date", "2026-07-03", ends_well=False) < SUMMARIES
    project.mysql("update session_transaction set amount = 5")
    assert built("--run-date", "2026-07-03") == SUMMARIES - OF_NPS
    for name in OF_NPS:
        held = f"{{model: {name}, hold: true}}"
        project.build("run-operation", "restore_published", "--args", held)
    assert built() == SUMMARIES  # some were held back before the run that noted
    assert built() == OF_NPS
    for name in OF_NPS:
        project.build("run-operation", "lift_hold", "--args", f"{{model: {name}}}")
    assert built() == OF_NPS
    assert built() == set()
    before = contents()
    project.build("build", "--exclude-resource-type", "unit_test")
    assert contents() == before
    assert built() == SUMMARIES  # which somebody has published since
