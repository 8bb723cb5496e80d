"""The Redshift path, statement by statement, and what becomes of it when something goes wrong."""

import re

import pytest
import zstandard
from standin.relay import Fault, conflict

from loader.load import window as loading
from loader.local.s3 import BUCKET

pytestmark = pytest.mark.only("redshift", because="it reads the stand-in's log and makes it fail")
TABLE = {"name": "t", "primary_key": ["id"], "cursor": "day"}
DAY = "2026-07-01"
MART = "analytics.sessions_by_hour"
PUBLISH = ("run", "--select", "sessions_by_hour")


@pytest.fixture
def pipeline(new_pipeline, redshift, monkeypatch):
    """A window that has been landed, and another one in MySQL to take its place."""
    monkeypatch.setattr(loading, "RETRY_SECONDS", (0, 0, 0))
    made = new_pipeline([TABLE])
    made.mysql(
        "create table t (id int primary key, v int, day datetime not null, key (day))",
        f"insert into t values (1, 1, '{DAY}'), (2, 1, '{DAY}'), (3, 1, '{DAY}')",
    )
    made.load("--run-date", DAY)
    made.mysql("update t set v = 2", "delete from t where id = 1")
    redshift.log.clear()
    return made


@pytest.fixture(scope="module")
def few(new_project):
    """The project with a few rows, landed and built."""
    made = new_project()
    made.few_rows(DAY)
    made.load("--full-refresh")
    made.build("seed")
    made.build("run")
    return made


OLD, NEW = [(1, 1), (2, 1), (3, 1)], [(2, 2), (3, 2)]


def window(pipeline):
    return pipeline.raw(f"t where _run_date = '{DAY}'", "id, v")


def landed(pipeline):
    return pipeline.value("select count(*) from raw_data._loads where outcome = 'landed'")


def session_of(log, pattern):
    """The statements of the session in which one of them matches, in order."""
    session = next(each.session for each in log if re.search(pattern, each.text))
    return [each for each in log if each.session == session]


def test_a_landing_is_one_transaction_in_one_session(pipeline, redshift):
    pipeline.load("--run-date", DAY)
    verbs = [each.verb for each in session_of(redshift.log, "^copy ")]
    begins = len(verbs) - 1 - verbs[::-1].index("begin", verbs[::-1].index("copy"))
    assert verbs[begins:][:2] == ["begin", "copy"]
    ran = [verb for verb in verbs[begins:] if verb != "select"]
    assert ran[:6] == ["begin", "copy", "update", "delete", "insert", "commit"]
    assert window(pipeline) == NEW


def test_nothing_but_the_manifests_address_passes_through_the_client(pipeline, redshift):
    pipeline.mysql("insert into t select seq + 10, seq, '2026-07-01' from seq_1_to_20000")
    redshift.received = 0
    report = pipeline.load("--run-date", DAY)["t"]
    assert report["copied_rows"] == 20_002
    assert redshift.received < 20_000  # bytes
    inserted = [each.text for each in redshift.log if each.verb == "insert"]
    assert len(inserted) == 1
    assert "_loads" in inserted[0]


def test_a_publish_is_one_transaction(few, redshift):
    few.query("update analytics.session_timestamp set session_at = session_at + interval '1 hour'")
    redshift.log.clear()
    few.build(*PUBLISH)
    statements = session_of(redshift.log, f"(?s)insert into .*{MART.split('.')[1]}")
    verbs = [each.verb for each in statements]
    delete = verbs.index("delete")
    assert verbs[delete : delete + 4] == ["delete", "insert", "drop", "insert"]
    assert "_publications" in statements[delete + 3].text
    ends = ("begin", "commit", "rollback")
    assert next(verb for verb in reversed(verbs[:delete]) if verb in ends) == "begin"
    assert next(verb for verb in verbs[delete:] if verb in ends) == "commit"


def test_a_view_that_is_made_anew_is_there_for_readers_all_the_time(few, redshift):
    redshift.faults.append(Fault("replace view .*stg_prod__nps", code="XX000", text="it was ended"))
    few.build_fails("run", "--full-refresh", "--select", "stg_prod__nps")
    assert few.value("select count(*) from analytics.stg_prod__nps")
    few.build("run", "--full-refresh", "--select", "stg_prod__nps")


@pytest.mark.deep(because="the gate's own tests are tried always")
@pytest.mark.parametrize(
    ("command", "times"),
    [
        (["build", "--select", "nps", "nps_summary", "nps_summary_monthly"], 1),
        (["build", "--select", "nps_summary", "nps_summary_monthly"], 2),
        (["run", "--select", "nps_summary"], 1),
    ],
    ids=["with the parent", "without it", "run"],
)
def test_an_input_check_runs_before_each_summary_or_once_before_all(
    built, redshift, command, times
):
    redshift.log.clear()
    built.build(*command)
    unique = r'(?s)"response_id",\s+count.*"analytics"."nps"\s.*having count'
    assert len([each for each in redshift.log if re.search(unique, each.text)]) == times


def test_dist_and_sort_keys_arrive_as_declared_and_the_docs_tell_them(few, redshift):
    few.build("docs", "generate")
    assert not [each for each in redshift.log if each.error]
    manifest, catalog = few.artifact("manifest"), few.artifact("catalog")
    designs = dict(
        few.query(
            "select \"schema\" || '.' || \"table\", diststyle || ' ' || sortkey1 "
            "from svv_table_info"
        )
    )
    assert designs["raw_data.nps"] == "KEY(id) _run_date"
    assert designs["raw_data.session_timestamp"] == "KEY(sessionid) _run_date"
    models = [
        node for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and "view" not in node["config"]["materialized"]
    ]  # fmt: skip
    assert len(models) == 11
    for model in models:
        dist, sort = (model["config"][key] for key in ("dist", "sort"))
        spread = "ALL" if dist == "all" else f"KEY({dist})"
        assert designs[f"analytics.{model['name']}"] == f"{spread} {sort}"
        told = catalog["nodes"][model["unique_id"]]["stats"]["diststyle"]["value"]
        assert told == spread
    assert designs["analytics.channel_summary"] == "KEY(user_id) last_session_at"


@pytest.mark.deep(because="dbt reads a project of its own for it, and people leave it alone")
def test_the_flag_that_would_break_the_publish_is_refused(few, tmp_path):
    copied = few.copied(tmp_path)
    flag = "redshift_skip_autocommit_transaction_statements: "
    copied.edit("../dbt_project.yml", f"{flag}false", f"{flag}true")
    said = copied.build_fails("run")
    assert "redshift_skip_autocommit_transaction_statements is true" in said


# -- faults --------------------------------------------------------------------------------------


def copies(redshift):
    """How often COPY has run."""
    return len([each for each in redshift.log if each.verb == "copy"])


@pytest.mark.parametrize(
    ("statement", "drop"),
    [
        *(("copy", ""), ("delete", ""), ("commit", "")),  # a conflict each
        *(("copy", "before"), ("delete", "after"), ("commit", "before"), ("commit", "after")),
    ],
)
def test_a_conflict_or_a_lost_connection_at_any_statement_is_tried_again_as_a_whole(
    pipeline, redshift, statement, drop
):
    fault = Fault(rf"^{statement}", drop=drop) if drop else conflict(rf"^{statement}")
    if statement == "commit":  # the landing's own
        landing = Fault("^insert into .*_loads", action=lambda: redshift.faults.append(fault))
        redshift.faults.append(landing)
    else:
        redshift.faults.append(fault)
    pipeline.load("--run-date", DAY)
    assert window(pipeline) == NEW
    assert copies(redshift) == 2
    # One that was committed, but not answered for, is landed once more.
    assert landed(pipeline) == (3 if (statement, drop) == ("commit", "after") else 2)
    assert pipeline.value("select count(*) from raw_data.t where id > 1") == 2


def test_a_conflict_that_does_not_end_leaves_the_old_rows(pipeline, redshift):
    redshift.faults.append(conflict("^delete", times=4))
    said = pipeline.fails("--run-date", DAY)
    assert "1023 Serializable isolation violation" in said
    assert window(pipeline) == OLD
    assert landed(pipeline) == 1


def test_a_load_reads_again_if_another_one_came_in_between(pipeline, redshift):
    """The lock is lost with the connection; another load of the table lands before the retry."""

    def another_load():
        pipeline.query(
            "insert into raw_data._loads (load_id, table_name, mode, started_at, outcome) "
            "values ('29990101T000000000000-aaaaaa', 't', 'run_date', now(), 'landed')"
        )
        pipeline.mysql("update t set v = 3")

    redshift.faults.append(Fault("^delete", drop="before", action=another_load))
    assert pipeline.load("--run-date", DAY)["t"]["load_id"].startswith("29990101T000000000001-")
    assert window(pipeline) == [(2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (None, "NoSuchKey, .*part-0000.zst"),
        (lambda text: text.replace(b"\t2", b"\tx", 1), "column v: Invalid integer format.*line 1"),
        (lambda text: text.partition(b"\n")[2], "2 counted in MySQL, 2 staged, 1 copied, 1 landed"),
    ],
    ids=["a part is missing", "a bad row is told by column and line", "a row is missing"],
)
def test_parts_that_are_not_what_was_staged_leave_the_old_rows(pipeline, redshift, change, says):
    def restage():
        for part, text in zip(pipeline.parts(), pipeline.staged_texts(), strict=True):
            place = {"Bucket": BUCKET, "Key": str(part.relative_to(pipeline.bucket))}
            if change:
                redshift.stage.put_object(**place, Body=zstandard.compress(change(text)))
            else:
                redshift.stage.delete_object(**place)

    redshift.faults.append(Fault("^copy", action=restage))
    assert re.search(says, pipeline.fails("--run-date", DAY))
    assert window(pipeline) == OLD


def test_an_expired_token_is_not_tried_again(pipeline, redshift):
    said = "S3ServiceException: The provided token has expired, Status 400, Error ExpiredToken"
    redshift.faults.append(Fault("^copy", code="XX000", text=said))
    assert "ExpiredToken" in pipeline.fails("--run-date", DAY)
    assert copies(redshift) == 1
    assert window(pipeline) == OLD


def test_a_publish_that_fails_leaves_the_published_table(few, redshift):
    before = few.query(f"select * from {MART} order by 1")
    few.query("update analytics.session_timestamp set session_at = session_at + interval '1 hour'")
    publishing = r"(?s)^(?!.*create).*"
    for fault in (
        conflict(publishing + "delete from"),
        Fault(publishing + "insert into .*sessions_by_hour", drop="before"),
        conflict(publishing + "insert into .*_publications"),
    ):
        redshift.faults.append(fault)
        few.build_fails(*PUBLISH)
        assert not redshift.faults
        assert few.query(f"select * from {MART} order by 1") == before
    few.build(*PUBLISH)
    assert few.query(f"select * from {MART} order by 1") != before
