"""The YAML files of a dbt project, read as dbt reads them."""

import math
import re
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from loader.errors import ConfigError

# libyaml, where PyYAML has it, as dbt does: PyYAML's own parser takes 0.1 s more for a project.
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTED = re.compile(r" ?[\"'].*[\"']", re.DOTALL)
_GROWN = 5_000_000
"""How many characters more than it has a file may hold once its aliases are written out."""


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a mapping; anything else is an empty one.

    Raises:
        ConfigError: it cannot be read, or is not YAML; says in which line, where the parser knows,
            but nothing of its text, which may be a password. Or its aliases hold one another so
            often that whoever goes through what it says would not come to an end.
    """
    try:
        text = file.read_bytes()
        loader = _LOADER(text)
        node = loader.get_single_node()
        is_bounded = node is None or _size(node, {}) <= len(text) + _GROWN
        content = loader.construct_document(node) if node and is_bounded else None
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read: {error.strerror}.", "Mend that; dbt reads it too."
        ) from None
    # The others come of values that are none, such as the day 2026-02-30.
    except (yaml.YAMLError, ValueError, KeyError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}, line {mark.line + 1}" if mark else file
        told = [getattr(error, name, None) for name in ("context", "problem")]
        why = _QUOTED.sub(" …", ", ".join(filter(None, told)))
        raise ConfigError(
            f"{place}: {why or 'not YAML, or it holds a value, such as a day, that is none'}.",
            "Mend it; dbt reads it too. Text that begins with a sign such as @, % or ! stands in "
            "quotes.",
        ) from None
    if not is_bounded:
        raise ConfigError(
            f"{file}: its aliases hold one another, or themselves, so often that it has no size.",
            "Write out what they stand for; dbt reads it too.",
        )
    return content if isinstance(content, dict) else {}


def _size(node: Any, known: dict[int, float]) -> float:
    """How many characters a node takes with its aliases written out; infinite in a circle."""
    if isinstance(node.value, str):
        return len(node.value) + 1
    if id(node) not in known:
        known[id(node)] = math.inf  # until it is known
        is_mapping = isinstance(node, yaml.MappingNode)
        parts = chain.from_iterable(node.value) if is_mapping else node.value
        known[id(node)] = 1 + sum(_size(each, known) for each in parts)
    return known[id(node)]
