"""What every command starts from."""

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click

from loader.declared.profile import Profile, load_profile, target_name
from loader.declared.settings import Settings, environment, load_settings
from loader.declared.tables import Table, read_tables
from loader.load.job import THREAD_NAME
from loader.warehouse import Warehouse, open_warehouse

_MOMENT_SECONDS = 0.2  # a thread whose load has just ended may take


@dataclass(frozen=True, kw_only=True)
class Session:
    """What every command starts from: the target, its settings and the declared tables."""

    profile: Profile
    settings: Settings
    schema: str
    tables: dict[str, Table]

    def warehouse(self) -> Warehouse:
        """Make a warehouse with a connection of its own."""
        return open_warehouse(self.profile, self.schema, self.settings)


def open_session(target: str | None) -> Session:
    """Read profile, settings and declarations; connects to nothing.

    Raises:
        ConfigError: one of them is wrong.
    """
    project_dir = Path.cwd()
    name = target_name(project_dir, target)
    env = environment(project_dir, name)
    profile = load_profile(project_dir, name, env)
    settings = load_settings(env, name)
    schema, tables = read_tables(project_dir)
    own = ("LOADER_MYSQL_", "LOADER_S3_BUCKET")  # what the target `local` has of its own
    named = (name for name in os.environ if name.startswith(own))
    if given := sorted(name for name in named if os.environ[name] != env.get(name)):
        click.echo(f"target {name} ignores {', '.join(given)}; DBT_TARGET names another.", err=True)
    os.environ.clear()  # boto3 reads its settings there
    os.environ.update(env)
    return Session(profile=profile, settings=settings, schema=schema, tables=tables)


def leave(status: int) -> NoReturn:
    """End the process; Python itself would wait for a load that was to stop and did not."""
    loading = [each for each in threading.enumerate() if each.name.startswith(THREAD_NAME)]
    for thread in loading:
        thread.join(_MOMENT_SECONDS)
    sys.stdout.flush()
    if any(thread.is_alive() for thread in loading):
        os._exit(status)
    sys.exit(status)
