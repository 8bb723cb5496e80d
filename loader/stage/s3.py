"""S3: the client, what its errors mean, and what killed loads have left there.

boto3 is imported where a client is made, because that takes longer than all else before a load.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from loader.declared.settings import THIS_MACHINE, StageSettings
from loader.errors import StageError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_SERVER_ERROR = 500
_NAMED = 1000  # files
_PATH = re.compile(r"(?<=[^/:])/[^/\"][^\"\s]*(?=\")")  # of a URL
_NO_BUCKET = "Create the bucket, or correct LOADER_S3_BUCKET."
_DENIED = "Give this identity s3:PutObject, s3:GetObject and s3:DeleteObject on the prefix."
_REMEDIES = {
    "404": _NO_BUCKET, "NoSuchBucket": _NO_BUCKET, "403": _DENIED, "AccessDenied": _DENIED,
}  # fmt: skip

NewClient: TypeAlias = "Callable[[], S3Client]"
"""Gives the client of S3."""


def connect(settings: StageSettings) -> "S3Client":
    """Make a client as boto3's users expect: `AWS_*` variables, profiles, endpoints, roles.

    Raises:
        StageError: they do not make a client, or one that would send rows in clear.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        # Parts have checksums of their own; boto3's turns some servers' errors into another one.
        response_checksum_validation="when_required",
        # What is sent has one too, so it need not be hashed again; with TLS that is the default.
        s3={"payload_signing_enabled": False},
        # Of each table a part is sent, or files are removed; a connection beyond the pool would be
        # thrown away after one request. [botocore: Config reference]
        max_pool_connections=32,
        # Of each of five attempts. [botocore: Config reference]
        connect_timeout=10,
        read_timeout=60,
        tcp_keepalive=True,
    )
    try:
        client = boto3.Session().client("s3", config=config)  # threads may not share boto3's own
    except (BotoCoreError, ValueError) as error:
        raise StageError(
            f"S3: {str(error).rstrip('.')}.",
            "Correct the AWS_* variables or the AWS profile; nothing was landed.",
        ) from None
    _check_tls(client.meta.endpoint_url, settings.tls)
    return client


def _check_tls(endpoint: str, tls: str) -> None:
    place = urlsplit(endpoint)
    is_meant = tls == "off" or (tls == "auto" and place.hostname in THIS_MACHINE)
    if place.scheme != "https" and not is_meant:
        raise StageError(
            f"S3 at {place.hostname} is reached by {place.scheme}, so that rows would be sent in "
            "clear; none was.",
            "Set AWS_ENDPOINT_URL_S3 (or endpoint_url of the AWS profile) to an address that "
            "begins with https; or LOADER_S3_TLS to off, where nobody else is on the wire.",
        )


def shared(settings: StageSettings) -> NewClient:
    """Make a client when a thread first asks for one, and give it to all that ask later."""
    once, lock = cache(partial(connect, settings)), Lock()

    def client() -> "S3Client":
        with lock:
            return once()

    return client


def folder_of(settings: StageSettings, table: str, load_id: str) -> str:
    """Where a load's files lie, in its table's folder.

    Of a name that is no safe key its digest tells it from others. [Amazon S3: Creating object key
    names, "Safe characters"]
    """
    if not re.fullmatch(r"\w[\w.-]*", table, re.ASCII):
        digest = hashlib.sha256(table.encode()).hexdigest()
        table = f"{re.sub('[^a-z0-9]+', '-', table).strip('-')}-{digest[:12]}"
    return "/".join(filter(None, (settings.prefix, table, load_id)))


def sweep(client: "S3Client", settings: StageSettings, folder: str) -> None:
    """Remove what killed loads left beside a load's folder; the caller holds the table's lock.

    Other warehouses may share the bucket; the ids of one's loads have the same end.
    """
    if settings.keep != "never":
        return
    table, _, load_id = folder.rpartition("/")
    bucket, prefix, owner = settings.bucket, f"{table}/", load_id.rpartition("-")[2]
    # Listing is not among the rights that a load needs.
    with suppress(StageError), explained(bucket):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            keys = [found["Key"] for found in page.get("Contents", [])]
            left = [key for key in keys if key.removeprefix(prefix).split("/")[0].endswith(owner)]
            remove(client, bucket, left)


def remove(client: "S3Client", bucket: str, keys: Sequence[str]) -> None:
    """Remove files, as many at a time as one request may name. [Amazon S3: DeleteObjects]."""
    for some in (keys[at : at + _NAMED] for at in range(0, len(keys), _NAMED)):
        named = [{"Key": key} for key in some]
        client.delete_objects(Bucket=bucket, Delete={"Objects": named, "Quiet": True})  # type: ignore[typeddict-item]


@contextmanager
def explained(bucket: str) -> Iterator[None]:
    """Turn boto3's errors into one sentence; they hold no secret.

    Raises:
        StageError: S3 refused, or cannot be reached even after boto3's own retries.
    """
    from botocore import exceptions

    try:
        yield
    except (exceptions.ClientError, exceptions.BotoCoreError, OSError) as error:
        away = exceptions.ConnectionError | exceptions.HTTPClientError | OSError
        code, status = "", 0
        if isinstance(error, exceptions.ClientError):
            code = error.response["Error"]["Code"]
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise StageError(
            f"S3 bucket {bucket}: {_PATH.sub('', str(error)).rstrip('.')}.",
            _REMEDIES.get(code, "Check the AWS settings and that S3 is reachable; then run again."),
            transient=isinstance(error, away) or status >= _SERVER_ERROR or code == "SlowDown",
        ) from None
