"""COPY from a manifest, read as Redshift reads it. [Redshift: COPY; Data conversion parameters]."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import zstandard

from standin.dialect import NAME, RELATION

_OPTIONS = {
    # option: what follows it
    "manifest": None, "zstd": None, "delimiter": "string", "escape": None, "csv": None,
    "null": "string",
    "dateformat": "string", "timeformat": "string", "maxerror": "number",
    "compupdate": "word", "statupdate": "word",
}  # fmt: skip
_STATEMENT = re.compile(
    rf"(?is)copy\s+(?P<relation>{RELATION})\s*\((?P<columns>(?:{NAME}\s*,?\s*)*)\)"
    r"\s*from\s+(?P<source>'(?:[^'\\]|''|\\.)*')\s*(?P<rest>.*)"
)
_TOKEN = re.compile(r"'(?:[^'\\]|''|\\.)*'|\S+")


class CopyError(Exception):
    """COPY refuses.

    Attributes:
        detail: the row of sys_load_error_detail, if a row of the data is at fault.
    """

    def __init__(self, text: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A COPY as it was written."""

    relation: str
    columns: tuple[str, ...]
    bucket: str
    manifest: str
    is_csv: bool
    null: str

    @property
    def statement(self) -> str:
        """What PostgreSQL is sent in its place."""
        names = ", ".join('"' + name.replace('"', '""') + '"' for name in self.columns)
        return f"copy {self.relation} ({names}) from stdin"


def parse(statement: str, role: str) -> Copy:
    """Read a COPY.

    Args:
        role: the role that the stand-in has.

    Raises:
        CopyError: an option that is unknown, hides a loss, or is not there and must be.
    """
    found = _STATEMENT.match(statement.strip())
    if not found:
        raise CopyError("the stand-in knows only COPY t (columns) FROM 's3://...' ...")
    tokens = _TOKEN.findall(found["rest"])
    options = dict[str, str]()
    while tokens:
        word = tokens.pop(0).lower()
        if word == "iam_role":
            options[word] = _string(tokens.pop(0))
        elif word not in _OPTIONS:
            # Such as those that hide a loss (TRUNCATECOLUMNS, ...), or carry a secret.
            raise CopyError(f"the stand-in does not know the option {word.upper()}")
        else:
            if tokens and tokens[0].lower() == "as":
                tokens.pop(0)
            options[word] = _string(tokens.pop(0)) if _OPTIONS[word] else "on"
    if options.get("iam_role") != role:
        raise CopyError("COPY needs IAM_ROLE, and the role is to be attached to the cluster")
    if "csv" in options and "escape" in options:
        raise CopyError("CSV is not compatible with ESCAPE")
    of_form = ("csv",) if "csv" in options else ("delimiter", "escape")
    for needed in ("manifest", "zstd", "null", *of_form):
        if needed not in options:
            raise CopyError(f"the stand-in reads what is staged with {needed.upper()} only")
    if int(options.get("maxerror", "0")):
        raise CopyError("the option MAXERROR above 0 hides a loss")
    if options.get("timeformat") != "auto":
        raise CopyError("without TIMEFORMAT 'auto' fractions of a second are lost")
    if options.get("delimiter", "\t") != "\t":
        raise CopyError("the stand-in reads fields that tabs separate")
    place = urlsplit(_string(found["source"]))
    if place.scheme != "s3":
        raise CopyError("COPY reads s3:// only here")
    return Copy(
        relation=found["relation"].lower(),
        columns=tuple(_bare(name) for name in re.findall(NAME, found["columns"])),
        bucket=place.netloc,
        manifest=place.path.lstrip("/"),
        is_csv="csv" in options,
        null=options["null"],
    )


def _bare(name: str) -> str:
    return (name[1:-1].replace('""', '"') if name.startswith('"') else name).lower()


def _string(token: str) -> str:
    """The text of a literal, whose backslashes PostgreSQL 8.0's lexer has resolved."""
    if not token.startswith("'"):
        return token
    text = token[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda found: {"t": "\t", "n": "\n"}.get(found[1], found[1]), text)


def files(copy: Copy, client: Any) -> Iterator[tuple[str, bytes]]:
    """Read the manifest's files, each with its address.

    Raises:
        CopyError: a file, or the manifest, is not there; an entry is not mandatory.
    """
    manifest = json.loads(_get(client, copy.bucket, copy.manifest))
    for entry in manifest["entries"]:
        if entry.get("mandatory") is not True:
            raise CopyError(f"{entry['url']} is not mandatory: COPY would skip it in silence")
        place = urlsplit(entry["url"])
        data = _get(client, place.netloc, place.path.lstrip("/"))
        try:
            yield entry["url"], decompressed(data)
        except zstandard.ZstdError:
            raise CopyError(f"Invalid or incomplete ZSTD data in {entry['url']}") from None


def decompressed(data: bytes) -> bytes:
    """Read a staged file's text.

    Raises:
        zstandard.ZstdError: it is damaged, or not whole.
    """
    reader = zstandard.ZstdDecompressor().decompressobj()
    text = reader.decompress(data)
    if not reader.eof:
        raise zstandard.ZstdError("it is not whole")
    return text


def _get(client: Any, bucket: str, key: str) -> bytes:
    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except client.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        raise CopyError(f"S3ServiceException: Error {code}, s3://{bucket}/{key}") from None


def to_postgres(copy: Copy, url: str, data: bytes, types: Mapping[str, tuple[str, int]]) -> bytes:
    """Read delimited text with ESCAPE, or CSV, and write PostgreSQL's text form.

    Args:
        types: each column's type and, for text and bytes, its longest value in bytes.

    Raises:
        CopyError: a row does not fit; it has the row's detail.
    """
    lines = []
    limits = [(name, *types[name]) for name in copy.columns]
    if not copy.is_csv and any(kind == "varbyte" for _, kind, _ in limits):
        raise CopyError("VARBYTE is loaded from CSV, Parquet and ORC only")
    for number, (size, fields) in enumerate(_rows(data, copy), 1):
        if size > _ROW_BYTES:
            raise _bad(copy, url, number, copy.columns[0], 1216, "Input row is larger than 4 MB")
        if len(fields) != len(copy.columns):
            raise _bad(copy, url, number, copy.columns[-1], 1202, "Extra column(s) found")
        out = []
        for (name, kind, longest), value in zip(limits, fields, strict=True):
            # Between two delimiters is nothing. [Redshift: Data conversion parameters, EMPTYASNULL]
            is_empty = value == b"" and not copy.is_csv and kind not in _TEXTS
            if value is None or is_empty:
                out.append(b"\\N")
                continue
            if kind == "varchar" and len(value) > longest:
                raise _bad(copy, url, number, name, 1204, "String length exceeds DDL length")
            if kind == "varbyte":
                if len(value) > 2 * longest:
                    raise _bad(copy, url, number, name, 1204, "String length exceeds DDL length")
                if not re.fullmatch(rb"(?:[0-9A-Fa-f]{2})*", value):
                    raise _bad(copy, url, number, name, 1220, "Invalid hexadecimal digit")
                value = b"\\x" + value
            elif kind in _FORMS and not _FORMS[kind].fullmatch(value):
                raise _bad(copy, url, number, name, 1206, f"Invalid {kind} format - {value!r:.60}")
            out.append(_escape(value))
        lines.append(b"\t".join(out))
    return b"".join(line + b"\n" for line in lines)


_FORMS = {
    "smallint": re.compile(rb"-?\d{1,5}"),
    "integer": re.compile(rb"-?\d{1,10}"),
    "bigint": re.compile(rb"-?\d{1,19}"),
    "numeric": re.compile(rb"-?\d*\.?\d*"),
    "date": re.compile(rb"\d{4}-\d\d-\d\d"),
    # Without a time it is midnight. [Redshift: Using automatic recognition with DATEFORMAT and ...]
    "timestamp": re.compile(rb"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d{1,6})?)?"),
}
_TEXTS = ("varchar", "character")
_ROW_BYTES = 4_194_304
_FIELD = re.compile(rb"((?:[^\\\t\n]|\\.)*)(\t|\n)", re.DOTALL)
_CSV_FIELD = re.compile(rb'(?:"([^"]*(?:""[^"]*)*)"|([^",\n]*))(,|\n)')


def _rows(data: bytes, copy: Copy) -> Iterator[tuple[int, list[bytes | None]]]:
    """Split into rows, each with its size, and fields; NULL is None."""
    if copy.is_csv:
        yield from _csv_rows(data, copy.null.encode())
        return
    null = copy.null.encode()
    if b"\\" not in data.replace(null, b""):
        for line in data.split(b"\n")[:-1]:
            yield len(line) + 1, [None if field == null else field for field in line.split(b"\t")]
        return
    row: list[bytes | None] = []
    begun = 0
    for found in _FIELD.finditer(data):  # a backslash makes any character data
        field = found[1]
        if field == null:
            row.append(None)
        else:
            row.append(re.sub(rb"\\(.)", rb"\1", field, flags=re.DOTALL))
        if found[2] == b"\n":
            yield found.end() - begun, row
            row, begun = [], found.end()


def _csv_rows(data: bytes, null: bytes) -> Iterator[tuple[int, list[bytes | None]]]:
    """Split CSV. Whether a value in quotes may be NULL is not said: here it is, if it is alike."""
    row: list[bytes | None] = []
    begun = at = 0
    for found in _CSV_FIELD.finditer(data):
        quoted, bare, end = found.groups()
        if found.start() != at or bare not in (None, null):
            raise CopyError("the stand-in reads CSV whose values are all in quotes, but NULL")
        value = null if quoted is None else quoted.replace(b'""', b'"')
        row.append(None if value == null else value)
        at = found.end()
        if end == b"\n":
            yield at - begun, row
            row, begun = [], at


def _escape(value: bytes) -> bytes:
    for special, escaped in ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r")):
        if special in value:
            value = value.replace(special, escaped)
    return value


def _bad(copy: Copy, url: str, line: int, column: str, code: int, text: str) -> CopyError:
    table = copy.relation.split(".")[-1].strip('"')
    return CopyError(
        f"Load into table '{table}' failed. Check 'sys_load_error_detail' for details.",
        {
            "table_name": table, "file_name": url, "line_number": line, "column_name": column,
            "error_code": code, "error_message": text,
        },
    )  # fmt: skip
