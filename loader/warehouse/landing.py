"""What is to be landed, and the error of a warehouse that refuses it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.declared.tables import Table
from loader.errors import LandingError, StageError
from loader.source.copytext import Form, fields_of
from loader.source.types import RawColumn
from loader.warehouse.ledger import Load
from loader.warehouse.session import quote

if TYPE_CHECKING:
    from loader.stage.parts import PartsReader


@dataclass(frozen=True, kw_only=True)
class Landing:
    """What is to replace a window.

    Attributes:
        load: the ledger's row as far as it is known before the source is read.
        columns: the table's columns as they land.
        line: the fields of a staged line, in its order.
        form: how COPY reads it.
        staged: waits until every row is staged, and returns the ledger's row with their counts;
            None in a preview.
        rows: opens the staged rows, those still to come too, for a warehouse that does not read
            S3 itself; None in a preview.
        row: finds a staged row by its number, counted from 1; None in a preview.
    """

    table: Table
    load: Load
    columns: Sequence[RawColumn]
    line: Sequence[str]
    form: Form
    staged: Callable[[], Load] | None = None
    rows: "Callable[[], PartsReader] | None" = None
    row: Callable[[int], bytes] | None = None

    @property
    def staged_columns(self) -> str:
        """The fields of a staged line, quoted for COPY."""
        return ", ".join(quote(name) for name in self.line)


def refused(landing: Landing, schema: str, why: str, number: int = 0) -> LandingError:
    """Make the error of a COPY that met a row it could not take.

    Args:
        number: the row's, among all that were staged; 0 if it is not known.
    """
    where = ": ".join(filter(None, (f"{schema}.{landing.table.name}", _key(landing, number))))
    return LandingError(
        f"The warehouse refused the rows of {where}: {why}. The table is as it was.",
        "Mend the row in MySQL, or declare `on_unrepresentable` for the column; then run again.",
    )


def _key(landing: Landing, number: int) -> str:
    """Name a staged row by its key."""
    row = b""
    with suppress(StageError):
        row = landing.row(number) if landing.row and number else b""
    fields = dict(zip(landing.line, fields_of(row), strict=False))
    names = [name.lower() for name in landing.table.primary_key]
    return ", ".join(f"{name} {fields[name]}" for name in names if name in fields)
