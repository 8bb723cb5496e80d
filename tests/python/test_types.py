"""Every MySQL type arrives exactly, or its table does not arrive at all."""

import math
import random
import re
import struct
from datetime import date
from itertools import islice

import pytest
from conftest import is_on_mariadb
from pipeline import column, write_sources
from round_trips import (
    KINDS,
    MARIADB_ROUND_TRIPS,
    ROUND_TRIPS,
    UNFIT,
    arrives,
    fits_redshift,
    kinds_of,
    landed_columns,
    table_statements,
)
from test_verify import verify

from loader.errors import SourceError
from loader.source import wire
from loader.source.copytext import SEPARATOR
from loader.source.types import POSTGRES, REDSHIFT, Column, raw_column
from loader.warehouse.columns import widens

DAY = "2026-07-01"


@pytest.fixture(scope="module")
def arrived(module_pipeline):
    """All types in one table."""
    pipeline = module_pipeline([{"name": "kinds", "primary_key": ["id"]}])
    trips = [trip for trip in ROUND_TRIPS if pipeline.kind == "postgres" or fits_redshift(trip)]
    pipeline.mysql(*table_statements("kinds", trips))
    pipeline.load()
    landed_rows = pipeline.through_driver(
        f"select {landed_columns(trips, pipeline.kind)} from raw_data.kinds order by id"
    )
    return {
        (kind, *literals): [row[n] for row in landed_rows]
        for n, (kind, literals, _) in enumerate(trips)
    }


@pytest.mark.parametrize("trip", ROUND_TRIPS, ids=lambda trip: f"{trip[0]} {trip[1][0]:.20}")
def test_a_type_arrives_exactly(arrived, trip):
    kind, literals, values = trip
    column = arrived.get((kind, *literals))
    if column is None:
        assert not fits_redshift(trip)  # it is refused, which is another test
        return
    assert arrives(trip, column), f"{values} arrived as {column}"


@pytest.mark.reads("mariadb", because="MySQL's DECIMAL has 30 places, its JSON a form of its own")
def test_what_mariadb_alone_holds_arrives_exactly(new_pipeline):
    pipeline = new_pipeline([{"name": "kinds", "primary_key": ["id"]}])
    pipeline.mysql(*table_statements("kinds", MARIADB_ROUND_TRIPS))
    pipeline.load()
    rows = pipeline.raw("kinds", "id, c0, c1")
    for n, trip in enumerate(MARIADB_ROUND_TRIPS, start=1):
        assert arrives(trip, [row[n] for row in rows])


# what cannot land: a table each, its column's type, a value, and what is said of it
UNFIT_VALUES = {
    "t_zero": ("date", "'0000-00-00'", "0000-00-00"),
    "t_no_month": ("date", "'2026-00-10'", "2026-00-10"),
    "t_year_0": ("date", "'0000-05-05'", "0000-05-05"),
    "t_no_day": ("date", "'2026-02-31'", "2026-02-31"),
    "t_zero_time": ("datetime", "'0000-00-00'", "0000-00-00 00:00:00"),
    "t_zero_stamp": ("timestamp", "'0000-00-00'", "0000-00-00 00:00:00"),
    "t_nul": ("varchar(10)", "concat('a', char(0), 'b')", r"a\x00b"),
    "t_sjis": ("varchar(20) character set sjis", "x'8540'", ""),
    "t_gbk": ("varchar(20) character set gbk", "x'a2a0'", ""),
}
UNFIT_IN_MARIADB = {  # MySQL stores no such byte in a column of ASCII
    "t_ascii": ("varchar(20) character set ascii", "x'ff'", ""),
    "t_longer": ("varchar(20) character set ascii", "x'ff616263'", ""),
}
UNFIT_IN_REDSHIFT = {
    "t_medium": ("mediumtext", "repeat('x', 65536)", "x" * 80),
    "t_long_text": ("longtext", "repeat('é', 32768)", "é" * 80),
    "t_json": ("json", "json_quote(repeat('x', 65535))", "x" * 79),
    "t_blob": ("longblob", "repeat('x', 2097153)", "78" * 40),
}


def test_a_value_without_an_equal_stops_the_load_by_name(new_pipeline):
    pipeline, unfit = new_pipeline([]), dict(UNFIT_VALUES)
    unfit |= UNFIT_IN_MARIADB if is_on_mariadb() else {}
    unfit |= UNFIT_IN_REDSHIFT if pipeline.kind == "redshift" else {}
    write_sources(
        pipeline.folder, pipeline.database, [{"name": n, "primary_key": ["id"]} for n in unfit]
    )
    for name, (kind, _, _) in unfit.items():
        pipeline.mysql(
            f"create table {name} (id int primary key, v {kind} null)",
            f"insert into {name} values (6, null)",
        )
    pipeline.load()
    pipeline.mysql(
        "set sql_mode = 'ALLOW_INVALID_DATES'",
        *(f"insert into {name} values (7, {value})" for name, (_, value, _) in unfit.items()),
    )
    said = pipeline.fails()
    for name, (_, _, shown) in unfit.items():
        line = next((line for line in said.splitlines() if f".{name}: id 7: " in line), "")
        assert re.search("id 7: .*column v", line), said
        assert shown in line
        assert pipeline.raw(name, "id") == [(6,)]
    assert said.count("`on_unrepresentable`") == len(unfit)
    assert said.count("has no equal in the warehouse") >= len(unfit) - 8


def test_a_separator_in_a_value_stops_the_load(new_pipeline, monkeypatch):
    """No text of MySQL's holds such bytes, unless it is broken: a row has a field too many then."""
    stream = wire.joined_rows
    tables = [{"name": name, "primary_key": ["id"]} for name in ("t", "u", "hashed")]
    tables[2]["columns"] = [column("w", mask="hash")]
    pipeline = new_pipeline(tables)
    salt = {"LOADER_MASK_SALT": "s" * 16}
    pipeline.mysql("create table hashed (id int primary key, v varchar(9), w int)")
    for name in ("t", "u"):
        pipeline.mysql(
            f"create table {name} (id int primary key, v varchar(9))",
            f"insert into {name} values (6, 'a')",
        )
    pipeline.load(**salt)
    pipeline.mysql(
        "insert into t values (7, 'a?b')",
        "insert into u values (7, 'a!b')",
        "insert into hashed values (7, 'a?b', 1)",
    )

    def broken(*arguments):
        for batch in stream(*arguments):
            yield [row.replace(b"?", SEPARATOR).replace(b"!", b"\xfc") for row in batch]

    monkeypatch.setattr(wire, "joined_rows", broken)
    said = pipeline.fails(**salt)
    assert "refused the rows of raw_data.t: " in said
    assert ".u: id 7: column v is not valid UTF-8: " in said
    # No hash may be staged without the salt.
    assert ".hashed: A row holds the byte 0xFE" in said
    assert pipeline.raw("t", "id, v") == pipeline.raw("u", "id, v") == [(6, "a")]


def test_policies_change_what_they_say_and_count_it(new_pipeline):
    policies = {
        "null": ["day", "emptied"], "strip": ["stripped"],
        "text": ["day_text", "wide", "place", "digits"],
    }  # fmt: skip
    columns = [
        column(name, on_unrepresentable=each) for each in policies for name in policies[each]
    ]
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"], "columns": columns}])
    pipeline.mysql(
        "create table t (id int primary key, day date not null, day_text date not null, "
        "stripped varchar(10), emptied varchar(10), wide decimal(65,30), place point, "
        "DIGITS varbinary(4))",
        "insert into t values (1, '2026-07-01', '2026-07-01', 'ab', 'ab', 1.5, point(1, 2), "
        "x'ff'), "
        "(2, '0000-00-00', '0000-00-00', concat('a', char(0), 'b'), concat('a', char(0)), "
        "99999999999999999999999999999999999.5, null, x'fb61')",
    )
    report, fraction = pipeline.load(), "5".ljust(30, "0")
    assert report["t"]["changed_values"] == 3
    assert pipeline.raw("t", "id, day, day_text, stripped, emptied, wide, place, digits") == [
        (1, date(2026, 7, 1), "2026-07-01", "ab", "ab", f"1.{fraction}", "POINT(1 2)", "FF"),
        (2, None, "0000-00-00", "ab", None, f"{'9' * 35}.{fraction}", None, "FB61"),
    ]


def test_keys_that_only_blanks_tell_apart_are_not_one(new_pipeline):
    """To Redshift they would be, so there they are refused. Other values keep their blanks."""
    names = ("one", "wide", "two", "hashed")
    tables = [
        {"name": name, "primary_key": ["n", "K"] if name == "two" else ["K"]} for name in names
    ]
    tables[3]["columns"] = [column("k", mask="hash")]
    pipeline = new_pipeline(tables)
    text = "utf8mb4 collate utf8mb4_" + ("nopad_bin" if is_on_mariadb() else "0900_bin")
    wide = "ucs2 collate ucs2_nopad_bin" if is_on_mariadb() else text
    for name in names:
        charset, key = (wide if name == "wide" else text), ("n, K" if name == "two" else "K")
        pipeline.mysql(
            f"create table {name} (K varchar(20) character set {charset}, n int, v text, "
            f"primary key ({key}))",
            f"insert into {name} values ('Direct', 1, 'v '), ('', 1, ' ')",
        )
    pipeline.load(LOADER_MASK_SALT="0123456789abcdef")
    for name in names:
        pipeline.mysql(f"insert into {name} values ('Direct ', 1, 'v')")
    landed = dict.fromkeys(names, 3)
    if pipeline.kind == "redshift":
        landed |= {"one": 2, "wide": 2, "two": 2}
        said = pipeline.fails(LOADER_MASK_SALT="0123456789abcdef")
        for name, key in (("one", ""), ("wide", ""), ("two", "n 1, ")):
            assert f".{name}: {key}k Direct : column k has no equal in the warehouse" in said
        assert said.count("none may end in a blank") == 3
        assert "`mask: hash`" in said
    else:
        pipeline.load(LOADER_MASK_SALT="0123456789abcdef")
    for name in names:
        found = pipeline.raw(name, "length(v)")
        assert found == sorted([(2,), (1,), (1,)][: landed[name]])


@pytest.mark.only("redshift", because="PostgreSQL's rows have no limit that matters")
def test_a_row_longer_than_copy_takes_is_refused_by_its_key(new_pipeline):
    """Its values are none too long, nor is the row of MySQL's: two digits a byte, or escapes."""
    pipeline = new_pipeline([{"name": name, "primary_key": ["id"]} for name in ("csv", "text")])
    escaped = "concat(repeat('x', {}), repeat(x'0a', 30000))"
    for name, kind, columns, value, fits, size in (
        ("csv", "longblob", 1, "repeat('x', {})", 2_097_000, 2_097_152),
        ("text", "longtext", 45, escaped, 4_000, 35_535),
    ):
        listed = ", ".join(f"v{n} {kind}" for n in range(columns))
        pipeline.mysql(
            f"create table {name} (id int primary key, {listed})",
            f"insert into {name} values (6, {', '.join([value.format(fits)] * columns)})",
        )
        pipeline.load("--select", name)
        long = f"insert into {name} values (7, {', '.join([value.format(size)] * columns)})"
        pipeline.mysql(long)
    assert pipeline.value("select octet_length(cast(v0 as bytea)) from raw_data.csv") == 2_097_000
    assert pipeline.value("select length(v0) from raw_data.text") == 34_000
    said = pipeline.fails()
    assert len(re.findall(r": id 7: its row takes 4,\d{3},\d{3} bytes, of which COPY", said)) == 2
    assert pipeline.raw("csv", "id") == pipeline.raw("text", "id") == [(6,)]


def mysql_column(data_type, **details):
    return Column(name="c", data_type=data_type, column_type=data_type, **details)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (mysql_column("bit", precision=64), "numeric(20,0)"),
        (mysql_column("decimal", precision=38, scale=37), "numeric(38,37)"),
        (mysql_column("varchar", length=10), "varchar(40)"),
        (mysql_column("varchar", length=20_000), "varchar(65535)"),
        (mysql_column("longtext", length=2**32 - 1), "varchar(65535)"),
        (mysql_column("json", length=2**32 - 1), "varchar(65535)"),
        (mysql_column("json"), "varchar(65535)"),  # MySQL 8 tells no length
        (mysql_column("enum", length=3), "varchar(12)"),
        (mysql_column("varbinary", length=16), "varbyte(16)"),
        (mysql_column("longblob", length=2**32 - 1), "varbyte(16777216)"),
        (mysql_column("time"), "varchar(17)"),
        (mysql_column("datetime"), "timestamp"),
    ],
)
def test_redshift_types_hold_the_longest_value_in_bytes(given, expected):
    assert raw_column(given, REDSHIFT).type == expected


UNKNOWN = ("geometry", "point", "polygon", "uuid", "vector")


@pytest.mark.parametrize(
    ("given", "dialect"),
    [
        (mysql_column("decimal", precision=39, scale=0), REDSHIFT),
        (mysql_column("decimal", precision=38, scale=38), REDSHIFT),
        *((mysql_column(kind), each) for kind in UNKNOWN for each in (POSTGRES, REDSHIFT)),
    ],
)
def test_a_type_without_an_equal_is_refused_by_name(given, dialect):
    why = f"column c is {given.data_type}, which {dialect.name} has no equal of"
    with pytest.raises(SourceError, match=why):
        raw_column(given, dialect)


WIDER = """smallint>bigint bigint>numeric(20,0) numeric(18,0)>bigint varchar(40)>varchar(80)
    varchar(80)>text real>double_precision date>timestamp varbyte(4)>varbyte(8)
    varchar(80)>varchar numeric(10,2)>numeric bigint>numeric"""
APART = """bigint>numeric(18,0) numeric(20,0)>bigint numeric(10,2)>integer integer>text bytea>text
    timestamp>timestamp(3)_without_time_zone date>timestamp(3)_without_time_zone"""


def test_a_type_widens_only_if_every_value_fits():
    wider, apart = ([each.replace("_", " ").split(">") for each in pairs.split()]
                    for pairs in (WIDER, APART))  # fmt: skip
    assert [pair for pair in wider if not widens(*pair)] == []
    assert [pair for pair in (*apart, *(each[::-1] for each in wider)) if widens(*pair)] == []


# -- one text on both sides ------------------------------------------------------------------------

POLICIES = ["fail", "text", "null", "strip", "truncate"]


def test_both_sides_read_a_value_alike_whatever_its_type_and_policy(new_pipeline):
    """And a change of each is seen, is repaired, and is repaired for good."""
    pipeline = new_pipeline([])
    columns = [
        (kind, policy)
        for policy in POLICIES
        for kind in kinds_of(is_on_mariadb(), pipeline.kind, policy, as_key=False)
    ]
    names = [f"c{n}" for n in range(len(columns))]
    declared = [
        column(name, on_unrepresentable=policy)
        for name, (_, policy) in zip(names, columns, strict=True)
    ]
    table = {"name": "t", "primary_key": ["id"], "cursor": "at", "columns": declared}
    write_sources(pipeline.folder, pipeline.database, [table])
    listed = ", ".join(f"{name} {kind}" for name, (kind, _) in zip(names, columns, strict=True))
    unfit = [UNFIT.get(policy, {}).get(kind, "null") for kind, policy in columns]
    rows = [*([KINDS[kind][n] for kind, _ in columns] for n in (0, 1, 2))]
    rows += [unfit, ["null"] * len(columns)]
    pipeline.mysql(
        "set sql_mode = ''",
        f"create table t (id int primary key, {listed}, at date not null, key (at)) "
        "character set utf8mb4",
        *(f"insert into t values (-{n}, {', '.join(row)}, '{DAY}')" for n, row in enumerate(rows)),
        f"insert into t select seq, {', '.join(names)}, at from t, seq_1_to_{len(columns)} "
        "where id = 0",
    )
    lost = 1 if pipeline.kind == "postgres" else 0  # whose text is as long as MySQL's
    changed = sum(len(UNFIT[policy]) - lost for policy in ("null", "strip", "truncate"))
    assert pipeline.load("--run-date", DAY)["t"]["changed_values"] >= changed
    (found,) = verify(pipeline, "--values")["tables"]
    assert (found["rows"], found["days"]) == (len(rows) + len(columns), [])
    assert found["left_out"] == []
    pipeline.mysql(
        *(
            f"update t set c{n} = {KINDS[kind][1]} where id = {n + 1}"
            for n, (kind, _) in enumerate(columns)
        )
    )
    (found,) = verify(pipeline, "--values", status=1)["tables"]
    assert found["stale"] == len(columns)
    verify(pipeline, "--values", "--repair", "--yes")
    verify(pipeline, "--values")


@pytest.mark.parametrize("policy", ["fail", "text"])
def test_both_sides_read_a_key_alike_whatever_its_type_and_policy(new_pipeline, policy):
    """Or a repair would land a row and its deletion, or delete a row that is there."""
    pipeline = new_pipeline([])
    kinds = kinds_of(is_on_mariadb(), pipeline.kind, policy, as_key=True)
    # A key has at most 16 columns in MySQL.
    tables = {f"t{n}": kinds[n::3] for n in range(3)}
    declared = []
    for name, columns in tables.items():
        key = [f"k{n}" for n in range(len(columns))]
        declared.append({"name": name, "primary_key": key, "cursor": "at"})
        declared[-1]["columns"] = [column(each, on_unrepresentable=policy) for each in key]
        listed = ", ".join(f"k{n} {k.removesuffix(' null')}" for n, k in enumerate(columns))
        rows = (
            f"({', '.join(KINDS[kind][n] for kind in columns)}, 1, '2026-07-0{1 + n}')"
            for n in range(3)
        )
        pipeline.mysql(
            f"create table {name} ({listed}, v int, at date, primary key ({', '.join(key)}), "
            "key (at))",
            f"insert into {name} values {', '.join(rows)}",
        )
    write_sources(pipeline.folder, pipeline.database, declared)
    pipeline.load("--start-date", DAY, "--end-date", "2026-07-11")
    assert {found["rows"] for found in verify(pipeline, "--values")["tables"]} == {3}
    for name in tables:
        pipeline.mysql(
            f"update {name} set at = '2026-07-10' where at = '{DAY}'",
            f"update {name} set v = 2 where at = '2026-07-02'",
            f"delete from {name} where at = '2026-07-03'",
        )
    for found in verify(pipeline, "--values", "--repair")["tables"]:
        name = found["table"]
        assert (found["missing"], found["extra"], found["stale"]) == (0, 1, 2), tables[name]
        landed_rows = pipeline.query(
            f"select v, _deleted_at is not null from raw_data.{name} "
            f"where _load_id = (select max(_load_id) from raw_data.{name}) order by 1"
        )
        assert landed_rows == [(1, False), (2, False), (None, True)], tables[name]
    verify(pipeline, "--values")


def doubles(count):
    """Doubles of every exponent and sign, denormals among them, and the ends of the range."""
    random.seed(15)
    yield from (0.0, 5e-324, 2.2250738585072014e-308, -1.7976931348623157e308, 1e15, -1e-5, 1e23)
    for _ in range(count):
        (number,) = struct.unpack("<d", random.randbytes(8))
        if math.isfinite(number):
            yield number


def test_every_float_arrives_bit_for_bit_and_is_compared(new_pipeline):
    """What M and D show of a FLOAT(M,D) is not all that it holds."""
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"], "cursor": "at"}])
    rows = [
        (number, number if abs(number) < 3e38 else 0.1, *(math.fmod(number, 1e6),) * 2)
        for number in doubles(2_000)
    ]
    pipeline.mysql(
        "set sql_mode = ''",
        "create table t (id int primary key, d double, f float, md double(30,10), mf float(9,3), "
        "at date not null, key (at))",
        *(
            "insert into t values "
            + ", ".join(f"({n}, {', '.join(map(repr, row))}, '{DAY}')" for n, row in part)
            for part in (islice(enumerate(rows), n, n + 500) for n in range(0, len(rows), 500))
        ),
    )
    pipeline.load("--run-date", DAY)
    names = ("d", "f", "md", "mf")
    bits = ", ".join(f"substr(st_asbinary(point({name}, 0)), 6, 8)" for name in names)
    held = [
        tuple(struct.unpack("<d", each)[0] for each in row)
        for row in pipeline.mysql(f"select {bits} from t order by id")
    ]
    assert [number for number, *_ in held] == [number for number, *_ in rows]
    columns = ", ".join(f"cast({name} as double precision)" for name in names)
    assert pipeline.query(f"select {columns} from raw_data.t order by id") == held
    assert verify(pipeline, "--values")["tables"][0]["left_out"] == []
