"""What both sides compute of their rows, so that a few numbers tell whether they hold the same.

Every row becomes a whole number that MySQL, PostgreSQL and Redshift compute alike, and of many
rows the sum is compared, together with their count. Sets of rows that differ have the same sum
about once in 2^48 times.

A row's number is the first twelve digits of the SHA-256 of its texts; or, at half the cost, where
its key is of whole numbers: the square of key and version folded to below 2^31. A square, because
the sum would not see otherwise that two rows have exchanged their versions. Of the functions that
all servers have, MySQL 9.7 has lost MD5.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from loader.source.days import Days
from loader.source.texts import as_bytes
from loader.source.types import RawColumn
from loader.warehouse.session import quote

PRIME = 2_147_483_629
"""One more than what numbers are folded to; the product of two of them fits a BIGINT."""
_FACTOR = 1_103_515_245
_INSTANT = "(to_timestamp({}, 'YYYYMMDDHH24MISS') at time zone 'UTC')"  # of fourteen digits

Kind: TypeAlias = Literal["whole", "decimal", "float", "date", "timestamp", "text", "bytes"]
_KINDS: dict[str, Kind] = {
    "smallint": "whole", "integer": "whole", "bigint": "whole", "numeric": "decimal",
    "real": "float", "double precision": "float", "date": "date", "timestamp": "timestamp",
    "bytea": "bytes", "varbyte": "bytes",
}  # fmt: skip


def _landed_value(column: RawColumn) -> str:
    """Write a raw column as the type that the source has now; the raw one may be wider."""
    name = f"landed.{quote(column.name)}"
    return name if kind_of(column) in ("text", "bytes") else f"cast({name} as {column.type})"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a server writes what a digest is made of; a template is formatted with the value.

    Attributes:
        value: writes a column's value.
        whole: a number as a BIGINT.
        micros: the microseconds from 1970 to a date or timestamp, as a BIGINT.
        decoded: bytes as the text that they are.
        bits: the bytes of a float as hexadecimal digits, the least significant one first.
        sha256: the hexadecimal digits of a text's SHA-256.
        number: hexadecimal digits as a BIGINT.
        shown: a number as a text.
        texts: the text that a value is staged as, by its kind; as `shown` for other kinds.
        bytes_of: bytes, of the text that they are staged as.
        null: the text that stands for NULL; no other has it.
        joined: writes several texts as one.
    """

    value: Callable[[RawColumn], str] = _landed_value
    whole: str = "cast({} as bigint)"
    micros: str
    bits: str
    sha256: str
    number: str
    shown: str = "cast({} as varchar)"
    texts: Mapping[str, str]
    bytes_of: str = ""
    decoded: str = ""
    null: str = "chr(30)"
    joined: Callable[[Sequence[str]], str] = " || chr(31) || ".join


MYSQL = Dialect(
    value=lambda column: column.value,
    whole="cast({} as signed)",  # MySQL refuses unsigned minus something
    micros="timestampdiff(microsecond, '1970-01-01', {})",
    bits="hex(substr(st_asbinary(point({} + 0e0, 0)), 6, 8))",  # 0e0 makes 0 of -0
    sha256="sha2({}, 256)",
    number="cast(conv({}, 16, 10) as signed)",
    shown=as_bytes("{}"),
    texts={},
    null="0x1E",
    joined=lambda texts: f"concat_ws(0x1F, {', '.join(texts)})",
)
_TEXTS = {
    "text": "{}",
    "date": "to_char({}, 'YYYY-MM-DD')",
    "timestamp": "to_char({}, 'YYYY-MM-DD HH24:MI:SS.US')",
}
POSTGRES = Dialect(
    texts={**_TEXTS, "bytes": "'\\x' || upper(encode({}, 'hex'))"},
    bytes_of="cast({} as bytea)",
    decoded="convert_from({}, 'UTF8')",
    # By day and time: EXTRACT(EPOCH) costs twice as much.
    micros="(cast({0} as date) - date '1970-01-01') * 86400000000 "
    "+ cast(date_part('epoch', cast(cast({0} as timestamp) as time)) * 1000000 as bigint)",
    # PostgreSQL sends the most significant byte first.
    bits="upper(regexp_replace(reverse(encode(float8send("
    "cast({} as double precision) + 0), 'hex')), '(.)(.)', '\\2\\1', 'g'))",
    sha256="encode(sha256(convert_to({}, 'UTF8')), 'hex')",
    number="cast(cast('x' || {} as bit(48)) as bigint)",
)
# [Redshift: FROM_VARBYTE, FROM_HEX, DATEDIFF, SHA2, STRTOL; ST_AsHexWKB: five bytes come before]
REDSHIFT = Dialect(
    texts={**_TEXTS, "bytes": "upper(from_varbyte({}, 'hex'))"},
    bytes_of="from_hex({})",
    decoded="from_varbyte({}, 'utf8')",
    micros="datediff(microsecond, timestamp '1970-01-01', cast({} as timestamp))",
    bits="substring(st_ashexwkb(st_makepoint(cast({} as double precision) + 0, 0)), 11, 16)",
    sha256="sha2({}, 256)",
    number="strtol({}, 16)",
)
DIALECTS = {"postgres": POSTGRES, "redshift": REDSHIFT}


def digested(
    dialect: Dialect, key: Sequence[RawColumn], version: str, values: Sequence[RawColumn]
) -> str:
    """Write the columns that either side selects of a row.

    `row_hash` tells rows apart and `key_hash` most keys; `version` is the cursor as a number, 0
    without one; `key0` and so on are the texts of the key's columns.

    Args:
        key: what identifies a row; where nothing does, its values have to.
        version: the expression of the row's version; empty without a cursor.
    """
    texts = [_compared(dialect, column) for column in key]
    versions = [dialect.shown.format(version)] if version else []
    row = _hashed(dialect, [*texts, *versions, *(_nullable(dialect, each) for each in values)])
    number = _hashed(dialect, texts) if key else row
    if key and all(kind_of(column) == "whole" for column in key):
        wholes = [dialect.whole.format(f"mod({dialect.value(each)}, {PRIME})") for each in key]
        number, both = _folded(wholes), _folded([*wholes, version or "0"])
        row = row if values else f"{both} * {both}"
    named = {"key_hash": number, "row_hash": row, "version": version or "0"}
    named |= {f"key{n}": _text(dialect, column) for n, column in enumerate(key)}
    return ", ".join(f"{expression} as {name}" for name, expression in named.items())


def landed_version(dialect: Dialect, days: Days, columns: Sequence[RawColumn]) -> str:
    """Write the version of a row that is landed, as `Days.version` is MySQL's.

    Args:
        columns: the cursor's, as they land.
    """

    def version(column: RawColumn) -> str:
        value, kind = dialect.value(column), kind_of(column)
        if days.unit:
            return f"{dialect.whole.format(value)} * {days.unit}"
        if days.is_digits:
            text = dialect.decoded if kind == "bytes" else dialect.shown
            value = _INSTANT.format(text.format(value))
        return dialect.micros.format(value)

    versions = ", ".join(map(version, columns))
    return f"coalesce({versions})" if len(columns) > 1 else versions


def kind_of(column: RawColumn) -> Kind:
    """Say what a column holds.

    A float is not written alike on both sides, so its bits are compared; all else has its text.
    """
    name, _, sizes = column.type.partition("(")
    return "whole" if name == "numeric" and ",0)" in sizes else _KINDS.get(name, "text")


def _text(dialect: Dialect, column: RawColumn) -> str:
    """Write a value's text as it is staged, but for the closing zeros of an instant."""
    return dialect.texts.get(kind_of(column), dialect.shown).format(dialect.value(column))


def _compared(dialect: Dialect, column: RawColumn) -> str:
    """Write a text that is the same on both sides: of an instant the microseconds."""
    match kind_of(column):
        case "date" | "timestamp":
            return dialect.shown.format(dialect.micros.format(dialect.value(column)))
        case "float":
            return dialect.bits.format(dialect.value(column))
    return _text(dialect, column)


def _nullable(dialect: Dialect, column: RawColumn) -> str:
    """Write a text for a value that may be NULL, or longer than a text of several may be."""
    text = _compared(dialect, column)
    if kind_of(column) in ("text", "bytes"):
        text = dialect.sha256.format(text)
    return f"coalesce({text}, {dialect.null})"


def _hashed(dialect: Dialect, texts: Sequence[str]) -> str:
    """Write the number of the first twelve digits of the SHA-256 of some texts."""
    return dialect.number.format(f"left({dialect.sha256.format(dialect.joined(texts))}, 12)")


def _folded(numbers: Sequence[str]) -> str:
    """Write the one number, between -PRIME and PRIME, that some numbers become together."""
    first, *others = (f"mod({number}, {PRIME})" for number in numbers)
    for number in others:
        first = f"mod({first} * {_FACTOR} + {number}, {PRIME})"
    return first
