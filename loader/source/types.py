"""MySQL types: what each becomes in the warehouse, and what is read if that cannot hold a value.

The text of a type's values is decided by `texts.exact_text`.

Sources: MySQL Reference Manual "Data Types"; Amazon Redshift Database Developer Guide
"Data types", "Character types", "Numeric types", "VARBYTE type".
"""

from dataclasses import dataclass
from hashlib import sha256

from loader.errors import SourceError
from loader.source.copytext import CHANGED, NULL, REFUSED
from loader.source.texts import (
    BINARIES,
    DATES,
    TEXTS,
    Column,
    as_bytes,
    choice,
    exact_text,
    inexact,
    marker,
)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a warehouse's types can hold.

    Attributes:
        text_bytes, binary_bytes: the longest value, in bytes; None for no limit that matters.
        row_bytes: the longest row that COPY takes, in which bytes are two digits each.
        precision, scale: the largest of an exact number.
        name_bytes: the longest identifier.
        binary_prefix: what precedes hexadecimal digits in COPY's text, as a MySQL literal.
    """

    name: str
    text_bytes: int | None
    binary_bytes: int | None
    row_bytes: int | None
    precision: int
    scale: int
    binary_prefix: str
    name_bytes: int

    def fitted(self, name: str) -> str:
        """Return a name that the loader has made; its hash stands for what would be cut off."""
        if len(encoded := name.encode()) <= self.name_bytes:
            return name
        end = "_" + sha256(encoded).hexdigest()[:16]
        return encoded[: self.name_bytes - len(end)].decode(errors="ignore") + end


POSTGRES = Dialect(
    name="postgres", text_bytes=None, binary_bytes=None, row_bytes=None, precision=1000,
    scale=1000, binary_prefix="0x5C78", name_bytes=63,
)  # fmt: skip
REDSHIFT = Dialect(
    name="redshift", text_bytes=65_535, binary_bytes=16_777_216, row_bytes=4_194_304,
    precision=38, scale=37, binary_prefix="''", name_bytes=127,
)  # fmt: skip

_INTEGERS = {
    # MySQL type: (signed, unsigned)
    "tinyint": ("smallint", "smallint"),
    "smallint": ("smallint", "integer"),
    "mediumint": ("integer", "integer"),
    "int": ("integer", "bigint"),
    "bigint": ("bigint", "numeric(20,0)"),
}
_OTHERS = {
    "float": "real", "double": "double precision", "year": "smallint",
    "date": "date", "datetime": "timestamp", "timestamp": "timestamp",
}  # fmt: skip
_CHARACTER_BYTES = 4  # the longest character of UTF-8
_NONE = Column(name="", data_type="", column_type="")
_TIME_LENGTH = 17  # -838:59:59.000000; Redshift's TIME ends at 24 h, so a span of time is text


@dataclass(frozen=True, kw_only=True)
class RawColumn:
    """How one column lands.

    Attributes:
        name: the raw table's column, in lower case, as Redshift folds it.
        type: the warehouse's type.
        value: the MySQL expression of the text that the warehouse holds, which keys and values are
            compared by; NULL where it holds none.
        text: the MySQL expression of what is read: the value, behind a mark if it cannot land or
            a policy has changed it. Its bytes are exact once they are joined to a binary string,
            or cast to one.
        column: MySQL's; one without a name for the loader's own columns.
    """

    name: str
    type: str
    value: str = ""
    text: str = ""
    column: Column = _NONE


def raw_column(column: Column, dialect: Dialect, policy: str = "fail") -> RawColumn:
    """Decide how a column lands.

    Args:
        policy: what to do with what the warehouse cannot hold: `fail` (the default), `null`,
            `strip` (drop NUL characters), `truncate` (cut text to as many characters as always
            fit), `text` (land as text; bytes as hexadecimal digits).

    Raises:
        SourceError: no type of the warehouse holds the column exactly and no policy says what
            to do instead.
    """
    is_text = column.data_type in TEXTS
    as_text = policy == "text" and not is_text
    kind = _text_type(dialect, None) if as_text else _type(column, dialect)
    if kind is None:
        raise SourceError(
            f"column {column.name} is {column.column_type}, which {dialect.name} has no equal of",
            "Declare `on_unrepresentable: text` under the column's `config: meta: loader:` "
            "to land it as text, or `exclude: true` to leave it out.",
        )
    value = exact_text(column)
    if column.data_type in BINARIES and not as_text:
        value = f"concat({dialect.binary_prefix}, {value})"
    refused = _refused(column, value, dialect, policy)
    if policy == "null":
        text, value = choice(refused, marker(CHANGED + NULL), value), choice(refused, "null", value)
    else:
        changes, changed = _change(column, value, dialect, policy) if is_text else ("", value)
        text = choice([changes], f"concat({marker(CHANGED)}, {changed})", value)
        text = choice(refused, f"concat({marker(REFUSED)}, {value})", text)
        value = choice([changes], changed, value)
    return RawColumn(name=column.name.lower(), type=kind, value=value, text=text, column=column)


def _type(column: Column, dialect: Dialect) -> str | None:  # noqa: C901, PLR0911 - one line a type
    """The warehouse's type that holds every value of the column, or None."""
    precision, scale = column.precision or 0, column.scale or 0
    match column.data_type:
        case kind if kind in _INTEGERS:
            return _INTEGERS[kind]["unsigned" in column.column_type]
        case "bit":
            return "numeric(20,0)" if precision > 63 else "bigint"  # noqa: PLR2004
        case "decimal" if precision <= dialect.precision and scale <= dialect.scale:
            return f"numeric({precision},{scale})"
        case "time":
            return _text_type(dialect, _TIME_LENGTH)
        case kind if kind in _OTHERS:
            return _OTHERS[kind]
        case kind if kind in TEXTS:
            return _text_type(dialect, (column.length or 0) * _CHARACTER_BYTES)
        case kind if kind in BINARIES:
            if dialect.binary_bytes is None:
                return "bytea"
            return f"varbyte({min(max(column.length or 1, 1), dialect.binary_bytes)})"
    return None


def _text_type(dialect: Dialect, size: int | None) -> str:
    """A text type that holds `size` bytes; the longest one if None."""
    if dialect.text_bytes is None:
        return "text"
    return f"varchar({min(max(size or dialect.text_bytes, 1), dialect.text_bytes)})"


def _refused(column: Column, value: str, dialect: Dialect, policy: str) -> list[str]:
    """Write the conditions of a value that cannot land, or only otherwise.

    Text with a NUL character is looked for on the way through instead, where it costs nothing,
    unless a policy has to change it.
    """
    quoted = column.quoted
    if column.data_type in TEXTS:
        nul = _has_nul(value) if policy == "null" else ""
        too_long = _too_long(column, value, dialect) if policy != "truncate" else ""
        return [nul, inexact(column), too_long]
    if policy == "text":
        return [_longer(value, None, dialect.text_bytes)]
    if column.data_type in BINARIES:
        longest = dialect.row_bytes and dialect.row_bytes // 2  # in hexadecimal digits
        return [_longer(quoted, column.length, longest)]
    if column.data_type in DATES:
        # TO_DAYS() is NULL for 0000-00-00 and 2024-00-10; no warehouse has a year 0; 2024-02-31,
        # which a server takes under ALLOW_INVALID_DATES, is another day once it is computed with,
        # which takes long, so few are asked. [MySQL: Date and Time Functions; Server SQL Modes]
        exists = f"day({quoted}) < 29 or {quoted} + interval 0 day = {quoted}"
        return [f"(to_days({quoted}) > 365 and ({exists})) is not true"]
    return []


def _change(column: Column, value: str, dialect: Dialect, policy: str) -> tuple[str, str]:
    """Write the condition of a text that a policy changes, and what it becomes."""
    if policy == "strip":
        return _has_nul(value), f"replace({as_bytes(value)}, 0x00, '')"
    if policy == "truncate" and (too_long := _too_long(column, value, dialect)):
        return too_long, f"left({value}, {(dialect.text_bytes or 0) // _CHARACTER_BYTES})"
    return "", value


def _has_nul(value: str) -> str:
    return f"locate(0x00, {as_bytes(value)}) > 0"


def _too_long(column: Column, value: str, dialect: Dialect) -> str:
    bytes_at_most = column.length and column.length * _CHARACTER_BYTES  # MySQL 8: None for JSON
    return _longer(value, bytes_at_most, dialect.text_bytes)


def _longer(value: str, length: int | None, longest: int | None) -> str:
    """The condition that a value is longer than the warehouse's longest; empty if it cannot be."""
    return f"length({value}) > {longest}" if longest and (length or longest + 1) > longest else ""
