"""The salt of masked columns stays the same from load to load."""

import shlex
from collections.abc import Sequence

from loader.errors import ConfigError
from loader.source.masking import SETTING
from loader.warehouse.ledger import Load


def check_salt(load: Load, earlier: Sequence[Load]) -> None:
    """Refuse to land hashes beside those of another salt.

    Args:
        load: the one that begins; a landing of the whole table may change the salt.
        earlier: the table's loads, oldest first.

    Raises:
        ConfigError: no equal value would have an equal hash any more.
    """
    landed = [each.salt_id for each in earlier if each.outcome == "landed"]
    changes = landed and landed[-1] not in (None, load.salt_id)
    if load.salt_id and changes and not load.window.is_whole:
        raise ConfigError(
            f"{load.table_name}: {SETTING} is not the one that its rows were masked with. No row "
            "was read.",
            f"Set it to the former value; or land the table whole (loader load --full-refresh "
            f"--select {shlex.quote(load.table_name)}), and all that are joined to it, and build "
            "anew (dbt build --full-refresh).",
        )
