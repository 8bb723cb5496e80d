"""Windows of one table: the next is read while one lands; they land in order, up to a failure."""

import threading
from contextlib import closing
from datetime import date

import pytest
from pipeline import DAYS, another_load, two_days

from loader.cli.landing import route_of
from loader.cli.session import open_session
from loader.declared.windows import DAY, Window
from loader.errors import LandingError, SourceError
from loader.load import chain, jobs
from loader.load import job as load
from loader.source import mysql
from loader.stage import staging
from loader.warehouse import base

DAY_1, DAY_2, _ = DAYS


@pytest.fixture
def pipeline(new_pipeline):
    return two_days(new_pipeline)


def land_days(pipeline, count, stopping=None):
    """Land the days of July 2026 from the first on, each a window of its own."""
    with pipeline.inside():
        session = open_session(None)
        with closing(session.warehouse()) as warehouse:
            warehouse.prepare()
        days = [date(2026, 7, 1) + number * DAY for number in range(count)]
        windows = [Window(day, day + DAY) for day in days]
        chained = [
            load.Job(table=session.tables["t"], window=window, mode="incremental")
            for window in windows
        ]
        with load.unwatched() as watcher:
            return list(jobs.run_jobs(chained, route_of(session, stopping), 1, watcher))


def meanwhile(pipeline, monkeypatch, wait_for, refuse=None):
    """Let the first COPY begin once `wait_for` says so, and perhaps be refused."""
    copy, copied = pipeline.adapter._copy, []

    def held(*arguments):
        copied.append(arguments)
        if len(copied) == 1:
            assert wait_for()
            if refuse:
                raise refuse
        return copy(*arguments)

    monkeypatch.setattr(pipeline.adapter, "_copy", held)
    return copied


def staged(monkeypatch, number):
    """An event that is set when so many windows were staged."""
    stage, done, all_staged = chain._stage, [], threading.Event()

    def counting(*arguments):
        done.append(stage(*arguments))
        if len(done) == number:
            all_staged.set()
        return done[-1]

    monkeypatch.setattr(chain, "_stage", counting)
    return all_staged


def one_by_one(stream):
    """Read in batches of one row each."""

    def streamed(*arguments):
        for batch in stream(*arguments):
            for row in batch:
                yield [row]

    return streamed


def test_a_window_is_read_while_the_one_before_lands(pipeline, monkeypatch):
    second = staged(monkeypatch, 2)
    meanwhile(pipeline, monkeypatch, lambda: second.wait(20))
    outcomes = land_days(pipeline, 3)
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert [outcome.load.landed_rows for outcome in outcomes] == [2, 2, 0]
    ids = pipeline.query("select load_id from raw_data._loads order by ended_at")
    assert ids == sorted(ids)
    assert pipeline.raw("t", "id, _run_date") == [
        (1, date(2026, 7, 1)), (2, date(2026, 7, 1)), (3, date(2026, 7, 2)), (4, date(2026, 7, 2)),
    ]  # fmt: skip
    assert not pipeline.parts()


def test_the_window_that_was_observed_later_is_the_newer_load(pipeline, monkeypatch):
    """A row moves from one to the other between the two snapshots."""
    land_days(pipeline, 2)
    second = staged(monkeypatch, 2)
    read = mysql.count_window

    def counted(*arguments):
        number = read(*arguments)
        if not second.is_set():
            pipeline.mysql(f"update t set v = 11, updated_at = '{DAY_2} 01:00:00' where id = 1")
        return number

    monkeypatch.setattr(mysql, "count_window", counted)
    meanwhile(pipeline, monkeypatch, lambda: second.wait(20))
    assert [outcome.error for outcome in land_days(pipeline, 2)] == [None, None]
    newest = "select v from raw_data.t where id = 1 order by _load_id desc limit 1"
    assert pipeline.value(newest) == 11


def test_windows_behind_one_that_fails_are_given_up(pipeline, monkeypatch):
    second = staged(monkeypatch, 2)
    refuse = LandingError("It was refused.", "Mend it.")
    copied = meanwhile(pipeline, monkeypatch, lambda: second.wait(20), refuse)
    (failed,) = land_days(pipeline, 3)
    assert failed.error is refuse
    assert failed.job.window.start == date(2026, 7, 1)
    assert len(copied) == 1
    ledger = "select outcome, error, window_start from raw_data._loads"
    assert pipeline.query(ledger) == [("failed", "It was refused.", date(2026, 7, 1))]
    assert not pipeline.parts()


def test_a_window_that_cannot_be_read_leaves_the_one_before_to_land(pipeline, monkeypatch):
    over = threading.Event()
    count = mysql.count_window

    def counted(connection, table, read):
        if DAY_2 in read.count.split("<")[0]:
            over.set()
            raise SourceError("It cannot be counted.", "Mend it.")
        return count(connection, table, read)

    monkeypatch.setattr(mysql, "count_window", counted)
    meanwhile(pipeline, monkeypatch, lambda: over.wait(20))
    first, second = land_days(pipeline, 3)
    assert first.load.landed_rows == 2
    assert second.error.fact == "It cannot be counted."
    ledger = "select outcome, window_start from raw_data._loads order by load_id"
    assert pipeline.query(ledger) == [
        ("landed", date(2026, 7, 1)),
        ("failed", date(2026, 7, 2)),
    ]
    assert pipeline.raw("t", "id") == [(1,), (2,)]


def test_a_run_that_is_interrupted_keeps_what_lands_and_not_what_is_read(pipeline, monkeypatch):
    reading, stopping = threading.Event(), threading.Event()
    to_copy_text = chain.to_copy_text

    def text_of(batch, *arguments):
        if batch[0].startswith(b"3"):
            reading.set()
            assert stopping.wait(20)
        return to_copy_text(batch, *arguments)

    def stopped():
        assert reading.wait(20)
        stopping.set()
        return True

    # A window of the second day has more than one batch.
    monkeypatch.setattr(mysql, "stream", one_by_one(mysql.stream))
    monkeypatch.setattr(chain, "to_copy_text", text_of)
    meanwhile(pipeline, monkeypatch, stopped)
    first, second = land_days(pipeline, 3, stopping)
    assert first.load.landed_rows == 2
    assert "interrupted" in second.error.fact
    assert pipeline.raw("t", "id") == [(1,), (2,)]
    assert not pipeline.parts()


def test_a_table_that_another_load_holds_is_not_asked_for_window_by_window(pipeline, monkeypatch):
    monkeypatch.setattr(base, "LOCK_SECONDS", 1)
    with another_load(pipeline, DAY_1):
        (outcome,) = land_days(pipeline, 2)
    assert outcome.error.transient
    assert pipeline.raw("t", "id") == [(1,), (2,)]


def test_a_load_that_came_in_between_is_not_landed_over(pipeline, monkeypatch):
    """The answer to a COMMIT was lost, and the lock with it."""
    monkeypatch.setattr(base, "RETRY_SECONDS", (0,))
    land_once, landed = pipeline.adapter._land_once, []

    def losing(self, landing, say):
        landed.append(land_once(self, landing, say))
        if len(landed) > 1:
            return landed[-1]
        with self.transaction():
            later = load.now() + DAY
            self._insert(base.replace(landed[0], load_id=f"{later:%Y%m%dT%H%M%S%f}-000000"))
        raise LandingError("It broke.", "") from OSError()

    monkeypatch.setattr(pipeline.adapter, "_land_once", losing)
    first, second = land_days(pipeline, 2)
    assert first.load.landed_rows == 2
    assert "another load came in between" in second.error.fact
    assert pipeline.raw("t", "id") == [(1,), (2,)]


def test_a_column_grows_wider_while_the_next_window_is_read(pipeline, monkeypatch):
    land_days(pipeline, 1)
    if pipeline.kind == "postgres":  # whose views are made again around the new type
        pipeline.query("create view raw_data.seen as select * from raw_data.t")
    pipeline.mysql("alter table t modify v bigint", f"update t set v = {1 << 40} where id = 3")
    second = staged(monkeypatch, 2)
    meanwhile(pipeline, monkeypatch, lambda: second.wait(20))
    assert [outcome.error for outcome in land_days(pipeline, 2)] == [None, None]
    assert (3, 1 << 40) in pipeline.raw("t", "id, v")


@pytest.mark.only("postgres", because="Redshift's COPY begins when all is staged")
def test_a_landing_that_fails_while_rows_are_staged_leaves_no_file(pipeline, monkeypatch):
    finishing, removed = threading.Event(), threading.Event()
    refused = LandingError("It was refused.", "Mend it.")
    upload, remove = staging.Staging._upload, staging.remove

    def uploading(self, key, data):
        if key.endswith("manifest.json"):
            finishing.set()
            removed.wait(0.5)
        upload(self, key, data)

    def removing(*arguments):
        removed.set()
        remove(*arguments)

    monkeypatch.setattr(staging.Staging, "_upload", uploading)
    monkeypatch.setattr(staging, "remove", removing)
    meanwhile(pipeline, monkeypatch, lambda: finishing.wait(20), refused)
    (failed,) = land_days(pipeline, 1)
    assert failed.error is refused
    assert pipeline.staged() == []


def test_a_load_whose_connection_is_gone_is_in_the_ledger(pipeline, monkeypatch):
    def cut(self, *_):
        self._opened.close()
        raise LandingError("It broke.", "Mend it.")

    monkeypatch.setattr(pipeline.adapter, "_copy", cut)
    (failed,) = land_days(pipeline, 1)
    assert failed.error.fact == "It broke."
    assert pipeline.query("select outcome, error from raw_data._loads") == [("failed", "It broke.")]
