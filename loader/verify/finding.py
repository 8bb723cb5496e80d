"""What a comparison of one table has found."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from loader.declared.tables import Table
from loader.errors import LoaderError
from loader.load.repair import Repair

MISSING, EXTRA, STALE = KINDS = ("missing", "extra", "stale")


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day of a table on which rows differ; None for a table without a cursor.

    Attributes:
        missing: rows that the warehouse lacks.
        extra: rows that the source has no more.
        stale: rows of which the warehouse has another version.
    """

    day: date | None
    source_rows: int
    warehouse_rows: int
    missing: int
    extra: int
    stale: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a comparison of one table has found.

    Attributes:
        rows: those of the source that were compared.
        pending: rows that changed on days which are not landed yet.
        pending_here: those of them that are landed on days which were asked for with all values.
        future: those of them that are dated beyond today.
        days: those on which something differs.
        left_out: columns whose values could not be compared.
        is_landed: whether anything of the table was.
        error: why it could not be compared.
        repair: what would repair it; None if nothing was compared.
    """

    table: Table
    rows: int = 0
    pending: int = 0
    pending_here: int = 0
    future: int = 0
    days: tuple[Day, ...] = ()
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0
    is_landed: bool = True
    error: LoaderError | None = None
    repair: Repair | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The rows that differ, by kind."""
        return {kind: sum(getattr(day, kind) for day in self.days) for kind in KINDS}

    @property
    def differing(self) -> int:
        """All rows that differ."""
        return sum(self.counts.values())

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.days and not self.error

    def as_json(self) -> dict[str, Any]:
        """The finding with its totals, and days as ISO text."""
        days = [{**asdict(day), "day": day.day and day.day.isoformat()} for day in self.days]
        return {
            **{name: value for name, value in vars(self).items() if name != "repair"},
            "table": self.table.name,
            "agrees": self.agrees,
            **self.counts,
            "days": days,
            "left_out": list(self.left_out),
            "seconds": round(self.seconds, 3),
            "error": self.error and self.error.fact,
            "remedy": self.error and self.error.remedy,
        }
