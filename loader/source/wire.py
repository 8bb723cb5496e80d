"""Rows out of MySQL's answer as fast as they arrive: cut from the network's buffer.

A cursor makes objects of every row, and takes ten times as long as the server. Here a row is one
string that the server has joined, and Python only looks where it begins and ends. A packet is its
length in three bytes, its number in one, and what it carries; a string is preceded by its length.
[MySQL: Client/Server Protocol, "MySQL Packets" and "Text Resultset Row"]

Short rows that have arrived whole are cut here. Everything else is left to the driver's cursor: a
row that has arrived in part, a long one, the end, an error. For a driver that this was not tested
with, the cursor reads all rows, and the same bytes are staged.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader
from typing import Any, TypeAlias

import pymysql
from pymysql.cursors import Cursor, SSCursor

from loader.errors import SourceError

Source: TypeAlias = "pymysql.Connection[Cursor]"
BATCH_BYTES = 1 << 18
"""A batch ends with the row that fills it: the rows decide, not how they happen to arrive."""

_TESTED = ((1, 1), (1, 2))  # the driver's versions
_BUFFER = 1 << 18
_HEADER = 4
_END = 9  # bytes of the shortest packet that ends the rows, so there is always as much to come
_ONE_BYTE, _TWO_BYTES = 0xFB, 0xFC  # below the first a byte is the length; the second: two follow
_two_bytes = struct.Struct("<H").unpack_from


def joined_rows(connection: Source, statement: str) -> Iterator[list[bytes]]:
    """Run a statement that selects one binary string, and read its rows in batches.

    Yields:
        Batches of at least `BATCH_BYTES` as the rows travel, but for the last.

    Raises:
        SourceError: MySQL answered NULL, as it does for a string beyond its max_allowed_packet.
        pymysql.err.Error: the server ended the statement, or the connection broke.
    """
    cursor = SSCursor(connection)
    try:
        yield from _batches(connection, cursor, statement)
    except BaseException:
        hang_up(connection)
        raise


def _batches(driver: Any, cursor: SSCursor, statement: str) -> Iterator[list[bytes]]:
    if is_cut := is_readable(driver):
        driver._rfile = BufferedReader(driver._rfile.detach(), _BUFFER)
    cursor.execute(statement)
    batch, room = list[bytes](), BATCH_BYTES
    while True:
        if is_cut:
            room -= _cut(driver, room, batch)
        if room > 0:
            if (row := _fetched(cursor)) is None:
                break
            batch.append(row)
            room -= _size(row)
            del row  # it may be many megabytes
        if room <= 0:
            yield batch
            batch, room = [], BATCH_BYTES
    if batch:
        yield batch


def is_readable(connection: Source) -> bool:
    """Whether the driver keeps what arrives where it did when this was tested."""
    return (
        pymysql.VERSION[:2] in _TESTED
        and isinstance(getattr(connection, "_rfile", None), BufferedReader)
        and isinstance(getattr(connection, "_next_seq_id", None), int)
    )


def hang_up(connection: Source) -> None:
    """Leave in the middle of an answer; the driver would read the rest of the table first."""
    if result := getattr(connection, "_result", None):
        result.unbuffered_active = False
    if connection.open:
        connection.close()


def _cut(driver: Any, room: int, batch: list[bytes]) -> int:
    """Take short rows out of the buffer, until they have filled the room or no other is whole.

    Every row goes through this loop. It goes by the string's length; the packet's, which says the
    same, and its number are looked at by the driver, at least once a buffer. Returns how many bytes
    they took.
    """
    buffer = b""
    with suppress(OSError):  # the driver says better why
        buffer = driver._rfile.peek()  # waits until something has arrived
    before, add, end = len(batch), batch.append, len(buffer)
    stop = min(room, end - _END + 1)
    position = begin = 0
    while position < stop:
        begin = position
        length = buffer[position + _HEADER]
        if length < _ONE_BYTE:
            text = position + _HEADER + 1
        elif length == _TWO_BYTES:
            text = position + _HEADER + 3
            length = _two_bytes(buffer, text - 2)[0]
        else:
            break
        position = text + length
        add(buffer[text:position])
    if position > end:  # the last one is not whole
        batch.pop()
        position = begin
    driver._rfile.read(position)
    driver._next_seq_id = (driver._next_seq_id + len(batch) - before) % 256
    return position


def _size(row: bytes) -> int:
    """How many bytes a row takes on the wire."""
    length = len(row)
    prefix = 1 if length < _ONE_BYTE else 3 if length < 1 << 16 else 4 if length < 1 << 24 else 9
    return _HEADER + prefix + length


def _fetched(cursor: SSCursor) -> bytes | None:
    """Have the driver read a row; None after the last."""
    fetched: Any = cursor.fetchone()
    if fetched == (None,):
        raise SourceError(
            "A row is longer than MySQL's max_allowed_packet lets it build.",
            "Raise max_allowed_packet on the server, or declare `exclude: true` for a column.",
        )
    row: bytes | None = fetched and fetched[0]
    if result := getattr(cursor, "_result", None):
        result.rows = None  # or a long row would be held until the next one is read
    return row
