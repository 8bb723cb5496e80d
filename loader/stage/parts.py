"""Staged parts: what is known of them, and their rows read back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import zstandard

from loader.errors import StageError
from loader.source.copytext import cut
from loader.stage.s3 import explained

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_TEXT = 1 << 18  # what is decompressed at a time: a part may hold many thousand times its size


@dataclass(frozen=True, kw_only=True)
class Part:
    """One staged file: whole rows, compressed with Zstandard.

    Attributes:
        bytes: its size.
    """

    key: str
    rows: int
    bytes: int


class PartsReader:
    """The rows of all parts as one stream, in order, decompressed on the way.

    Attributes:
        error: why it broke off; drivers raise one of their own instead.
    """

    def __init__(self, client: "S3Client", bucket: str, parts: Iterator[Part]) -> None:
        self._pieces = (piece for part in parts for piece in pieces(client, bucket, part))
        self._left = b""
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end.

        Raises:
            StageError: the rows break off; why is in `error`, and not for the driver to pass on.
        """
        try:
            self._left = self._left or next(self._pieces, b"")
        except BaseException as error:
            self.error = error
            raise StageError("The staged rows break off.") from None
        data, self._left = self._left[:size], self._left[size:]
        return data


def pieces(client: "S3Client", bucket: str, part: Part) -> Iterator[bytes]:
    """Read one part piece by piece; its checksum proves it whole.

    Raises:
        StageError: it is not there, damaged, or not the one that was staged.
    """
    with explained(bucket):
        answer = client.get_object(Bucket=bucket, Key=part.key)
        body: Any = answer["Body"]
        if answer["ContentLength"] != part.bytes:
            raise StageError(
                f"s3://{bucket}/{part.key} has {answer['ContentLength']:,} bytes of "
                f"{part.bytes:,} that were staged.",
                "Run the load again.",
                transient=True,
            )
        text = zstandard.ZstdDecompressor().stream_reader(body)
        while piece := text.read(_TEXT):
            yield piece


def nth_row(client: "S3Client", bucket: str, parts: Sequence[Part], number: int) -> bytes:
    """Find a row by its place among all that are staged, counted from 1 as COPY does.

    Raises:
        StageError: its part is not there or damaged.
    """
    for part in parts:
        if number <= part.rows:
            return next(islice(cut(pieces(client, bucket, part), b"\n"), number - 1, None), b"")
        number -= part.rows
    return b""
