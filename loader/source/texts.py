"""The one text of a MySQL value: what lands, is compared, and is hashed. See `exact_text`.

Sources: MySQL Reference Manual "Data Types", "Cast Functions and Operators".
"""

from dataclasses import dataclass

INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint"}
TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json"}
BINARIES = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}
DATES = {"date", "datetime", "timestamp"}
_GEOMETRIES = {
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
    "multipolygon", "geometrycollection", "geomcollection",
}  # fmt: skip
_UTF8 = {"utf8mb4", "utf8mb3", "utf8"}
_EXACT = {*_UTF8, "latin1"}  # of these every byte has its character [MySQL: West European ...]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column as `information_schema.columns` has it.

    Attributes:
        data_type: the type's bare name, such as `decimal`.
        column_type: the whole type, such as `decimal(10,2) unsigned`.
        length: longest value in characters, for text; in bytes, for binary columns.
        precision, scale: of numbers; `precision` is a BIT's width too.
        charset: of text columns.
        is_touched: whether MySQL itself sets it at every change of a row. [MySQL: Automatic
            Initialization and Updating for TIMESTAMP and DATETIME]
    """

    name: str
    data_type: str
    column_type: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    charset: str | None = None
    nullable: bool = True
    is_touched: bool = False

    @property
    def quoted(self) -> str:
        """Its name as an identifier of MySQL's."""
        return quote_mysql(self.name)


def quote_mysql(name: str) -> str:
    """A MySQL identifier in backticks. [Schema Object Names]."""
    return "`" + name.replace("`", "``") + "`"


def exact_text(column: Column) -> str:  # noqa: C901, PLR0911 - one line a type
    """Decide the one text of a column's values: what lands, is compared, and is hashed.

    It says what the value is, and not how its column was declared to be shown.

    Returns:
        A MySQL expression, whose bytes are the text in UTF-8.
    """
    quoted = column.quoted
    match column.data_type:
        case "decimal" if "zerofill" in column.column_type:
            return f"cast({quoted} as decimal({column.precision},{column.scale}))"
        case "decimal":
            return quoted  # all its digits, with as many places as were declared
        case kind if kind in INTEGERS:
            return f"cast({quoted} as unsigned)" if "zerofill" in column.column_type else quoted
        case "double" if column.column_type in ("double", "double unsigned"):
            return quoted
        case "float" | "double":
            # A FLOAT shows six digits and a DOUBLE(M,D) what M and D say, but times 1e0 all. Of
            # such a product MySQL prints no more than 22 characters, unless it is within JSON,
            # where it writes a whole number as 42.0, and MariaDB as 42.
            within = f"json_array({quoted} * 1e0)"
            bare = f"trim(trailing ']' from trim(leading '[' from {within}))"
            return f"if({quoted} is null, null, trim(trailing '.0' from {bare}))"
        case "bit" | "year":
            return f"{quoted} + 0"  # the driver would return bytes; a YEAR 0 shows as 0000
        case kind if kind in DATES or kind == "time":
            return quoted
        case kind if kind in BINARIES or kind == "vector":
            return f"hex({quoted})"
        case kind if kind in _GEOMETRIES:
            return f"st_astext({quoted})"
        case kind if kind in TEXTS and kind != "json":
            is_utf8 = column.charset in (None, *_UTF8)
            return quoted if is_utf8 else f"convert({quoted} using utf8mb4)"
    # JSON, or a type of its own, such as UUID: it would make itself of a mark, or other bytes.
    return f"cast({quoted} as char)"


def hash_text(column: Column) -> str:
    """The expression of what is hashed of a value: its text in UTF-8, or the bytes themselves.

    A fraction has no closing zeros there, so that equal values have equal hashes, whatever their
    columns' types, scales and character sets. Text that has no equal in UTF-8 is hashed as the
    bytes that it is, not as a question mark.
    """
    quoted, text = column.quoted, exact_text(column)
    if column.data_type in BINARIES:
        return as_bytes(quoted)
    is_time = column.data_type in {*DATES, "time"}
    if column.scale if column.data_type == "decimal" else is_time and "(" in column.column_type:
        text = f"trim(trailing '.' from trim(trailing '0' from {text}))"
    return choice([inexact(column)], as_bytes(quoted), as_bytes(text))


def is_number(column: Column) -> bool:
    """Whether a value's text is a literal of MySQL's as it stands."""
    return column.data_type in {*INTEGERS, "bit", "decimal", "float", "double", "year"}


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


def inexact(column: Column) -> str:
    """The condition that a value's characters have no equal in UTF-8; empty if all have.

    MySQL puts a question mark in their place and says nothing. [MySQL: CONVERT()]
    """
    if column.charset is None or column.charset in _EXACT:
        return ""
    back = as_bytes(f"convert({exact_text(column)} using {column.charset})")
    return f"{back} <> {as_bytes(column.quoted)}"


def choice(conditions: list[str], then: str, otherwise: str) -> str:
    """Write a choice, if there is any condition."""
    condition = " or ".join(filter(None, conditions))
    return f"if({condition}, {then}, {otherwise})" if condition else otherwise
