r"""Rows on their way: from the line that MySQL builds to the text that COPY reads.

MySQL joins a row into one value with bytes that no UTF-8 text holds, so nothing in the data can
be mistaken for them. COPY's text form is PostgreSQL's, which is also Redshift's
`DELIMITER '\t' ESCAPE NULL AS '\N'`: a backslash before a character that means something makes
it data. [PostgreSQL: COPY, "Text Format"; Redshift: COPY, "Data conversion parameters"] Of a
table with VARBYTE Redshift reads CSV. [Redshift: "Loading a column of the VARBYTE data type"]
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loader.errors import SourceError

SEPARATOR = b"\xfe"
NULL = b"\xff"
REFUSED = b"\xfd"  # precedes a value that the warehouse cannot hold
CHANGED = b"\xfb"  # precedes a value that a policy changed
ROW = b"\xfc"

_SPECIAL = (b"\\", b"\t", b"\n", b"\r")  # COPY takes them for data behind a backslash
# Where a mark may not be: a NULL that is not all of its field, a CHANGED that does not begin one.
# Each pattern begins with its mark, so that the search runs from one to the next.
_STRAY = {
    NULL: re.compile(rb"\xff(?:(?![\xfe\xfc])|(?<![\xfe\xfc\xfb]\xff)(?<!\A\xff))"),
    CHANGED: re.compile(rb"\xfb(?<![\xfe\xfc]\xfb)(?<!\A\xfb)"),
}
_PIECE = 1 << 16
_REMEDY = (
    "Mend the row in MySQL, or declare `on_unrepresentable` (null, strip, truncate or text) under "
    "the column's `config: meta: loader:`."
)
_KEY_REMEDY = (
    "Mend the row in MySQL, or declare `mask: hash` under the column's `config: meta: loader:`. To "
    "Redshift, keys that differ by blanks at their end alone are one, so none may end in a blank."
)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How COPY is to read rows.

    Attributes:
        row_bytes: the longest row that it takes; None for no limit that matters.
        null: what stands for NULL in CSV, which no value may be; empty for the text form.
    """

    row_bytes: int | None = None
    null: str = ""

    def ending(self, fields: Iterable[str]) -> bytes:
        """Write what ends every line: fields that are the same in all, and a newline."""
        written = "".join(f',"{field}"' if self.null else f"\t{field}" for field in fields)
        return f"{written}\n".encode()


def to_copy_text(
    rows: list[bytes],
    columns: Sequence[str],
    key: Sequence[str],
    suffix: bytes,
    form: Form = Form(),
) -> tuple[bytes, Counter[str]]:
    """Turn joined rows into COPY's text form, or into CSV.

    Many rows are one chunk, which C's loops run over; no row is looked at by itself.

    Args:
        rows: one value per row, its fields joined by SEPARATOR, NULL standing for no value. They
            are taken out of the list: a row may be many megabytes, and a copy of it is made.
        columns: the names of the fields, for messages.
        key: the names of the key's fields, for messages.
        suffix: what ends every line: the loader's own columns and a newline.

    Returns:
        The text, and how many values of each column a policy changed on the way.

    Raises:
        SourceError: a value cannot be held exactly, or a row is too long; names key and value.
    """
    changed = _checked(rows, columns, key)
    if form.row_bytes and 3 * sum(map(len, rows)) > form.row_bytes:  # quotes triple a row at most
        _check_lengths(rows, columns, key, suffix, form)
    text = _formed(rows, suffix, form)
    if not _is_utf8(text):
        raise _refusal(_rows_of(text, form), columns, key, "is not valid UTF-8")
    return text, changed


def _checked(rows: Sequence[bytes], columns: Sequence[str], key: Sequence[str]) -> Counter[str]:
    """Refuse what cannot land, and a mark where none may be; count what a policy changed."""
    chunk, why, mark = ROW.join((*rows, b"")), "", b""
    if chunk.count(ROW) != len(rows) or any(
        each in chunk and stray.search(chunk) for each, stray in _STRAY.items()
    ):
        why = "is not valid UTF-8"
    elif REFUSED in chunk:
        why, mark = "has no equal in the warehouse", REFUSED
    elif b"\0" in chunk:
        why, mark = "holds a NUL character", b"\0"
    if why:
        raise _refusal((row.split(SEPARATOR) for row in rows), columns, key, why, mark)
    if CHANGED not in chunk:
        return Counter()
    return Counter(  # slow, but few batches have any
        column
        for row in rows
        if CHANGED in row
        for column, value in zip(columns, row.split(SEPARATOR), strict=False)
        if value.startswith(CHANGED)
    )


def _formed(rows: list[bytes], suffix: bytes, form: Form) -> bytes:
    """Write rows as COPY reads them, by one loop over all after the other; takes them.

    In CSV every value but NULL stands in quotes, so that an empty one is no empty field.
    [Redshift: COPY, Data format parameters, "CSV"; Data conversion parameters, "EMPTYASNULL"]
    """
    chunk = ROW.join((*rows, b""))
    rows.clear()
    chunk = chunk.replace(CHANGED, b"")
    if form.null:
        chunk = chunk.replace(b'"', b'""').replace(SEPARATOR, b'","')
        chunk = b'"' + chunk.replace(ROW, b'"' + suffix + b'"')
        return chunk[:-1].replace(b'"' + NULL + b'"', form.null.encode())
    for special in _SPECIAL:
        if special in chunk:
            chunk = chunk.replace(special, b"\\" + special)
    chunk = chunk.replace(SEPARATOR, b"\t")  # one by one: no more than two copies at a time
    chunk = chunk.replace(NULL, b"\\N")
    return chunk.replace(ROW, suffix)


def _check_lengths(
    rows: Sequence[bytes], columns: Sequence[str], key: Sequence[str], suffix: bytes, form: Form
) -> None:
    """Refuse a row that is longer than COPY takes. [Redshift: COPY, "Data sources"]."""
    for row in rows:
        size = len(_formed([row], suffix, form))
        if size > (form.row_bytes or 0):
            fields = dict(zip(columns, row.split(SEPARATOR), strict=False))
            raise SourceError(
                f"{_named(fields, key)}: its row takes {size:,} bytes, of which COPY takes "
                f"{form.row_bytes:,} at most.",
                "Shorten a value in MySQL, or declare `exclude: true` for a column.",
            )


def _rows_of(text: bytes, form: Form) -> Iterator[list[bytes]]:
    """Cut COPY's text back into rows and their values."""
    shape: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "escapechar": "\\"}
    csv.field_size_limit(len(text))
    lines = io.StringIO(text.decode("latin-1"), newline="")  # a character for each byte
    for values in csv.reader(lines, **({} if form.null else shape)):
        yield [value.encode("latin-1") for value in values]


def _is_utf8(text: bytes) -> bool:
    """Whether bytes are UTF-8; decoded in pieces, because a decoded character takes four bytes."""
    if text.isascii():
        return True
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(text)
    try:
        for at in range(0, len(text), _PIECE):
            decoder.decode(view[at : at + _PIECE], final=at + _PIECE >= len(text))
    except UnicodeDecodeError:
        return False
    return True


def _refusal(
    rows: Iterable[list[bytes]],
    columns: Sequence[str],
    key: Sequence[str],
    why: str,
    mark: bytes = b"",
) -> SourceError:
    """Name the first value that cannot land, of rows cut into their values."""
    for values in rows:
        fields = dict(zip(columns, values, strict=False))
        for column, value in fields.items():
            held = value.removeprefix(CHANGED)
            if mark in value if mark else not (held == NULL or _is_utf8(held)):
                return SourceError(
                    f"{_named(fields, key)}: column {column} {why}: {_shown(value)[:80]!r}.",
                    _KEY_REMEDY if column in key else _REMEDY,
                )
    return SourceError(f"A value {why}.", "Look for invalid bytes in the table's text columns.")


def _named(fields: Mapping[str, bytes], key: Sequence[str]) -> str:
    found = ", ".join(f"{name} {_shown(fields[name])}" for name in key)
    return found.replace("\0", "\\0") or "a row"


def _shown(value: bytes) -> str:
    return value.removeprefix(REFUSED).decode(errors="replace")
