"""Every MySQL type arrives exactly, or its table does not arrive at all."""

import json
import math
import random
import re
import struct
from datetime import date
from itertools import islice

import pytest
from pipeline import write_sources
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

from loader.errors import SourceError
from loader.source import mysql
from loader.source.copytext import SEPARATOR
from loader.source.types import POSTGRES, REDSHIFT, Column, raw_column
from loader.warehouse.widening import widens

DAY = "2026-07-01"
NASTY = "tab\there, line\nbreak, return\r, back\\slash, quote ' \" and \U0001f600 é 漢"


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


def test_every_special_character_arrives(new_pipeline):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    written = f"convert(x'{NASTY.encode().hex()}' using utf8mb4)"
    pipeline.mysql(
        "create table t (id int primary key, v varchar(200), w longtext)",
        f"insert into t values (1, {written}, {written})",
    )
    pipeline.load()
    assert pipeline.raw("t", "v, w") == [(NASTY, NASTY)]


@pytest.mark.parametrize(
    ("kind", "literal", "shown"),
    [
        ("date", "'0000-00-00'", "0000-00-00"),
        ("date", "'2026-00-10'", "2026-00-10"),
        ("date", "'0000-05-05'", "0000-05-05"),
        ("datetime", "'0000-00-00'", "0000-00-00 00:00:00"),
        ("timestamp", "'0000-00-00'", "0000-00-00 00:00:00"),
        ("varchar(10)", "concat('a', char(0), 'b')", r"a\x00b"),
    ],
)
def test_a_value_without_an_equal_stops_the_load_by_name(new_pipeline, kind, literal, shown):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    pipeline.mysql(
        f"create table t (id int primary key, v {kind} null)", "insert into t values (6, null)"
    )
    pipeline.load()
    pipeline.mysql(f"insert into t values (7, {literal})")
    said = pipeline.fails()
    assert re.search(r"\.t: id 7: .*column v", said), said
    assert shown in said
    assert "on_unrepresentable" in said
    assert pipeline.raw("t", "id, v") == [(6, None)]


def test_a_day_that_february_never_had_stops_the_load(new_pipeline):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    pipeline.mysql(
        "create table t (id int primary key, v date)",
        "set sql_mode = 'ALLOW_INVALID_DATES'",
        "insert into t values (7, '2026-02-31')",
    )
    said = pipeline.fails()
    assert re.search(r"\.t: id 7: .*column v.*2026-02-31", said), said


@pytest.mark.parametrize(
    ("stray", "message"),
    [
        (SEPARATOR, "refused the rows of raw_data.t: "),
        (b"\xfc", ".t: id 7: column v is not valid UTF-8: "),
    ],
)
def test_a_separator_in_a_value_stops_the_load(new_pipeline, monkeypatch, stray, message):
    """No text of MySQL's holds such bytes, unless it is broken: a row has a field too many then."""
    stream = mysql.stream
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    pipeline.mysql(
        "create table t (id int primary key, v varchar(9))", "insert into t values (6, 'a')"
    )
    pipeline.load()
    pipeline.mysql("insert into t values (7, 'a?b')")

    def broken(*arguments):
        for batch in stream(*arguments):
            yield [row.replace(b"?", stray) for row in batch]

    monkeypatch.setattr(mysql, "stream", broken)
    assert message in pipeline.fails()
    assert pipeline.raw("t", "id, v") == [(6, "a")]


def test_policies_change_what_they_say_and_count_it(new_pipeline):
    def column(name, policy):
        return {"name": name, "config": {"meta": {"loader": {"on_unrepresentable": policy}}}}

    pipeline = new_pipeline(
        [
            {
                "name": "t",
                "primary_key": ["id"],
                "columns": [
                    column("day", "null"),
                    column("day_text", "text"),
                    column("stripped", "strip"),
                    column("emptied", "null"),
                    column("wide", "text"),
                    column("place", "text"),
                ],
            }
        ]
    )
    pipeline.mysql(
        "create table t (id int primary key, day date not null, day_text date not null, "
        "stripped varchar(10), emptied varchar(10), wide decimal(65,30), place point)",
        "insert into t values (1, '2026-07-01', '2026-07-01', 'ab', 'ab', 1.5, point(1, 2)), "
        "(2, '0000-00-00', '0000-00-00', concat('a', char(0), 'b'), concat('a', char(0)), "
        "99999999999999999999999999999999999.5, null)",
    )
    report = pipeline.load()
    assert report["t"]["changed_values"] == 3
    assert pipeline.raw("t", "id, day, day_text, stripped, emptied, wide, place") == [
        (1, date(2026, 7, 1), "2026-07-01", "ab", "ab", "1." + "5".ljust(30, "0"), "POINT(1 2)"),
        (2, None, "0000-00-00", "ab", None, "9" * 35 + "." + "5".ljust(30, "0"), None),
    ]


@pytest.mark.parametrize(
    "kind",
    [
        "geometry",
        "point",
        pytest.param("uuid", marks=pytest.mark.reads("mariadb", because="MySQL has no such type")),
    ],
)
def test_a_type_without_an_equal_is_refused_by_name(new_pipeline, kind):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    pipeline.mysql(f"create table t (id int primary key, v {kind})")
    done = pipeline.loader("load")
    assert done.returncode == 1
    assert (
        f"{pipeline.database}.t: column v is {kind}, which {pipeline.kind} has no equal of"
        in done.stderr
    )


@pytest.mark.only("redshift", because="PostgreSQL's text and bytea have no limit that matters")
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("mediumtext", "repeat('x', 65536)"),
        ("longtext", "repeat('é', 32768)"),
        ("json", "json_quote(repeat('x', 65535))"),
        ("longblob", "repeat('x', 2097153)"),
    ],
)
def test_a_value_longer_than_redshifts_longest_is_refused_by_name(new_pipeline, kind, value):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    pipeline.mysql(
        f"create table t (id int primary key, v {kind})",
        "insert into t values (6, 'a')" if kind != "json" else "insert into t values (6, '1')",
    )
    pipeline.load()
    before = pipeline.raw("t", "id")
    pipeline.mysql(f"insert into t values (7, {value})")
    assert "t: id 7: column v has no equal in the warehouse" in pipeline.fails()
    assert pipeline.raw("t", "id") == before


def test_keys_that_only_blanks_tell_apart_are_not_one(new_pipeline):
    """To Redshift they would be, so there they are refused. Other values keep their blanks."""
    hashed = {"name": "k", "config": {"meta": {"loader": {"mask": "hash"}}}}
    names, ways = ("one", "wide", "two", "hashed"), {"columns": [hashed]}
    pipeline = new_pipeline(
        [
            {"name": name, "primary_key": ["n", "K"] if name == "two" else ["K"]}
            | (ways if name == "hashed" else {})
            for name in names
        ]
    )
    is_mariadb = "MariaDB" in pipeline.mysql("select version()")[0][0]
    text = "utf8mb4 collate utf8mb4_" + ("nopad_bin" if is_mariadb else "0900_bin")
    wide = "ucs2 collate ucs2_nopad_bin" if is_mariadb else text
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
@pytest.mark.parametrize("declared", ["longblob", "longtext"], ids=["CSV", "text"])
def test_a_row_longer_than_copy_takes_is_refused_by_its_key(new_pipeline, declared):
    """Its values are none too long, nor is the row of MySQL's: two digits a byte, or escapes."""
    columns = 1 if declared == "longblob" else 45
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    listed = ", ".join(f"v{n} {declared}" for n in range(columns))
    value = "repeat('x', {})" if columns == 1 else "concat(repeat('x', {}), repeat(x'0a', 30000))"
    fits, size = (2_097_000, 2_097_152) if columns == 1 else (4_000, 35_535)
    pipeline.mysql(
        f"create table t (id int primary key, {listed})",
        f"insert into t values (6, {', '.join([value.format(fits)] * columns)})",
    )
    pipeline.load()
    length = "select octet_length(cast(v0 as bytea)) from raw_data.t"
    landed = pipeline.value(length if columns == 1 else "select length(v0) from raw_data.t")
    assert landed == (fits if columns == 1 else fits + 30_000)
    pipeline.mysql(f"insert into t values (7, {', '.join([value.format(size)] * columns)})")
    said = pipeline.fails()
    assert re.search(
        r"\.t: id 7: its row takes 4,[0-9]{3},[0-9]{3} bytes, of which COPY takes", said
    )
    assert pipeline.raw("t", "id") == [(6,)]


ASCII = pytest.mark.reads("mariadb", because="MySQL stores no such byte in a column of ASCII")


@pytest.mark.parametrize(
    ("charset", "code"),
    [
        ("sjis", "8540"),
        ("gbk", "a2a0"),
        *(pytest.param("ascii", code, marks=ASCII) for code in ("ff", "ff616263")),
    ],
)
def test_a_character_without_an_equal_in_utf8_is_not_a_question_mark(new_pipeline, charset, code):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    pipeline.mysql(
        f"create table t (id int primary key, v varchar(20) character set {charset})",
        f"insert into t values (7, x'{code}')",
    )
    assert "t: id 7: column v" in pipeline.fails()


def test_bytes_declared_as_text_land_as_hexadecimal_digits(new_pipeline):
    declared = {"name": "v", "config": {"meta": {"loader": {"on_unrepresentable": "text"}}}}
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"], "columns": [declared]}])
    pipeline.mysql(
        "create table t (id int primary key, V varbinary(4))",
        "insert into t values (1, x'ff'), (2, x'fb61'), (3, '')",
    )
    pipeline.load()
    assert pipeline.raw("t", "id, v") == [(1, "FF"), (2, "FB61"), (3, "")]


def column(data_type, **details):
    return Column(name="c", data_type=data_type, column_type=data_type, **details)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (column("bit", precision=64), "numeric(20,0)"),
        (column("decimal", precision=38, scale=37), "numeric(38,37)"),
        (column("varchar", length=10), "varchar(40)"),
        (column("varchar", length=20_000), "varchar(65535)"),
        (column("longtext", length=2**32 - 1), "varchar(65535)"),
        (column("json", length=2**32 - 1), "varchar(65535)"),
        (column("json"), "varchar(65535)"),  # MySQL 8 tells no length
        (column("enum", length=3), "varchar(12)"),
        (column("varbinary", length=16), "varbyte(16)"),
        (column("longblob", length=2**32 - 1), "varbyte(16777216)"),
        (column("time"), "varchar(17)"),
        (column("datetime"), "timestamp"),
    ],
)
def test_redshift_types_hold_the_longest_value_in_bytes(given, expected):
    assert raw_column(given, REDSHIFT).type == expected


@pytest.mark.parametrize(
    "given",
    [
        column("decimal", precision=39, scale=0),
        column("decimal", precision=38, scale=38),
        column("geometry"),
        column("vector"),
    ],
)
def test_redshift_refuses_by_name_what_it_cannot_hold(given):
    with pytest.raises(SourceError, match=f"column c is {given.data_type}"):
        raw_column(given, REDSHIFT)


def test_text_that_may_be_too_long_for_redshift_is_looked_at():
    assert "> 65535" in raw_column(column("longtext", length=2**32 - 1), REDSHIFT).text
    assert "> 65535" in raw_column(column("json"), REDSHIFT).text
    assert "65535" not in raw_column(column("varchar", length=10), REDSHIFT).text
    assert "65535" not in raw_column(column("longtext", length=2**32 - 1), POSTGRES).text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("smallint", "bigint", True),
        ("bigint", "numeric(20,0)", True),
        ("bigint", "numeric(18,0)", False),
        ("numeric(18,0)", "bigint", True),
        ("numeric(20,0)", "bigint", False),
        ("numeric(10,2)", "integer", False),
        ("varchar(40)", "varchar(80)", True),
        ("varchar(80)", "varchar(40)", False),
        ("varchar(80)", "text", True),
        ("text", "varchar(80)", False),
        ("real", "double precision", True),
        ("double precision", "real", False),
        ("date", "timestamp", True),
        ("timestamp", "date", False),
        ("integer", "text", False),
        ("varbyte(4)", "varbyte(8)", True),
        ("bytea", "text", False),
    ],
)
def test_a_type_widens_only_if_every_value_fits(old, new, expected):
    assert widens(old, new) is expected


# -- one text on both sides ------------------------------------------------------------------------

POLICIES = ["fail", "text", "null", "strip", "truncate"]


def compared(pipeline, *arguments, status=0):
    """What a comparison of all values found, by table."""
    done = pipeline.loader("verify", "--values", "--json", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return {found["table"]: found for found in json.loads(done.stdout)["tables"]}


def by_policy(names, policy):
    meta = {"loader": {"on_unrepresentable": policy}}
    return [{"name": name, "config": {"meta": meta}} for name in names]


def version(pipeline):
    return pipeline.mysql("select version()")[0][0]


@pytest.mark.parametrize("policy", POLICIES)
def test_both_sides_read_a_value_alike_whatever_its_type_and_policy(new_pipeline, policy):
    """And a change of each is seen, is repaired, and is repaired for good."""
    names = [f"c{n}" for n in range(len(KINDS))]
    pipeline = new_pipeline([])
    kinds = kinds_of(version(pipeline), pipeline.kind, policy, as_key=False)
    columns = by_policy(names[: len(kinds)], policy)
    table = {"name": "t", "primary_key": ["id"], "cursor": "at", "columns": columns}
    write_sources(pipeline.folder, pipeline.database, [table])
    listed = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=False))
    unfit = UNFIT.get(policy, {})
    rows = [*([KINDS[kind][0] for kind in kinds] for _ in kinds)]
    rows += [[KINDS[kind][n] for kind in kinds] for n in (1, 2)]
    rows += [[unfit.get(kind, "null") for kind in kinds], ["null"] * len(kinds)]
    pipeline.mysql(
        "set sql_mode = ''",
        f"create table t (id int primary key, {listed}, at date not null, key (at)) "
        "character set utf8mb4",
        *(f"insert into t values ({n}, {', '.join(row)}, '{DAY}')" for n, row in enumerate(rows)),
    )
    changed = pipeline.load("--run-date", DAY)["t"]["changed_values"]
    assert changed >= len(unfit) - (pipeline.kind == "postgres") or policy == "text"
    found = compared(pipeline)["t"]
    assert (found["rows"], found["days"], found["left_out"]) == (len(rows), [], [])
    pipeline.mysql(
        *(f"update t set c{n} = {KINDS[kind][1]} where id = {n}" for n, kind in enumerate(kinds))
    )
    assert compared(pipeline, status=1)["t"]["stale"] == len(kinds)
    compared(pipeline, "--repair")
    compared(pipeline)


@pytest.mark.parametrize("policy", ["fail", "text"])
def test_both_sides_read_a_key_alike_whatever_its_type_and_policy(new_pipeline, policy):
    """Or a repair would land a row and its deletion, or delete a row that is there."""
    pipeline = new_pipeline([])
    kinds = kinds_of(version(pipeline), pipeline.kind, policy, as_key=True)
    table = {"primary_key": ["k"], "cursor": "at", "columns": by_policy(["k"], policy)}
    tables = {f"t{n}": kind for n, kind in enumerate(kinds)}
    write_sources(pipeline.folder, pipeline.database, [{**table, "name": name} for name in tables])
    for name, kind in tables.items():
        key = f"k {kind.removesuffix(' null')} primary key"
        pipeline.mysql(f"create table {name} ({key}, v int, at date, key (at))")
        values = (f"({value}, 1, '2026-07-0{1 + n}')" for n, value in enumerate(KINDS[kind]))
        pipeline.mysql(f"insert into {name} values {', '.join(values)}")
    pipeline.load("--start-date", DAY, "--end-date", "2026-07-11")
    assert {found["rows"] for found in compared(pipeline).values()} == {3}
    for name in tables:
        pipeline.mysql(
            f"update {name} set at = '2026-07-10' where at = '{DAY}'",
            f"update {name} set v = 2 where at = '2026-07-02'",
            f"delete from {name} where at = '2026-07-03'",
        )
    for name, found in compared(pipeline, "--repair").items():
        assert (found["missing"], found["extra"], found["stale"]) == (0, 1, 2), tables[name]
        landed_rows = pipeline.query(
            f"select v, _deleted_at is not null from raw_data.{name} "
            f"where _load_id = (select max(_load_id) from raw_data.{name}) order by 1"
        )
        assert landed_rows == [(1, False), (2, False), (None, True)], tables[name]
    compared(pipeline)


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
    assert compared(pipeline)["t"]["left_out"] == []
