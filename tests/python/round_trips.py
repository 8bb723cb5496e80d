"""MySQL's types with their edge values: what is written, and what is to arrive."""

import struct
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

NASTY = "tab\there, line\nbreak, return\r, back\\slash, quote ' \" and \U0001f600 é 漢"
_NASTY = f"convert(x'{NASTY.encode().hex()}' using utf8mb4)"
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
    ("decimal(38,30)", ["12345678." + "12345" * 6], [Decimal("12345678." + "12345" * 6)]),
    ("decimal(30,9)", ["123456789012345678.123456789"], [Decimal("123456789012345678.123456789")]),
    ("decimal(38,0)", ["9" * 38], [Decimal("9" * 38)]),
    ("float", ["0.1", "16777217", "3.4028234e38", "1e-40"], [0.1, 16777216.0, 3.4028234e38, 1e-40]),
    ("float(7,3)", ["1234.567"], [1234.567]),
    ("double", ["0.1", "1.7976931348623157e308"], [0.1, 1.7976931348623157e308]),
    ("double", ["5e-324", "-2.5"], [5e-324, -2.5]),
    ("double(10,3)", ["1234567.891"], [1234567.891]),
    ("char(5)", ["'ab'", "''"], ["ab", ""]),
    ("varchar(200)", ["''", "'NULL'", "'\\\\N'"], ["", "NULL", "\\N"]),
    ("varchar(100)", ["'  padded  '", _NASTY], ["  padded  ", NASTY]),
    ("longtext", [_NASTY], [NASTY]),
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
    ("json", ["""'{"a": [null, "é"], "b": 1.1}'"""], ['{"a": [null, "é"], "b": 1.1}']),
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
MARIADB_ROUND_TRIPS: list[tuple[str, list[str], list[object]]] = [
    ("decimal(38,37)", ["9." + "1234567" * 5 + "12"], [Decimal("9." + "1234567" * 5 + "12")]),
    ("json", ["""'{"b": 1.10, "a": [null, "é"]}'"""], ['{"b": 1.10, "a": [null, "é"]}']),
]


# MySQL type: three values that differ; both sides are to read each alike, as a key and as a value
KINDS: dict[str, list[str]] = {
    "tinyint": ["-128", "0", "127"],
    "int(6) unsigned zerofill": ["42", "0", "1234567"],
    "bigint": ["-9223372036854775808", "-1", "9223372036854775807"],
    "bigint unsigned zerofill": ["42", "0", "18446744073709551615"],
    "bit(9)": ["b'0'", "b'111111111'", "b'1'"],
    "bit(64)": ["1", "0", "18446744073709551615"],
    "decimal(20,0)": ["-1", "0", "99999999999999999999"],
    "decimal(30,4)": ["-0.5", "1.5", "12345678901234567890123456.1234"],
    "decimal(9,2) zerofill": ["42", "0.5", "1234567.89"],
    "decimal(65,30)": ["-0.5", "1e-30", "99999999999999999999999999999999999"],
    "float": ["0.1", "-1.2345678e-10", "3.4028234e38"],
    "float(7,3) zerofill": ["42", "0.1", "1234.567"],
    "double": ["-1.2345678901234568e-10", "5e-324", "-1.7976931348623157e308"],
    "double(30,10)": ["-0.1234567891", "42", "12345678901234567.1234567"],
    "double zerofill": ["42", "1e-5", "1e22"],
    "year": ["0", "1901", "2155"],
    "time": ["'-838:59:59'", "'00:00:00'", "'10:00:00'"],
    "time(2)": ["'-838:59:58.25'", "'00:00:00'", "'10:00:00.5'"],
    "date": ["'1000-01-01'", "'1969-12-31'", "'9999-12-31'"],
    "datetime": ["'1000-01-01'", "'2026-07-01 08:00:00'", "'9999-12-31 23:59:59'"],
    "datetime(6)": ["'1969-12-31 23:59:59.5'", "'2026-07-01'", "'9999-12-31 23:59:59.999999'"],
    "timestamp(3) null": ["'1970-01-01 00:00:01'", "'2026-07-01 08:00:00.5'", "'2038-01-19'"],
    "char(8) character set latin1": ["'é'", "'€'", "''"],
    "varchar(8) character set sjis": ["'a'", "'表'", "''"],
    "varchar(40) collate utf8mb4_bin": ["'A'", r"'a\n\t''%s\\'", "'naïve 😀'"],
    "text": ["'a'", "''", "repeat('é', 9000)"],
    "mediumtext": ["'a'", "repeat('é', 9000)", "''"],
    "enum('x','y y','é')": ["'x'", "'y y'", "'é'"],
    "set('a','b','c')": ["'a,c'", "''", "'b'"],
    "json": ["'[1]'", """'{"é": 1.10}'""", "'null'"],
    "binary(2)": ["x'4142'", "x'4344'", "x'00ff'"],
    "varbinary(8)": ["x''", "x'5c78'", "x'fefdfcfb'"],
    "blob": ["x''", "x'09'", "repeat(x'ff', 9000)"],
    "point": ["point(1, 2)", "point(0.1, -2)", "point(1e300, 0)"],
    "uuid": [f"'{digit}1111111-2222-4333-8444-555555555555'" for digit in "1ab"],
    "inet6": ["'::'", "'::1'", "'2001:db8::ff'"],
    "vector(2)": ["x'0000803f00000000'", "x'0000803fcdcccc3d'", "x'0000000000000080'"],
}  # fmt: skip
_ONLY_AS_TEXT = ("point", "uuid", "inet6", "vector(2)")
_NO_KEY = ("text", "mediumtext", "json", "blob", "point", "vector(2)")
_NUL, _LONG = "concat('a', char(0))", "repeat('é', 70000)"
# What a policy changes, or what only it lets land.
UNFIT = {
    "null": {
        "date": "'0000-05-05'",
        "datetime": "'2026-00-10'",
        "timestamp(3) null": "'0000-00-00'",
        "varchar(40) collate utf8mb4_bin": _NUL,
        "mediumtext": _LONG,
    },
    "strip": {"varchar(40) collate utf8mb4_bin": _NUL, "text": _NUL},
    "truncate": {"mediumtext": _LONG},
    "text": {"date": "'0000-05-05'", "datetime": "'0000-00-00'"},
}

Trip = tuple[str, list[str], list[object]]


def fits_redshift(trip: Trip) -> bool:
    """Whether its texts fit Redshift's VARCHAR, which ends at 65,535 bytes."""
    _, _, values = trip
    sizes = [len(value.encode()) for value in values if isinstance(value, str)]
    return max(sizes, default=0) <= 65_535


def table_statements(table: str, trips: Sequence[Trip]) -> list[str]:
    """Write the statements that make a table in MySQL: a column a trip, a last row of NULLs."""
    columns = ", ".join(f"c{n} {kind}" for n, (kind, _, _) in enumerate(trips))
    rows = max(len(literals) for _, literals, _ in trips)
    return [
        f"create table {table} (id int primary key, {columns}) character set utf8mb4",
        *(
            f"insert into {table} values ({row}, "
            + ", ".join(
                literals[row] if row < len(literals) else "null" for _, literals, _ in trips
            )
            + ")"
            for row in range(rows)
        ),
        f"insert into {table} (id) values ({rows})",
    ]


def landed_columns(trips: Sequence[Trip], kind: str) -> str:
    """Write what is selected of the landed table; drivers disagree over Redshift's bytes."""
    return ", ".join(
        f"from_varbyte(c{n}, 'hex')" if kind == "redshift" and _is_bytes(values) else f"c{n}"
        for n, (_, _, values) in enumerate(trips)
    )


def arrives(trip: Trip, column: Sequence[Any]) -> bool:
    """Whether a landed column holds exactly what was written, and NULL after it."""
    kind, _, values = trip
    seen = [bytes(value) if isinstance(value, memoryview) else value for value in column]
    if _is_bytes(values) and isinstance(seen[0], str):
        seen = [value if value is None else bytes.fromhex(value) for value in seen]
    if kind.startswith("float"):  # compared as what they are: floats of 32 bits
        seen, values = (
            [value and struct.pack("f", value) for value in side] for side in (seen, values)
        )
    missing = len(seen) - len(values)
    return missing > 0 and seen == values + [None] * missing


def kinds_of(is_mariadb: bool, warehouse: str, policy: str, *, as_key: bool) -> list[str]:
    """List the types that a server has and that may land so."""
    left_out = {"vector(2)"} if is_mariadb else {"uuid", "inet6"}
    if policy != "text":
        left_out |= {*_ONLY_AS_TEXT, *(("decimal(65,30)",) if warehouse == "redshift" else ())}
    if as_key:
        left_out |= {*_NO_KEY}
        if policy != "text":  # refused, because no text of one is the same on both sides
            left_out |= {kind for kind in KINDS if kind.startswith(("float", "double"))}
    return [kind for kind in KINDS if kind not in left_out]


def _is_bytes(values: Sequence[object]) -> bool:
    return isinstance(values[0], bytes)
