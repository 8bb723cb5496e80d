"""Staging: compressed parts of bounded size, a manifest that lists them all, and clean-up."""

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from isal import isal_zlib
from isal.igzip_lib import IsalError

from loader.config import StageSettings
from loader.errors import StageError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_GZIP = 31  # zlib's wbits for a gzip header without name or time: equal rows, equal bytes
_SERVER_ERROR = 500
_BROKEN = (NoConnectionError, HTTPClientError, IncompleteReadError, OSError)
_REMEDIES = {
    "404": "Create the bucket, or correct LOADER_S3_BUCKET.",
    "NoSuchBucket": "Create the bucket, or correct LOADER_S3_BUCKET.",
    "403": "Give this identity s3:PutObject, s3:GetObject and s3:DeleteObject on the prefix.",
    "AccessDenied": "Give this identity s3:PutObject, s3:GetObject and s3:DeleteObject "
    "on the prefix.",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One staged file: whole rows, compressed with gzip."""

    key: str
    rows: int
    bytes: int


def connect() -> "S3Client":
    """Make a client as boto3's users expect: `AWS_*` variables, profiles, endpoints, roles.

    Raises:
        StageError: they do not make a client.
    """
    # gzip has a checksum of its own; boto3's turns some servers' errors into an AttributeError.
    config = Config(response_checksum_validation="when_required")
    try:
        return boto3.Session().client("s3", config=config)  # threads may not share boto3's own
    except (BotoCoreError, ValueError) as error:
        raise StageError(
            f"S3: {str(error).rstrip('.')}.",
            "Correct the AWS_* variables or the AWS profile; nothing was read.",
        ) from None


def folder_of(settings: StageSettings, table: str, load_id: str = "") -> str:
    """Where a load's files lie; without an id, a table's.

    Of a name that is no safe key its digest tells it from others. [Amazon S3: Creating object key
    names, "Safe characters"]
    """
    if not re.fullmatch(r"\w[\w.-]*", table, re.ASCII):
        digest = hashlib.sha256(table.encode()).hexdigest()
        table = f"{re.sub('[^a-z0-9]+', '-', table).strip('-')}-{digest[:12]}"
    return "/".join(filter(None, (settings.prefix, table, load_id)))


class Staging:
    """The folder of one load: `prefix/table/load_id/`.

    Used with `with`: on the way out it removes its files, or leaves them as the setting says.
    """

    def __init__(
        self, client: "S3Client", settings: StageSettings, table: str, load_id: str
    ) -> None:
        self._client = client
        self._settings = settings
        self.folder = folder_of(settings, table, load_id)
        self.parts: list[Part] = []
        self._extra: dict[str, Any] = {}
        if settings.kms_key_id:
            self._extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": settings.kms_key_id}
        self._written: list[str] = []
        # One upload at a time, while the next part is read.
        self._uploads = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._uploading: Future[None] | None = None
        self._open_part()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._uploads.shutdown(wait=True, cancel_futures=True)
        keep = self._settings.keep
        if keep == "always" or (keep == "on_failure" and kind is not None):
            return
        # A file left behind is no reason to fail a load that has landed.
        with contextlib.suppress(StageError), _explained(self._settings.bucket):
            for key in self._written:
                self._client.delete_object(Bucket=self._settings.bucket, Key=key)

    def write(self, text: bytes, rows: int) -> None:
        """Add whole rows to the open part, and hand it over once it is large enough.

        Raises:
            StageError: an upload failed.
        """
        self._buffer.write(self._compressor.compress(text))
        self._rows += rows
        if self._buffer.tell() >= self._settings.part_bytes:
            self._close_part()
            self._open_part()

    def finish(self) -> str:
        """Upload what is left, then the manifest.

        Every entry is mandatory: COPY fails when one is missing. [Redshift: Using a manifest to
        specify data files]

        Returns:
            The manifest's `s3://` address.

        Raises:
            StageError: an upload failed.
        """
        if self._rows or not self.parts:
            self._close_part()
        self._wait()
        entries = [
            {
                "url": f"s3://{self._settings.bucket}/{part.key}",
                "mandatory": True,
                "meta": {"content_length": part.bytes},
            }
            for part in self.parts
        ]
        key = f"{self.folder}/manifest.json"
        self._upload(key, json.dumps({"entries": entries}, indent=1).encode())
        return f"s3://{self._settings.bucket}/{key}"

    def reader(self) -> "PartsReader":
        """Read the staged rows back."""
        return PartsReader(self._client, self._settings.bucket, self.parts)

    def _open_part(self) -> None:
        self._buffer, self._rows = io.BytesIO(), 0
        self._compressor = isal_zlib.compressobj(1, wbits=_GZIP)

    def _close_part(self) -> None:
        self._buffer.write(self._compressor.flush())
        data = self._buffer.getvalue()
        part = Part(
            key=f"{self.folder}/part-{len(self.parts):04}.gz", rows=self._rows, bytes=len(data)
        )
        self.parts.append(part)
        self._wait()
        self._uploading = self._uploads.submit(self._upload, part.key, data)

    def _wait(self) -> None:
        if self._uploading:
            self._uploading.result()

    def _upload(self, key: str, data: bytes) -> None:
        self._written.append(key)
        with _explained(self._settings.bucket):
            # Large parts go in pieces; boto3 aborts the upload when one of them fails.
            self._client.upload_fileobj(
                io.BytesIO(data),
                self._settings.bucket,
                key,
                ExtraArgs=self._extra,
                Config=TransferConfig(multipart_threshold=64_000_000, max_concurrency=4),
            )


class PartsReader:
    """The rows of all parts as one stream, in order, decompressed on the way."""

    def __init__(self, client: "S3Client", bucket: str, parts: Sequence[Part]) -> None:
        self._pieces = (piece for part in parts for piece in _pieces(client, bucket, part))
        self._left = b""
        self.error: StageError | None = None

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end.

        Raises:
            StageError: a part is missing, or is not what was staged; kept as `error`, for drivers
                that raise one of their own instead.
        """
        try:
            while not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self._left = piece
        except StageError as error:
            self.error = error
            raise
        data, self._left = self._left[:size], self._left[size:]
        return data


def _pieces(client: "S3Client", bucket: str, part: Part) -> Iterator[bytes]:
    """Read one part piece by piece, and prove that it is whole."""
    decompressor = isal_zlib.decompressobj(wbits=_GZIP)
    size = 0
    with _explained(bucket):
        for piece in client.get_object(Bucket=bucket, Key=part.key)["Body"].iter_chunks(1 << 16):
            size += len(piece)
            yield decompressor.decompress(piece)
    if size != part.bytes or not decompressor.eof:
        raise StageError(
            f"s3://{bucket}/{part.key} has {size:,} bytes; {part.bytes:,} were staged.",
            "Run the load again.",
        )


def sweep(client: "S3Client", settings: StageSettings, table: str, owner: str) -> None:
    """Remove what killed loads of a table left behind; the caller holds the table's lock.

    Args:
        owner: the end of this warehouse's load ids; other warehouses may share the bucket.
    """
    if settings.keep != "never":
        return
    bucket = settings.bucket
    prefix = folder_of(settings, table) + "/"
    # Listing is not among the rights that a load needs.
    with contextlib.suppress(StageError), _explained(bucket):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", []):
                if found["Key"].removeprefix(prefix).split("/")[0].endswith(owner):
                    client.delete_object(Bucket=bucket, Key=found["Key"])
        for upload in client.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get(
            "Uploads", []
        ):
            if upload["Key"].removeprefix(prefix).split("/")[0].endswith(owner):
                client.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )


def check_access(client: "S3Client", settings: StageSettings) -> None:
    """Write, read and remove a file in the staging prefix.

    Raises:
        StageError: one of them was refused.
    """
    with Staging(client, replace(settings, keep="never"), "_check", "access") as staging:
        staging.write(b"check\n", 1)
        staging.finish()
        staging.reader().read(1)


@contextmanager
def _explained(bucket: str) -> Iterator[None]:
    """Turn boto3's errors into one sentence; they hold no secret."""
    try:
        yield
    except (ClientError, BotoCoreError, OSError, IsalError) as error:  # type: ignore[misc]
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        raise StageError(
            f"S3 bucket {bucket}: {str(error).rstrip('.')}.",
            _REMEDIES.get(code, "Check the AWS settings and that S3 is reachable; then run again."),
            transient=_is_transient(error),
        ) from None


def _is_transient(error: Exception) -> bool:
    """Whether S3 was busy or out of reach, after boto3's own retries."""
    if isinstance(error, ClientError):
        answered: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return answered >= _SERVER_ERROR or error.response["Error"]["Code"] == "SlowDown"
    return isinstance(error, _BROKEN)
