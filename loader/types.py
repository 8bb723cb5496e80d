"""MySQL types: what each becomes in the warehouse, and the SQL that reads it as lossless text.

Sources: MySQL Reference Manual "Data Types"; Amazon Redshift Database Developer Guide
"Data types", "Character types", "Numeric types", "VARBYTE type".
"""

from dataclasses import dataclass

from loader.copytext import CHANGED, NULL, REFUSED
from loader.errors import SourceError


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column as `information_schema.columns` has it.

    Attributes:
        data_type: the type's bare name, such as `decimal`.
        column_type: the whole type, such as `decimal(10,2) unsigned`.
        length: longest value in characters, for text; in bytes, for binary columns.
        precision, scale: of numbers; `precision` is a BIT's width too.
        charset: of text columns.
    """

    name: str
    data_type: str
    column_type: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    charset: str | None = None
    nullable: bool = True

    @property
    def unsigned(self) -> bool:
        """Whether the column holds no negative numbers."""
        return "unsigned" in self.column_type


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a warehouse's types can hold.

    Attributes:
        text_bytes, binary_bytes: the longest value, in bytes; None for no limit that matters.
        row_bytes: the longest row that COPY takes, in which bytes are two digits each.
        precision, scale: the largest of an exact number.
        name_bytes: the longest identifier.
        refuses_days: whether COPY is known to refuse whatever is no day, so that MySQL need not be
            asked.
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
    refuses_days: bool


POSTGRES = Dialect(
    name="postgres", text_bytes=None, binary_bytes=None, row_bytes=None, precision=1000,
    scale=1000, binary_prefix="0x5C78", name_bytes=63, refuses_days=True,
)  # fmt: skip
REDSHIFT = Dialect(
    name="redshift", text_bytes=65_535, binary_bytes=16_777_216, row_bytes=4_194_304,
    precision=38, scale=37, binary_prefix="''", name_bytes=127, refuses_days=False,
)  # fmt: skip

_INTEGERS = {
    # MySQL type: (signed, unsigned)
    "tinyint": ("smallint", "smallint"),
    "smallint": ("smallint", "integer"),
    "mediumint": ("integer", "integer"),
    "int": ("integer", "bigint"),
    "bigint": ("bigint", "numeric(20,0)"),
}
_TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json"}
_BINARIES = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}
_DATES = {"date": "date", "datetime": "timestamp", "timestamp": "timestamp"}
_GEOMETRIES = {
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
    "multipolygon", "geometrycollection", "geomcollection",
}  # fmt: skip
_UTF8 = {"utf8mb4", "utf8mb3", "utf8"}
_EXACT = {*_UTF8, "latin1"}  # of these every byte has its character [MySQL: West European ...]
_CHARACTER_BYTES = 4  # the longest character of UTF-8
_TIME_LENGTH = 17  # -838:59:59.000000; Redshift's TIME ends at 24 h, so a span of time is text


@dataclass(frozen=True, kw_only=True)
class Landed:
    """How one column lands.

    Attributes:
        name: the raw table's column, in lower case, as Redshift folds it.
        type: the warehouse's type.
        text: the MySQL expression of the value's text; its bytes are exact once they are joined
            to a binary string, or cast to one.
    """

    name: str
    type: str
    text: str


def quote_mysql(name: str) -> str:
    """A MySQL identifier in backticks. [Schema Object Names]."""
    return "`" + name.replace("`", "``") + "`"


def landed(column: Column, dialect: Dialect, policy: str = "fail") -> Landed:
    """Decide how a column lands.

    Args:
        policy: what to do with what the warehouse cannot hold: `fail` (the default), `null`,
            `strip` (drop NUL characters), `truncate` (cut text to as many characters as always
            fit), `text` (land as text; bytes as hexadecimal digits).

    Raises:
        SourceError: no type of the warehouse holds the column exactly and no policy says what
            to do instead.
    """
    name = column.name.lower()
    if policy == "text" and column.data_type not in _TEXTS:
        quoted = quote_mysql(column.name)
        is_bytes = column.data_type in _BINARIES
        value = f"hex({quoted})" if is_bytes else exact_text(column, quoted)
        too_long = f"length({value}) > {dialect.text_bytes}" if dialect.text_bytes else ""
        text = _if_refused([too_long], value, "fail")
        return Landed(name=name, type=_text_type(dialect, None), text=text)
    kind = _type(column, dialect)
    if kind is None:
        raise SourceError(
            f"column {column.name} is {column.column_type}, which {dialect.name} has no equal of",
            "Declare `on_unrepresentable: text` under the column's `config: meta: loader:` "
            "to land it as text, or `exclude: true` to leave it out.",
        )
    return Landed(name=name, type=kind, text=_marked(column, dialect, policy))


def _type(column: Column, dialect: Dialect) -> str | None:  # noqa: C901, PLR0911 - one line a type
    """The warehouse's type that holds every value of the column, or None."""
    precision, scale = column.precision or 0, column.scale or 0
    match column.data_type:
        case kind if kind in _INTEGERS:
            return _INTEGERS[kind][column.unsigned]
        case "bit":
            return "numeric(20,0)" if precision > 63 else "bigint"  # noqa: PLR2004
        case "decimal" if precision <= dialect.precision and scale <= dialect.scale:
            return f"numeric({precision},{scale})"
        case "float":
            return "real"
        case "double":
            return "double precision"
        case "year":
            return "smallint"
        case "time":
            return _text_type(dialect, _TIME_LENGTH)
        case kind if kind in _DATES:
            return _DATES[kind]
        case kind if kind in _TEXTS:
            return _text_type(dialect, (column.length or 0) * _CHARACTER_BYTES)
        case kind if kind in _BINARIES:
            if dialect.binary_bytes is None:
                return "bytea"
            return f"varbyte({min(max(column.length or 1, 1), dialect.binary_bytes)})"
    return None


def _text_type(dialect: Dialect, size: int | None) -> str:
    """A text type that holds `size` bytes; the longest one if None."""
    if dialect.text_bytes is None:
        return "text"
    return f"varchar({min(max(size or dialect.text_bytes, 1), dialect.text_bytes)})"


def exact_text(column: Column, quoted: str) -> str:
    """The value as something that casts to its exact text."""
    match column.data_type:
        case "float" | "double":
            # A FLOAT prints six digits; as a DOUBLE it prints all that it holds, and the
            # nearest float of those is the same one. A factor of 1e0 makes it one, and drops
            # a FLOAT(M,D)'s rounding of what is shown.
            return f"{quoted} * 1e0"
        case "bit":
            return f"{quoted} + 0"  # the driver would return bytes
        case kind if kind in _GEOMETRIES:
            return f"st_astext({quoted})"
        case "json":
            return as_bytes(quoted)  # a type of its own, which joins by rules of its own
        case kind if kind in _TEXTS and column.charset not in (None, *_UTF8):
            return f"convert({quoted} using utf8mb4)"
    return quoted


def _marked(column: Column, dialect: Dialect, policy: str) -> str:
    """Read a value's text, marked if it cannot land, or changed as the policy says.

    Text with a NUL character is looked for on the way through instead, where it costs nothing,
    unless a policy has to change it.
    """
    quoted = quote_mysql(column.name)
    text = value = exact_text(column, quoted)
    if column.data_type in _DATES and dialect.refuses_days and policy == "fail":
        return text
    if column.data_type in _DATES:
        # What is added to 0000-00-00 or 2024-00-10 gives NULL. No warehouse has a year 0, of which
        # MySQL makes 0000-00-00; nor 2024-02-31, which a server takes under ALLOW_INVALID_DATES,
        # and which becomes 2024-03-02. [MySQL: DATE_ADD(); Server SQL Modes]
        is_day = f"{quoted} + interval 0 day = {quoted}"
        return f"if({is_day}, {text}, {_instead(text, policy)})"
    if column.data_type in _BINARIES:
        text = f"concat({dialect.binary_prefix}, hex({quoted}))"
        return _if_refused(
            [_longer(quoted, column.length, dialect.row_bytes and dialect.row_bytes // 2)],
            text,
            policy,
        )
    if column.data_type not in _TEXTS:
        return text
    has_nul = f"locate(0x00, {as_bytes(value)}) > 0"
    bytes_at_most = column.length and column.length * _CHARACTER_BYTES  # MySQL 8: None for JSON
    too_long = _longer(value, bytes_at_most, dialect.text_bytes)
    refused = [inexact(column, value), too_long]
    if policy == "null":
        return _if_refused([has_nul, *refused], text, policy)
    if policy == "truncate" and too_long:
        cut = f"left({value}, {(dialect.text_bytes or 0) // _CHARACTER_BYTES})"
        text, refused = f"if({too_long}, {_changed(cut)}, {text})", refused[:1]
    if policy == "strip":
        stripped = _changed(f"replace({as_bytes(text)}, 0x00, '')")
        text = f"if({has_nul}, {stripped}, {text})"
    return _if_refused(refused, text, policy)


def as_bytes(expression: str) -> str:
    """Cast, so that MySQL converts no character set."""
    return f"cast({expression} as binary)"


def marker(mark: bytes) -> str:
    """Write a mark that makes bytes of what it is joined to, or is the other choice of.

    A binary string wins over text that is no literal; a bare literal would be converted to the
    text's character set instead, in which it means nothing. [MySQL: Collation Coercibility in
    Expressions; CONCAT()]
    """
    return as_bytes(f"0x{mark.hex()}")


def _changed(expression: str) -> str:
    return f"concat({marker(CHANGED)}, {expression})"


def inexact(column: Column, value: str) -> str:
    """The condition that a value's characters have no equal in UTF-8; empty if all have.

    MySQL puts a question mark in their place and says nothing. [MySQL: CONVERT()]
    """
    if column.charset is None or column.charset in _EXACT:
        return ""
    back = as_bytes(f"convert({value} using {column.charset})")
    return f"{back} <> {as_bytes(quote_mysql(column.name))}"


def _longer(value: str, length: int | None, longest: int | None) -> str:
    """The condition that a value is longer than the warehouse's longest; empty if it cannot be."""
    return f"length({value}) > {longest}" if longest and (length or longest + 1) > longest else ""


def _if_refused(conditions: list[str], text: str, policy: str) -> str:
    """Mark a value of which one of the conditions holds."""
    condition = " or ".join(filter(None, conditions))
    return f"if({condition}, {_instead(text, policy)}, {text})" if condition else text


def _instead(text: str, policy: str) -> str:
    """What is read instead of a value that cannot land."""
    refused = f"concat({marker(REFUSED)}, {text})"
    return marker(CHANGED + NULL) if policy == "null" else refused
