"""The marts' numbers equal an independent computation in pandas, straight from MySQL."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest


def frame(rows: Sequence[tuple], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(columns))


@pytest.fixture(scope="module")
def answers(landed_warehouse):
    """The answers that count, straight from MySQL."""
    columns = ("id", "score", "created_at", "is_deleted")
    data = frame(landed_warehouse.mysql(f"select {', '.join(columns)} from nps"), *columns)
    return data[data.is_deleted == 0].assign(created_at=lambda d: pd.to_datetime(d.created_at))


@pytest.fixture(scope="module")
def visits(landed_warehouse):
    """Visits with their time and payment, straight from MySQL."""
    visits = frame(
        landed_warehouse.mysql("select userid, sessionid, channel from user_session_channel"),
        "user", "session", "channel",
    )  # fmt: skip
    times = frame(
        landed_warehouse.mysql("select sessionid, ts from session_timestamp"), "session", "at"
    )
    payments = frame(
        landed_warehouse.mysql("select sessionid, refunded, amount from session_transaction"),
        "session", "refunded", "amount",
    )  # fmt: skip
    joined = visits.merge(times, how="left").merge(payments, how="left")
    return joined.assign(
        at=pd.to_datetime(joined["at"]), amount=joined["amount"].astype(float).fillna(0.0)
    )


def mart(pipeline, name: str, *columns: str) -> pd.DataFrame:
    listed = ", ".join(columns)
    return frame(pipeline.query(f"select {listed} from analytics.{name} order by 1, 2"), *columns)


def score(answers: pd.DataFrame, period: str) -> pd.DataFrame:
    """NPS and its interval, written another way than in the models."""
    valid = answers.score.between(0, 10)
    period_of = answers.created_at.dt.to_period(period).dt.start_time.dt.date
    counts = pd.DataFrame(
        {
            "responses": valid.groupby(period_of).sum(),
            "promoters": (answers.score >= 9).where(valid, other=False).groupby(period_of).sum(),
            "detractors": (answers.score <= 6).where(valid, other=False).groupby(period_of).sum(),
            "excluded_answers": (~valid).groupby(period_of).sum(),
        }
    )
    n = counts.responses + 2
    p, d = (counts.promoters + 1) / n, (counts.detractors + 1) / n
    nps = (counts.promoters - counts.detractors) / counts.responses * 100
    return counts.assign(nps=nps, margin=1.96 * 100 * np.sqrt((p + d - (p - d) ** 2) / n))


def equal_when_rounded(built: pd.Series, expected: pd.Series) -> bool:
    return np.allclose(built.astype(float), expected, rtol=0, atol=0.00501)


@pytest.mark.parametrize(
    ("name", "grain", "period"),
    [("nps_summary", "answered_on", "D"), ("nps_summary_monthly", "answered_month", "M")],
)
def test_nps(landed_warehouse, answers, name, grain, period):
    columns = ("responses", "promoters", "detractors", "excluded_answers", "nps", "nps_margin")
    built = mart(landed_warehouse, name, grain, *columns).set_index(grain)
    expected = score(answers, period)
    assert len(built) == {"D": 730, "M": 24}[period]
    assert list(built.index) == list(expected.index)
    for column in columns[:4]:
        assert (built[column] == expected[column]).all(), column
    assert equal_when_rounded(built.nps, expected.nps)
    assert equal_when_rounded(built.nps_margin, expected.margin)


def test_first_and_last_channels(landed_warehouse, visits):
    timed = visits.dropna(subset=["at"]).sort_values(["user", "at", "session"])
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
    untimed = visits[visits["at"].isna()].groupby("user").size()
    columns = (
        "user_id", "first_channel", "last_channel", "last_non_direct_channel", "sessions",
        "sessions_without_time", "first_session_at", "last_session_at",
    )  # fmt: skip
    built = mart(landed_warehouse, "channel_summary", *columns).set_index("user_id")
    assert sorted(built.index) == sorted(visits.user.unique())
    built = built.loc[expected.index]
    assert (built.first_channel == expected["first"]).all()
    assert (built.last_channel == expected["last"]).all()
    assert (built.last_non_direct_channel == expected["last_indirect"]).all()
    assert (built.sessions == expected.sessions).all()
    assert (built.sessions_without_time == untimed.reindex(expected.index).fillna(0)).all()
    assert (pd.to_datetime(built.first_session_at) == expected["first_at"]).all()
    assert (pd.to_datetime(built.last_session_at) == expected["last_at"]).all()
    assert untimed.sum() > 0


def test_channel_performance(landed_warehouse, visits):
    timed = visits.dropna(subset=["at"])
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
    columns = (
        "session_month", "channel_name", "users", "sessions", "transactions", "gross_amount",
        "net_amount",
    )  # fmt: skip
    built = mart(landed_warehouse, "channel_performance", *columns)
    built = built.set_index(["session_month", "channel_name"])
    assert len(built) == 24 * 8
    quiet = built.loc[built.index.get_level_values(1) == "TikTok"]
    assert len(quiet) == 24
    assert (quiet.astype(float) == 0).all().all()
    active = built.loc[expected.index]
    assert len(active) == len(built) - len(quiet)
    for column in ("users", "sessions", "transactions"):
        assert (active[column] == expected[column]).all(), column
    assert np.allclose(active.gross_amount.astype(float), expected.gross)
    assert np.allclose(active.net_amount.astype(float), expected.net)
    assert (expected.net < expected.gross).any()


def test_active_users(landed_warehouse, visits):
    timed = visits.dropna(subset=["at"])
    months = timed["at"].dt.to_period("M").dt.start_time.dt.date
    newcomers = timed.groupby("user")["at"].min().dt.to_period("M").dt.start_time.dt.date
    built = mart(
        landed_warehouse, "active_users_monthly", "session_month", "active_users", "new_users"
    ).set_index("session_month")
    assert (built.active_users == timed.groupby(months).user.nunique()).all()
    expected = newcomers.value_counts().reindex(built.index).fillna(0)
    assert (built.new_users == expected).all()


def test_sessions_by_hour(landed_warehouse, visits):
    timed = visits.dropna(subset=["at"])
    hours = timed["at"].dt.hour
    built = mart(
        landed_warehouse, "sessions_by_hour", "hour_of_day", "sessions", "users", "session_share"
    ).set_index("hour_of_day")
    assert (built.sessions == hours.value_counts().sort_index()).all()
    assert (built.users == timed.groupby(hours).user.nunique()).all()
    assert equal_when_rounded(built.session_share, 100 * built.sessions / len(timed))


def test_the_sample_has_the_shape_it_promises(landed_warehouse):
    value = landed_warehouse.mysql
    assert value("select count(*) >= 150000 from nps") == [(1,)]
    assert value(
        "select min(created_at) >= '2024-08-01', max(updated_at) < '2026-08-01' from nps"
    ) == [(1, 1)]
    assert value("select count(*) > 1000 from nps where date(updated_at) > date(created_at)") == [
        (1,)
    ]
    assert value("select count(*) > 1000 from nps where is_deleted") == [(1,)]
    assert value("select count(*) between 100 and 2000 from nps where score is null") == [(1,)]
    assert value("select count(*) > 90000, count(distinct userid) from user_session_channel") == [
        (1, 1000)
    ]
    assert value("select count(distinct channel) from user_session_channel") == [(7,)]
    assert value("select count(*) > 100 from session_transaction where refunded") == [(1,)]


def test_the_sample_is_the_same_on_every_machine(landed_warehouse):
    fingerprint = landed_warehouse.mysql(
        "select md5(group_concat(md5(concat_ws('|', id, user_id, score, created_at, updated_at, "
        "is_deleted)) order by id separator '')) from nps where id % 1000 = 7"
    )
    assert fingerprint == [("7b616e5d025ae390af18f81e6ca0f119",)]
