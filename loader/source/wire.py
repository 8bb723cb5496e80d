"""Rows out of MySQL's answer as fast as they arrive: cut from the network's buffer.

A cursor makes objects of every row, and takes ten times as long as the server. Here a row is one
string that the server has joined, and Python only looks where it begins and ends. A packet is its
length in three bytes, its number in one, and what it carries; a string is preceded by its length.
[MySQL: Client/Server Protocol, "MySQL Packets" and "Text Resultset Row"]

The buffer is the driver's own. `is_readable` says whether it is one that this was tested with; for
any other, `mysql.stream` takes the driver's cursor, and the same bytes are staged.
"""

import struct
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, TypeAlias

import pymysql
from pymysql.constants import CR
from pymysql.cursors import Cursor, SSCursor

Source: TypeAlias = "pymysql.Connection[Cursor]"
Row: TypeAlias = bytes | None
"""A row as the server joined it; None where it may not build so long a string."""
BATCH_BYTES = 1 << 18
"""A batch ends with the row that fills it: the rows decide, not how they happen to arrive."""

_TESTED = ((1, 1), (1, 2))  # the driver's versions
_RECEIVE = 1 << 18
_HEADER = 4
_END = 9  # bytes of the shortest packet that ends the rows
_LONGEST = (1 << 24) - 1  # what a packet of this length carries goes on in the next one
# What the first byte says if it is not a length itself: nothing, how many bytes the length takes
# (and the last of these, in a short packet, that the rows end), an error.
_NULL, _TWO, _THREE, _EIGHT, _ERROR = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF
_PREFIX = {_TWO: 3, _THREE: 4, _EIGHT: 9}
_two_bytes = struct.Struct("<H").unpack_from
_four_bytes = struct.Struct("<I").unpack_from


def joined_rows(connection: Source, statement: str) -> Iterator[list[Row]]:
    """Run a statement that selects one string, and read its rows in batches.

    Raises:
        pymysql.err.Error: the server ended the statement, or the connection broke.
    """
    return (_cut_rows if is_readable(connection) else _fetched_rows)(connection, statement)


def rows(connection: Source, statement: str) -> Iterator[tuple[bytes | None, ...]]:
    """Run a statement and read its rows one by one, by nothing but what the driver promises.

    Raises:
        pymysql.err.Error: the server ended the statement, or the connection broke.
    """
    cursor = SSCursor(connection)
    cursor.execute(statement)
    yield from cursor.fetchall_unbuffered()
    cursor.close()


def hang_up(connection: Source) -> None:
    """Leave in the middle of an answer; the driver would read the rest of the table first."""
    if result := getattr(connection, "_result", None):
        result.unbuffered_active = False
    if connection.open:
        connection.close()


def is_readable(connection: Source) -> bool:
    """Whether the driver keeps what arrives where it did when this was tested."""
    return (
        pymysql.VERSION[:2] in _TESTED
        and isinstance(getattr(connection, "_rfile", None), BufferedReader)
        and isinstance(getattr(connection, "_next_seq_id", None), int)
    )


def _fetched_rows(connection: Source, statement: str) -> Iterator[list[Row]]:
    """Do without the buffer: the same batches, slowly."""
    batch, room = list[Row](), BATCH_BYTES
    for (row,) in rows(connection, statement):
        batch.append(row)
        room -= _size(row)
        del row  # it may be many megabytes
        if room <= 0:
            yield batch
            batch, room = [], BATCH_BYTES
    if batch:
        yield batch


def _size(row: Row) -> int:
    """How many bytes a row takes on the wire."""
    length = 0 if row is None else len(row)
    prefix = 1 if length < _NULL else 3 if length < 1 << 16 else 4 if length < 1 << 24 else 9
    return _HEADER + prefix + length


def _cut_rows(connection: Source, statement: str) -> Iterator[list[Row]]:
    connection.query(statement, unbuffered=True)
    driver: Any = connection
    arriving: BufferedReader = driver._rfile
    number: int = driver._next_seq_id
    buffer, position = b"", 0
    batch, room = list[Row](), BATCH_BYTES
    while True:
        cut, after = _cut(buffer, position, room)
        number = (number + len(cut)) % 256
        batch += cut
        room -= after - position
        position = after
        if room > 0:
            missing = _missing(buffer, position, number)
            if not missing:
                break
            if missing > BATCH_BYTES:
                packets = _long_row(arriving, buffer[position:], missing, batch)
                number = (number + packets) % 256
                buffer, position, room = b"", 0, 0
            else:
                buffer, position = buffer[position:] + _receive(arriving), 0
        if room <= 0:
            yield batch
            batch, room = [], BATCH_BYTES
    driver._result.unbuffered_active = False  # or the driver would wait for the end again
    if batch:
        yield batch


def _cut(buffer: bytes, position: int, room: int) -> tuple[list[Row], int]:
    """Cut whole rows off, until they have filled the room or no other is whole.

    Every row goes through this loop. It goes by the string's length; the packet's, which says the
    same, and its number are looked at once a buffer, in `_missing`.

    Returns:
        The rows, and where the packet after them begins.
    """
    rows = list[Row]()
    add, end = rows.append, len(buffer)
    stop = min(position + room, end - _END + 1)
    begin = position
    while position < stop:
        begin = position
        kind = buffer[position + _HEADER]
        text = position + 5
        if kind < _NULL:
            position = text + kind
            add(buffer[text:position])
        elif kind == _TWO:
            position += 7 + _two_bytes(buffer, text)[0]
            add(buffer[begin + 7 : position])
        elif kind == _THREE:
            position += 8 + (_four_bytes(buffer, position + 4)[0] >> 8)
            add(buffer[begin + 8 : position])
        elif kind == _NULL:
            position += 5
            add(None)
        else:
            break
    if position > end:  # the last one is not whole
        rows.pop()
        return rows, begin
    return rows, position


def _missing(buffer: bytes, position: int, number: int) -> int:
    """How many bytes of a packet have not arrived yet; 0 for the one that ends the rows.

    Args:
        number: what its number must be.

    Raises:
        pymysql.err.Error: it is an error, or not the next packet.
    """
    arrived = len(buffer) - position
    if arrived < _END:
        return _END - arrived  # there is always as much to come
    header = _four_bytes(buffer, position)[0]
    if header >> 24 != number:
        raise _lost("a packet is missing")
    missing = max(_HEADER + (header & _LONGEST) - arrived, 0)
    if not missing and buffer[position + _HEADER] == _ERROR:
        pymysql.err.raise_mysql_exception(buffer[position + _HEADER :])
    return int(missing)


def _long_row(arriving: BufferedReader, begun: bytes, missing: int, batch: list[Row]) -> int:
    """Read the rest of a row that is longer than a batch; returns how many packets it took."""
    length = _four_bytes(begun)[0] & _LONGEST
    parts, packets = [begun, _receive(arriving, missing)], 1
    while length == _LONGEST:
        length = _four_bytes(_receive(arriving, _HEADER))[0] & _LONGEST
        parts.append(_receive(arriving, length) if length else b"")
        packets += 1
    row = b"".join(parts)
    parts.clear()
    batch.append(row[_HEADER + _PREFIX[row[_HEADER]] :])
    return packets


def _receive(arriving: BufferedReader, length: int = 0) -> bytes:
    """Wait for so many bytes; without a length for some, whatever comes first."""
    try:
        received = arriving.read(length) if length else arriving.read1(_RECEIVE)
    except OSError as error:
        raise _lost(str(error)) from None
    if len(received) < (length or 1):
        raise _lost("the server has hung up")
    return received


def _lost(why: str) -> pymysql.err.OperationalError:
    return pymysql.err.OperationalError(
        CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query ({why})"
    )
