"""Masked columns: a hash leaves MySQL instead of the value, and a keyed hash of it lands.

Two steps, because each alone would leak. MySQL answers SHA-256 of the value, so that the value
itself never leaves it, not even in an error; but anybody could hash a list of addresses and
compare. The loader makes HMAC-SHA256 of that with the salt, which nobody can without it; MySQL
cannot do this, because the salt would be in the text of a statement, and so in its logs and in
`loader plan`. [MySQL: SHA2(), The General Query Log]
"""

import hmac
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from loader.declared.tables import Table
from loader.errors import ConfigError, SourceError
from loader.source.copytext import NULL, SEPARATOR
from loader.source.read_plan import ReadPlan

SETTING = "LOADER_MASK_SALT"
Masking = Callable[[Iterable[list[bytes]]], Iterator[list[bytes]]]


def masking(table: Table, read: ReadPlan, salt: str) -> Masking:
    """Make the step that puts the salt into a table's hashes, batch by batch.

    Rows of a table without any pass as they are, at no cost.

    Raises:
        ConfigError: there is no salt; names table, columns and setting.
        SourceError: by the step, of a row whose values cannot be told apart.
    """
    if not read.hashed:
        return iter
    if not salt:
        raise ConfigError(
            f"{table.place}: {SETTING} is not set, and `mask: hash` is declared "
            f"for {', '.join(read.hashed)}. No row was read.",
            f"Set {SETTING} to a secret of 16 characters or more, always the same one.",
        )
    places = [read.fields.index(name) for name in read.hashed]

    def masked(row: bytes) -> bytes:
        fields = row.split(SEPARATOR)
        if len(fields) != len(read.fields):
            raise SourceError(
                "A row holds the byte 0xFE, which no UTF-8 text does; nobody can tell which of its "
                "values are masked.",
                "Look for invalid bytes in the table's text columns.",
            )
        for place in places:
            if fields[place] != NULL:
                fields[place] = _keyed(salt, fields[place])
        return SEPARATOR.join(fields)

    def mask(batch: list[bytes]) -> list[bytes]:
        batch[:] = map(masked, batch)  # in place: a row may be many megabytes
        return batch

    return partial(map, mask)


def _keyed(salt: str, value: bytes) -> bytes:
    key = salt.encode(errors="surrogateescape")  # the bytes that the environment holds
    return hmac.digest(key, value, "sha256").hex().encode()


def salt_id(read: ReadPlan, salt: str) -> str | None:
    """Identify a salt without giving it away; None for a table that uses none."""
    return _keyed(salt, b"salt_id")[:16].decode() if read.hashed else None
