"""Rows cut from the network's buffer are those that a cursor gives, batch by batch."""

import io
import socket
import time
from contextlib import contextmanager

import pymysql
import pytest
from pipeline import mysql_administrator, with_sequences
from round_trips import ROUND_TRIPS, table_statements

from loader.cli.session import open_session
from loader.declared.windows import WHOLE
from loader.errors import SourceError
from loader.source import mysql, wire
from loader.source.read_plan import days_of, plan_read
from loader.source.types import POSTGRES, REDSHIFT

pytestmark = pytest.mark.only("postgres", because="no warehouse is asked")
TABLE = {"name": "t", "primary_key": ["id"]}
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def pipeline(module_pipeline):
    return module_pipeline([TABLE, {**TABLE, "name": "kinds"}])


@contextmanager
def source_of(pipeline):
    with pipeline.inside():
        settings = open_session(None).settings
    with mysql.connect(settings.mysql) as source:
        yield source


def test_a_session_reads_as_long_as_it_takes_and_counts_what_is_there_now(pipeline):
    """Whatever the server ends others' statements after, and remembers of a table."""
    limit = "set global /*!50708 max_execution_time = {0} */ /*M! max_statement_time = {0} / 1e3 */"
    pipeline.mysql(
        "drop table if exists t", "create table t (id int primary key)",
        "select table_rows from information_schema.tables where table_schema = database()",
        "insert into t select seq from seq_1_to_50000",
    )  # fmt: skip
    with mysql_administrator(pipeline.endpoints) as administrator:
        administrator.execute(limit.format(1))
        try:
            assert pipeline.load("--select", "t")["t"]["landed_rows"] == 50_000
            pipeline.loader("verify", "--select", "t", status=0)
        finally:
            administrator.execute(limit.format(0))
    with source_of(pipeline) as source, pipeline.inside():
        table = open_session(None).tables["t"]
        assert mysql.describe(source, table).rows > 40_000


def test_what_a_server_refuses_for_a_moment_is_tried_again(pipeline):
    pipeline.mysql("drop table if exists t", "create table t (id int primary key)")
    with mysql_administrator(pipeline.endpoints) as administrator:
        administrator.execute("alter user loader@'%' with max_user_connections 1")
        try:
            with pytest.raises(SourceError) as refused, source_of(pipeline), source_of(pipeline):
                pass
        finally:
            administrator.execute("alter user loader@'%' with max_user_connections 0")
    assert refused.value.transient
    changed = f"select * from {pipeline.database}.t"
    with pytest.raises(SourceError) as refused, source_of(pipeline) as source:
        altered_meanwhile(pipeline, source, changed)
    assert "definition has changed" in refused.value.fact
    assert refused.value.transient


def altered_meanwhile(pipeline, source, statement):
    mysql.fetch(source, "start transaction with consistent snapshot")
    pipeline.mysql("alter table t engine = InnoDB")
    mysql.fetch(source, statement)


@pytest.fixture
def both_ways(monkeypatch):
    """Read a statement's batches from the buffer and by the cursor; they must be the same."""

    def read(source, statement):
        assert wire.is_readable(source)
        batches = list(wire.joined_rows(source, statement))
        with monkeypatch.context() as patched:
            patched.setattr(wire, "is_readable", lambda _: False)
            assert batches == list(wire.joined_rows(source, statement))
        assert mysql.fetch(source, "select 1") == [(1,)]  # nothing was left of the answer
        return batches

    return read


@pytest.fixture(params=[3, 1000, wire._BUFFER], ids="{} bytes at a time".format)
def arriving(request, monkeypatch):
    """The rows may arrive in pieces of any size."""
    monkeypatch.setattr(wire, "_BUFFER", request.param)
    return request.param


@pytest.mark.parametrize("dialect", [POSTGRES, REDSHIFT], ids=lambda dialect: dialect.name)
def test_every_type_is_read_alike_in_both_ways(pipeline, both_ways, arriving, dialect):
    pipeline.mysql("drop table if exists kinds", *table_statements("kinds", ROUND_TRIPS))
    with pipeline.inside():
        session = open_session(None)
    table = session.tables["kinds"]
    with source_of(pipeline) as source:
        description = mysql.describe(source, table)
        days = days_of(table, description, session.settings.zone)
        batches = both_ways(source, plan_read(table, description, WHOLE, days, dialect).rows)
    assert len([row for batch in batches for row in batch]) > 4


def test_rows_of_every_length_are_cut_where_they_end(pipeline, both_ways, arriving):
    edges = (0, 1, 250, 251, 252, 1 << 16, wire.BATCH_BYTES, 2 * wire.BATCH_BYTES, 3 * MEGABYTE)
    lengths = sorted({max(edge + off, 0) for edge in edges for off in range(-9, 10)})
    if arriving == 3:
        lengths = [length for length in lengths if length < 1000]  # or it would take a minute
    values = " union all ".join(f"select repeat(char(65 + {n % 26}), {n})" for n in lengths)
    with source_of(pipeline) as source:
        batches = both_ways(source, values)
    assert [len(row) for batch in batches for row in batch] == lengths
    assert max(sum(map(len, batch[:-1])) for batch in batches) < wire.BATCH_BYTES
    assert all(sum(map(wire._size, batch)) >= wire.BATCH_BYTES for batch in batches[:-1])


def test_a_row_may_take_several_packets(pipeline, both_ways):
    """A packet that is full goes on in the next one, and an empty one ends what just fills it."""
    full = (1 << 24) - 1
    lengths = [7, *(full + off for off in (-10, -5, -4, -3, -1, 0, 3)), 2 * full + 9, 5]
    values = " union all ".join(f"select repeat(0x78, {length})" for length in lengths)
    with packets_of(pipeline, 64 * MEGABYTE), source_of(pipeline) as source:
        batches = both_ways(source, values)
    assert [len(row) for batch in batches for row in batch] == lengths


@contextmanager
def packets_of(pipeline, size):
    with mysql_administrator(pipeline.endpoints) as administrator:
        administrator.execute("select @@max_allowed_packet")
        ((before,),) = administrator.fetchall()
        administrator.execute(f"set global max_allowed_packet = {size}")
        try:
            yield
        finally:
            administrator.execute(f"set global max_allowed_packet = {before}")


def test_a_row_that_mysql_may_not_join_is_refused(new_pipeline):
    """Of a row beyond max_allowed_packet MySQL answers NULL, whichever way it is read."""
    pipeline = new_pipeline([TABLE])
    pipeline.mysql(
        "create table t (id int primary key, a longtext, b longtext)",
        "insert into t values (1, 'short', null), (2, repeat('a', 9000000), repeat('b', 9000000))",
    )
    with packets_of(pipeline, 16 * MEGABYTE):
        said = pipeline.fails()
    assert ".t: A row is longer than MySQL's max_allowed_packet" in said
    assert "Raise max_allowed_packet on the server" in said


def test_the_same_files_are_staged_whichever_way_is_taken(new_pipeline, monkeypatch):
    """Byte for byte, part by part: nothing tells how the rows came.

    The parts are alike, and as many as the slices of the Redshift that is to read them.
    """
    pipeline = new_pipeline([TABLE])
    pipeline.mysql(
        "create table t (id int primary key, v varchar(9000), n int)",
        "insert into t select seq, concat(sha2(seq, 512), '\\t', repeat('x', seq % 251)), "
        "nullif(seq % 3, 0) from seq_1_to_60000",
        "insert into t values (0, null, null)",
    )
    staged = []
    for is_readable in (wire.is_readable, lambda _: False):
        monkeypatch.setattr(wire, "is_readable", is_readable)
        pipeline.load(LOADER_KEEP_PARTS="always", LOADER_PART_MB="2", LOADER_SLICES="3")
        staged.append([(part.name, part.read_bytes()) for part in pipeline.parts()])
        for file in pipeline.staged():
            file.unlink()
    assert staged[0] == staged[1]
    sizes = [len(content) for _, content in staged[0]]
    assert len(sizes) == 3
    assert max(sizes) < 1.5 * min(sizes)


def test_only_drivers_that_this_was_tested_with_are_read_from(pipeline, monkeypatch):
    with source_of(pipeline) as source:
        assert wire.is_readable(source), "run these tests with this driver, then add its version"
        monkeypatch.setattr(pymysql, "VERSION", (99, 0))
        assert not wire.is_readable(source)
        assert list(wire.joined_rows(source, "select 0x61 union all select 0x62")) == [[b"a", b"b"]]
        monkeypatch.undo()
        monkeypatch.setattr(source, "_rfile", object())
        assert not wire.is_readable(source)
        monkeypatch.undo()


@pytest.fixture
def endless(pipeline):
    """A statement whose answer takes many seconds."""
    a, b = with_sequences("seq_1_to_3000"), with_sequences("seq_1_to_2999")
    return f"select concat(seq_1_to_3000.seq, repeat('x', 500)) from {a}, {b}"


def test_whoever_stops_reading_need_not_read_the_rest(pipeline, endless):
    with source_of(pipeline) as source:
        rows = wire.joined_rows(source, endless)
        assert next(rows)
        began = time.monotonic()
        rows.close()
        assert not source.open
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("ends", "says"),  # MySQL may tell of a killed connection before it closes it
    [("kill query", "interrupted"), ("kill connection", "Lost connection|interrupted")],
)
def test_an_answer_that_breaks_off_is_an_error(pipeline, endless, ends, says):
    def read_until_it_ends():
        with source_of(pipeline) as source:
            end = f"{ends} {source.thread_id()}"
            for number, _ in enumerate(wire.joined_rows(source, endless)):
                if number == 3:
                    administrator.execute(end)

    with (
        mysql_administrator(pipeline.endpoints) as administrator,
        pytest.raises(SourceError, match=says) as raised,
    ):
        read_until_it_ends()
    assert raised.value.transient is ("Lost connection" in str(raised.value))


def test_a_packet_that_is_missing_is_noticed():
    packets = b"".join(b"\2\0\0" + bytes([number]) + b"\1a" for number in (5, 6, 8, 9, 10))
    driver = pymysql.Connection(defer_connect=True)
    driver._sock, driver._next_seq_id, driver._current_timeout = socket.socket(), 5, None
    driver._rfile = io.BufferedReader(io.BytesIO(packets))
    batch = []
    assert wire._cut(driver, 1000, batch) == 24
    assert batch == [b"a"] * 4  # more must follow a row, if only what ends them all
    with driver._sock, pytest.raises(pymysql.err.InternalError, match="number wrong"):
        driver._read_packet()
