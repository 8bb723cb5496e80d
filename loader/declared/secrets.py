"""Secrets that AWS gives: those that Secrets Manager keeps, and tokens for RDS and Aurora."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from loader.errors import ConfigError

# As ECS writes it: after the ARN may follow the key of a JSON secret, a version's stage and its id.
# [Amazon ECS: Pass Secrets Manager secrets, "Example referencing a specific key"]
_ARN = re.compile(
    r"(arn:aws[\w-]*:secretsmanager:([\w-]+):\d+:secret:[^:\s]+)" + r"(?::([^:\s]*))?" * 3
)


def revealed(name: str, text: str) -> str:
    """Return what a setting stands for: the text itself, or the secret whose ARN it is.

    Of a secret in JSON, as RDS writes its own, it is the value of the ARN's key, or of `password`.

    Raises:
        ConfigError: the ARN is of something else, Secrets Manager does not give the secret, or it
            has no such key; quotes no secret.
    """
    if not (found := _ARN.fullmatch(text.strip())):
        if text.strip().startswith("arn:"):  # anybody may know it
            remedy = "Write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME:KEY:STAGE:VERSION."
            raise ConfigError(f"{name} is an ARN, of no secret in Secrets Manager.", remedy)
        return text
    arn, region, key, stage, version = found.groups()
    which = {kind: of for kind, of in {"VersionStage": stage, "VersionId": version}.items() if of}
    remedy = "secretsmanager:GetSecretValue on it, and kms:Decrypt on its key"
    with _explained(f"{name}: no secret of {text.strip()}", f"Give this identity {remedy}."):
        client = _client("secretsmanager", region)
        secret = client.get_secret_value(SecretId=arn, **which)["SecretString"]
        is_json = key or secret.startswith("{")
        return str(json.loads(secret)[key or "password"] if is_json else secret)


def token(host: str, port: int, user: str) -> str:
    """Sign what stands for a password for a quarter of an hour; nothing is asked of AWS.

    [Amazon RDS: IAM database authentication]

    Raises:
        ConfigError: AWS's settings name no credentials, or no region.
    """
    with _explained(f"No IAM token for {user} at {host}", "AWS_REGION is the server's."):
        # Containers are given that variable; botocore reads AWS_DEFAULT_REGION alone.
        client = _client("rds", os.environ.get("AWS_REGION") or None)
        return str(client.generate_db_auth_token(host, port, user))


@contextmanager
def _explained(fact: str, remedy: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{fact}: {str(error).rstrip('.')}.", remedy) from None


@cache  # its credentials renew themselves
def _client(service: Any, region: str | None) -> Any:
    import boto3

    return boto3.Session().client(service, region_name=region)
