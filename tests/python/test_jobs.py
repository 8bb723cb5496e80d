"""What becomes of loads that break, how often they connect, and how a range is cut."""

from contextlib import closing
from datetime import date

import pytest
from pipeline import DAYS, two_days

from loader.cli.session import open_session
from loader.declared.windows import Window
from loader.errors import LandingError, StoppedError
from loader.load import job as load
from loader.load import jobs
from loader.run.lease import Lease
from loader.warehouse import session
from loader.warehouse.stop import Stop


@pytest.fixture
def pipeline(new_pipeline):
    return two_days(new_pipeline)


def test_a_load_that_was_committed_has_not_failed_whatever_came_after(pipeline, monkeypatch):
    """The run was ended while the answer to its COMMIT was under way."""
    commit = pipeline.adapter.commit_landing

    def ended(self, *arguments):
        commit(self, *arguments)
        raise StoppedError("The run was ended.", "")

    monkeypatch.setattr(pipeline.adapter, "commit_landing", ended)
    assert pipeline.load("--run-date", DAYS[0])["t"]["outcome"] == "landed"
    assert pipeline.query("select outcome from raw_data._loads") == [("landed",)]


def test_a_load_whose_connection_is_gone_is_in_the_ledger(pipeline, monkeypatch):
    def cut(self, *_):
        self._opened.close()
        raise LandingError("It broke.", "Mend it.")

    monkeypatch.setattr(pipeline.adapter, "_copy", cut)
    assert pipeline.fails("--run-date", DAYS[0]) == "It broke.\n\nMend it."
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
        with session.connections_kept():
            lease = Lease("mine", opened.warehouse, Stop())
            lease.take(print)
            lease.renew()
            with closing(opened.warehouse()) as warehouse:
                warehouse.prepare()
                warehouse.lock(opened.tables["t"])
            taken = [session.take_on() for _ in range(2)]
            assert all(taken)
            for connection, process in taken:
                session.keep_idle(connection, process)
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
