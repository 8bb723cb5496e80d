"""What a declaration may say, and what a column's says of its values: how they land, or not."""

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from loader.errors import ConfigError, did_you_mean

Known: TypeAlias = Mapping[str, tuple[Callable[[Any], bool], str]]
"""The keys of a declaration: whether a value is right, and what to write if not."""


def one_of(*known: str | bool) -> tuple[Callable[[Any], bool], str]:
    """Make the check of a key that takes some values only, and what to write if not."""
    names = ", ".join(str(each).lower() for each in known)
    return (
        lambda value: any(value == each and type(value) is type(each) for each in known),
        f"Use one of: {names}; in quotes if it means something to YAML.",
    )


FOR_ALL: Known = {"on_unrepresentable": one_of("fail", "null", "strip", "truncate")}
"""What a table, or the source for all its tables, may say of columns that say nothing."""
_KNOWN: Known = {
    "on_unrepresentable": one_of("fail", "null", "strip", "truncate", "text"),
    "mask": one_of("hash", "drop", "none"),
    "exclude": (lambda value: isinstance(value, bool), "Write true or false."),
}
_MAY_DECLARE = {"cursor": (), "deleted": ("null", "strip", "truncate", "text"),
                "primary_key": ("hash", "text")}  # fmt: skip
"""What leaves the values of a column as the loader and the models need them; equal keys have equal
hashes, and windows are cut by the cursor."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a column declares of its values.

    Attributes:
        on_unrepresentable: what to do with a value that the warehouse cannot hold; empty where
            nothing is declared.
        mask: `hash`, `drop`, or `none` for values that land as they are although they are
            personal; empty where nothing is declared.
        exclude: whether the column is of no use in the warehouse.
        pii: whether its values are personal; such a column lands only if a policy says how.
    """

    on_unrepresentable: str = ""
    mask: str = ""
    exclude: bool = False
    pii: bool = False

    @property
    def is_left_out(self) -> bool:
        """Whether the column is never read."""
        return self.exclude or self.mask == "drop"

    @property
    def changes(self) -> list[str]:
        """What it declares that lands values other than they are."""
        declared = self.on_unrepresentable, self.mask, "exclude" if self.exclude else ""
        return [each for each in declared if each not in ("fail", "none", "")]


def meta_of(declared: Mapping[str, Any]) -> dict[str, Any]:
    """What a table or column declares as `meta`, under `config:` or plainly.

    dbt takes both; the former is newer and wins. [dbt: meta]
    """
    config = declared.get("config")
    places = (declared.get("meta"), config.get("meta") if isinstance(config, dict) else None)
    return {key: value for meta in places if isinstance(meta, dict) for key, value in meta.items()}


def loader_of(declared: Mapping[str, Any]) -> dict[str, Any]:
    """What a table or column declares for the loader, `meta: loader:`; empty without."""
    loader = meta_of(declared).get("loader")
    return loader if isinstance(loader, dict) else {str(loader): None} if loader else {}


def check_keys(where: str, declared: Mapping[str, Any], known: Known) -> None:
    """Refuse a key that nobody knows, and a value that is not right for its key.

    Raises:
        ConfigError: names the place, the key and the value, of which aliases could make more than
            memory holds.
    """
    for key, value in declared.items():
        if key not in known:
            raise ConfigError(
                f"{where}: meta.loader has no key {reprlib.repr(key).strip(chr(39))}.",
                f"{did_you_mean(str(key), known)}Known keys: {', '.join(known)}.",
            )
        is_right, remedy = known[key]
        if not is_right(value):
            raise ConfigError(f"{where}: {key} is {reprlib.repr(value)}.", remedy)


def column_policies(where: str, declared: Mapping[str, Any]) -> dict[str, Policy]:
    """Read and check the policies of a table's columns, by name in lower case.

    Args:
        where: the table, for messages.
        declared: the table's declaration.

    Raises:
        ConfigError: a key or value is unknown, or a column declares what cannot go together;
            names table and column.
    """
    policies = dict[str, Policy]()
    for column in declared.get("columns") or []:
        name = str(column.get("name")).lower()
        place, loader = f"{where}, column {name}", loader_of(column)
        pii = meta_of(column).get("pii", False)
        check_keys(place, {**loader, "pii": pii}, {**_KNOWN, "pii": _KNOWN["exclude"]})
        if name in policies:
            raise ConfigError(f"{place} is declared twice.", "Keep one of them.")
        policies[name] = policy = Policy(pii=pii, **loader)
        if len(policy.changes) > 1:
            both = " and ".join(policy.changes)
            raise ConfigError(
                f"{place} declares {both}, and one makes the other idle.", "Keep one."
            )
    for key, allowed in _MAY_DECLARE.items():
        named = loader_of(declared).get(key) or []
        for name in [named] if isinstance(named, str) else named:
            for change in policies.get(name.lower(), Policy()).changes:
                if change not in allowed:
                    raise ConfigError(
                        f"{where}, column {name.lower()} is the table's {key}, so it cannot "
                        f"declare {change}.",
                        "Take that out, or name another column; `mask: none` lands personal "
                        "values as they are, and a key may be hashed.",
                    )
    return policies
