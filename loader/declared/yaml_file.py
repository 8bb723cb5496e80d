"""The YAML files of a dbt project, read as dbt reads them."""

import re
from pathlib import Path
from typing import Any

import yaml

from loader.errors import ConfigError

# libyaml, where PyYAML has it, as dbt does: PyYAML's own parser takes 0.1 s more for a project.
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTED = re.compile(r" ?[\"'].*[\"']", re.DOTALL)


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a mapping; anything else is an empty one.

    Raises:
        ConfigError: it cannot be read, or is not YAML; says in which line, where the parser knows,
            but nothing of its text, which may be a password.
    """
    try:
        content = yaml.load(file.read_bytes(), _LOADER)  # noqa: S506 - it is a safe one
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read: {error.strerror}.", "Mend that; dbt reads it too."
        ) from None
    # The others come of values that are none, such as the day 2026-02-30.
    except (yaml.YAMLError, ValueError, KeyError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}, line {mark.line + 1}" if mark else file
        parts = [getattr(error, name, None) for name in ("context", "problem")]
        why = _QUOTED.sub(" …", ", ".join(filter(None, parts)))
        raise ConfigError(
            f"{place}: {why or 'not YAML, or it holds a value, such as a day, that is none'}.",
            "Mend it; dbt reads it too. Text that begins with a sign such as @, % or ! stands in "
            "quotes.",
        ) from None
    return content if isinstance(content, dict) else {}
