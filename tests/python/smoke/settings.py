"""Does the environment say where to go; imports little, so that what is missing is told at once."""

import re
from collections.abc import Mapping
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError

from loader.declared.settings import SETTINGS
from loader.errors import ConfigError

_PROFILE = Path(__file__).parents[3] / "profiles.yml.example"
_BY_METHOD = {"database": ("REDSHIFT_USER", "REDSHIFT_PASSWORD"), "iam": ("REDSHIFT_USER",)}
"""What dbt-redshift asks for besides what every method needs."""


def check_settings(env: Mapping[str, str]) -> None:
    """See whether the environment says where to go.

    Raises:
        ConfigError: something is missing; names all of it.
    """
    needed = re.findall(r"env_var\('(REDSHIFT_\w+)'\)", _PROFILE.read_text())
    needed += _BY_METHOD.get(env.get("REDSHIFT_METHOD") or "database", ())
    missing = [name for name in needed if not env.get(name)] + [
        f"{name} ({SETTINGS[name].meaning})"
        for name in ("LOADER_IAM_ROLE", "LOADER_S3_BUCKET")
        if not env.get(name)
    ]
    if not _has_credentials():
        missing.append("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    if missing:
        raise ConfigError(
            f"Missing in the environment: {', '.join(missing)}. Nothing was touched.",
            "docs/your-own.md says what each is.",
        )


def _has_credentials() -> bool:
    """Whether boto3 finds an identity, wherever it looks."""
    try:
        return boto3.Session().get_credentials() is not None
    except BotoCoreError:
        return False
