"""A wrong window lands the wrong days; a wrong date must not get through."""

import random
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from loader.declared.tables import Cursor, Table
from loader.declared.windows import (
    DAY,
    FIRST_CHANGE,
    LAST_CHANGE,
    WHOLE,
    Dates,
    Window,
    parse_zone,
    requested_window,
)
from loader.errors import CommandLineError
from loader.load.jobs import jobs_for
from loader.warehouse.ledger import Load

TODAY = date(2026, 7, 31)


def request(run_date=None, start_date=None, end_date=None, full_refresh=False):
    dates = Dates(run_date, start_date, end_date, full_refresh)
    return requested_window(dates, TODAY)


def test_a_window_is_the_days_that_are_asked_for_the_end_not_included():
    assert request() is None
    assert request(full_refresh=True) == WHOLE
    one_day = Window(date(2026, 7, 1), date(2026, 7, 2))
    assert request(run_date="2026-07-01") == one_day
    assert request(start_date="2026-07-01", end_date="2026-07-02") == one_day


def test_today_may_be_asked_for_and_tomorrow_may_not():
    assert request(run_date="2026-07-31")
    with pytest.raises(CommandLineError, match="2026-08-01 has not begun; today is 2026-07-31"):
        request(run_date="2026-08-01")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run_date": "2026-02-30"}, "not a day of the calendar"),
        ({"run_date": "20260701"}, "not a day of the calendar"),
        ({"run_date": ""}, "not a day of the calendar"),
        ({"start_date": "", "end_date": ""}, "not a day of the calendar"),
        ({"run_date": "", "full_refresh": True}, "exclude each other"),
        ({"run_date": "9999-12-31"}, "not a day of the calendar"),
        ({"run_date": "2026-W27-3"}, "not a day of the calendar"),
        ({"start_date": "2026-07-01"}, "go together"),
        ({"end_date": "2026-07-01"}, "go together"),
        ({"start_date": "2026-07-02", "end_date": "2026-07-02"}, "is not after"),
        ({"start_date": "2026-07-02", "end_date": "2026-07-01"}, "is not after"),
        ({"run_date": "2026-07-01", "full_refresh": True}, "exclude each other"),
        ({"run_date": "2026-07-01", "end_date": "2026-07-02"}, "exclude each other"),
    ],
)
def test_a_wrong_date_is_refused_in_one_sentence(options, message):
    with pytest.raises(CommandLineError, match=message):
        request(**options)


@pytest.mark.parametrize(
    ("zone", "first", "after"),
    [
        ("UTC", "2026-03-29T00Z", "2026-03-30T00Z"),
        ("+09:00", "2026-03-28T15Z", "2026-03-29T15Z"),
        # The day on which Berlin's clocks go forward has 23 hours.
        ("Europe/Berlin", "2026-03-28T23Z", "2026-03-29T22Z"),
    ],
)
def test_a_day_begins_and_ends_where_its_zone_says(zone, first, after):
    there, expected = parse_zone(zone), [datetime.fromisoformat(each) for each in (first, after)]
    assert [there.midnight(date(2026, 3, day)) for day in (29, 30)] == expected


@pytest.mark.parametrize(
    "zone", ["UTC", "+14:00", "-12:59", "Europe/Berlin", "Africa/Monrovia", "Pacific/Apia"]
)
def test_every_instant_is_of_the_day_between_whose_midnights_it_lies(zone):
    there, draw = parse_zone(zone), random.Random(zone)
    first, last = datetime(1000, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
    ends_of_years = (datetime(year, 12, 31, tzinfo=UTC) for year in range(1960, 2045))
    near = [FIRST_CHANGE, LAST_CHANGE, *ends_of_years]
    instants = [first + draw.random() * (last - first) for _ in range(500)]
    instants += [each + draw.uniform(-2, 2) * DAY for each in near for _ in range(9)]
    for instant in instants:
        day = there.day(instant)
        assert there.midnight(day) <= instant < there.midnight(day + DAY), (instant, day)


@pytest.mark.parametrize("zone", ["UTC", "-11:00", "+14:00"])
@pytest.mark.parametrize(
    ("landed", "first"),
    [
        ([(-10, -9), (-4, -3)], -9),
        ([(-4, -3), (-10, -9)], -9),
        ([(-10, -9), (0, 1)], -9),  # a day that is not over is not covered
        ([(-10, 0), (0, 1)], 0),
        ([None, (-4, -3)], -12),  # the whole table, landed twelve days ago
        ([(-20, -19), None, (0, 1)], -12),
        ([(-10, -9), (-9, -5), (-2, -1)], -5),
        ([(-10, -9), (-2, -1), (-9, -2)], -1),
    ],
)
def test_a_catch_up_begins_at_the_first_day_that_no_landing_covers(landed, first, zone):
    """Days before one that was landed by its date came never, though every run ended well."""
    there, now = parse_zone(zone), datetime.now(UTC)
    today = now.astimezone(there.info).date()

    def load(days):
        start, end = (today + day * DAY for day in days) if days else (None, None)
        began = now.replace(tzinfo=None) - (0 if days else 12) * DAY
        return Load(
            load_id="", table_name="t", mode="run_date", outcome="landed", started_at=began,
            window_start=start, window_end=end,
        )  # fmt: skip

    settings = SimpleNamespace(zone=there)
    warehouse = SimpleNamespace(loads=lambda: [load(days) for days in landed], settings=settings)
    for lookback in (0, 1):
        table = Table(
            name="t", database="d", source="t", primary_key=("id",), cursor=Cursor(columns=("c",)),
            lookback_days=lookback,
        )  # fmt: skip
        jobs = list(jobs_for([table], None, "catch_up", warehouse))
        start = today + (first - lookback) * DAY
        assert [job.window for job in jobs] == ([Window(start, today)] if start < today else [])
