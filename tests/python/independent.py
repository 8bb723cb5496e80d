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
    return counts.assign(nps=nps, margin=margin)


def equal_when_rounded(built: pd.Series, expected: pd.Series) -> bool:
    """Whether a column is the expected one, rounded to two places."""
    return np.allclose(built.astype(float), expected, rtol=0, atol=0.00501, equal_nan=True)


def assert_nps_equals(
    pipeline: Pipeline, answered: pd.DataFrame, name: str, period: str
) -> pd.DataFrame:
    """Compare one of the NPS summaries; returns it."""
    counts = ("responses", "promoters", "detractors", "excluded_answers")
    built = mart(pipeline, name, *counts, "nps", "nps_margin")
    expected = score(answered, period)
    assert list(built.index) == list(expected.index)
    for column in counts:
        assert (built[column] == expected[column]).all(), column
    assert equal_when_rounded(built.nps, expected.nps)
    answered_at_all = built.responses > 0
    assert equal_when_rounded(built.nps_margin[answered_at_all], expected.margin[answered_at_all])
    return built


def assert_channels_equal(pipeline: Pipeline, visited: pd.DataFrame) -> pd.DataFrame:
    """Compare the first and last channels of each user; returns the visits without a time."""
    timed = visited.dropna(subset=["at"]).sort_values(["user", "at", "session"])
    by_user = timed.groupby("user")
    expected = pd.DataFrame(
        {
            "first": by_user.channel.first(),
            "last": by_user.channel.last(),
            "sessions": by_user.size(),
            "first_at": by_user["at"].first(),
            "last_at": by_user["at"].last(),
        }
    )
    indirect = timed[timed.channel != "Direct"].groupby("user").channel.last()
    expected["last_indirect"] = indirect.reindex(expected.index).fillna(expected["last"])
    untimed = visited[visited["at"].isna()].groupby("user").size()
    built = mart(
        pipeline, "channel_summary", "first_channel", "last_channel", "last_non_direct_channel",
        "sessions", "sessions_without_time", "first_session_at", "last_session_at",
    )  # fmt: skip
    assert sorted(built.index) == sorted(visited.user.unique())
    built = built.loc[expected.index]
    assert (built.first_channel == expected["first"]).all()
    assert (built.last_channel == expected["last"]).all()
    assert (built.last_non_direct_channel == expected["last_indirect"]).all()
    assert (built.sessions == expected.sessions).all()
    assert (built.sessions_without_time == untimed.reindex(expected.index).fillna(0)).all()
    assert (pd.to_datetime(built.first_session_at) == expected["first_at"]).all()
    assert (pd.to_datetime(built.last_session_at) == expected["last_at"]).all()
    return untimed


def assert_performance_equals(
    pipeline: Pipeline, visited: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare what channels earn; returns the table, and what was expected of busy months."""
    timed = visited.dropna(subset=["at"])
    timed = timed.assign(month=timed["at"].dt.to_period("M").dt.start_time.dt.date)
    timed = timed.assign(kept=timed.amount.where(timed.refunded != 1, other=0.0))
    groups = timed.groupby(["month", "channel"])
    expected = pd.DataFrame(
        {
            "users": groups.user.nunique(),
            "sessions": groups.size(),
            "transactions": groups.refunded.count(),
            "gross": groups.amount.sum(),
            "net": groups.kept.sum(),
        }
    )
    counts = ("users", "sessions", "transactions")
    built = mart(pipeline, "channel_performance", *counts, "gross_amount", "net_amount")
    busy = built[built.sessions > 0]
    assert set(busy.index) == set(expected.index)
    active = built.loc[list(expected.index)]
    for column in counts:
        assert (active[column] == expected[column]).all(), column
    assert np.allclose(active.gross_amount.astype(float), expected.gross)
    assert np.allclose(active.net_amount.astype(float), expected.net)
    quiet = built.drop(list(expected.index))
    assert (quiet.astype(float) == 0).all().all()
    return built, expected


def assert_active_users_equal(pipeline: Pipeline, visited: pd.DataFrame) -> None:
    """Compare how many people came each month."""
    timed = visited.dropna(subset=["at"])
    months = timed["at"].dt.to_period("M").dt.start_time.dt.date
    newcomers = timed.groupby("user")["at"].min().dt.to_period("M").dt.start_time.dt.date
    built = mart(pipeline, "active_users_monthly", "active_users", "new_users")
    expected = timed.groupby(months).user.nunique()
    assert (built.active_users[built.active_users > 0] == expected).all()
    assert set(built.index) >= set(expected.index)
    assert (built.new_users == newcomers.value_counts().reindex(built.index).fillna(0)).all()


def assert_hours_equal(pipeline: Pipeline, visited: pd.DataFrame) -> None:
    """Compare at which hours people came."""
    timed = visited.dropna(subset=["at"])
    hours = timed["at"].dt.hour
    built = mart(pipeline, "sessions_by_hour", "sessions", "users", "session_share")
    expected = hours.value_counts().reindex(built.index).fillna(0)
    assert built.sessions.sum() == len(timed)
    assert (built.sessions == expected).all()
    assert (built.users == timed.groupby(hours).user.nunique().reindex(built.index).fillna(0)).all()
    if len(timed):
        assert equal_when_rounded(built.session_share, 100 * expected / len(timed))
