"""Staging: bounded parts, a manifest that names them all, nothing left behind unless asked for."""

import json
import os
import resource

import psutil
import pytest
from botocore.exceptions import EndpointConnectionError

from loader.cli.session import open_session
from loader.errors import StageError
from loader.load import window
from loader.local.s3 import BUCKET
from loader.source import wire
from loader.source.copytext import SEPARATOR
from loader.stage import s3
from loader.stage.staging import Staging

TABLE = {"name": "t", "primary_key": ["id"]}
ROWS = 60_000


@pytest.fixture
def pipeline(new_pipeline):
    """One table of some megabytes that do not compress."""
    return new_pipeline(
        [TABLE],
        "create table t (id int primary key, v char(128) not null)",
        f"insert into t select seq, sha2(seq, 512) from seq_1_to_{ROWS}",
    )


def test_parts_are_bounded_and_the_manifest_lists_each_as_mandatory(pipeline):
    report = pipeline.load(LOADER_PART_MB="1", LOADER_KEEP_PARTS="always")["t"]
    parts = pipeline.parts()
    assert len(parts) == report["files"] > 2
    assert max(part.stat().st_size for part in parts) < 2_000_000
    assert sum(part.stat().st_size for part in parts) == report["staged_bytes"]
    (manifest,) = [file for file in pipeline.staged() if file.name == "manifest.json"]
    entries = json.loads(manifest.read_text())["entries"]
    prefix = f"s3://{BUCKET}/{pipeline.warehouse}/t/{report['load_id']}"
    assert [entry["url"] for entry in entries] == [f"{prefix}/{part.name}" for part in parts]
    assert all(entry["mandatory"] is True for entry in entries)
    sizes = [part.stat().st_size for part in parts]
    assert [entry["meta"]["content_length"] for entry in entries] == sizes
    assert report["manifest"] == f"{prefix}/manifest.json"
    counted = pipeline.query("select count(*), sum(id) from raw_data.t")
    assert counted == [(ROWS, ROWS * (ROWS + 1) // 2)]


@pytest.mark.parametrize(
    ("keep", "after_success", "after_failure"),
    [("never", False, False), ("on_failure", False, True), ("always", True, True)],
)
def test_files_stay_as_the_setting_says(pipeline, monkeypatch, keep, after_success, after_failure):
    pipeline.mysql("delete from t where id > 1000")
    pipeline.load(LOADER_KEEP_PARTS=keep)
    assert bool(pipeline.staged()) is after_success
    for file in pipeline.staged():
        file.unlink()
    copy = pipeline.adapter._copy
    monkeypatch.setattr(pipeline.adapter, "_copy", lambda *args: copy(*args) - 1)
    assert "the counts differ" in pipeline.fails(LOADER_KEEP_PARTS=keep)
    assert bool(pipeline.staged()) is after_failure


def test_what_a_killed_load_left_is_swept_and_others_files_are_not(pipeline):
    report = pipeline.load(LOADER_KEEP_PARTS="always")["t"]
    leftover = pipeline.staged()[0]
    elsewhere = leftover.parent.with_name("20260101T000000000000-another") / "part-0000.zst"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"another warehouse's")
    pipeline.load()
    assert pipeline.staged() == [elsewhere]
    assert report["load_id"] in str(leftover)


@pytest.mark.only("postgres", because="Redshift reads the parts itself")
def test_a_copy_that_ends_before_the_rows_do_says_why(pipeline, monkeypatch):
    """Nobody reads the pipe any more; what is told is what COPY refused."""
    stream = wire.joined_rows

    def broken(*arguments):
        for number, batch in enumerate(stream(*arguments)):
            yield [batch[0] + SEPARATOR, *batch[1:]] if not number else batch

    monkeypatch.setattr(wire, "joined_rows", broken)
    said = pipeline.fails()
    assert "The warehouse refused the rows of raw_data.t: extra data" in said
    assert pipeline.query("select 1 from pg_class where relname = 't'") == []
    assert pipeline.staged() == []


@pytest.mark.only("redshift", because="PostgreSQL is given the rows that are staged")
@pytest.mark.parametrize("times", [1, 2])
def test_a_damaged_part_is_staged_once_more(pipeline, monkeypatch, times):
    monkeypatch.setattr(window, "RETRY_SECONDS", (0,))
    pipeline.mysql("delete from t where id > 1000")
    pipeline.load()
    before = pipeline.value("select max(_load_id) from raw_data.t")
    copy, left = pipeline.adapter._copy, [None] * times

    def damaged(self, statement, landing):
        for part in pipeline.parts() if left else ():
            content = bytearray(part.read_bytes())
            content[1000:1004] = bytes(4)
            part.write_bytes(content)
        del left[:1]
        return copy(self, statement, landing)

    monkeypatch.setattr(pipeline.adapter, "_copy", damaged)
    if times == 1:
        assert pipeline.load()["t"]["load_id"] > before
    else:
        assert "a staged part is damaged, so nothing was landed" in pipeline.fails()
        assert pipeline.value("select max(_load_id) from raw_data.t") == before


@pytest.mark.only("postgres", because="it ends before COPY")
def test_a_disk_that_is_full_while_staging_changes_nothing(pipeline):
    """The S3 server's files may not grow past 200 kB, as on a full disk."""
    pipeline.load()
    before = pipeline.value("select max(_load_id) from raw_data.t")
    services = json.loads((pipeline.endpoints.folder / "services.json").read_text())
    server = services["s3"]["pid"]
    unlimited = resource.prlimit(server, resource.RLIMIT_FSIZE)
    resource.prlimit(server, resource.RLIMIT_FSIZE, (200_000, unlimited[1]))
    try:
        done = pipeline.loader("load", AWS_MAX_ATTEMPTS="1")
    finally:
        resource.prlimit(server, resource.RLIMIT_FSIZE, unlimited)
    assert psutil.pid_exists(server)
    assert done.returncode == 1
    assert f"S3 bucket {BUCKET}" in done.stderr
    assert "Traceback" not in done.stderr
    assert pipeline.value("select max(_load_id) from raw_data.t") == before
    assert pipeline.load()["t"]["landed_rows"] == ROWS


@pytest.mark.only("postgres", because="it ends before COPY")
def test_memory_does_not_grow_with_the_table(pipeline):
    """Five times the rows take no five times the memory; both peaks are the process's own."""
    peaks = []
    for rows in (ROWS, 5 * ROWS):
        pipeline.mysql(
            "truncate table t", f"insert into t select seq, sha2(seq, 256) from seq_1_to_{rows}"
        )
        with pipeline.start("loader", "load", LOADER_PART_MB="1") as process:
            _, process.returncode, usage = os.wait4(process.pid, 0)
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < peaks[0] + 30_000  # kB
    assert pipeline.value("select count(*) from raw_data.t") == 5 * ROWS


def test_s3_that_is_away_is_the_same_for_every_table():
    with pytest.raises(StageError, match=r': "https://s3.x:9"\.'), s3.explained("b"):
        raise EndpointConnectionError(endpoint_url="https://s3.x:9/b/nps/1-a/part-0.zst?uploads")


@pytest.mark.only("postgres", because="it ends before COPY")
def test_every_staged_file_asks_for_the_kms_key(pipeline):
    asked = []

    def note(params, **_):
        name = "x-amz-server-side-encryption"
        asked.append([params["headers"].get(each) for each in (name, f"{name}-aws-kms-key-id")])

    with pipeline.inside(LOADER_S3_KMS_KEY_ID="key-1"):
        settings = open_session(None).settings.stage
        client = s3.connect(settings)
    client.meta.events.register("before-call.s3.PutObject", note)
    with Staging(lambda: client, settings, "t", "20260101T000000000000-aaaaaa") as staging:
        staging.write(b"row\n", 1)
        staging.finish()
    assert asked == [["aws:kms", "key-1"]] * 2  # the part and the manifest
