"""The warehouse's target, from the same dbt profile that dbt itself uses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from loader.declared.jinja import render
from loader.declared.settings import THIS_MACHINE
from loader.declared.yaml_file import read_yaml
from loader.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One target of a dbt profile, rendered.

    Attributes:
        target: its name.
        type: the adapter, `postgres` or `redshift`.
        schema: the target's schema, which decides the prefix of all others.
        output: every key of the target, passwords included; never shown.
    """

    target: str
    type: str
    schema: str
    output: Mapping[str, Any] = field(repr=False)

    @property
    def place(self) -> str:
        """Name the warehouse for messages."""
        output = self.output
        database = output.get("dbname") or output.get("database")
        return f"{self.type} {output.get('host')}:{output.get('port')}/{database}"


def target_name(project_dir: Path, target: str | None) -> str:
    """Name the target that dbt would take: the given one, DBT_TARGET, or the profile's default.

    Raises:
        ConfigError: there is no profile.
    """
    if chosen := target or os.environ.get("DBT_TARGET"):
        return chosen
    _, profile = _read(project_dir)
    return str(_render("target", profile.get("target", "default"), os.environ))


def load_profile(project_dir: Path, target: str, env: Mapping[str, str]) -> Profile:
    """Render one target as dbt does: Jinja with `env_var`, and nothing else.

    Args:
        env: the variables that hold for the target.

    Raises:
        ConfigError: no such profile or target, a variable it needs is not set, or it would connect
            to another machine's PostgreSQL without TLS that verifies. (dbt-redshift does by
            default. [PostgreSQL: libpq, "SSL Mode Descriptions"])
    """
    name, profile = _read(project_dir)
    outputs = profile.get("outputs", {})
    if target not in outputs:
        raise ConfigError(
            f"Profile {name} has no target {target}.", f"Known targets: {', '.join(outputs)}."
        )
    output = {key: _render(key, value, env) for key, value in outputs[target].items()}
    adapter = output.get("type")
    if adapter not in ("postgres", "redshift"):
        raise ConfigError(
            f"Target {target} of profile {name} is of type {adapter!r}.",
            "The loader lands in postgres and redshift.",
        )
    host = output.get("host")
    if adapter == "postgres" and not output.get("sslmode") and host not in THIS_MACHINE:
        raise ConfigError(
            f"Target {target} of profile {name} sets no sslmode, and without one nobody verifies "
            f"that {host} is who it says.",
            "Set sslmode to verify-full; to another one of libpq's only if that is meant.",
        )
    return Profile(target=target, type=adapter, schema=str(output.get("schema", "")), output=output)


def render_schema(schema: str, profile: Profile) -> str:
    """Render a source's schema as dbt does, with `target` at hand."""
    return str(render("schema", schema, {"target": {**profile.output, "name": profile.target}}))


def _read(project_dir: Path) -> tuple[str, dict[str, Any]]:
    """Find the project's profile where dbt would.

    [dbt: Connection profiles, "Advanced: Customizing a profile directory"]
    """
    project = project_dir / "dbt_project.yml"
    if not project.exists():
        raise ConfigError(
            f"{project_dir} is not a dbt project.", "Run the loader in the project's root."
        )
    name = read_yaml(project).get("profile")
    folders = [project_dir, Path.home() / ".dbt"]
    if chosen := os.environ.get("DBT_PROFILES_DIR"):
        folders = [Path(chosen)]
    for folder in folders:
        file = folder / "profiles.yml"
        if file.exists():
            profiles = read_yaml(file)
            if name not in profiles:
                raise ConfigError(f"{file} has no profile {name}.", "See profiles.yml.example.")
            return name, profiles[name]
    raise ConfigError(
        f"No profiles.yml in {' or '.join(str(folder) for folder in folders)}.",
        "Run `make demo`, or copy profiles.yml.example to profiles.yml.",
    )


def _env_var(env: Mapping[str, str], name: str, default: str | None = None) -> str:
    """Be dbt's `env_var`: the variable, else the default, else an error."""
    value = env.get(name, default)
    if value is None:
        raise ConfigError(
            f"profiles.yml asks for the environment variable {name}.", "Set it and run again."
        )
    return value


def _render(key: str, value: Any, env: Mapping[str, str]) -> Any:
    """Render what a key holds, to the bottom."""
    if isinstance(value, dict):
        return {name: _render(name, each, env) for name, each in value.items()}
    if isinstance(value, list):
        return [_render(key, each, env) for each in value]
    if not isinstance(value, str):
        return value
    return render(key, value, {"env_var": partial(_env_var, env)})
