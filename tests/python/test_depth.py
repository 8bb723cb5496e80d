"""Tests have two depths: a new row that breaks one is found in both, an old one in the whole."""

import json
import re
from datetime import UTC, datetime

import pytest

DAY = "2026-07-01"
MEND = "loader verify --repair --select"
ALL = ("build", "--exclude", "source:raw_data._runs", "pipeline_runs", "--exclude-resource-type")
BUILD = (*ALL, "unit_test")
NEW = {"LOADER_CHECKS": "new"}
NARROWED = ("rows", "key")
NEWER = "99991231T000000000000-aaaaaa"


@pytest.fixture(scope="module")
def passed(new_project):
    """A project whose tests have all passed on a few rows."""
    pipeline = new_project()
    pipeline.few_rows(DAY)
    pipeline.load("--start-date", DAY, "--end-date", "2026-07-03")
    for _ in range(3):  # the second snapshot notes what it has seen, then its tests do
        pipeline.build(*BUILD, **NEW)
    if not pipeline.standin:
        pipeline.query(
            "do $$ declare i record; begin for i in select indexrelid::regclass as name "
            "from pg_index where indisunique and indrelid::regclass::text like 'analytics.%' "
            "loop execute 'drop index ' || i.name; end loop; end $$"
        )
    pipeline.build("parse")
    pipeline.query("create schema good")
    for relation in {relation for _, relation, *_ in narrowed(pipeline).values()}:
        first = "response_id = 1" if relation == "analytics.nps_history" else "1 = 1"
        first = "id = 1" if relation == "raw_data.nps" else first
        name = relation.replace(".", "_")
        pipeline.query(
            f"create table good.{name} as select * from {relation} where {first} limit 1"
        )
    return pipeline


def narrowed(pipeline):
    """The tests that look at new rows alone, by name, with the relation that each is of."""
    manifest = pipeline.artifact("manifest")
    nodes = {**manifest["nodes"], **manifest["sources"]}
    found = {}
    for test in manifest["nodes"].values():
        if test["resource_type"] != "test" or not test.get("test_metadata"):
            continue
        of = nodes[test["attached_node"] or test["depends_on"]["nodes"][0]]
        kind = test["test_metadata"]["name"]
        depth = test["config"]["meta"].get("looks_at", "rows")
        is_core = of["config"].get("materialized") in ("incremental", "snapshot")
        is_raw = of["resource_type"] == "source" and "loader" in of["config"]["meta"]
        if (is_core or is_raw) and (depth in NARROWED or kind == "row_count_matches_ledger"):
            relation = f"{of['schema']}.{of.get('alias') or of['identifier']}"
            arguments = test["test_metadata"]["kwargs"]
            found[test["name"]] = (kind, relation, arguments, of["resource_type"])
    return found


BAD = {
    "not_null": lambda _: "null",
    "filled": lambda _: "null",
    "accepted_values": lambda _: "99",
    "between": lambda arguments: f"{arguments['maximum']} + 1",
    "relationships": lambda arguments: f"'of no {arguments['to'][5:-2]}'",
}


def break_rules(pipeline, tests, load_id):
    """Add a row that breaks each rule, as that load would have brought it; None: as an old one."""
    for kind, relation, arguments, of in tests.values():
        schema, table = relation.split(".")
        if kind == "row_count_matches_ledger":
            pipeline.query(
                f"update raw_data._loads set source_rows = 99 where table_name = '{table}'"
                if load_id is None
                else "insert into raw_data._loads (load_id, table_name, mode, window_start, "
                "window_end, source_rows, outcome, started_at, ended_at) values "
                f"('{load_id}', '{table}', 'range', '2026-07-05', '2026-07-06', 4321, 'landed', "
                "now(), now())"
            )
            continue
        changed = {"_load_id": f"'{load_id}'"} if load_id else {}
        if kind in BAD:
            column = arguments.get("column_name") or arguments["columns"][-1]
            changed[column.strip('"')] = BAD[kind](arguments)
        if (kind, table) == ("primary_key", "channel"):  # of the others a key is there twice
            changed["channel_name"] = "null"
        names = [name for (name,) in pipeline.query(
            "select column_name from information_schema.columns "
            f"where table_schema = '{schema}' and table_name = '{table}'"
        )]  # fmt: skip
        listed = ", ".join(f'"{name}"' for name in names)
        values = ", ".join(changed.get(name, f'"{name}"') for name in names)
        copies = 2 if kind == "key_of_newest_version" else 1
        pipeline.query(
            f"insert into {relation} ({listed}) select {values} from good.{schema}_{table}, "
            f"generate_series(1, {copies})"
        )
        if of == "snapshot" and load_id:  # what its key was landed by
            name = table.removesuffix("_history")
            pipeline.query(
                f"create temp table landed as select * from good.raw_data_{name}; "
                f"update landed set _load_id = '{load_id}'; "
                f"insert into raw_data.{name} select * from landed"
            )


def found_by(pipeline, tests, **changes):
    said = pipeline.build_fails("test", "--select", *tests, **changes)
    return set(re.findall(r"(?:FAIL|WARN) \d+ (\w+)", said)) & set(tests)


@pytest.mark.deep(because="it builds a project of its own three times")
def test_a_new_row_that_breaks_a_rule_is_found_in_both_depths_and_an_old_one_in_one(passed):
    tests = narrowed(passed)
    kinds = {kind for kind, *_ in tests.values()}
    of_keys = {"unique", "primary_key", "key_of_newest_version"}
    assert kinds >= {*of_keys, "row_count_matches_ledger", *BAD}
    break_rules(passed, tests, None)
    assert set(tests) - found_by(passed, tests) == set()
    said = passed.build("test", "--select", *tests, **NEW)
    assert "WARN 1" not in said
    break_rules(passed, tests, NEWER)
    assert set(tests) - found_by(passed, tests, **NEW) == set()
    # What has failed has seen nothing: it is found until it is mended.
    assert set(tests) - found_by(passed, tests, **NEW) == set()
    assert set(tests) - found_by(passed, tests) == set()


def test_an_old_row_that_loses_the_one_it_belongs_to_is_found_and_holds_summaries_back(new_project):
    project = new_project()
    project.few_rows(DAY)
    for _ in range(2):  # the tests of the second one have seen all rows before
        project.run("loader", "run", "--run-date", DAY, status=0)
    published = project.query("select * from analytics.channel_performance")
    project.mysql("delete from user_session_channel")
    only = ("--select", "user_session_channel")
    project.run("loader", "verify", "--repair", "--yes", *only, status=0)
    done = project.run("loader", "run", *only, "--run-date", "2026-07-04", status=1)
    assert re.search(rf"relationships_session_timestamp.*\n *session_id {'a' * 32}", done.stdout)
    assert project.query("select * from analytics.channel_performance") == published


def test_a_failing_row_is_shown_by_its_key_and_so_is_that_mysql_has_it_no_more(project):
    """In the terminal and in the report, which goes to Slack; each with a query that shows all."""
    project.one_session(DAY)
    project.mysql("insert into session_transaction values (repeat('b', 32), 0, 1, '2026-07-06')")
    row = f"session_id {'a' * 32}, amount -5.00"
    set_amount, gone = "update session_transaction set amount =", "delete from session_transaction"
    told = {
        f"{set_amount} -5": "the rows of 2026-07-01 are the same in MySQL",
        f"{set_amount} 6": f"by now: 1 row.\n  To land that: {MEND} session_transaction --values",
        f"{set_amount} 5, updated_at = '2026-07-06 12:00'": "1 row of 2026-07-01 changed after",
        gone: "checks failed on rows of 2026-07-01. Of these gone from MySQL: 1 row, different",
    }
    for change in told:
        project.mysql(change, f"insert into channel values ('{len(change)}')")  # of no day
        only = ["--select", "session_transaction"] if change == gone else []
        done = project.loader("run", "--run-date", "2026-07-04" if "= 6" in change else DAY, *only)
        shown = done.stdout.split("between_session_transaction_amount__1000000__0 (models")[1]
        assert re.match(rf".*: 1 row\n *{row}\n", shown)
        assert "Got 1 result" not in done.stdout
        assert [each for each, said in told.items() if said in done.stdout] == [change]
    assert len(project.query("select 1 from analytics.channel where channel_name < 'A'")) == 3
    *_, report = sorted((project.folder / ".local" / "runs").glob("*.json"))
    messages = [node["message"] for node in json.loads(report.read_text())["dbt"]["failures"]]
    (query,) = [said.splitlines()[1] for said in messages if row in said]
    assert len(project.query(query)) == 1
    mend = re.search(rf"{MEND} .*", done.stdout)[0]
    project.loader(*mend.split()[1:], status=0)
    project.build("run", "--select", "session_transaction")
    assert project.query(query) == []


@pytest.mark.deep(because="it builds six times, in a project of its own")
def test_what_a_check_holds_back_stays_so_when_a_build_leaves_the_check_out(new_project):
    """Under whatever selection, until the check passes."""
    project, summary = new_project(), "analytics.channel_performance"
    project.few_rows(DAY)
    project.run("loader", "run", "--run-date", DAY, status=0)
    published = project.query(f"select * from {summary}")
    amount = "update session_transaction set amount ="
    project.mysql(f"{amount} -5", "insert into channel values ('Naver')")
    only = ("--select", "session_transaction", "--run-date", DAY)
    project.run("loader", "load", *only, status=0)
    project.run("dbt", "run", "--select", "session_transaction+", status=1)
    for mart in ("channel_summary", "active_users_monthly", "channel_performance"):
        assert (mart,) in project.query("select model_name from analytics._held_back")
    assert project.query(f"select * from {summary}") == published
    project.run("loader", "run", *only, status=1)
    why = ("channel_performance", "between_session_transaction_amount__1000000__0")
    held = "select model_name, check_name from analytics._held_back"
    assert why in project.query(held)
    other = ("loader", "run", "--select", "user_session_channel", "--run-date", DAY)
    alone = ("dbt", "run", "--select", "channel_performance")
    built = ("dbt", "run", "--select", "session_transaction+")
    for command in (other, alone, built):
        done = project.run(*command, status=1)
        assert "channel_performance was not published: 1 input check failed" in done.stdout
        assert project.query(f"select * from {summary}") == published
    assert why in project.query(held)
    project.mysql(f"{amount} 7")
    project.run("loader", "load", "--select", "session_transaction", "--run-date", DAY, status=0)
    project.run("dbt", "run", "--select", "session_transaction", "sessions", status=0)
    project.run(*other, status=0)
    assert project.query(f"select * from {summary}") != published
    assert project.query("select 1 from analytics._held_back") == []


def test_failing_rows_of_days_far_apart_are_all_looked_for(project):
    old, only = "2025-12-30", ("--select", "session_transaction")
    project.one_session(DAY)
    project.mysql(
        f"insert into session_transaction select 'odd', 0, -5, '{old}' from channel limit 1",
        "update session_transaction set amount = -5",
    )
    for day in (old, DAY):
        project.loader("load", *only, "--run-date", day, status=0)
    project.mysql("delete from session_transaction")
    done = project.loader("run", *only, "--run-date", "2026-07-04")
    assert f"rows of {old}, {DAY}. Of these gone from MySQL: 2 rows, different" in done.stdout
    (mend,) = re.findall(r"To land that: (loader .*)", done.stdout)
    project.loader(*mend.split()[1:], status=0)
    project.build("run", *only)
    assert project.query("select 1 from analytics.session_transaction where amount < 0") == []


def test_a_failing_row_of_a_day_that_is_not_over_goes_as_its_message_says(project):
    project.one_session(DAY)
    today = str(datetime.now(UTC).date())
    of_visit = "from user_session_channel"
    project.mysql(f"insert into session_transaction select 'odd', 0, -5, '{today}' {of_visit}")
    only = ("--select", "session_transaction")
    project.loader("load", *only, "--run-date", today, status=0)
    project.mysql("delete from session_transaction where sessionid = 'odd'")
    done = project.loader("run", *only, "--run-date", DAY)
    assert f"rows of {today}; a day that is not over is not compared here." in done.stdout
    (mend,) = re.findall(r"What is gone there, by: (loader .*)", done.stdout)
    project.loader(*mend.split()[1:], status=0)
    project.build("run", *only)
    assert project.query("select 1 from analytics.session_transaction where amount < 0") == []
