"""Half-open windows of whole days, `[start, end)`, in one declared time zone."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from loader.errors import CommandLineError, ConfigError

DAY = timedelta(days=1)
FIRST_CHANGE, LAST_CHANGE = datetime(1970, 1, 2, tzinfo=UTC), datetime(2038, 1, 18, tzinfo=UTC)
"""Between these a zone's clocks may change; before and after they are as at the nearer one.

CONVERT_TZ() converts no other instants on every server. [MySQL: Date and Time Functions]
"""


@dataclass(frozen=True)
class Zone:
    """A time zone, by the name that MySQL knows it by and as Python computes with it."""

    name: str
    info: tzinfo

    @property
    def changes(self) -> bool:
        """Whether its clocks may change."""
        return not isinstance(self.info, timezone) and self.name != "UTC"

    def offset(self, instant: datetime) -> timedelta:
        """How far clocks are ahead of UTC."""
        known = min(max(instant, FIRST_CHANGE), LAST_CHANGE)
        return known.astimezone(self.info).utcoffset() or timedelta()

    def midnight(self, day: date) -> datetime:
        """The instant, in UTC, at which a day begins here."""
        there = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if FIRST_CHANGE < there < LAST_CHANGE:
            return there.replace(tzinfo=self.info).astimezone(UTC)
        return there - self.offset(there)

    def day(self, instant: datetime) -> date:
        """The day that an instant belongs to here; UTC's where the calendar ends."""
        try:
            return (instant + self.offset(instant)).date()
        except OverflowError:
            return instant.date()

    def today(self) -> date:
        """The current day here."""
        return self.day(datetime.now(UTC))


@dataclass(frozen=True)
class Window:
    """The days `start` up to but not including `end`; with neither, the whole table."""

    start: date | None = None
    end: date | None = None

    @property
    def is_whole(self) -> bool:
        """True for the unbounded window of a full refresh."""
        return self.start is None

    def __iter__(self) -> Iterator[date]:
        """Go through the days of a bounded window."""
        for number in range(self.days):
            yield (self.start or date.min) + number * DAY

    @property
    def days(self) -> int:
        """How many days the window has; 0 for the unbounded one."""
        return (self.end - self.start).days if self.start and self.end else 0

    def __str__(self) -> str:
        if self.start is None:
            return "whole table"
        if self.end is None:
            return f"from {self.start}"
        return str(self.start) if self.days == 1 else f"{self.start} to {self.end - DAY}"


WHOLE = Window()


def windows_of(days: Iterable[date]) -> list[Window]:
    """Join days, oldest first, to as few windows as hold no other day."""
    found = list[Window]()
    for day in days:
        start = found.pop().start if found and found[-1].end == day else day
        found.append(Window(start, day + DAY))
    return found


def parse_day(text: str, option: str) -> date:
    """Read one ISO date.

    Raises:
        CommandLineError: `text` is not `YYYY-MM-DD`, or no such day exists.
    """
    with suppress(ValueError):
        day = date.fromisoformat(text)
        # Python reads other ways to write a day, too; and windows reach one day further.
        if str(day) == text and date.min < day < date.max:
            return day
    raise CommandLineError(
        f"{option} {text!r} is not a day of the calendar, written YYYY-MM-DD.",
        "Write one such as 2026-07-01.",
    )


def parse_zone(name: str) -> Zone:
    """Read a time zone: an IANA name or an offset such as `+09:00`.

    Raises:
        ConfigError: no such zone.
    """
    if offset := re.fullmatch(r"([+-])([01]\d):([0-5]\d)", name):
        minutes = int(offset[2]) * 60 + int(offset[3])
        return Zone(name, timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes)))
    try:
        return Zone(name, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(
            f"LOADER_TIMEZONE {name!r} is not a time zone.",
            "Use a name such as UTC or Asia/Seoul, or an offset such as +09:00.",
        ) from None


class Dates(NamedTuple):
    """What the command line says of days: ISO dates, of which `end_date` is not included."""

    run_date: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    full_refresh: bool = False

    @property
    def mode(self) -> str:
        """What was asked for, as the ledger has it."""
        if self.full_refresh:
            return "full_refresh"
        return "run_date" if self.run_date else "range" if self.start_date else "catch_up"


def requested_window(dates: Dates, today: date) -> Window | None:
    """The window that the command line asks for; None means catch-up.

    Args:
        today: the current day in the declared time zone.

    Raises:
        CommandLineError: options that exclude each other, a date that does not exist, an end that
            is not after its start, or a day that has not begun.
    """
    run_date, start_date, end_date, full_refresh = dates
    is_range = start_date is not None or end_date is not None
    options = {"--run-date": run_date is not None, "--start-date": is_range}
    options["--full-refresh"] = full_refresh
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise CommandLineError(f"{' and '.join(given)} exclude each other.", "Give one of them.")
    if not given:
        return None
    if full_refresh:
        return WHOLE
    if is_range and (start_date is None or end_date is None):
        raise CommandLineError(
            "--start-date and --end-date go together; only one was given.",
            "Give both; the end date is not included.",
        )
    start = parse_day(run_date or start_date or "", given[0])
    end = start + DAY if end_date is None else parse_day(end_date, "--end-date")
    if end <= start:
        raise CommandLineError(
            f"--end-date {end} is not after --start-date {start}.",
            "The end date is not included, so it is at least one day later.",
        )
    if end - DAY > today:
        raise CommandLineError(
            f"{end - DAY} has not begun; today is {today}.",
            "Ask for days up to today; a day is complete when it is over.",
        )
    return Window(start, end)
