"""Every MySQL type arrives exactly, or its table does not arrive at all."""

import gzip
import struct
from datetime import date, datetime
from decimal import Decimal

import pytest

from loader.errors import SourceError
from loader.types import POSTGRES, REDSHIFT, Column, landed, widens

NASTY = "tab\there, line\nbreak, return\r, back\\slash, quote ' \" and \U0001f600 é 漢"

# column type, the literals that are written, what arrives
ROUND_TRIPS: list[tuple[str, list[str], list[object]]] = [
    ("tinyint", ["-128", "127"], [-128, 127]),
    ("tinyint(1)", ["2", "127"], [2, 127]),
    ("tinyint unsigned", ["0", "255"], [0, 255]),
    ("smallint", ["-32768", "32767"], [-32768, 32767]),
    ("smallint unsigned", ["65535"], [65535]),
    ("mediumint", ["-8388608", "8388607"], [-8388608, 8388607]),
    ("mediumint unsigned", ["16777215"], [16777215]),
    ("int", ["-2147483648", "2147483647"], [-2147483648, 2147483647]),
    ("int unsigned", ["4294967295"], [4294967295]),
    ("int(5) zerofill", ["42"], [42]),
    ("bigint", ["-9223372036854775808", "9223372036854775807"], [-(2**63), 2**63 - 1]),
    ("bigint unsigned", ["18446744073709551615"], [Decimal(2**64 - 1)]),
    ("bit(1)", ["b'0'", "b'1'"], [0, 1]),
    ("bit(63)", ["9223372036854775807"], [2**63 - 1]),
    ("bit(64)", ["18446744073709551615"], [Decimal(2**64 - 1)]),
    ("decimal(10,2)", ["-99999999.99", "0.10"], [Decimal("-99999999.99"), Decimal("0.10")]),
    ("decimal(38,37)", ["9." + "1234567" * 5 + "12"], [Decimal("9." + "1234567" * 5 + "12")]),
    ("decimal(38,0)", ["9" * 38], [Decimal("9" * 38)]),
    ("float", ["0.1", "16777217", "3.4028234e38", "1e-40"], [0.1, 16777216.0, 3.4028234e38, 1e-40]),
    ("float(7,3)", ["1234.567"], [1234.567]),
    ("double", ["0.1", "1.7976931348623157e308"], [0.1, 1.7976931348623157e308]),
    ("double", ["5e-324", "-2.5"], [5e-324, -2.5]),
    ("double(10,3)", ["1234567.891"], [1234567.891]),
    ("char(5)", ["'ab'", "''"], ["ab", ""]),
    ("varchar(200)", ["''", "'NULL'", "'\\\\N'"], ["", "NULL", "\\N"]),
    ("varchar(100)", ["'  padded  '"], ["  padded  "]),
    ("varchar(20) character set latin1", ["'café €'"], ["café €"]),
    ("varchar(20) character set utf8mb3", ["'é漢'"], ["é漢"]),
    ("varchar(20) character set ucs2", ["'é漢'"], ["é漢"]),
    ("varchar(20) character set ascii", ["'plain'"], ["plain"]),
    ("tinytext", ["'t'"], ["t"]),
    ("text", ["repeat('é', 32767)"], ["é" * 32767]),
    ("mediumtext", ["repeat('x', 70000)"], ["x" * 70000]),
    ("longtext", ["repeat('漢', 70000)"], ["漢" * 70000]),
    ("enum('a','b b','ü')", ["'b b'", "'ü'"], ["b b", "ü"]),
    ("set('x','y','z')", ["'x,z'", "''"], ["x,z", ""]),
    ("json", ["""'{"b": 1.10, "a": [null, "é"]}'"""], ['{"b": 1.10, "a": [null, "é"]}']),
    ("binary(4)", ["x'00ff5c0a'"], [b"\x00\xff\\\n"]),
    ("varbinary(10)", ["x'fefdfcfb'", "''"], [b"\xfe\xfd\xfc\xfb", b""]),
    ("tinyblob", ["x'00'"], [b"\0"]),
    ("blob", ["repeat(x'ff', 65535)"], [b"\xff" * 65535]),
    ("mediumblob", ["repeat(x'0a', 70000)"], [b"\n" * 70000]),
    ("longblob", ["x'09'"], [b"\t"]),
    ("date", ["'1000-01-01'", "'9999-12-31'"], [date(1000, 1, 1), date(9999, 12, 31)]),
    ("date", ["'2024-02-29'"], [date(2024, 2, 29)]),
    ("datetime", ["'2026-07-01 23:59:59'"], [datetime(2026, 7, 1, 23, 59, 59)]),
    ("datetime(6)", ["'9999-12-31 23:59:59.999999'"], [datetime(9999, 12, 31, 23, 59, 59, 999999)]),
    ("datetime(3)", ["'2026-07-01 00:00:00.120'"], [datetime(2026, 7, 1, 0, 0, 0, 120000)]),
    ("timestamp null", ["'1970-01-01 00:00:01'"], [datetime(1970, 1, 1, 0, 0, 1)]),
    ("timestamp(6) null", ["'2038-01-19 03:14:07.5'"], [datetime(2038, 1, 19, 3, 14, 7, 500000)]),
    ("time", ["'-838:59:59'", "'00:00:00'"], ["-838:59:59", "00:00:00"]),
    ("time(6)", ["'838:59:58.999999'"], ["838:59:58.999999"]),
    ("year", ["1901", "2155", "0"], [1901, 2155, 0]),
]  # fmt: skip
LONG = ("mediumtext", "longtext", "mediumblob", "longblob", "json")


def fits(pipeline, values):
    """Redshift's VARCHAR ends at 65,535 bytes."""
    sizes = [len(value.encode()) for value in values if isinstance(value, str)]
    return pipeline.kind == "postgres" or max(sizes, default=0) <= 65_535


def is_bytes(values):
    return isinstance(values[0], bytes)


@pytest.fixture(scope="module", params=["joined", "field by field"])
def arrived(request, module_pipeline):
    """All types in one table: once read as one value a row, once as one a field."""
    pipeline = module_pipeline([{"name": "kinds", "primary_key": ["id"]}])
    kinds = [
        trip
        for trip in ROUND_TRIPS
        if (request.param != "joined" or trip[0] not in LONG) and fits(pipeline, trip[2])
    ]
    columns = ", ".join(f"c{n} {kind}" for n, (kind, _, _) in enumerate(kinds))
    rows = max(len(literals) for _, literals, _ in kinds)
    pipeline.mysql(
        f"create table kinds (id int primary key, {columns}) character set utf8mb4",
        *(
            f"insert into kinds values ({row}, "
            + ", ".join(
                literals[row] if row < len(literals) else "null" for _, literals, _ in kinds
            )
            + ")"
            for row in range(rows)
        ),
        f"insert into kinds (id) values ({rows})",
    )
    pipeline.load()
    names = ", ".join(
        f"from_varbyte(c{n}, 'hex')"
        if pipeline.kind == "redshift" and is_bytes(values)
        else f"c{n}"
        for n, (_, _, values) in enumerate(kinds)
    )
    landed_rows = pipeline.through_driver(f"select {names} from raw_data.kinds order by id")
    return {
        (kind, *literals): [row[n] for row in landed_rows]
        for n, (kind, literals, _) in enumerate(kinds)
    }


@pytest.mark.parametrize(("kind", "literals", "values"), ROUND_TRIPS)
def test_a_type_arrives_exactly(arrived, kind, literals, values):
    column = arrived.get((kind, *literals))
    if column is None:
        # Read field by field, which is the other round, or refused, which is another test.
        assert kind in LONG
        return
    seen = [bytes(value) if isinstance(value, memoryview) else value for value in column]
    if is_bytes(values) and isinstance(seen[0], str):
        seen = [value if value is None else bytes.fromhex(value) for value in seen]
    if kind.startswith("float"):  # compared as what they are: floats of 32 bits
        seen, values = (
            [value and struct.pack("f", value) for value in side] for side in (seen, values)
        )
    missing = len(seen) - len(values)
    assert seen == values + [None] * missing
    assert missing > 0


def test_every_special_character_arrives_in_both_ways_of_reading(new_pipeline):
    pipeline = new_pipeline(
        [{"name": name, "primary_key": ["id"]} for name in ("joined", "separate")]
    )
    for name, kind in (("joined", "varchar(200)"), ("separate", "longtext")):
        pipeline.mysql(f"create table {name} (id int primary key, t {kind})")
        written = f"convert(x'{NASTY.encode().hex()}' using utf8mb4)"
        pipeline.mysql(f"insert into {name} values (1, {written})")
    pipeline.load()
    assert pipeline.raw("joined", "t") == pipeline.raw("separate", "t") == [(NASTY,)]


def test_both_ways_of_reading_stage_the_same_bytes(new_pipeline):
    pipeline = new_pipeline(
        [{"name": name, "primary_key": ["id"]} for name in ("joined", "separate")]
    )
    for name, kind in (("joined", "varchar(200)"), ("separate", "longtext")):
        pipeline.mysql(
            f"create table {name} (id int primary key, t {kind}, b varbinary(10))",
            f"insert into {name} values (1, null, null), (2, '', ''), (3, 'é\\t\\\\N', x'ff')",
        )
    pipeline.load(LOADER_KEEP_PARTS="always")
    joined, separate = (
        [file.read_bytes() for file in pipeline.staged() if file.match(f"*/{name}/*/*.gz")]
        for name in ("joined", "separate")
    )

    def rows(parts):
        lines = gzip.decompress(b"".join(parts)).split(b"\n")
        return [line.split(b"\t")[:-3] for line in lines]

    assert rows(joined) == rows(separate)


@pytest.mark.parametrize(
    ("kind", "literal", "shown"),
    [
        ("date", "'0000-00-00'", "0000-00-00"),
        ("date", "'2026-00-10'", "2026-00-10"),
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
    assert f"{pipeline.database}.t: id 7: column v" in said
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
    assert "t: id 7: column v has no equal in the warehouse: '2026-02-31'" in pipeline.fails()


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


@pytest.mark.parametrize("kind", ["geometry", "point", "uuid"])
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
        ("longblob", "repeat('x', 1024001)"),
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


@pytest.mark.parametrize(
    ("charset", "code"), [("sjis", "8540"), ("gbk", "a2a0"), ("ascii", "ff"), ("ascii", "ff616263")]
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
        (column("longblob", length=2**32 - 1), "varbyte(1024000)"),
        (column("time"), "varchar(17)"),
        (column("datetime"), "timestamp"),
    ],
)
def test_redshift_types_hold_the_longest_value_in_bytes(given, expected):
    assert landed(given, REDSHIFT).type == expected


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
        landed(given, REDSHIFT)


def test_text_that_may_be_too_long_for_redshift_is_looked_at():
    assert "> 65535" in landed(column("longtext", length=2**32 - 1), REDSHIFT).text
    assert "> 65535" in landed(column("json"), REDSHIFT).text
    assert "65535" not in landed(column("varchar", length=10), REDSHIFT).text
    assert "65535" not in landed(column("longtext", length=2**32 - 1), POSTGRES).text


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
