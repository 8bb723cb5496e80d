"""Staging: compressed parts of bounded size, a manifest that lists them all, and clean-up."""

import json
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import zstandard

from loader.declared.settings import StageSettings
from loader.errors import StageError
from loader.stage.s3 import NewClient, explained, folder_of, remove, sweep

_SMALLEST_PART = 1_000_000  # [Redshift: COPY, "Loading data files": 1 MB to 1 GB each]
_TEXT_AT_ONCE = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Part:
    """One staged file of whole rows, with its size in bytes, compressed with Zstandard."""

    key: str
    rows: int
    bytes: int


class Staging(AbstractContextManager["Staging"]):
    """The folder of one load: `prefix/table/load_id/`.

    Used with `with`: on the way out it removes its files, or leaves them as the setting says.
    Before the first upload it removes what killed loads have left; the table is locked.

    Attributes:
        parts: those that are uploaded, in order.
        feed: where the text of every part is written as well, before it is compressed, if anywhere.
        rows_to_come: how many rows there will be in all, as soon as that is known; parts are
            then alike, and their number is a multiple of the slices.
    """

    def __init__(
        self, client: NewClient, settings: StageSettings, table: str, load_id: str
    ) -> None:
        self._client = client
        self._settings = settings
        self.folder = folder_of(settings, table, load_id)
        self.parts: list[Part] = []
        self.feed: BinaryIO | None = None
        self.rows_to_come = 0
        self._written: list[str] = []
        self._open_part()

    def __exit__(self, kind: object, *_: object) -> None:
        if self.feed:
            with suppress(OSError):
                self.feed.close()
        keep = self._settings.keep
        kept = keep == "always" or (keep == "on_failure" and kind is not None)
        if kept or not self._written:
            return
        # A file left behind is no reason to fail a load that has landed.
        with suppress(StageError), explained(self._settings.bucket):
            remove(self._client(), self._settings.bucket, self._written)

    def write(self, text: bytes, rows: int) -> None:
        """Add whole rows to the open part, and upload it once it is large enough.

        Raises:
            StageError: the upload failed.
            BrokenPipeError: nobody reads the feed any more.
        """
        # A piece at a time: all of a long row would be compressed beside the part, then copied.
        view = memoryview(text)
        for at in range(0, len(text), _TEXT_AT_ONCE):
            self._data += self._compressor.compress(view[at : at + _TEXT_AT_ONCE])
        if self.feed:
            self.feed.write(text)
        self._rows += rows
        if self._is_full():
            self._close_part()

    def finish(self) -> None:
        """Upload what is left, then the manifest.

        Every entry is mandatory: COPY fails when one is missing. [Redshift: Using a manifest to
        specify data files]

        Raises:
            StageError: an upload failed.
            BrokenPipeError: nobody reads the feed any more.
        """
        if self.feed:
            self.feed.close()
        if self._rows or not self.parts:
            self._close_part()
        entries = [
            {
                "url": f"s3://{self._settings.bucket}/{part.key}",
                "mandatory": True,
                "meta": {"content_length": part.bytes},
            }
            for part in self.parts
        ]
        self._upload(
            f"{self.folder}/manifest.json", json.dumps({"entries": entries}, indent=1).encode()
        )

    def _is_full(self) -> bool:
        """Whether the open part has its share of the rows that are left for it and the next ones.

        The share follows from what a row has taken so far, so every part corrects the estimate.
        """
        size, largest = len(self._data), self._settings.part_bytes
        if size < min(_SMALLEST_PART, largest):
            return False
        rows = sum(part.rows for part in self.parts) + self._rows
        row_bytes = (sum(part.bytes for part in self.parts) + size) / rows
        left = self._rows + max(self.rows_to_come - rows, 0)
        parts = max(round(left * row_bytes / largest), 1)
        parts += -(len(self.parts) + parts) % self._settings.slices
        return size >= 2 * largest or self._rows >= left / parts

    def _open_part(self) -> None:
        self._data, self._rows = bytearray(), 0
        self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj()

    def _close_part(self) -> None:
        self._data += self._compressor.flush()
        key = f"{self.folder}/part-{len(self.parts):04}.zst"
        self._upload(key, self._data)
        self.parts.append(Part(key=key, rows=self._rows, bytes=len(self._data)))
        self._open_part()

    def _upload(self, key: str, data: bytes | bytearray) -> None:
        settings, extra = self._settings, dict[str, Any]()
        if settings.kms_key_id:
            extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": settings.kms_key_id}
        if not self._written:
            sweep(self._client(), settings, self.folder)
        self._written.append(key)
        with explained(settings.bucket):
            self._client().put_object(Body=data, Bucket=settings.bucket, Key=key, **extra)  # type: ignore[arg-type]


def check_access(client: NewClient, settings: StageSettings) -> None:
    """Write, read and remove a file in the staging prefix.

    Raises:
        StageError: one of them was refused.
    """
    with Staging(client, replace(settings, keep="never"), "_check", "access") as staging:
        staging.write(b"check\n", 1)
        staging.finish()
        with explained(settings.bucket):
            for part in staging.parts:
                client().get_object(Bucket=settings.bucket, Key=part.key)["Body"].read()
