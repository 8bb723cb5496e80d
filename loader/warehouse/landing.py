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

    def replacing(self, relation: str) -> list[str]:
        """Write what becomes of older rows once the new ones are copied in, and the last count.

        Of a window: COPY comes first, so that its rows that are not among the new ones are known:
        they moved to a later window, or were deleted; nobody can say which yet. Their last known
        version stays in the raw table outside any window (`_run_date` is NULL) until a landing of
        the whole table or a repair settles it. The rest of the old window is deleted. DELETE, not
        TRUNCATE, which commits by itself on Redshift and hides rows from older snapshots on
        PostgreSQL. [Redshift: TRUNCATE; PostgreSQL: TRUNCATE, Notes]

        Of some keys: the older versions stay, outside any window, so that no build of a window
        brings one back. Keys are counted, not rows: a repair that brings a row and its deletion is
        one too few.
        """
        load, key = self.load, [quote(name.lower()) for name in self.table.primary_key]
        new, old = f"_load_id = '{load.load_id}'", f"_load_id <> '{load.load_id}'"
        same_key = " and ".join(f"newer.{name} = {relation}.{name}" for name in key)
        among = f"exists (select 1 from {relation} as newer where newer.{new} and {same_key})"
        displace = f"update {relation} set _run_date = null where"
        if load.is_of_keys:
            brought = f"select distinct {', '.join(key)} from {relation} where {new}"
            return [
                f"{displace} _run_date is not null and {old} and {among}",
                f"select count(*) from ({brought}) as brought",
            ]
        if load.window.is_whole:
            return [f"delete from {relation} where {old}", f"select count(*) from {relation}"]
        days = f"_run_date >= '{load.window_start}' and _run_date < '{load.window_end}'"
        return [
            f"{displace} {days} and {old} and not {among}",
            f"delete from {relation} where {days} and {old}",
            f"select count(*) from {relation} where {days}",
        ]


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
