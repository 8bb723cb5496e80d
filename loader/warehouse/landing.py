"""What is to be landed, and the error of a warehouse that refuses it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from loader.declared.tables import Table
from loader.errors import LandingError
from loader.source.copytext import Form
from loader.warehouse.columns import Changes
from loader.warehouse.ledger import Load
from loader.warehouse.session import quote


@dataclass(frozen=True, kw_only=True)
class Landing:
    """What is to replace a window.

    Attributes:
        load: the ledger's row as far as it is known before the source is read.
        line: the fields of a staged line, in its order.
        form: how COPY reads it.
        changes: what is to change of the raw table's columns before.
        is_new: whether the raw table is made by it, and so holds no old rows.
        rows: the lines as they are staged, for a warehouse that does not read S3 itself.
    """

    table: Table
    load: Load
    line: Sequence[str]
    form: Form
    changes: Changes = field(default_factory=list)
    is_new: bool = False
    rows: BinaryIO | None = None

    @property
    def staged_columns(self) -> str:
        """The fields of a staged line, quoted for COPY."""
        return ", ".join(quote(name) for name in self.line)


MEND_THE_ROW = (
    "Mend the row in MySQL, or declare `on_unrepresentable` for the column; then run again."
)
MEND_THE_REST = "Mend what it names, such as a right or a full disk; then run again."


def refused(landing: Landing, schema: str, why: str, remedy: str) -> LandingError:
    """Make the error of a COPY that failed."""
    return LandingError(
        f"The warehouse refused the rows of {schema}.{landing.table.name}: {why}. "
        "The table is as it was.",
        remedy,
    )
