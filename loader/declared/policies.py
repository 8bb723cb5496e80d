"""What a column's declaration says of its values: how they land, masked, or not at all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from loader.errors import ConfigError

UNREPRESENTABLE = ("fail", "null", "strip", "truncate", "text")
MASKS = ("hash", "drop", "none")
_KNOWN = ("on_unrepresentable", "mask", "exclude")
_NEEDED = (
    # What the loader and the models need the values of: key, name, why, remedy, and the policies
    # that would not leave them as they are, or not tell them apart any more.
    (
        "cursor",
        "cursor, which windows are cut by",
        "Declare `mask: none` for it, or another cursor, or none.",
        ("hash", "null", "strip", "truncate", "text"),
    ),
    (
        "deleted",
        "soft-delete flag, which models tell deleted rows by",
        "Declare `mask: none` for it, or no `deleted`.",
        ("hash",),
    ),
    (
        "primary_key",
        "primary key, which rows are told apart by",
        "Declare `mask: hash` for it: equal keys have equal hashes.",
        ("null", "strip", "truncate"),
    ),
)
_WAYS = "`mask: hash`, `mask: drop` or `exclude: true`; `mask: none` lands it as it is"

Wrong: TypeAlias = Callable[[str, str], ConfigError]
"""Makes the error of a wrong declaration, from a fact and its remedy; it names file and table."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a column declares of its values.

    Attributes:
        on_unrepresentable: what to do with a value that the warehouse cannot hold.
        mask: `hash`, `drop`, or `none` for values that land as they are although they are
            personal; empty where nothing is declared.
        exclude: whether the column is of no use in the warehouse.
        pii: whether its values are personal; such a column lands only if a policy says how.
    """

    on_unrepresentable: str = "fail"
    mask: str = ""
    exclude: bool = False
    pii: bool = False

    @property
    def is_hashed(self) -> bool:
        """Whether a hash lands instead of each value."""
        return self.mask == "hash"

    @property
    def is_left_out(self) -> bool:
        """Whether the column is never read."""
        return self.exclude or self.mask == "drop"


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


def column_policies(declared: Mapping[str, Any], wrong: Wrong) -> dict[str, Policy]:
    """Read and check the policies of a table's columns, by name in lower case.

    Raises:
        ConfigError: a key or value is unknown, or a column declares what cannot go together;
            names table and column.
    """
    policies = dict[str, Policy]()
    for column in declared.get("columns") or []:
        name = str(column.get("name")).lower()
        if name in policies:
            raise wrong(f"column {name} is declared twice.", "Keep one of them.")
        policies[name] = _policy(name, column, wrong)
    for key, use, remedy, refused in _NEEDED:
        named = loader_of(declared).get(key) or []
        for name in [named] if isinstance(named, str) else named:
            policy = policies.get(name.lower(), Policy())
            fact = f"column {name} is the {use}, so it cannot be"
            if policy.is_left_out:
                raise wrong(f"{fact} left out.", remedy)
            if policy.mask in refused:
                raise wrong(f"{fact} masked.", remedy)
            if policy.on_unrepresentable in refused:
                raise wrong(f"{fact} landed as another value.", "Declare no `on_unrepresentable`.")
    return policies


def _policy(name: str, column: Mapping[str, Any], wrong: Wrong) -> Policy:
    """Check one column's declaration."""
    loader = loader_of(column)
    if unknown := set(loader) - set(_KNOWN):
        raise wrong(
            f"column {name}: meta.loader has no key {', '.join(sorted(map(str, unknown)))}.",
            f"Known keys: {', '.join(_KNOWN)}.",
        )
    for key, known in (("on_unrepresentable", UNREPRESENTABLE), ("mask", MASKS)):
        if key in loader and loader[key] not in known:
            raise wrong(
                f"column {name}: {key} is {loader[key]!r}.",
                f"Use one of: {', '.join(known)}; in quotes if it means something to YAML.",
            )
    pii, exclude = meta_of(column).get("pii", False), loader.get("exclude", False)
    for key, value in (("pii", pii), ("exclude", exclude)):
        if not isinstance(value, bool):
            raise wrong(f"column {name}: {key} is {value!r}.", "Write true or false.")
    policy = Policy(pii=pii, **loader)
    declares = {
        "on_unrepresentable": policy.on_unrepresentable != "fail",
        "mask": policy.mask not in ("", "none"),
        "exclude": policy.exclude,
    }
    if sum(declares.values()) > 1:
        both = " and ".join(key for key, is_on in declares.items() if is_on)
        raise wrong(f"column {name} declares {both}, but one makes the other idle.", "Keep one.")
    return policy


def check_consent(where: str, policies: Mapping[str, Policy]) -> None:
    """Refuse a table with personal values of which nobody has said how they may land.

    Args:
        where: the table, for the message.

    Raises:
        ConfigError: names every such column.
    """
    if unsaid := [
        name
        for name, policy in policies.items()
        if policy.pii and not (policy.mask or policy.exclude)
    ]:
        raise ConfigError(
            f"{where}: marked `pii: true` without a policy: {', '.join(unsaid)}. No row was read.",
            f"Declare one under the column's `config: meta: loader:`: {_WAYS}.",
        )
