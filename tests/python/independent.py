"""The marts' numbers computed another way: in pandas, straight from MySQL."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pipeline import Pipeline

MARTS = {
    "nps_summary": "answered_on",
    "nps_summary_monthly": "answered_month",
    "channel_summary": "user_id",
    "channel_performance": "session_month, channel_name",
    "active_users_monthly": "session_month",
    "sessions_by_hour": "hour_of_day",
}
"""The marts that are computed here, each with its grain."""
ROUNDED = 0.00501  # how far a ratio may be from one that is rounded to two places


def assert_marts_equal(pipeline: Pipeline) -> None:
    """Compare every mart with what the source says now."""
    answered, visited = answers(pipeline), visits(pipeline)
    assert_nps_equals(pipeline, answered, "nps_summary", "D")
    assert_nps_equals(pipeline, answered, "nps_summary_monthly", "M")
    assert_channels_equal(pipeline, visited)
    assert_performance_equals(pipeline, visited)
    assert_active_users_equal(pipeline, visited)
    assert_hours_equal(pipeline, visited)


def frame(rows: Sequence[tuple], *columns: str) -> pd.DataFrame:
    """Rows of a query with their columns' names."""
    return pd.DataFrame(list(rows), columns=list(columns))


def answers(pipeline: Pipeline) -> pd.DataFrame:
    """The answers that count."""
    columns = ("id", "score", "created_at", "is_deleted")
    data = frame(pipeline.mysql(f"select {', '.join(columns)} from nps"), *columns)
    return data[data.is_deleted == 0].assign(
        created_at=lambda d: pd.to_datetime(d.created_at), score=lambda d: d.score.astype(float)
    )


def visits(pipeline: Pipeline) -> pd.DataFrame:
    """Visits with their time and payment."""
    visits = frame(
        pipeline.mysql("select userid, sessionid, channel from user_session_channel"),
        "user", "session", "channel",
    )  # fmt: skip
    times = frame(pipeline.mysql("select sessionid, ts from session_timestamp"), "session", "at")
    payments = frame(
        pipeline.mysql("select sessionid, refunded, amount from session_transaction"),
        "session", "refunded", "amount",
    )  # fmt: skip
    joined = visits.merge(times, how="left").merge(payments, how="left")
    return joined.assign(
        at=pd.to_datetime(joined["at"]), amount=joined["amount"].astype(float).fillna(0.0)
    )


def mart(pipeline: Pipeline, name: str, *columns: str) -> pd.DataFrame:
    """A built table's columns, by its grain."""
    grain = MARTS[name].split(", ")
    listed = ", ".join((*grain, *columns))
    rows = pipeline.query(f"select {listed} from analytics.{name} order by {MARTS[name]}")
    return frame(rows, *grain, *columns).set_index(grain if len(grain) > 1 else grain[0])


def assert_same(built: pd.DataFrame, expected: pd.DataFrame, atol: float = 1e-6) -> None:
    """Compare two tables by their keys, column by column."""
    pd.testing.assert_frame_equal(
        built.astype(expected.dtypes), expected, check_names=False, check_index_type=False,
        rtol=0, atol=atol,
    )  # fmt: skip


def score(answered: pd.DataFrame, period: str) -> pd.DataFrame:
    """NPS and its interval per period, `D` or `M`, written another way than in the models."""
    valid = answered.score.between(0, 10)
    period_of = answered.created_at.dt.to_period(period).dt.start_time.dt.date
    counts = pd.DataFrame(
        {
            "responses": valid.groupby(period_of).sum(),
            "promoters": (answered.score >= 9).where(valid, other=False).groupby(period_of).sum(),
            "detractors": (answered.score <= 6).where(valid, other=False).groupby(period_of).sum(),
            "excluded_answers": (~valid).groupby(period_of).sum(),
        }
    ).astype(int)
    n = counts.responses + 2
    p, d = (counts.promoters + 1) / n, (counts.detractors + 1) / n
    nps = (counts.promoters - counts.detractors) / counts.responses.replace(0, np.nan) * 100
    margin = 1.96 * 100 * np.sqrt((p + d - (p - d) ** 2) / n)
    return counts.assign(nps=nps, nps_margin=margin.where(counts.responses > 0))


def assert_nps_equals(pipeline: Pipeline, answered: pd.DataFrame, name: str, period: str) -> None:
    """Compare one of the NPS summaries."""
    expected = score(answered, period)
    assert_same(mart(pipeline, name, *expected), expected, ROUNDED)


def assert_channels_equal(pipeline: Pipeline, visited: pd.DataFrame) -> None:
    """Compare the first and last channels of each user."""
    timed = visited.dropna(subset=["at"]).sort_values(["user", "at", "session"])
    by_user = timed.groupby("user")
    expected = pd.DataFrame(
        {
            "first_channel": by_user.channel.first(),
            "last_channel": by_user.channel.last(),
            "sessions": by_user.size(),
            "first_session_at": by_user["at"].first(),
            "last_session_at": by_user["at"].last(),
        }
    )
    indirect = timed[timed.channel != "Direct"].groupby("user").channel.last()
    untimed = visited[visited["at"].isna()].groupby("user").size()
    expected["last_non_direct_channel"] = indirect.reindex(expected.index).fillna(
        expected.last_channel
    )
    expected["sessions_without_time"] = untimed.reindex(expected.index, fill_value=0)
    built = mart(pipeline, "channel_summary", *expected)
    assert sorted(built.index) == sorted(visited.user.unique())
    assert_same(built.loc[expected.index], expected)


def assert_performance_equals(pipeline: Pipeline, visited: pd.DataFrame) -> None:
    """Compare what channels earn; in the other months they earn nothing."""
    timed = visited.dropna(subset=["at"])
    timed = timed.assign(month=timed["at"].dt.to_period("M").dt.start_time.dt.date)
    timed = timed.assign(kept=timed.amount.where(timed.refunded != 1, other=0.0))
    groups = timed.groupby(["month", "channel"])
    expected = pd.DataFrame(
        {
            "users": groups.user.nunique(),
            "sessions": groups.size(),
            "transactions": groups.refunded.count(),
            "gross_amount": groups.amount.sum(),
            "net_amount": groups.kept.sum(),
        }
    )
    built = mart(pipeline, "channel_performance", *expected)
    assert set(built.index[built.sessions > 0]) == set(expected.index)
    assert_same(built.loc[list(expected.index)], expected)
    quiet = built.drop(list(expected.index))
    assert (quiet.astype(float) == 0).all().all()


def assert_active_users_equal(pipeline: Pipeline, visited: pd.DataFrame) -> None:
    """Compare how many people came each month."""
    timed = visited.dropna(subset=["at"])
    months = timed["at"].dt.to_period("M").dt.start_time.dt.date
    newcomers = timed.groupby("user")["at"].min().dt.to_period("M").dt.start_time.dt.date
    active = timed.groupby(months).user.nunique()
    expected = pd.DataFrame({"active_users": active, "new_users": newcomers.value_counts()})
    built = mart(pipeline, "active_users_monthly", *expected)
    assert set(built.index) >= set(expected.index)
    assert_same(built, expected.reindex(built.index).fillna(0))


def assert_hours_equal(pipeline: Pipeline, visited: pd.DataFrame) -> None:
    """Compare at which hours people came."""
    timed = visited.dropna(subset=["at"])
    hours = timed["at"].dt.hour
    users = timed.groupby(hours).user.nunique()
    expected = pd.DataFrame({"sessions": hours.value_counts(), "users": users})
    built = mart(pipeline, "sessions_by_hour", *expected, "session_share")
    assert built.sessions.sum() == len(timed)
    expected = expected.reindex(built.index).fillna(0)
    share = 100 * expected.sessions / len(timed)
    assert_same(built, expected.assign(session_share=share), ROUNDED)
