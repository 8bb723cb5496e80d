"""The warehouse's target, from the same dbt profile that dbt itself uses."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loader.declared.settings import THIS_MACHINE
from loader.declared.yaml_file import read_yaml
from loader.errors import ConfigError

_PLAIN = re.compile(
    r"\{\{ *env_var\( *'(?P<name>\w+)' *(, *'(?P<default>[^'\\]*)' *)?\) *"
    r"(?P<number>\| *as_number *)?\}\}"
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One target of a dbt profile, rendered.

    Attributes:
        target: its name.
        type: the adapter, `postgres` or `redshift`.
        output: every key of the target, passwords included; never shown.
    """

    target: str
    type: str
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
    """Read and render one target.

    Args:
        project_dir: the dbt project's root.
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
    adapter, host = output.get("type"), output.get("host")
    if adapter not in ("postgres", "redshift"):
        raise ConfigError(
            f"Target {target} of profile {name} is of type {adapter!r}.",
            "The loader lands in postgres and redshift.",
        )
    if adapter == "postgres" and not output.get("sslmode") and host not in THIS_MACHINE:
        raise ConfigError(
            f"Target {target} of profile {name} sets no sslmode, and without one nobody verifies "
            f"that {host} is who it says.",
            "Set sslmode to verify-full; to another one of libpq's only if that is meant.",
        )
    return Profile(target=target, type=adapter, output=output)


def render_schema(schema: str, profile: Profile) -> str:
    """Render a source's schema, with `target` at hand."""
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    try:
        template = SandboxedEnvironment(undefined=StrictUndefined).from_string(schema)
        return template.render(target={**profile.output, "name": profile.target})
    except TemplateError as error:
        raise ConfigError(
            f"The schema of the source cannot be rendered: {error}.", "Mend its Jinja."
        ) from None


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
    chosen = os.environ.get("DBT_PROFILES_DIR")
    folders = [Path(chosen)] if chosen else [project_dir, Path.home() / ".dbt"]
    for file in (folder / "profiles.yml" for folder in folders):
        if file.exists():
            profiles = read_yaml(file)
            if name not in profiles:
                raise ConfigError(f"{file} has no profile {name}.", "See profiles.yml.example.")
            return name, profiles[name]
    raise ConfigError(
        f"No profiles.yml in {' or '.join(str(folder) for folder in folders)}.",
        "Run `make up`, or copy profiles.yml.example to profiles.yml.",
    )


def _render(key: str, value: Any, env: Mapping[str, str]) -> Any:
    """Render what a key holds: an environment variable here, anything else by dbt itself.

    Importing dbt takes a second, which a profile of plain variables need not wait for.
    """
    if not isinstance(value, dict | list) and "{" not in str(value):
        return value
    if plain := _PLAIN.fullmatch(str(value)):
        text = env.get(plain["name"], plain["default"])
        if text is None:
            raise ConfigError(
                f"profiles.yml asks for the environment variable {plain['name']}.",
                "Set it and run again.",
            )
        if not plain["number"]:
            return text
        if re.fullmatch(r"[1-9][0-9]*", text, re.ASCII):
            return int(text)
    return _render_by_dbt(key, value, env)


def _render_by_dbt(key: str, value: Any, env: Mapping[str, str]) -> Any:
    from dbt.config.renderer import ProfileRenderer
    from dbt_common.context import set_invocation_context

    set_invocation_context(env)
    try:
        return ProfileRenderer({}).render_data({key: value})[key]
    except Exception:
        # What it holds may be a password, and so may be what dbt says of it.
        raise ConfigError(
            f"The Jinja of `{key}` in profiles.yml cannot be rendered.",
            "Mend it, or set the variables that it asks for; `dbt debug` says more.",
        ) from None
