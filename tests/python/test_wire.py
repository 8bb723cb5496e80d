"""Rows cut from the network's buffer are those that a cursor gives, batch by batch."""

import hashlib
import time
from contextlib import contextmanager
from dataclasses import replace

import pymysql
import pytest
from pipeline import mysql_administrator, with_sequences
from round_trips import ROUND_TRIPS, table_statements

from loader.cli.session import open_session
from loader.declared.windows import WHOLE
from loader.errors import SourceError
from loader.source import mysql, wire
from loader.source.copytext import SEPARATOR
from loader.source.read_plan import plan_read
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


def read_of(pipeline, source, name="t", dialect=POSTGRES):
    with pipeline.inside():
        session = open_session(None)
    table = session.tables[name]
    description = mysql.describe(source, table)
    return plan_read(table, description, WHOLE, session.settings.zone, dialect)


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
            assert pipeline.loader("verify", "--select", "t").returncode == 0
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


def by_cursor(source, statement):
    return list(wire._fetched_rows(source, statement))


def cut(source, statement):
    assert wire.is_readable(source)
    return list(wire._cut_rows(source, statement))


@pytest.fixture(params=[3, 1000, wire._RECEIVE], ids="{} bytes at a time".format)
def arriving(request, monkeypatch):
    """The rows may arrive in pieces of any size."""
    monkeypatch.setattr(wire, "_RECEIVE", request.param)
    return request.param


@pytest.mark.parametrize("dialect", [POSTGRES, REDSHIFT], ids=lambda dialect: dialect.name)
def test_every_type_is_read_alike_in_all_three_ways(pipeline, arriving, dialect):
    pipeline.mysql("drop table if exists kinds", *table_statements("kinds", ROUND_TRIPS))
    with source_of(pipeline) as source:
        read = read_of(pipeline, source, "kinds", dialect)
        batches = cut(source, read.rows)
        assert batches == by_cursor(source, read.rows)
        fields = read.long_rows[: read.long_rows.rindex(" where ")]
        separate = [SEPARATOR.join(row) for row in wire.rows(source, fields)]
    assert [row for batch in batches for row in batch] == separate
    assert len(separate) > 4


def test_rows_of_every_length_are_cut_where_they_end(pipeline, arriving):
    edges = (0, 1, 250, 251, 252, 1 << 16, wire.BATCH_BYTES, 2 * wire.BATCH_BYTES, 3 * MEGABYTE)
    lengths = sorted({max(edge + off, 0) for edge in edges for off in range(-9, 10)})
    if arriving == 3:
        lengths = [length for length in lengths if length < 1000]  # or it would take a minute
    values = " union all ".join(f"select repeat(char(65 + {n % 26}), {n})" for n in lengths)
    with source_of(pipeline) as source:
        batches = cut(source, values)
        assert batches == by_cursor(source, values)
        assert mysql._scalar(source, "select 1") == "1"  # nothing was left of the answer
    assert [len(row) for batch in batches for row in batch] == lengths
    assert max(sum(map(len, batch[:-1])) for batch in batches) < wire.BATCH_BYTES


def test_a_row_may_take_several_packets(pipeline):
    """A packet that is full goes on in the next one, and an empty one ends what just fills it."""
    full = (1 << 24) - 1
    lengths = [7, *(full + off for off in (-10, -5, -4, -3, -1, 0, 3)), 2 * full + 9, 5]
    values = " union all ".join(f"select repeat(0x78, {length})" for length in lengths)
    with mysql_administrator(pipeline.endpoints) as administrator:
        administrator.execute("select @@max_allowed_packet")
        ((before,),) = administrator.fetchall()
        administrator.execute("set global max_allowed_packet = 67108864")
        try:
            with source_of(pipeline) as source:
                batches = cut(source, values)
                assert batches == by_cursor(source, values)
        finally:
            administrator.execute(f"set global max_allowed_packet = {before}")
    assert [len(row) for batch in batches for row in batch] == lengths


def test_a_row_that_mysql_may_not_join_is_read_field_by_field(new_pipeline):
    pipeline = new_pipeline([TABLE])
    pipeline.mysql(
        "create table t (id int primary key, a longtext, b longblob)",
        "insert into t values (1, 'short', null), (2, repeat('é', 5000000), repeat('x', 4000000)),"
        " (3, null, '')",
    )
    assert pipeline.load()["t"]["landed_rows"] == 3
    sizes = pipeline.query("select id, length(a), length(b) from raw_data.t order by id")
    assert sizes == [(1, 5, None), (2, 5_000_000, 4_000_000), (3, None, 0)]


def test_a_value_that_mysql_may_not_build_is_refused(new_pipeline):
    pipeline = new_pipeline([TABLE])
    pipeline.mysql(
        "create table t (id int primary key, a longblob)",
        "insert into t values (1, repeat('x', 9000000))",  # twice as long as digits
    )
    assert "A value is longer than MySQL's max_allowed_packet" in pipeline.fails()


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
        assert list(wire.joined_rows(source, "select 0x61 union all select null")) == [[b"a", None]]
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
        rows = mysql.stream(source, replace(read_of(pipeline, source, "kinds"), rows=endless))
        assert next(rows)
        began = time.monotonic()
        rows.close()
        assert not source.open
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("ends", "says", "transient"),
    [("kill query", "interrupted", False), ("kill connection", "Lost connection", True)],
)
def test_an_answer_that_breaks_off_is_an_error(pipeline, endless, ends, says, transient):
    def read_until_it_ends():
        with source_of(pipeline) as source:
            read = replace(read_of(pipeline, source, "kinds"), rows=endless)
            end = f"{ends} {source.thread_id()}"
            for number, _ in enumerate(mysql.stream(source, read)):
                if number == 3:
                    administrator.execute(end)

    with (
        mysql_administrator(pipeline.endpoints) as administrator,
        pytest.raises(SourceError, match=says) as raised,
    ):
        read_until_it_ends()
    assert raised.value.transient is transient


def test_a_packet_that_is_missing_is_noticed():
    packets = b"".join(b"\2\0\0" + bytes([number]) + b"\1a" for number in (5, 6, 7, 9, 10))
    rows, position = wire._cut(packets, 0, 1000)
    assert rows == [b"a"] * 4  # more must follow a row, if only what ends them all
    assert wire._missing(packets, position, 10) == 3
    with pytest.raises(pymysql.err.OperationalError, match="a packet is missing"):
        wire._missing(packets + bytes(9), position, 9)


def test_batches_are_the_same_however_the_rows_arrive(pipeline):
    """The first run's batches are the second's, though the server is slower or faster."""
    many = with_sequences("seq_1_to_20000")
    statement = f"select cast(repeat(sha2(seq, 224), seq % 23) as binary) from {many}"
    with source_of(pipeline) as source:
        first, second = cut(source, statement), cut(source, statement)
    assert first == second
    assert len(first) > 10
    sizes = [sum(map(wire._size, batch)) for batch in first]
    assert all(size >= wire.BATCH_BYTES for size in sizes[:-1])
    assert first[0][0].decode() == hashlib.sha224(b"1").hexdigest()
