"""Windows of one table land in order, up to the first that fails, which leaves nothing behind."""

import threading
from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest
from pipeline import DAYS, another_load, two_days

from loader.cli.landing import route_of
from loader.cli.session import open_session
from loader.declared.windows import DAY, Window
from loader.errors import LandingError, StoppedError
from loader.load import job as load
from loader.load import jobs, window
from loader.run.lease import Lease
from loader.stage import staging
from loader.warehouse import base, idle, session
from loader.warehouse.stop import Stop

DAY_1, DAY_2, _ = DAYS
FIRST, THIRD = date(2026, 7, 1), date(2026, 7, 4)


@pytest.fixture
def pipeline(new_pipeline):
    return two_days(new_pipeline)


def land_by_day(pipeline, end=THIRD):
    """Land the days of July 2026 from the first on, each a window of its own."""
    with pipeline.inside():
        opened = open_session(None)
        with closing(opened.warehouse()) as warehouse:
            warehouse.prepare()
        whole = load.Job(table=opened.tables["t"], window=Window(FIRST, end), mode="range")
        days = list(jobs.in_steps(whole, "day"))
        with load.unwatched() as watcher:
            return list(jobs.run_jobs(days, route_of(opened), 1, watcher))


def refuse(pipeline, monkeypatch, wait_for=lambda: True):
    """Let the first COPY be refused, once `wait_for` says so; returns the error."""
    refused = LandingError("It was refused.", "Mend it.")

    def copy(*_):
        assert wait_for()
        raise refused

    monkeypatch.setattr(pipeline.adapter, "_copy", copy)
    return refused


def test_days_land_one_after_the_other(pipeline):
    outcomes = land_by_day(pipeline)
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert [outcome.load.landed_rows for outcome in outcomes] == [2, 2, 0]
    ids = pipeline.query("select load_id from raw_data._loads order by ended_at")
    assert ids == sorted(ids)
    assert pipeline.raw("t", "id, _run_date") == [
        (1, date(2026, 7, 1)), (2, date(2026, 7, 1)), (3, date(2026, 7, 2)), (4, date(2026, 7, 2)),
    ]  # fmt: skip
    assert not pipeline.staged()


def test_windows_behind_one_that_fails_are_given_up(pipeline, monkeypatch):
    refused = refuse(pipeline, monkeypatch)
    (failed,) = land_by_day(pipeline)
    assert failed.error is refused
    assert failed.job.window.start == FIRST
    ledger = "select outcome, error, window_start from raw_data._loads"
    assert pipeline.query(ledger) == [("failed", "It was refused.", FIRST)]
    assert not pipeline.staged()


@pytest.mark.only("postgres", because="Redshift's COPY begins when all is staged")
def test_a_landing_that_fails_while_rows_are_staged_leaves_no_file(pipeline, monkeypatch):
    finishing, removed = threading.Event(), threading.Event()
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
    refused = refuse(pipeline, monkeypatch, lambda: finishing.wait(20))
    (failed,) = land_by_day(pipeline)
    assert failed.error is refused
    assert pipeline.staged() == []


def test_a_load_whose_commit_was_not_answered_lands_once_more(pipeline, monkeypatch):
    """And after the one that came in between, because its lock was lost as well."""
    monkeypatch.setattr(base, "LOCK_SECONDS", 1)
    monkeypatch.setattr(window, "RETRY_SECONDS", (0,))
    commit, later = pipeline.adapter.commit_landing, f"{load.now() + DAY:%Y%m%dT%H%M%S%f}"

    def losing(self, *arguments):
        monkeypatch.setattr(pipeline.adapter, "commit_landing", commit)
        landed = commit(self, *arguments)
        with self.transaction():
            self._insert(replace(landed, load_id=f"{later}-000000"))
        raise LandingError("It broke.", "") from OSError()

    with another_load(pipeline, DAY_1):
        (outcome,) = land_by_day(pipeline)
    assert outcome.error.transient
    monkeypatch.setattr(pipeline.adapter, "commit_landing", losing)
    assert pipeline.raw("t", "id") == [(1,), (2,)]
    (outcome,) = land_by_day(pipeline, date(2026, 7, 2))
    assert outcome.load.landed_rows == 2
    assert outcome.load.load_id > later
    ledger = f"select outcome from raw_data._loads where load_id >= '{outcome.load.load_id[:8]}'"
    assert pipeline.query(ledger) == [("landed",)] * 2


def test_a_load_that_was_committed_has_not_failed_whatever_came_after(pipeline, monkeypatch):
    """The run was ended while the answer to its COMMIT was under way."""
    commit = pipeline.adapter.commit_landing

    def ended(self, *arguments):
        commit(self, *arguments)
        raise StoppedError("The run was ended.", "")

    monkeypatch.setattr(pipeline.adapter, "commit_landing", ended)
    (outcome,) = land_by_day(pipeline, date(2026, 7, 2))
    assert (outcome.error, outcome.load.outcome) == (None, "landed")
    assert pipeline.query("select outcome from raw_data._loads") == [("landed",)]


def test_a_load_whose_connection_is_gone_is_in_the_ledger(pipeline, monkeypatch):
    def cut(self, *_):
        self._opened.close()
        raise LandingError("It broke.", "Mend it.")

    monkeypatch.setattr(pipeline.adapter, "_copy", cut)
    (failed,) = land_by_day(pipeline)
    assert failed.error.fact == "It broke."
    assert pipeline.query("select outcome, error from raw_data._loads") == [("failed", "It broke.")]


def test_how_often_the_warehouse_is_connected_to_does_not_grow_with_the_tables(
    new_pipeline, monkeypatch
):
    """A cluster takes half a second for each connection, and has a few hundred for everybody."""
    names = [f"t{number}" for number in range(9)]
    pipeline = new_pipeline([{"name": name, "primary_key": ["id"]} for name in names])
    for name in names:
        pipeline.mysql(f"create table {name} (id int primary key, v varchar(9))")
    processes, connect = set(), session.connect

    def connecting(*arguments):
        processes.add(opened := connect(*arguments))
        return opened

    monkeypatch.setattr(session, "connect", connecting)
    assert len(pipeline.load("--parallel", "2")) == len(names)
    assert len(processes) <= 5


def test_a_connection_is_taken_on_as_it_was_made(pipeline):
    """What the lease allows its statements would end a long COPY."""
    setting = "select current_setting('statement_timeout')"
    with pipeline.inside():
        opened = open_session(None)
        with closing(opened.warehouse()) as warehouse:
            before = warehouse.execute(setting)
        with idle.connections_kept():
            lease = Lease("mine", opened.warehouse, Stop())
            lease.take(print)
            lease.renew()
            with closing(opened.warehouse()) as warehouse:
                warehouse.prepare()
                warehouse.lock(opened.tables["t"])
            taken = [idle.take_on() for _ in range(2)]
            assert all(taken)
            for connection, process in taken:
                idle.keep(connection, process)
            with closing(opened.warehouse()) as one, closing(opened.warehouse()) as other:
                assert [each.execute(setting) for each in (one, other)] == [before] * 2


@pytest.mark.parametrize(
    ("step", "starts"),
    [("day", ["07-30", "07-31", "08-01", "08-02"]), ("month", ["07-30", "08-01"])],
)
def test_a_range_is_cut_into_days_or_months(step, starts):
    days = Window(date(2026, 7, 30), date(2026, 8, 3))
    pieces = [
        each.window for each in jobs.in_steps(load.Job(table=None, window=days, mode=""), step)
    ]
    assert [f"{piece.start:%m-%d}" for piece in pieces] == starts
    assert [piece.end for piece in pieces] == [*(each.start for each in pieces[1:]), days.end]
