"""The daily job: what it lands, builds and reports; what it tries again; how it ends early."""

import json
import re
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import psutil
import pytest
from cutting import relayed
from pipeline import ROOT, administer, copy_database, until
from receivers import Webhook, serving
from standin.relay import Fault, conflict

from loader.cli.landing import route_of
from loader.cli.session import open_session
from loader.declared.windows import Dates, Window
from loader.errors import ConfigError, LandingError, LeaseHeldError, RunError, StoppedError
from loader.load.job import Job, Watcher, unwatched
from loader.load.jobs import run_jobs
from loader.run import daily, dbt, lease
from loader.run import report as written
from loader.run.dbt import Dbt, build_arguments, reading
from loader.run.lease import Lease
from loader.run.notify import subject_of
from loader.warehouse.session import is_transient
from loader.warehouse.stop import Stop

DAY, NEXT_DAY = "2026-07-01", "2026-07-02"
DAYS = [DAY, NEXT_DAY, "2026-07-03", "2026-07-04"]
RANGE = ("--start-date", DAY, "--end-date", "2026-07-05")
TABLES = [
    {"name": "a", "primary_key": ["id"], "cursor": "day"},
    {"name": "b", "primary_key": ["id"], "cursor": "day"},
    {"name": "whole", "primary_key": ["id"]},
]
SUMMARY = """
select
    _run_date as day,
    count(*) as answers,
    sum(v) as total

from {{{{ source('raw_data', '{table}') }}}}

where _run_date is not null

group by 1
"""


def write_project(pipeline):
    """Make a dbt project of the tables, with one summary of each and the repository's gate."""
    shutil.copytree(ROOT / "macros", pipeline.folder / "macros")
    for file in ("dbt_project.yml", ".dbtignore", "models/_groups.yml"):
        shutil.copy(ROOT / file, pipeline.folder / file)
    models = pipeline.folder / "models" / "marts"
    models.mkdir()
    declared = []
    for table in TABLES:
        name = f"{table['name']}_summary"
        (models / f"{name}.sql").write_text(SUMMARY.format(table=table["name"]))
        below = {"arguments": {"minimum": 0, "maximum": 999}}
        small = {"name": f"{name}_is_small", "arguments": {"minimum": 0, "maximum": 99}}
        tests = [{"between": below}, {"between": small | {"config": {"severity": "warn"}}}]
        column = {"name": "total", "description": "A sum.", "data_tests": tests}
        declared.append({"name": name, "description": "One row per day.", "columns": [column]})
    (models / "models.yml").write_text(json.dumps({"models": declared}))


@pytest.fixture(scope="module")
def made(module_pipeline):
    """One project for all tests, so that dbt parses it once."""
    pipeline = module_pipeline(TABLES)
    write_project(pipeline)
    return pipeline


@pytest.fixture
def pipeline(made):
    """Three tables, two with a row on each of four days, and a summary of each; nothing landed."""
    made.query("drop schema if exists raw_data, analytics, adhoc cascade")
    shutil.rmtree(made.folder / ".local", ignore_errors=True)
    for table in "ab":
        made.mysql(
            f"drop table if exists {table}",
            f"create table {table} (id int primary key, v int, day datetime not null, key (day))",
            f"insert into {table} select seq, seq, '{DAY}' + interval (seq - 1) day "
            "from seq_1_to_4",
        )
    made.mysql("drop table if exists whole", "create table whole (id int primary key, v int)")
    made.mysql("insert into whole values (1, 1)")
    return made


@pytest.fixture(scope="module")
def template(made):
    """The database that `built` is copied from, once it has been built."""
    return list[str]()


@pytest.fixture
def built(pipeline, endpoints, template):
    """The same, landed and built, as a day before has left it."""
    name = pipeline.warehouse
    if not template:
        pipeline.load("--full-refresh")
        pipeline.build("build")
        copy_database(endpoints, name, f"{name}_template")
        template.append(f"{name}_template")
    else:
        administer(endpoints, f"drop database {name} with (force)")
        copy_database(endpoints, template[0], name)
    return pipeline


def run(pipeline, *arguments, **changes):
    """Run the daily job, whatever comes of it; returns its exit status and report."""
    changes = {"LOADER_RETRY_SECONDS": "0", **changes}
    done = pipeline.loader("run", "--json", *arguments, **changes)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def steps(report):
    return {step["name"]: (step["ok"], step["attempts"]) for step in report["steps"]}


def totals(pipeline, table="a"):
    return pipeline.query(f"select answers, total from analytics.{table}_summary order by day")


def windows(report, table="a"):
    return [load["window_start"] for load in report["loads"] if load["table_name"] == table]


# -- a run ---------------------------------------------------------------------------------------


def test_a_run_lands_builds_and_reports(pipeline):
    """It waits for another run, and loses a connection to MySQL: landing is tried again."""
    pipeline.mysql("update b set v = 200 where id = 4")
    other, _ = take(pipeline, "other")
    threading.Timer(1, other.give_back, ["failed"]).start()
    mysql, changes = relayed(pipeline, "MySQL")
    mysql.cut_after(3000)
    status, report = run(pipeline, "--wait", "60", **changes)
    mysql.close()
    assert status == 0, report
    assert (report["ok"], report["outcome"], report["target"]) == (True, "succeeded", pipeline.kind)
    assert steps(report) == {"land": (True, 2), "build": (True, 1), "verify": (True, 1)}
    waited, *_ = report["said"]
    assert waited.startswith("Waiting for up to 60 s. ")
    assert "has the lease of run other" in waited
    assert any("trying again in 0 s (1 of 2)" in said for said in report["said"])
    assert sorted(load["table_name"] for load in report["loads"]) == ["a", "b", "whole"]
    assert totals(pipeline) == [(1, 1), (1, 2), (1, 3), (1, 4)]
    assert report["dbt"]["failures"] == []
    (warning,) = report["dbt"]["warnings"]
    assert warning["node"].startswith("test.mysql_to_redshift.b_summary_is_small")
    assert (warning["status"], warning["failures"]) == ("warn", 1)
    assert [*report["published"]] == ["a_summary", "b_summary", "whole_summary"]
    folder = pipeline.folder / ".local" / "runs"
    assert json.loads((folder / f"{report['run_id']}.json").read_text()) == report
    assert "Done. PASS=" in (folder / f"{report['run_id']}.dbt.log").read_text()
    assert {path.suffix for path in folder.iterdir()} == {".json", ".log"}
    assert runs(pipeline) == [("other", "failed"), (report["run_id"], "succeeded")]


@pytest.mark.deep(because="a connection that is ended is tried always")
@pytest.mark.only("redshift", because="it makes the stand-in fail")
def test_a_publish_that_meets_a_conflict_is_published_by_the_same_run(built, redshift):
    """It meets a conflict, and when it is tried again it loses its connection."""
    built.mysql("update a set v = 10")
    redshift.faults += [
        conflict("insert into .*a_summary.* select"),
        Fault("insert into .*a_summary.* select", drop="before"),
    ]
    status, report = run(built, *RANGE, "--target", "redshift")
    assert status == 0, report
    assert steps(report) == {"land": (True, 1), "build": (True, 3), "verify": (True, 1)}
    assert totals(built) == [(1, 10)] * 4
    assert report["dbt"]["failures"] == []


@contextmanager
def meanwhile(act):
    """Have something done by another thread, and wait for it in the end."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(act)
        yield
        done.result()


@contextmanager
def publish_cut_off(pipeline, *statements):
    """End the connection that is about to publish, which a reader's lock holds up until then."""

    def end():
        until(lambda: waiting(pipeline, "analytics.a_summary"))
        for statement in (
            *statements,
            "select pg_terminate_backend(pid) from pg_locks where not granted "
            "and relation = 'analytics.a_summary'::regclass",
        ):
            pipeline.query(statement)
        holder.rollback()

    with pipeline.warehouse_connection() as holder:
        holder.autocommit = False
        with holder.cursor() as cursor:
            cursor.execute("lock analytics.a_summary in access exclusive mode")
        with meanwhile(end):
            yield


def test_a_publish_whose_connection_is_ended_is_published_by_the_same_run(built):
    """As when the warehouse restarts."""
    built.mysql("update a set v = 10")
    with publish_cut_off(built):
        status, report = run(built, *RANGE)
    assert status == 0, report
    assert steps(report) == {"land": (True, 1), "build": (True, 2), "verify": (True, 1)}
    assert totals(built) == [(1, 10)] * 4


@pytest.mark.deep(because="a publish that is tried again is tried always")
def test_the_second_attempt_of_a_publish_checks_its_inputs_again(built, tmp_path):
    """What the first one found right may have changed since."""
    folder = tmp_path / "project"
    shutil.copytree(built.folder, folder, ignore=shutil.ignore_patterns(".local", "dbt"))
    staging = folder / "models" / "staging"
    staging.mkdir()
    staging.joinpath("stg_a.sql").write_text("select * from {{ source('raw_data', 'a') }}")
    small = {"arguments": {"minimum": 0, "maximum": 99}, "config": {"tags": ["input_check"]}}
    column = {"name": "v", "description": "A number.", "data_tests": [{"between": small}]}
    declared = [{"name": "stg_a", "description": "Rows of a.", "columns": [column]}]
    staging.joinpath("models.yml").write_text(json.dumps({"models": declared}))
    changed = replace(built, folder=folder)
    changed.edit("marts/a_summary.sql", "source('raw_data', 'a')", "ref('stg_a')")

    with publish_cut_off(built, "update raw_data.a set v = 500"):
        status, report = run(changed, *RANGE)
    assert status == 1
    assert steps(report)["build"] == (False, 2)
    assert "1 input check failed before it was built" in json.dumps(report)
    assert totals(built) == [(1, n) for n in (1, 2, 3, 4)]


def test_what_a_person_must_mend_is_not_tried_again_and_keeps_nothing_else_back(built):
    """A value that the warehouse cannot hold, and a check of a summary that fails."""
    published = "select model_name, max(published_at) from analytics._publications group by 1"
    built.mysql(
        "alter table a add column paid date",
        f"update a set v = 50, paid = if(id = 1, '0000-00-00', '{DAY}')",
        "update b set v = 5000",
        "update whole set v = 2",
    )
    before = dict(built.query(published))
    status, report = run(built, *RANGE)
    assert status == 1
    assert (report["ok"], report["outcome"]) == (False, "failed")
    assert steps(report) == {"land": (False, 1), "build": (False, 1)}
    land, build = report["steps"]
    assert "Not landed: a." in land["error"]
    assert "0000-00-00" in land["error"]
    assert land["remedy"]
    assert "Left as they were, because of a: a_summary" in report["said"]
    ran = built.artifact("loader_run/run_results")
    count = sum(not it["unique_id"].startswith("operation.") for it in ran["results"])
    assert count < len(ran["results"])  # a hook is no node
    assert f"1 of dbt's {count} nodes failed: b_summary" in build["error"]
    # A table stops at its first day that fails; the others go on.
    assert windows(report) == [DAY]
    assert windows(report, "b") == [DAY]
    assert totals(built) == totals(built, "b") == [(1, 1), (1, 2), (1, 3), (1, 4)]
    assert built.query("select total from analytics.whole_summary") == [(2,)]
    (failure,) = report["dbt"]["failures"]
    assert failure["node"] == "model.mysql_to_redshift.b_summary"
    assert "is as it was" in failure["message"]
    assert built.query("select outcome, stale_tables from raw_data._runs") == [("failed", 1)]
    stays = dict(built.query(published))
    for model in ("a_summary", "b_summary"):
        assert stays[model] == before[model]
    assert stays["whole_summary"] > before["whole_summary"]


@pytest.mark.deep(because="what dbt says of a failure is told always")
@pytest.mark.only("postgres", because="the warehouse has no part in it")
def test_a_project_that_dbt_cannot_read_is_told_by_its_own_message(pipeline):
    broken = pipeline.folder / "models" / "marts" / "broken.sql"
    broken.write_text("select * from {{ ref('no') }}")
    try:
        status, report = run(pipeline, "--select", "b")
    finally:
        broken.unlink()
    assert status == 1
    assert steps(report) == {"land": (True, 1), "build": (False, 1)}
    assert "depends on a node named 'no'" in report["steps"][1]["error"]
    assert windows(report, "b") == [None]


@pytest.mark.only("postgres", because="the warehouse has no part in it")
@pytest.mark.deep(because="a dbt that fails is told always")
def test_a_dbt_that_is_killed_is_told_and_no_word_of_leaks(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(dbt, "_LOOK_SECONDS", 0.01)
    with pipeline.inside():
        asked = Dbt(None, Stop(), tmp_path / "log")
        status, said = asked._run(["parse"], None)
        assert (status, said) == (0, "")
        with (
            unwatched() as watcher,
            meanwhile(lambda: until(lambda: [each.kill() for each in dbts()])),
            pytest.raises(RunError, match="dbt: its process ended with status -9"),
        ):
            asked.build(["build"], watcher, verbose=False)


@pytest.mark.parametrize("status", [0, 1])
def test_results_of_an_earlier_run_are_not_taken_for_this_ones(tmp_path, monkeypatch, status):
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path))
    asked = Dbt(None, Stop())
    (tmp_path / "loader_run").mkdir()
    earlier = {"unique_id": "model.p.a", "status": "success", "message": "", "failures": None}
    (tmp_path / "loader_run/run_results.json").write_text(json.dumps({"results": [earlier]}))
    monkeypatch.setattr(asked, "_run", lambda *_: (status, ""))
    with unwatched() as watcher, pytest.raises(RunError, match="names no node"):
        asked.build(["build"], watcher, verbose=False)
    assert asked.nodes == {}


def dbts():
    """The dbt processes of this one."""
    return [each for each in psutil.Process().children() if "loader.run.dbt" in each.cmdline()]


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"LOADER_MYSQL_PORT": "1"}, True),
        ({"LOADER_MYSQL_PASSWORD": "guessed"}, False),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}, True),
        ({"LOADER_S3_BUCKET": "nowhere"}, False),
        ({"warehouse": "PORT", "to": "1"}, True),
        ({"warehouse": "PASSWORD", "to": "guessed"}, False),
    ],
)
def test_what_may_pass_by_itself_is_told_from_what_must_be_mended(pipeline, changes, passes):
    if "warehouse" in changes:
        changes = {pipeline.setting(changes["warehouse"]): changes["to"]}
    try:
        error = land_for(pipeline, "", **changes)
    except LandingError as refused:
        error = refused
    assert error
    assert is_transient(error) is passes, error


def test_what_dbt_is_asked_to_build():
    plain = ["build", "--exclude-resource-type", "unit_test"]
    assert build_arguments() == plain
    assert build_arguments([reading("a")]) == [*plain, "--select", "source:raw_data.a+"]
    without = ["--exclude", "source:raw_data.a+", "source:raw_data.b+"]
    assert build_arguments(without=["a", "b"]) == [*plain, *without]
    gate = "config.materialized:checked_table+1,test_type:generic,config.severity:error"
    left = ["--exclude", "source:raw_data.a+", gate]
    assert build_arguments(without=["a"], checks="new") == [*plain, *left]


@pytest.mark.parametrize(("option", "checks"), [("--thorough", "all"), ("--full-refresh", "new")])
def test_what_is_asked_of_a_run_is_told_to_dbt(pipeline, monkeypatch, option, checks):
    told = []
    monkeypatch.setattr(Dbt, "build", lambda *asked: told.extend(asked[:2]))
    assert run(pipeline, option)[0] == 0
    assert told[0].environment["LOADER_CHECKS"] == checks
    assert ("--full-refresh" in told[1]) is (option == "--full-refresh")


def test_reports_are_found_by_target_and_age(tmp_path):
    ids = [written.new_run_id(datetime(2026, 7, day, tzinfo=UTC)) for day in (1, 2, 3, 4)]
    reports = [
        {"run_id": run_id, "target": target, "outcome": "succeeded"}
        for run_id, target in zip(ids, ["mine", "mine", "other", "mine"], strict=True)
    ]
    reports.insert(2, {**reports[1], "run_id": f"{ids[1]}-refused", "outcome": "refused"})
    assert written.before(tmp_path, reports[0]) is None
    for each in reports:
        written.write(tmp_path, each)
    assert written.before(tmp_path, reports[-1]) == reports[1]
    assert written.before(tmp_path, reports[0]) is None
    file = tmp_path / "file"
    file.touch()
    # Of the kernel's own folder, which is there, nobody may make a file in.
    for folder in (file / "below", Path("/proc/self")):
        with pytest.raises(ConfigError, match=r"LOADER_REPORTS .* cannot be written to"):
            written.prepare(folder)
    with pytest.raises(ConfigError, match=r"The run succeeded, and its report .* could not be"):
        written.write(tmp_path / "gone", reports[0])


def test_a_run_that_cannot_be_reported_or_dbt_cannot_write_is_told_of(built):
    """Whatever the disk is full of: to who is notified, and by status; with its cause."""
    with serving(Webhook()) as webhook:
        changes = {"LOADER_NOTIFY": webhook.url, "DBT_TARGET_PATH": "/proc/self/below"}
        done = built.loader("run", "--run-date", DAY, **changes)
        assert "build  failed: dbt: [Errno 2] No such file or directory" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        done = built.loader("run", "--run-date", DAY, **{**changes, "LOADER_REPORTS": "/proc/self"})
        assert "its report /proc/self/" in done.stderr
        subjects = [each["title"] for each in webhook.told]
    assert [re.search(r"failed at (\w+)", each)[1] for each in subjects] == ["build", "report"]
    assert "failed at report" in built.loader("status").stdout


# -- backfills -----------------------------------------------------------------------------------


def test_a_backfill_goes_day_by_day_and_can_be_gone_on_with(built):
    """It fails on the third day, is mended, and goes on there, with several windows at a time."""
    built.mysql("alter table a add column paid date", "update a set v = 10")
    built.mysql("update a set paid = '0000-00-00' where id = 3")
    status, report = run(built, *RANGE, "--step", "day", "--select", "a")
    assert status == 1
    assert steps(report) == {"land": (False, 1)}
    assert windows(report) == DAYS[:3]
    first = report["run_id"]
    landed = [load["load_id"] for load in report["loads"] if "load_id" in load]
    assert landed == sorted(landed)
    assert totals(built) == [(1, 1), (1, 2), (1, 3), (1, 4)]

    built.mysql("update a set paid = null", f"insert into a values (9, 9, '{DAY}', null)")
    arguments = (*RANGE, "--step", "day", "--select", "a", "whole", "--resume", "--threads", "2")
    status, report = run(built, *arguments)
    assert status == 0, report
    assert f"Going on where run {first} left off." in report["said"]
    assert sorted(windows(report)) == DAYS[2:]
    assert windows(report, "whole") == [None]
    assert totals(built) == [(1, 10)] * 4

    # What succeeded is not gone on with: the source may have changed since.
    said = []
    july = Window(date(2026, 7, 1), date(2026, 7, 5))
    new_lease(built, "mine", july).take(said.append, resume=True)
    assert said == ["There is no backfill from 2026-07-01 to 2026-07-05 to go on with."]


def test_of_two_runs_that_began_in_one_second_the_later_is_gone_on_with(new_pipeline):
    """Redshift's clock shows whole seconds; a backfill that fails at once ends within one."""
    pipeline = new_pipeline(TABLES)
    july, said = Window(date(2026, 7, 1), date(2026, 7, 5)), []
    for outcome, ended in (("failed", DAY), ("succeeded", NEXT_DAY)):
        taken = new_lease(pipeline, outcome, july)
        taken.take(print)
        taken.give_back(outcome)
        times = f"taken_at = '{DAY}', ended_at = '{ended}'"
        pipeline.query(f"update raw_data._leases set {times} where run_id = '{outcome}'")
    new_lease(pipeline, "third", july).take(said.append, resume=True)
    assert said == ["There is no backfill from 2026-07-01 to 2026-07-05 to go on with."]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resume",), "--resume is for a backfill."),
        (("--run-date", DAY, "--step", "day"), "--step is for a backfill."),
        (("--run-date", "2026-02-30"), "is not a day of the calendar"),
        (("--select", "nobody"), "Known tables: a, b, whole."),
    ],
)
@pytest.mark.only("postgres", because="nothing is connected to")
def test_a_wrong_command_line_touches_nothing_and_leaves_no_report(pipeline, arguments, said):
    done = pipeline.loader("run", *arguments, status=2)
    assert said in done.stderr
    assert not (pipeline.folder / ".local").exists()


# -- one run at a time ---------------------------------------------------------------------------


def new_lease(pipeline, run_id, backfill=None):
    with pipeline.inside():
        session = open_session(None)
    return Lease(run_id, session.warehouse, Stop(), backfill)


def take(pipeline, run_id):
    """Take the lease; returns it, and the runs that have died."""
    taken = new_lease(pipeline, run_id=run_id)
    return taken, taken.take(lambda _: None)


def expire(pipeline):
    pipeline.query("update raw_data._leases set expires_at = taken_at where ended_at is null")


def runs(pipeline):
    return pipeline.query("select run_id, outcome from raw_data._leases order by taken_at")


def test_one_run_at_a_time_and_a_dead_ones_lease_is_taken_over(new_pipeline):
    pipeline = new_pipeline(TABLES)
    first, died = take(pipeline, "first")
    assert died == []
    with pytest.raises(LeaseHeldError, match=r"run first \(process \d+ on .*, since .*, until "):
        take(pipeline, "second")
    first.give_back("failed")
    second, died = take(pipeline, "second")
    assert died == []

    # One that has expired lives on as long as nobody takes it.
    expire(pipeline)
    second.renew()
    with pytest.raises(LeaseHeldError):
        take(pipeline, "third")
    expire(pipeline)
    third, died = take(pipeline, "third")
    assert len(died) == 1
    assert died[0].startswith("run second (process ")
    noted = pipeline.query("select run_id, outcome from raw_data._runs")
    assert noted == [("second", "died")]
    with pytest.raises(StoppedError, match="another run has taken it over"):
        second.renew()
    second.give_back("failed")
    third.renew()
    assert runs(pipeline) == [("first", "failed"), ("second", "lost"), ("third", None)]


def test_of_several_that_ask_at_once_one_gets_the_lease(new_pipeline):
    pipeline = new_pipeline(TABLES)
    leases = [new_lease(pipeline, run_id=str(number)) for number in range(6)]
    start = threading.Barrier(len(leases))

    def got(each):
        start.wait()
        try:
            return each.take(print) == []
        except LeaseHeldError:
            return False

    with ThreadPoolExecutor(len(leases)) as pool:
        assert sum(pool.map(got, leases)) == 1
    assert len(runs(pipeline)) == 1


# SNAPSHOT and SERIALIZABLE are Redshift's; PostgreSQL has them by other names, and its own.
ISOLATION = pytest.mark.parametrize(
    "isolation", ["read committed", "repeatable read", "serializable"]
)


@contextmanager
def isolated(pipeline, isolation):
    database = f"alter database {pipeline.warehouse}"
    pipeline.query(f"{database} set default_transaction_isolation = '{isolation}'")
    yield
    pipeline.query(f"{database} reset default_transaction_isolation")


def land_for(pipeline, run_id, **changes):
    """Land a day of a table as a run does; returns the error, if there is one."""
    with pipeline.inside(**changes):
        session = open_session(None)
        with closing(session.warehouse()) as warehouse:
            warehouse.prepare()

        def new_warehouse():
            made = session.warehouse()
            made.run_id = run_id
            return made

        window = Window(date(2026, 7, 1), date(2026, 7, 2))
        job = Job(table=session.tables["a"], window=window, mode="run_date")
        route = replace(route_of(session), new_warehouse=new_warehouse)
        (outcome,) = run_jobs([job], route, 1, Watcher(*[lambda *_: None] * 3))
        return outcome.error


@ISOLATION
def test_a_landing_of_a_run_that_has_lost_its_lease_changes_nothing(
    pipeline, monkeypatch, isolation
):
    """It is taken over after COPY: the transaction still sees its row as it was before."""
    mine, _ = take(pipeline, "mine")
    copy, meanwhile = pipeline.adapter._copy, [mine.renew]

    def interrupted(*arguments):
        copied = copy(*arguments)
        for each in meanwhile:
            each()
        return copied

    monkeypatch.setattr(pipeline.adapter, "_copy", interrupted)
    with isolated(pipeline, isolation):
        assert land_for(pipeline, "mine") is None
        pipeline.mysql("update a set v = 10")
        meanwhile[:] = [partial(expire, pipeline), partial(take, pipeline, "other")]
        lost = land_for(pipeline, "mine")
        assert "has lost its lease: another run has taken it over" in lost.fact
        assert pipeline.raw("a", "v") == [(1,)]
        meanwhile.clear()
        assert land_for(pipeline, "other") is None
    assert pipeline.raw("a", "v") == [(10,)]


@ISOLATION
def test_a_lease_is_not_taken_over_between_the_look_at_it_and_the_commit(
    pipeline, monkeypatch, isolation
):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 1)
    take(pipeline, "mine")
    confirm = pipeline.adapter._confirm_lease

    def looked(self):
        confirm(self)
        expire(pipeline)
        with pytest.raises(LeaseHeldError, match="holds the lease of another run for longer than"):
            take(pipeline, "other")

    monkeypatch.setattr(pipeline.adapter, "_confirm_lease", looked)
    with isolated(pipeline, isolation):
        assert land_for(pipeline, "mine") is None
        take(pipeline, "other")


def test_a_publish_of_a_run_that_has_lost_its_lease_changes_nothing(built, monkeypatch):
    """While it goes on, nobody takes the lease over; plain dbt publishes without one."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 1)
    take(built, "mine")
    built.query("update raw_data.a set v = 10")
    lock = "archive._lock__publications" if built.kind == "redshift" else "analytics.a_summary"
    with built.warehouse_connection() as holder, holder.cursor() as cursor:
        cursor.execute(f"begin; lock {lock} in share mode")
        command = ("dbt", "run", "--select", "a_summary")
        with built.start(*command, LOADER_RUN_ID="mine") as publishing:
            until(lambda: waiting(built, lock), 150)
            expire(built)
            with pytest.raises(LeaseHeldError):
                take(built, "other")
            cursor.execute("rollback")
            said, _ = publishing.communicate(timeout=60)
    assert publishing.returncode == 0, said
    assert totals(built) == [(1, 10)] * 4

    take(built, "other")
    built.query("update raw_data.a set v = 20")
    refused = built.build_fails("run", "--select", "a_summary", LOADER_RUN_ID="mine")
    assert "the run mine has lost its lease" in refused
    assert totals(built) == [(1, 10)] * 4
    built.build("run", "--select", "a_summary")
    assert totals(built) == [(1, 20)] * 4


def test_a_second_run_is_refused_in_one_sentence(pipeline):
    take(pipeline, "first")
    status, report = run(pipeline)
    assert status == 75
    assert (report["ok"], report["outcome"]) == (False, "refused")
    assert steps(report) == {"lease": (False, 1)}
    assert "has the lease of run first (process" in report["steps"][0]["error"]
    assert report["loads"] == []
    assert pipeline.loads() == []
    assert pipeline.query("select * from raw_data._runs") == []


# -- ends before its time ------------------------------------------------------------------------


@contextmanager
def blocked(pipeline, relation, *command):
    """A run that has to wait for a lock on a relation; give it while it waits."""
    with pipeline.warehouse_connection() as holder, holder.cursor() as cursor:
        cursor.execute(f"begin; lock {relation} in access exclusive mode")
        with pipeline.start("loader", "run", *command) as process:
            try:
                until(lambda: waiting(pipeline, relation))
                yield process
            finally:
                process.kill()


WAITING = "select count(*) from pg_locks where not granted and relation = '{}'::regclass"


def waiting(pipeline, relation):
    """How many statements wait for a lock on a relation."""
    return pipeline.value(WAITING.format(relation))


def children(process):
    return psutil.Process(process.pid).children(recursive=True)


def last_report(pipeline):
    *_, last = sorted((pipeline.folder / ".local" / "runs").glob("*.json"))
    return json.loads(last.read_text())


def test_a_signal_while_a_table_lands_rolls_it_back(built):
    built.mysql("update a set v = 10")
    before = built.raw("a", "id, v, _run_date")
    with blocked(built, "raw_data.a", "--run-date", DAY) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert built.raw("a", "id, v, _run_date") == before
    assert built.staged() == []
    report = last_report(built)
    assert (report["outcome"], report["ok"]) == ("interrupted", False)
    assert steps(report) == {"land": (False, 1)}
    assert "SIGINT ended the run" in report["steps"][0]["error"]
    assert runs(built)[-1] == (report["run_id"], "interrupted")
    assert sessions(built) == 0


def sessions(pipeline):
    """The connections to the warehouse, this one aside."""
    return pipeline.value(
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid() and backend_type = 'client backend'"
    )


HANGING = (
    ("run", "warehouse", b"copy "),
    ("load", "warehouse", b"copy "),
    ("load", "MySQL", b"select concat("),
    ("verify", "warehouse", b"_loads"),
    *(
        pytest.param("run", *each, marks=pytest.mark.deep(because="much alike"))
        for each in (
            ("MySQL", b"select concat("),  # landing
            ("MySQL", b"timestampdiff(microsecond"),  # verify
            ("warehouse", b"a_summary__candidate"),  # dbt
        )
    ),
)


@pytest.mark.parametrize(("command", "who", "at"), HANGING)
def test_a_signal_ends_a_command_in_ten_seconds_whatever_hangs(built, command, who, at):
    server, changes = relayed(built, who)
    server.silent_at = at
    changes["NO_PROXY"] = "127.0.0.1"
    with (
        serving(Webhook()) as webhook,
        built.start("loader", command, *RANGE, **changes, LOADER_NOTIFY=webhook.url) as process,
    ):
        dbt = []
        try:
            until(lambda: server.is_silent, 150)
            dbt = children(process)
            time.sleep(1)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM if command == "run" else signal.SIGINT)
            assert process.wait(60) == {"run": 143, "load": 130, "verify": -signal.SIGINT}[command]
            assert time.monotonic() - began < 11
        finally:
            process.kill()
            server.close()
    if command == "run":
        report = last_report(built)
        assert report["outcome"] == "interrupted"
        # There is little time left to notify anybody, who may be slow.
        assert webhook.told or "was not notified" in report["said"][-1]
    until(lambda: not any(each.is_running() for each in dbt), 15)


def test_what_is_no_event_of_dbts_is_said_as_it_is():
    said, shown = [], []
    lines = [b"3", b"{}", b"[1]", b'{"info": {}}', b"null", b"a plugin says so"]
    events = (("LogHookEndLine", 2), ("LogStartLine", 9), ("LogModelResult", 9))
    told = ({"info": {"name": a, "level": "", "msg": ""}, "data": {"total": n}} for a, n in events)
    with unwatched() as watcher:
        watched = replace(watcher, say=said.append, rows=lambda *row: shown.append(row))
        dbt._follow(watched, Stop(), [*lines, *(json.dumps(each).encode() for each in told)])
    assert said == [line.decode() for line in lines]
    assert shown == [("build", 0, 1), ("build", 1, 9)]  # a hook is no node, nor one that begins


def new_run(session):
    """A run that nothing was asked of yet."""
    return daily.Run(
        run_id="mine", target="local", dbt_target=None, tables=[], selected=False,
        dates=Dates(), requested=None, threads=1, step=None, resume=False, wait=0, log=None,
        checks="all", verbose=False, route=route_of(session), show=unwatched, tell=print,
    )  # fmt: skip


def test_a_run_that_is_ended_while_it_takes_the_lease_gives_it_back(new_pipeline, monkeypatch):
    """The next one would be refused for three minutes."""
    pipeline = new_pipeline(TABLES)
    with pipeline.inside():
        this = new_run(open_session(None))
        take = Lease.take

        def taken(*arguments):
            take(*arguments)
            this.stop.ask(StoppedError("SIGTERM ended the run.", "", signal.SIGTERM))

        monkeypatch.setattr(Lease, "take", taken)
        this.do()
    assert (this.outcome, this.exit_status) == ("interrupted", 143)
    assert runs(pipeline) == [("mine", "interrupted")]


@pytest.mark.only("postgres", because="the warehouse has no part in it")
@pytest.mark.deep(because="a signal ends a run in the same way")
def test_a_step_that_takes_too_long_is_ended(pipeline, monkeypatch):
    """As when dbt is stopped."""
    monkeypatch.setattr(dbt, "GRACE_SECONDS", 0)
    with pipeline.inside(LOADER_STEP_SECONDS="2"):
        this = new_run(open_session(None))
        with (
            unwatched() as watcher,
            meanwhile(lambda: until(lambda: [each.suspend() for each in dbts()])),
            pytest.raises(StoppedError, match="build took longer than 2 seconds"),
        ):
            this._step("build", lambda: this.dbt.build(["build"], watcher, verbose=False))
        assert not dbts()
    assert [(step["name"], step["ok"]) for step in this.steps] == [("build", False)]


def test_a_lease_is_not_waited_for_longer_than_it_may_take(new_pipeline, monkeypatch):
    """Renewing it fails when the warehouse does not answer, so that the run notices its loss."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 2)
    pipeline = new_pipeline(TABLES)
    server, changes = relayed(pipeline, "warehouse")
    with pipeline.inside(**changes):
        session = open_session(None)
    mine = Lease("mine", session.warehouse, Stop())
    mine.take(print)
    mine.renew()
    server.silent_at = b"update "
    with pytest.raises(LandingError, match="has not answered within 2 seconds"):
        mine.renew()
    began = time.monotonic()
    with pytest.raises(LandingError):
        mine.renew()  # where connecting hangs already
    assert time.monotonic() - began < 10
    server.close()


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.deep(because="much alike"))],
)
def test_a_signal_while_dbt_publishes_rolls_it_back_and_ends_dbt(built, number):
    """SIGKILL leaves the loader no time to tell dbt; dbt notices that it is alone."""
    built.mysql("update a set v = 10")
    with blocked(built, "analytics.a_summary", *RANGE) as process:
        dbt = children(process)
        process.send_signal(number)
        assert "Traceback" not in process.communicate(timeout=30)[0]
        until(lambda: not any(each.is_running() for each in dbt), 15)
    assert totals(built) == [(1, 1), (1, 2), (1, 3), (1, 4)]
    until(lambda: sessions(built) == 0)
    if number == signal.SIGTERM:
        assert process.returncode == 143
        report = last_report(built)
        assert steps(report) == {"land": (True, 1), "build": (False, 1)}
        assert runs(built) == [(report["run_id"], "interrupted")]
        return

    # The next run takes the lease over, and has nothing left to land.
    expire(built)
    status, report = run(built, "--select", "a", *RANGE, "--resume")
    assert status == 0, report
    assert any("it was taken over" in said for said in report["said"])
    assert "succeeded, after one that died" in subject_of(report, None)
    outcomes = built.query("select outcome from raw_data._runs order by started_at")
    assert outcomes == [("died",), ("succeeded",)]
    assert windows(report) == []
    assert totals(built) == [(1, 10)] * 4


def test_a_run_that_has_lost_its_lease_publishes_nothing_more(built, monkeypatch):
    """As on a laptop that slept: another run has taken over while this one lands."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 1)
    built.mysql("update a set v = 10")
    before = built.raw("a", "id, v, _run_date")
    others = new_lease(built, run_id="other")

    def is_waiting():
        # Asked where a connection is already: one is not made while a run changes the environment.
        cursor.execute(WAITING.format("raw_data.a"))
        return cursor.fetchone()[0]

    def taken():
        expire(built)
        # The run may renew it in between; and a statement has a beat's time here, which is short.
        with suppress(LeaseHeldError, LandingError):
            others.take(lambda _: None)
            return True

    def take_over():
        until(is_waiting)
        until(taken)

    with built.warehouse_connection() as holder, holder.cursor() as cursor:
        cursor.execute("begin; lock raw_data.a in access exclusive mode")
        with meanwhile(take_over):
            status, report = run(built, "--run-date", DAY)
    assert status == 1
    assert report["outcome"] == "failed"
    assert steps(report) == {"land": (False, 1)}
    lost = "The run has lost its lease: another run has taken it over."
    assert lost in report["steps"][0]["error"]
    assert built.raw("a", "id, v, _run_date") == before
    assert runs(built) == [(report["run_id"], "lost"), ("other", None)]
