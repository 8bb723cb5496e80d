"""The YAML files of a dbt project, read as dbt reads them."""

from pathlib import Path
from typing import Any

import yaml

from loader.errors import ConfigError

# libyaml's, as dbt's: reading a project's declarations took PyYAML's own a tenth of a second.
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a mapping; anything else is an empty one.

    Raises:
        ConfigError: it is not YAML; says where, without the line's text, which may be a password.
    """
    try:
        content = yaml.load(file.read_text(), _LOADER)  # noqa: S506 - safe in both
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}, line {mark.line + 1}" if mark else file
        raise ConfigError(
            f"{place}: {getattr(error, 'problem', None) or 'this is not YAML'}.",
            "Mend it; text that begins with a sign such as @ or % stands in quotes.",
        ) from None
    return content if isinstance(content, dict) else {}
