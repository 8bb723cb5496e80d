"""Masked columns: a hash leaves MySQL instead of the value, and a keyed hash of it lands.

Two steps, because each alone would leak. MySQL answers SHA-256 of the value, so that the value
itself never leaves it, not even in an error; but anybody could hash a list of addresses and
compare. The loader makes HMAC-SHA256 of that with the salt, which nobody can without it; MySQL
cannot do this, because the salt would be in the text of a statement, and so in its logs and in
`loader plan`. [MySQL: SHA2(), The General Query Log]
"""

import hmac
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

from loader.declared.tables import Table
from loader.errors import ConfigError
from loader.source.copytext import NULL, SEPARATOR
from loader.source.read_plan import ReadPlan
from loader.warehouse.ledger import Load

SETTING = "LOADER_MASK_SALT"
Masking = Callable[[Iterable[list[bytes]]], Iterator[list[bytes]]]


def masking(table: Table, read: ReadPlan, salt: str) -> Masking:
    """Make the step that puts the salt into a table's hashes, batch by batch.

    Rows of a table without any pass as they are, at no cost.

    Raises:
        ConfigError: there is no salt; names table, columns and setting.
    """
    if not read.hashed:
        return iter
    if not salt:
        raise ConfigError(
            f"{table.database}.{table.source}: {SETTING} is not set, and `mask: hash` is declared "
            f"for {', '.join(read.hashed)}. No row was read.",
            f"Set {SETTING} to a secret of 16 characters or more, always the same one.",
        )
    key, width = _bytes(salt), len(read.fields)
    places = [read.fields.index(name) for name in read.hashed]

    def mask(batches: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
        for batch in batches:
            batch[:] = [_masked(row, places, width, key) for row in batch]
            yield batch

    return mask


def _masked(row: bytes, places: Sequence[int], width: int, key: bytes) -> bytes:
    fields = row.split(SEPARATOR)
    if len(fields) == width:  # or it is refused by name, a step later
        for place in places:
            if fields[place] != NULL:
                fields[place] = _keyed(key, fields[place])
    return SEPARATOR.join(fields)


def _bytes(salt: str) -> bytes:
    return salt.encode(errors="surrogateescape")  # the bytes that the environment holds


def _keyed(key: bytes, value: bytes) -> bytes:
    return hmac.digest(key, value, "sha256").hex().encode()


def salt_id(read: ReadPlan, salt: str) -> str | None:
    """Tell one salt from another without telling the salt; None where it is not used.

    Nor are hashes alike of a column that an older loader hashed as MySQL shows it.
    """
    what = b"salt_id, unpadded" if read.unpadded else b"salt_id"
    return _keyed(_bytes(salt), what)[:16].decode() if read.hashed else None


def check_salt(load: Load, earlier: Sequence[Load]) -> None:
    """Refuse to land hashes beside those of another salt.

    Args:
        load: the one that begins; a landing of the whole table may change the salt.
        earlier: the table's loads, oldest first.

    Raises:
        ConfigError: no equal value would have an equal hash any more.
    """
    newest = next((each for each in reversed(earlier) if each.outcome == "landed"), None)
    was = newest.salt_id if newest else None
    if load.salt_id and was not in (None, load.salt_id) and not load.window.is_whole:
        raise ConfigError(
            f"{load.table_name}: {SETTING} is not the one that its rows were masked with, or an "
            "older loader masked them, which made other hashes of fractions and padded numbers. No "
            "row was read.",
            f"Set it to the former value; or land the table whole (loader load --full-refresh "
            f"--select {shlex.quote(load.table_name)}), and all that are joined to it, and build "
            "anew (dbt build --full-refresh).",
        )
