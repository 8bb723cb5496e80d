"""The days that a cursor puts rows into, in SQL; whatever it is made of is decided here alone."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from loader.declared.tables import DIGITS, INCREASING, Cursor
from loader.declared.windows import FIRST_CHANGE, LAST_CHANGE, Window, Zone
from loader.source.texts import TEXTS, Column, as_bytes, is_number

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_MICROS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1, INCREASING: 1}
_LEAST = -(2**63)  # of a BIGINT
_YEAR_10000 = 253_402_300_800  # in seconds from 1970
# Before these are zero dates only. A constant outside a type's own range would not do: MySQL 8
# takes such a comparison for false, zero TIMESTAMPs included. [MySQL: DATE, DATETIME, TIMESTAMP]
FIRST = {"date": "1000-01-01", "datetime": "1000-01-01", "timestamp": "1970-01-01 00:00:01"}


@dataclass(frozen=True, kw_only=True)
class Days:
    """How a table's rows are put into days.

    A version is the cursor as one number, which both sides compute alike: the microseconds from
    1970, or an increasing number itself.

    Attributes:
        columns: the cursor's, of which the first that is not NULL counts.
        zone: that whose days they are.
        marks: of an increasing number, the days that are landed, in order, each with the largest
            number that landed up to its end; numbers up to that belong to it, or to one before.
        open_day: the day of the numbers above all marks.
    """

    cursor: Cursor
    columns: tuple[Column, ...]
    zone: Zone
    marks: Sequence[tuple[date, int]] = ()
    open_day: date = date.max

    @property
    def is_date(self) -> bool:
        """Whether the cursor holds days, which are the same in every time zone."""
        return self.columns[0].data_type == "date"

    @property
    def is_increasing(self) -> bool:
        """Whether the cursor is a number that rises with every row, and tells no time."""
        return self.cursor.kind == INCREASING

    @property
    def is_digits(self) -> bool:
        """Whether the cursor is an instant's digits, YYYYMMDDHHMMSS."""
        return self.cursor.kind == DIGITS or not (self.unit or self.columns[0].data_type in FIRST)

    @property
    def unit(self) -> int:
        """How many microseconds a number of the cursor's counts; 0 if it holds no numbers."""
        return _MICROS.get(self.cursor.kind, 0)

    # -- MySQL -----------------------------------------------------------------------------------

    @property
    def day(self) -> str:
        """Write the expression of the day that a row belongs to."""
        if not self.is_increasing:
            return self._first(lambda column: self._day_of(self._instant(column, column.quoted)))
        days = ", ".join(f"'{day}'" for day in (*(day for day, _ in self.marks), self.open_day))
        after = ", ".join(str(most + 1) for _, most in self.marks)
        # It is looked up in halves. [MySQL: INTERVAL()]
        number = f"interval({self.columns[0].quoted}, {after})"
        return f"cast({f'elt(1 + {number}, {days})' if self.marks else days} as date)"

    @property
    def version(self) -> str:
        """Write the expression of a row's version."""
        return self._first(lambda column: self._version(column, column.quoted))

    @property
    def value(self) -> str:
        """Write the expression of the column that counts."""
        return self._first(lambda column: column.quoted)

    def within(self, window: Window) -> str:
        """Write a window as ranges on the bare columns, so that their indexes serve it.

        Args:
            window: may lack its start or its end.
        """
        return self._any_of(lambda column: self._range(column, window))

    @property
    def undated(self) -> str:
        """Write the condition of a row that no window holds."""

        def outside(column: Column) -> str:
            name, (least, most) = column.quoted, self._bounds(column)
            conditions = [
                f"{name} is null" if column is self.columns[-1] else "",
                f"{name} < {least}" if least else "",
                f"{name} > {most}" if most else "",
            ]
            return f"({' or '.join(filter(None, conditions))})"

        return self._any_of(outside)

    @property
    def undated_values(self) -> str:
        """Say what the cursor of a row that no window holds may be."""
        if self.is_increasing:
            return "NULL, or more than a BIGINT"
        if self.is_digits:
            return "NULL, or no fourteen digits of a day"
        return "NULL, 0 or less, or beyond the year 9999" if self.unit else "NULL or a zero date"

    def refused(self, column: Column) -> str:
        """Write the condition of a value that counts and is no instant; empty if all are."""
        if column not in self.columns or not self.is_digits:
            return ""
        return f"{self._counts(column)}{self._instant(column, column.quoted)} is null"

    def spans(self, source: str, window: Window) -> list[str]:
        """Write queries for the least and the largest version in a window, one a column."""

        def span(column: Column) -> str:
            ends = (self._version(column, f"{end}({column.quoted})") for end in ("min", "max"))
            return f"select {', '.join(ends)} from {source}{where(self._range(column, window))}"

        return [span(column) for column in self.columns]

    def _range(self, column: Column, window: Window) -> str:
        return " and ".join(
            f"{column.quoted} {compares} {_literal(column, self.shown(edge))}"
            for compares, edge in self.edges(window)
        )

    def _counts(self, column: Column) -> str:
        """Write that the columns before one are NULL, with an `and` after it.

        It is asked of an expression of theirs: of bare columns MySQL would rather read all NULLs of
        an index than the range of the next one.
        """
        before = [each.quoted for each in self.columns[: self.columns.index(column)]]
        return f"coalesce({', '.join(before)}) is null and " if before else ""

    def _any_of(self, condition: Callable[[Column], str]) -> str:
        """Write that a condition holds of the first column that is not NULL."""
        conditions = [self._counts(column) + condition(column) for column in self.columns]
        return f"({' or '.join(conditions)})" if len(conditions) > 1 else conditions[0]

    def _first(self, expression: Callable[[Column], str]) -> str:
        """Write the expression of the first column that is not NULL."""
        *others, last = self.columns
        chosen = expression(last)
        for column in reversed(others):
            chosen = f"if({column.quoted} is null, {chosen}, {expression(column)})"
        return chosen

    def _instant(self, column: Column, value: str) -> str:
        """Write a value as an instant; NULL for digits that are no date."""
        if self.unit:
            count = f"{value} / 1000" if self.cursor.kind == "milliseconds" else value
            part = "microsecond" if self.cursor.kind == "microseconds" else "second"
            return f"(timestamp'1970-01-01 00:00:00' + interval {count} {part})"
        if not self.is_digits:
            return value
        instant = f"cast({value} as datetime)"
        text = f"convert({value} using utf8mb4)" if column.data_type in TEXTS else value
        back = as_bytes(f"date_format({instant}, '%Y%m%d%H%i%s')")
        return f"if({back} = {as_bytes(text)}, {instant} + interval 0 second, null)"

    def _version(self, column: Column, value: str) -> str:
        if self.unit:
            times = f" * {self.unit}" if self.unit > 1 else ""
            return f"cast({value} as signed){times}"
        return f"timestampdiff(microsecond, '1970-01-01', {self._instant(column, value)})"

    def _day_of(self, instant: str) -> str:
        """Write the day that an instant belongs to, in the declared time zone."""
        zone = self.zone
        if self.is_date or zone.name == "UTC":
            return f"date({instant})"
        first, last = (
            f"{instant} + interval {zone.offset(edge).total_seconds():.0f} second"
            for edge in (FIRST_CHANGE, LAST_CHANGE)
        )
        there = first
        if zone.changes:
            there = (
                f"case when {instant} < '{FIRST_CHANGE:%Y-%m-%d}' then {first} "
                f"when {instant} < '{LAST_CHANGE:%Y-%m-%d}' then {converted(instant, zone)} "
                f"else {last} end"
            )
        # MySQL converts no day such as 2026-02-00, which is to be refused by its row.
        return f"date(ifnull({there}, {instant}))"

    def _bounds(self, column: Column) -> tuple[str, str]:
        """Write the least and the largest value with a day; empty for none that is not."""
        if self.is_increasing:
            return "", str(2**63 - 2)
        if self.unit:
            return "1", str(_YEAR_10000 * 1_000_000 // self.unit - 1)
        if self.is_digits:
            return _literal(column, "10000101000000"), _literal(column, "99991231235959")
        return f"'{FIRST[column.data_type]}'", ""

    # -- either side -----------------------------------------------------------------------------

    def edges(self, window: Window) -> list[tuple[str, int]]:
        """List the comparisons of a version that put it into a window."""
        end = window.end
        if self.is_increasing and end and self.open_day < end:
            end = None
        days = [(">=", window.start), ("<", end)]
        return [(compares, self._edge(day)) for compares, day in days if day]

    def _edge(self, day: date) -> int:
        """Compute the first version of a day."""
        if self.is_increasing:
            before = (most for marked, most in self.marks if marked < day)
            return 1 + max(before, default=_LEAST - 1)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return ((midnight if self.is_date else self.zone.midnight(day)) - _EPOCH) // _MICROSECOND

    def day_at(self, version: int) -> date:
        """Compute the day of a version."""
        if self.is_increasing:
            place = bisect_left([most for _, most in self.marks], version)
            return self.marks[place][0] if place < len(self.marks) else self.open_day
        instant = _EPOCH + version * _MICROSECOND
        return instant.date() if self.is_date else self.zone.day(instant)

    def shown(self, version: int) -> str:
        """Write a version as a column of the cursor holds it."""
        if self.unit:
            return str(version // self.unit)
        instant = (_EPOCH + version * _MICROSECOND).replace(tzinfo=None)
        if self.is_digits:
            return f"{instant:%Y%m%d%H%M%S}".zfill(14)
        return str(instant.date() if self.is_date else instant)


def converted(instant: str, zone: Zone) -> str:
    """Write an instant as a zone's clocks show it; NULL if MySQL does not know the zone."""
    return f"convert_tz({instant}, '+00:00', '{zone.name}')"


def where(*conditions: str) -> str:
    """Join the conditions that there are; the window's comes first, on its bare columns."""
    return f" where {joined}" if (joined := " and ".join(filter(None, conditions))) else ""


def _literal(column: Column, text: str) -> str:
    return text if is_number(column) else f"'{text}'"
