"""What `make bench` says is true: it checks every column, and measures what it names."""

import json
from dataclasses import replace

import psycopg2
import pytest

from bench import checks, compared, day, growth, increments, many, report, threads, visits
from bench.__main__ import INCREMENTS_TITLE, THREADS_TITLE, Limits, measure
from bench.measure import Cost, measured
from bench.place import Place, program, write_project
from bench.tables import HEAVY, NPS, ORDERS, connection, fill
from bench.ways import ways

pytestmark = pytest.mark.only("postgres", because="the bench measures what runs on this machine")
TABLES = [replace(NPS, rows=2_000), replace(ORDERS, rows=500)]


@pytest.fixture(scope="module")
def place(tmp_path_factory, endpoints):
    folder = tmp_path_factory.mktemp("bench")
    write_project(folder / "tables")
    place = Place(folder=folder, project=folder / "tables", endpoints=endpoints)
    with connection(endpoints) as source:
        for table in TABLES:
            fill(source, table)
    yield place
    place.drop_schemas("raw_pipe", "raw_data", "airflow", "analytics")


def test_every_way_brings_every_value(place):
    chosen = [way for way in ways() if way.name != "airflow"]
    told = {way["name"]: way for way in measure(place, TABLES, chosen, Limits(1, 1))}
    for way in told.values():
        assert not way.keys() & {"wrong", "failed"}, way
    (run,) = told["loader"]["runs"]
    assert run["peak_bytes"] < 120e6
    assert run["staged_bytes"] > 0
    record = {"rows": {"nps": 2_000}, "bytes": 1, "machine": {}, "ways": [*told.values()]}
    assert len(report.lines(record)) == 3


def test_the_cpu_of_every_thread_of_a_load_is_told(place):
    told = threads.measure(place, TABLES, 1)
    assert {line["what"] for line in told} == set(threads.ROLES.values())
    assert all(seconds > 0 for line in told for seconds in line["seconds"])


def test_a_value_that_differs_is_told(place):
    raw = next(way for way in ways() if way.name == "raw")
    raw.prepare(place, TABLES)
    raw.run(place, TABLES)
    expected = checks.source_sums(place, TABLES)
    assert checks.wrong_columns(place, "raw_pipe", TABLES, expected) == []
    with psycopg2.connect(place.postgres_url) as warehouse, warehouse.cursor() as cursor:
        cursor.execute("update raw_pipe.orders set note = null where note = '' and id = 5")
        cursor.execute("update raw_pipe.orders set weight = weight * 1.0000000000000002")
        cursor.execute("delete from raw_pipe.nps where id = 1")
    wrong = checks.wrong_columns(place, "raw_pipe", TABLES, expected)
    lost = {f"nps.{each.name}" for each in NPS.columns}
    assert set(wrong) == {*lost, "orders.weight", "orders.note"}


@pytest.mark.deep(because="dbt starts five times")
def test_an_increment_is_timed_only_if_it_brings_every_value(place, monkeypatch):
    loader = increments.increments()[0]
    forgetful = replace(loader, first=lambda *_: None, day=lambda *_: {"nothing": None})
    told = {}
    for each in (loader, forgetful):
        monkeypatch.setattr(increments, "increments", lambda each=each: [each])
        told[each] = increments.measure(place, TABLES, 1)
    landed, imported, merged, started = (line["seconds"][0] for line in told[loader])
    assert 0 < landed < merged
    assert min(imported, started) > 0
    (wrong,) = told[forgetful]
    assert wrong["seconds"] == []
    assert wrong["found"] == "wrong: nps.score"
    with connection(place.endpoints) as source:
        for table in TABLES:
            fill(source, table)


@pytest.mark.deep(because="it reads 200 MB")
def test_rows_of_ten_megabytes_take_no_more_memory_than_is_promised(place):
    with connection(place.endpoints) as source:
        fill(source, HEAVY)
    load = [program("loader"), "load", "--full-refresh", "--select", HEAVY.name]
    assert 0 < measured(place, load).peak_bytes < 120e6


def test_a_day_at_two_sizes_is_told_by_step_and_by_node():
    def days(rows, seconds):
        cost = Cost(seconds=seconds, cpu=1, mysql_cpu=1, peak_bytes=1, examined=1, output="")
        nodes = {f"model `m{number}`": [seconds * number] for number in range(12)}
        return day.Days(
            rows=rows, changed=10, runs=[cost], steps={name: [seconds] for name in day.STEPS},
            nodes=nodes, idle=[cost], without_peers="failed: no",
        )  # fmt: skip

    small, large = days(1_000, 2.0), days(10_000, 5.0)
    told = {line.what: line for line in day.lines(small, large)}
    whole = told["**`loader run`**, everything included, 10 of 10,000 rows"]
    assert whole.limit == "1.3 ×"
    assert "2.50 × the small one's" in whole.found
    assert "… its step `verify`, 10 of 1,000 rows" in told
    dearest = [line.what for line in day.dearest(small, large)]
    assert len(dearest) == 20
    assert dearest[0] == "model `m11`, 1,000 rows"
    assert dearest[-1] == "model `m2`, 10,000 rows"


def test_the_docs_show_the_record_of_all_sections():
    text, record = report.DOCS.read_text(), json.loads(report.KEPT.read_text())
    assert report.with_table(text, record) == text
    titles = {THREADS_TITLE, INCREMENTS_TITLE, *growth.TITLES, compared.COMPARED, many.MANY}
    titles |= {day.DAYS, day.NODES, visits.VISITS}
    assert titles == record["sections"].keys()
    assert not any(
        line["found"].startswith("failed")
        for lines in record["sections"].values()
        for line in lines
    )
