"""The marts' numbers equal an independent computation in pandas, straight from MySQL."""

from independent import assert_marts_equal


def test_every_mart_is_what_mysql_says(landed_warehouse):
    assert_marts_equal(landed_warehouse)


def test_the_sample_has_what_the_marts_must_tell_apart(landed_warehouse):
    """A channel that nobody came through, in each month; refunds; visits without a time."""
    earned = "analytics.channel_performance"
    for said, asked in (
        (730, "count(*) from analytics.nps_summary"),
        (24, "count(*) from analytics.nps_summary_monthly"),
        (24 * 8, f"count(*) from {earned}"),
        (24, f"count(*) from {earned} where channel_name = 'TikTok' and sessions = 0"),
        (24, f"count(*) from {earned} where sessions = 0"),
        (True, f"bool_or(net_amount < gross_amount) from {earned}"),
        (True, "sum(sessions_without_time) > 0 from analytics.channel_summary"),
    ):
        assert landed_warehouse.value(f"select {asked}") == said, asked


def test_the_sample_is_the_same_on_every_machine(landed_warehouse):
    fingerprint = landed_warehouse.mysql(
        "set group_concat_max_len = 1000000",
        "select sha2(group_concat(sha2(concat_ws('|', id, user_id, score, created_at, updated_at, "
        "is_deleted), 256) order by id separator ''), 224) from nps where id % 1000 = 7",
    )
    assert fingerprint == [("4e082713cf106343d651924c5cced41fd448555baf7c84b0e824469d",)]
