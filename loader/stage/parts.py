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

_PIECE = 1 << 16
_TEXT = 1 << 18  # what is decompressed at a time: a piece may hold many thousand times its size


@dataclass(frozen=True, kw_only=True)
class Part:
    """One staged file: whole rows, compressed with Zstandard.

    Attributes:
        bytes: its size.
        text_bytes: the size of the rows before they are compressed.
    """

    key: str
    rows: int
    bytes: int
    text_bytes: int


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
            while not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self._left = piece
        except BaseException as error:
            self.error = error
            raise StageError("The staged rows break off.") from None
        data, self._left = self._left[:size], self._left[size:]
        return data


def pieces(client: "S3Client", bucket: str, part: Part) -> Iterator[bytes]:
    """Read one part piece by piece, and prove that it is whole.

    Raises:
        StageError: it is not there, damaged, or not the one that was staged.
    """
    with explained(bucket):
        answer = client.get_object(Bucket=bucket, Key=part.key)
        body: Any = answer["Body"]
        text = zstandard.ZstdDecompressor().stream_reader(body, read_size=_PIECE)
        while piece := text.read(_TEXT):
            yield piece
    size, staged = (answer["ContentLength"], text.tell()), (part.bytes, part.text_bytes)
    if size != staged:
        raise StageError(
            "s3://{}/{} has {:,} bytes of {:,}; {:,} of {:,} were staged.".format(
                bucket, part.key, *size, *staged
            ),
            "Run the load again.",
            transient=True,
        )


def nth_row(client: "S3Client", bucket: str, parts: Sequence[Part], number: int) -> bytes:
    """Find a row by its place among all that are staged, counted from 1 as COPY does.

    Raises:
        StageError: its part is not there or damaged.
    """
    before = 0
    for part in parts:
        if number <= before + part.rows:
            rows = cut(pieces(client, bucket, part), b"\n")
            return next(islice(rows, number - before - 1, None), b"")
        before += part.rows
    return b""
