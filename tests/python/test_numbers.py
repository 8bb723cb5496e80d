"""The marts' numbers equal an independent computation in pandas, straight from MySQL."""

import independent
import pytest


@pytest.fixture(scope="module")
def answers(landed_warehouse):
    """The answers that count."""
    return independent.answers(landed_warehouse)


@pytest.fixture(scope="module")
def visits(landed_warehouse):
    """Visits with their time and payment."""
    return independent.visits(landed_warehouse)


@pytest.mark.parametrize(
    ("name", "period", "rows"), [("nps_summary", "D", 730), ("nps_summary_monthly", "M", 24)]
)
def test_nps(landed_warehouse, answers, name, period, rows):
    built = independent.assert_nps_equals(landed_warehouse, answers, name, period)
    assert len(built) == rows


def test_first_and_last_channels(landed_warehouse, visits):
    untimed = independent.assert_channels_equal(landed_warehouse, visits)
    assert untimed.sum() > 0


def test_channel_performance(landed_warehouse, visits):
    built, expected = independent.assert_performance_equals(landed_warehouse, visits)
    assert len(built) == 24 * 8
    quiet = built.loc[built.index.get_level_values(1) == "TikTok"]
    assert len(quiet) == 24
    assert len(expected) == len(built) - len(quiet)
    assert (expected.net_amount < expected.gross_amount).any()


def test_active_users(landed_warehouse, visits):
    independent.assert_active_users_equal(landed_warehouse, visits)


def test_sessions_by_hour(landed_warehouse, visits):
    independent.assert_hours_equal(landed_warehouse, visits)


def test_the_sample_is_the_same_on_every_machine(landed_warehouse):
    fingerprint = landed_warehouse.mysql(
        "set group_concat_max_len = 1000000",
        "select sha2(group_concat(sha2(concat_ws('|', id, user_id, score, created_at, updated_at, "
        "is_deleted), 256) order by id separator ''), 224) from nps where id % 1000 = 7",
    )
    assert fingerprint == [("4e082713cf106343d651924c5cced41fd448555baf7c84b0e824469d",)]
