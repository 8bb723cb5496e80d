"""What the loader prints, to people and to programs; what plan, status and check promise."""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from click.testing import CliRunner
from pipeline import BIN, ROOT
from rich.console import Console

from loader.cli import console, loader
from loader.declared.settings import SAMPLE
from loader.declared.tables import Table
from loader.declared.windows import WHOLE
from loader.errors import SourceError
from loader.load.job import Job, Outcome

DAY, NEXT_DAY = "2026-07-01", "2026-07-02"
TABLE = {"name": "t", "primary_key": ["id"], "cursor": "updated_at", "lookback_days": 1}
CREATE = "create table t (id int primary key, updated_at datetime not null, key (updated_at))"


@pytest.fixture
def pipeline(new_pipeline):
    """Two rows on one day, one on the next; nothing landed yet."""
    rows = f"(1, '{DAY}'), (2, '{DAY} 23:59:59'), (3, '{NEXT_DAY}')"
    return new_pipeline([TABLE], CREATE, f"insert into t values {rows}")


def test_a_load_prints_a_line_that_a_person_can_read(pipeline):
    done = pipeline.loader("load", "--run-date", DAY, status=0)
    lines = done.stdout.splitlines()
    assert lines[0] == "t: new table"
    name, window, rows, unit, *_, seconds = lines[1].split()
    assert (name, window, rows, unit, seconds) == ("t", DAY, "2", "rows", "s")
    assert "\x1b" not in done.stdout  # no colours, no bars: this is no terminal
    long = replace(*pipeline.loads(), landed_rows=9_999_999, window_end=date(2026, 8, 1))
    assert len(console.load_line(long, len("user_session_channel"))) < 80


def test_tables_are_selected_as_dbt_does_and_one_that_fails_does_not_stop_the_others(new_pipeline):
    pipeline = new_pipeline([{**TABLE, "name": name} for name in ("a", "b", "c", "missing")])
    for name in "abc":
        pipeline.mysql(CREATE.replace("table t", f"table {name}"))
    assert set(pipeline.load("--run-date", DAY, "--select", "a", "b")) == {"a", "b"}
    assert set(pipeline.load("--run-date", DAY, "-s", "a", "-s", "c")) == {"a", "c"}
    done = pipeline.loader("load", "--run-date", DAY, status=1)
    assert "missing  failed: MySQL has no table" in done.stderr
    assert len(pipeline.query("select 1 from raw_data._loads where outcome = 'landed'")) == 7
    said = pipeline.loader("load", LOADER_MYSQL_USER="nobody").stderr
    assert (said.count("Cannot connect"), said.count("failed: as above")) == (1, 3)
    sources = pipeline.folder / "models" / "sources.yml"
    sources.write_text(sources.read_text().replace(pipeline.database, "nowhere"))
    said = pipeline.loader("check").stdout
    assert (said.count("no database nowhere"), said.count(": as above")) == (1, 3)


def test_plan_says_what_would_happen_and_touches_nothing(pipeline):
    (job,) = json.loads(pipeline.loader("plan", "--run-date", DAY, "--json").stdout)
    assert (job["window_start"], job["window_end"], job["source_rows"]) == (DAY, NEXT_DAY, 2)
    assert job["changes"] == ["t: new table"]
    sql = "\n".join(job["statements"])
    assert f"`updated_at` >= '{DAY} 00:00:00' and `updated_at` < '{NEXT_DAY} 00:00:00'" in sql
    assert 'copy "raw_data"."t"' in sql
    assert pipeline.query("select 1 from pg_namespace where nspname = 'raw_data'") == []
    assert pipeline.staged() == []


def test_plan_shows_the_statements_that_load_runs(pipeline, monkeypatch):
    pipeline.load("--run-date", DAY)
    (job,) = json.loads(pipeline.loader("plan", "--run-date", DAY, "--json").stdout)
    ran, execute = [], pipeline.adapter.execute

    def noted(self, statement, parameters=()):
        ran.append(statement)
        return execute(self, statement, parameters)

    monkeypatch.setattr(pipeline.adapter, "execute", noted)
    load = pipeline.load("--run-date", DAY)["t"]
    planned = [
        statement.replace("<load_id>", load["load_id"])
        for statement in job["statements"]
        if '"raw_data"' in statement and not statement.startswith("copy")
    ]
    assert len(planned) == 3
    assert [statement for statement in ran if statement in planned] == planned


def test_status_knows_the_last_window_its_age_and_the_days_that_are_missing(pipeline):
    assert "never landed" in pipeline.loader("status").stdout
    pipeline.load("--run-date", DAY)
    pipeline.load("--run-date", "2026-07-05")
    pipeline.load("--run-date", str(datetime.now(UTC).date()))  # which is no whole day
    (status,) = json.loads(pipeline.loader("status", "--json").stdout)["tables"]
    assert status["missing_days"] == [NEXT_DAY, "2026-07-03", "2026-07-04"]
    assert 0 <= status["age"] < 60
    shown = pipeline.loader("status").stdout
    assert f"{NEXT_DAY}, 2026-07-03, 2026-07-04" in shown
    assert (status["landed_through"], status["newest_row"]) == ("2026-07-05", DAY)
    late = (datetime.now(UTC).date() - date(2026, 7, 6)).days
    assert status["days_behind"] == late
    assert re.search(rf"2026-07-05 +{late} d ", shown)
    # The gap is one thing, what is landed through another; and the former has its command.
    fill = re.search(r"t lacks .*: loader run (.*)", shown)[1].split()
    pipeline.load(*fill)
    assert json.loads(pipeline.loader("status", "--json").stdout)["tables"][0]["missing_days"] == []
    assert " lacks " not in pipeline.loader("status").stdout


def test_status_tells_the_last_run_what_is_published_how_old_and_what_is_held_back(pipeline):
    pipeline.edit("sources.yml", '"raw_data"', '"raw_data", "schema": "landed"')
    pipeline.load("--run-date", DAY)
    at = "cast('2026-07-02' as timestamp)"
    pipeline.query(
        f"insert into landed._runs values ('one', {at}, {at}, 'failed', 'build', 1, 3, 0, 0);"
        "create schema analytics;"
        "create table analytics._publications as select 's' as model_name, "
        f"{at} as published_at, 'by' as invocation_id, 'of it' as version;"
        "create table analytics._held_back as select 's' as model_name, 'unique' as check_name, "
        f"2 as failing_rows, {at} as held_since union select 'other', null, null, {at}"
    )
    shown = pipeline.loader("status").stdout
    assert re.search(r"last run +failed at build, \d+ d ago \(one\): mend what ended it", shown)
    assert re.search(r"published +1 summary, the newest \d+ d ago", shown)
    assert "s: held back since 2026-07-02 00:00 UTC by unique (2 rows)" in shown
    by_hand = "by hand, until dbt run-operation lift_hold --args '{model: other}'"
    assert f"other: held back since 2026-07-02 00:00 UTC {by_hand}" in shown
    told = json.loads(pipeline.loader("status", "--json", "--select", "t").stdout)
    run = {"run_id": "one"} | dict.fromkeys(("started_at", "ended_at"), "2026-07-02T00:00:00+00:00")
    run |= {"outcome": "failed", "failed_step": "build", "dbt_warnings": 3}
    assert told["last_run"] == run
    assert (told["published"], *told["held_back"]) == ({"s": run["ended_at"]}, "other", "s")
    lease = "'two' as run_id, now as taken_at, now + interval '1h' as expires_at, null as ended_at"
    of = "timezone('UTC', now()) as now"
    pipeline.query(f"create table landed._leases as select {lease} from {of}")
    assert re.search(r"last run +began \d+ s ago \(two\)", pipeline.loader("status").stdout)
    pipeline.query(f"update landed._leases set expires_at = {at}")
    assert re.search(r"last run +died \d+ s ago \(two\)", pipeline.loader("status").stdout)
    pipeline.query("update landed._runs set run_id = 'two', failed_step = null")
    assert "failed with 3 warnings, " in pipeline.loader("status").stdout
    pipeline.query(
        "insert into analytics._publications values "
        + ", ".join(
            f"('put', {at} + interval '{day} day', '', '{version}')"
            for day, version in enumerate("aabba")
        )
    )
    said = "put: put back on 2026-07-06 00:00 UTC to what a build published on 2026-07-03 00:00;"
    assert said in pipeline.loader("status").stdout
    pipeline.query("alter table analytics._held_back drop column failing_rows")
    assert "failing_rows" in pipeline.loader("status").stderr


def test_a_table_that_lands_every_few_days_waits_for_its_day_unless_it_is_named(new_pipeline):
    pipeline = new_pipeline([TABLE, {"name": "seldom", "primary_key": ["id"], "every": "7d"}])
    pipeline.mysql(
        CREATE, "create table seldom (id int primary key)", "insert into seldom values (1)"
    )
    assert set(pipeline.load()) == {"t", "seldom"}

    def ago(days):
        at = f"started_at = now() at time zone 'UTC' - interval '{days} days'"
        pipeline.query(f"update raw_data._loads set {at} where table_name = 'seldom'")

    ago(6)
    due = f"before {datetime.now(UTC).date() + timedelta(days=1)}"
    assert f"seldom is not due {due}" in pipeline.loader("plan").stderr
    assert due.split()[1] in pipeline.loader("status").stdout
    done = json.loads(pipeline.loader("run", "--json").stdout)
    assert {load["table_name"] for load in done["loads"]} == {"t"}
    assert any(f"seldom is not due {due}" in said for said in done["said"])
    for named in (("--select", "seldom"), ("--run-date", DAY)):
        assert "seldom" in pipeline.load(*named)
    ago(7)
    assert "seldom" in pipeline.load()


def test_status_shows_a_failure_until_the_next_success(pipeline):
    pipeline.load("--run-date", DAY)
    pipeline.mysql("rename table t to gone")
    pipeline.fails("--run-date", DAY)
    (status,) = json.loads(pipeline.loader("status", "--json").stdout)["tables"]
    assert status["failures"] == 1
    assert "MySQL has no table" in status["error"]
    pipeline.mysql("rename table gone to t")
    pipeline.load("--run-date", DAY)
    pipeline.query("drop table raw_data.t")  # as a message may ask for
    (status,) = json.loads(pipeline.loader("status", "--json").stdout)["tables"]
    assert (status["failures"], status["error"], status["newest_row"]) == (0, None, None)


def test_a_table_that_is_declared_no_more_stops_nothing_and_is_named(pipeline):
    pipeline.load("--run-date", DAY)
    pipeline.query(
        "insert into raw_data._loads (load_id, table_name, mode, started_at, outcome) "
        "values ('1', 'of_old', 'catch_up', '2026-07-01', 'landed')"
    )
    pipeline.load()
    pipeline.loader("verify", status=0)
    shown = pipeline.loader("status").stdout
    assert "Declared no more, and as they were: of_old" in shown
    (status,) = json.loads(pipeline.loader("status", "--json").stdout)["tables"]
    assert status["table"] == "t"


# -- check ---------------------------------------------------------------------------------------


def test_check_looks_at_everything_and_changes_nothing(pipeline):
    done = pipeline.loader("check", status=0)
    *lines, _, last = done.stdout.splitlines()
    assert last.startswith("5 checks passed. No row was looked at")
    assert [line[:3] for line in lines] == ["ok "] * 5
    assert re.search(r" (MySQL|MariaDB) \d+\.\d+\.\S+$", lines[1]), lines[1]
    found = json.loads(pipeline.loader("check", "--json").stdout)  # what an issue asks for
    assert [f"ok    {each['what']}: {each['finding']}" for each in found] == lines
    assert pipeline.query("select 1 from pg_namespace where nspname = 'raw_data'") == []
    assert pipeline.staged() == []
    said = pipeline.loader("check", LOADER_RETRY_SECOND="9", LOADER_OTHER="1").stdout
    mistyped = "LOADER_RETRY_SECOND is no setting. Did you mean LOADER_RETRY_SECONDS?"
    assert said == done.stdout.replace(" in UTC", f" in UTC; warning: {mistyped}")


@pytest.mark.parametrize(
    ("statements", "changes", "finding", "remedy"),
    [
        (["alter table t drop primary key"], {}, "no primary or unique key", "primary_key: []"),
        (
            ["alter table t modify updated_at datetime", "insert into t values (9, null)"],
            {}, "in 1 row, which", "make it NOT NULL",
        ),
        (["alter table t add g point"], {}, "column g is point", "on_unrepresentable: text"),
        ([], {"LOADER_TIMEZONE": "Asia/Seoul"}, "does not know the time zone", "mysql_tzinfo"),
        (["drop table t"], {}, "MySQL has no table", "Check `source`"),
        ([], {"LOADER_MYSQL_PASSWORD": "guessed"}, "Access denied", "LOADER_MYSQL_HOST"),
        ([], {"LOADER_S3_BUCKET": "nowhere"}, "S3 bucket nowhere", "Create the bucket"),
        ([], {"PORT": "1"}, "Cannot connect to the warehouse", "Check the target"),
    ],
)  # fmt: skip
def test_check_names_what_is_wrong_and_its_remedy(pipeline, statements, changes, finding, remedy):
    pipeline.mysql("select 1", *statements)
    if "PORT" in changes:
        changes = {pipeline.setting("PORT"): changes["PORT"]}
    done = pipeline.loader("check", **changes, status=1)
    wrong = done.stdout[done.stdout.index("wrong") :]
    assert finding in wrong
    assert remedy in wrong
    assert "wrong table" not in wrong or finding != "Cannot connect to the warehouse"
    assert re.search(r"\n\d checks passed, \d wrong: \w+ .+\.\n$", done.stdout)
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "change",
    ["drop key updated_at", "alter index updated_at /*!80000 invisible */ /*M! ignored */"],
)
def test_a_cursor_without_an_index_is_a_warning_with_its_cost(pipeline, change, monkeypatch):
    """A table without snapshots is one too; it lands all the same."""
    pipeline.mysql(f"alter table t {change}", "alter table t engine=MyISAM", "analyze table t")
    assert "no index" not in pipeline.loader("check").stdout  # reading few rows costs nothing
    monkeypatch.setattr("loader.source.read_plan.LARGE", 1)
    warning = (
        f"no index of {pipeline.database}.t that reads may use begins with updated_at, so every "
        r"window reads the whole table, about \d rows; create index updated_at on t \(updated_at\)"
    )
    done = pipeline.loader("check", status=0)
    engine = "MyISAM has no snapshots: loads may mix two states; use InnoDB"
    assert re.search(f"ok +table t: .*; warning: {warning}; warning: {engine}", done.stdout)
    done = pipeline.loader("load", "--run-date", "2026-07-01", status=0)
    assert re.search(f"t: {warning}", done.stdout + done.stderr), done.stdout + done.stderr


def test_a_name_that_is_nearly_one_is_guessed_and_what_is_wrong_for_all_is_said_once(pipeline):
    assert "Did you mean t? Known tables:" in pipeline.loader("load", "-s", "tt").stderr
    file = next((pipeline.folder / "models").rglob("*.y*ml"))
    written = file.read_text()
    file.write_text(written.replace("updated_at", "update_at", 1))
    assert "Did you mean updated_at? " in pipeline.loader("check").stdout
    file.write_text(written.replace(pipeline.database, f"{pipeline.database}x"))
    shown = pipeline.loader("check").stdout
    assert f"wrong table t: MySQL shows this user no database {pipeline.database}x." in shown
    assert f"Did you mean {pipeline.database}? " in shown
    file.write_text(written.replace(f"{pipeline.database}.t", f"{pipeline.database}.tt"))
    assert "Did you mean t? " in pipeline.fails()
    # Else who forgot DBT_TARGET would look at the sample for production.
    (pipeline.folder / ".local").mkdir()
    (pipeline.folder / SAMPLE).parent.mkdir()
    (pipeline.folder / SAMPLE).touch()
    own = "LOADER_MYSQL_HOST=127.0.0.1\nLOADER_MYSQL_URL=\nLOADER_MYSQL_PASSWORD=own\n"
    (pipeline.folder / ".local" / "local.env").write_text(own)
    given = {"DBT_TARGET": "local", "LOADER_MYSQL_HOST": "db.x", "LOADER_MYSQL_URL": "mysql://u@h"}
    said = "target local ignores LOADER_MYSQL_HOST, LOADER_MYSQL_PASSWORD, LOADER_MYSQL_URL;"
    assert said in pipeline.loader("status", "--select", "no", **given).stderr


def test_a_user_without_rights_is_told_by_check_and_refused_by_load(new_pipeline, superuser):
    pipeline = new_pipeline([TABLE], CREATE)
    superuser(f"alter database {pipeline.warehouse} owner to postgres")
    done = pipeline.loader("check", status=1)
    assert re.search("may not create in schema raw_data.*grant create", done.stdout, re.S)
    assert "permission denied" in pipeline.loader("load").stderr


# -- the terminal --------------------------------------------------------------------------------


def test_several_loads_end_with_what_they_landed_together_and_which_failed(monkeypatch):
    shown, failed = StringIO(), StringIO()
    monkeypatch.setattr(console, "OUT", Console(file=shown, width=100))
    monkeypatch.setattr(console, "ERR", Console(file=failed, width=100))
    times = {"started_at": f"{DAY}T03:00:00", "ended_at": f"{DAY}T03:00:02.5"}
    landed = {"outcome": "landed", "landed_rows": 600, "staged_bytes": 1500, **times}
    landed["table_name"] = "good"
    bad = [{"outcome": "failed", "table_name": name} for name in ("one", "other")]
    console.show_totals([landed, bad[0], landed, bad[1], landed])
    assert shown.getvalue() == "\ntogether  3 loads  1,800 rows  4.5 kB  2.5 s\n"
    assert failed.getvalue() == "2 failed: one, other\n"
    console.show_totals([landed])
    assert shown.getvalue().count("together") == 1


def test_a_terminal_shows_how_fast_rows_come_and_how_long_they_will_take(monkeypatch):
    shown, seconds = StringIO(), itertools.count()
    terminal = Console(
        file=shown, width=100, force_terminal=True, get_time=lambda: float(next(seconds))
    )
    monkeypatch.setattr(console, "OUT", terminal)
    monkeypatch.setattr(console, "ERR", Console(file=StringIO(), force_terminal=True))
    table = Table(name="other", database="d", source="other", primary_key=())
    job = Job(table=table, window=WHOLE, mode="full_refresh")
    with console.progress([]) as watcher:
        for rows in range(0, 900, 100):
            watcher.rows("t", rows, 1000)
        watcher.done(Outcome(job=job, load=None, error=SourceError("MySQL is gone.", "Look.")))
    # A failure goes the way of the bars, which else would write over it.
    assert "MySQL is gone." in shown.getvalue()
    assert re.search(r" [1-9]\d*/s \S*\d\d:\d\d", shown.getvalue())


def test_work_goes_on_when_whoever_reads_is_gone():
    code = """
import sys
from loader.cli import console
for _ in range(2000):
    console.tell("a line of no use to anybody")
sys.exit(7)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 7


def test_every_command_has_a_help_with_examples_that_are_commands():
    overview = CliRunner().invoke(loader, ["--help"]).output
    for name, command in loader.commands.items():
        assert f"  {name} " in overview
        assert command.short_help, name
        assert not [each.name for each in command.params if not vars(each).get("help", "argument")]
        shown = CliRunner().invoke(loader, [name, "--help"]).output
        examples = re.findall(r"^    (loader .*?)(?:   .*)?$", shown.split("Examples:")[1], re.M)
        assert len(examples) >= 2, name
        for example in examples:
            assert is_command(shlex.split(example)[1:]), example


@pytest.mark.parametrize(("cores", "threads"), [(None, 4), (2, 4), (6, 6), (64, 8)])
def test_as_many_tables_at_a_time_as_the_machine_has_cores(monkeypatch, cores, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    command = loader.commands["load"]
    assert command.make_context("load", []).params["threads"] == threads
    assert command.make_context("load", ["--threads", "3"]).params["threads"] == 3


def is_command(words):
    """Whether the command line takes these words; nothing is run."""
    command = loader.commands[words[0]]
    return command.make_context(words[0], list(words[1:])) is not None


TAB = """
eval "$(_LOADER_COMPLETE=bash_source loader)"
for typed in 'lo' 'load --select se' 'load --select nps ch' 'load --fu'; do
    COMPREPLY=() COMP_WORDS=(loader $typed) COMP_CWORD=$(echo $typed | wc -w)
    _loader_completion loader
    echo "${COMPREPLY[@]}"
done
"""


def test_the_shell_completes_commands_options_and_tables():
    readme = (ROOT / "README.md").read_text()
    assert TAB.split("\n")[1] in readme
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", TAB], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "load", "session_timestamp session_transaction", "channel", "--full-refresh",
    ]  # fmt: skip
    assert done.stderr == ""
