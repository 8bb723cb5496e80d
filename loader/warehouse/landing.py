"""What is to be landed, and the error of a warehouse that refuses it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.errors import LandingError
from loader.ledger import Load
from loader.tables import Table
from loader.types import Landed
from loader.warehouse.session import quote

if TYPE_CHECKING:
    from loader.staging import PartsReader


@dataclass(frozen=True, kw_only=True)
class Landing:
    """What is to replace a window.

    Attributes:
        load: the ledger's row as far as it is known before the source is read.
        columns: the table's columns as they land.
        line: the fields of a staged line, in its order.
        staged: waits until every row is staged, and returns the ledger's row with their counts;
            None in a preview.
        rows: opens the staged rows, those still to come too, for a warehouse that does not read
            S3 itself; None in a preview.
    """

    table: Table
    load: Load
    columns: Sequence[Landed]
    line: Sequence[str]
    staged: Callable[[], Load] | None = None
    rows: "Callable[[], PartsReader] | None" = None

    @property
    def staged_columns(self) -> str:
        """The fields of a staged line, quoted for COPY."""
        return ", ".join(quote(name) for name in self.line)


def refused(landing: Landing, schema: str, why: str) -> LandingError:
    """The error of a COPY that met a row it could not take."""
    return LandingError(
        f"The warehouse refused the rows of {schema}.{landing.table.name}: {why}. "
        "The table is as it was.",
        "Mend the row in MySQL, or declare `on_unrepresentable` for the column; then run again.",
    )
