"""The figures of the page.

A colour is written `var(--name)`, or `var(--name/40)` to be see-through, and taken from the page's
style, which has one for a light screen and one for a dark one.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from html import escape
from itertools import cycle
from typing import Any, TypeAlias

import pandas as pd
import plotly.express as px
from plotly.graph_objects import Figure, Scatter

Over: TypeAlias = Callable[[date], bool]
"""Whether the month that begins on a day is over."""
_COLOURS = 8  # --channel-0 to --channel-7 in page.html
_DIRECT = "Direct"
_HOURS = {"type": "linear", "range": [-0.6, 23.6], "zeroline": False}
_HALF = timedelta(days=15)  # of a month, so that a line's points stand over the bars' middles
_MONTH = "%{x|%B %Y}<br>"
_PALE = 0.45  # a month that is not over
_PATTERN = {"fillmode": "overlay", "fgcolor": "var(--card)", "size": 6, "solidity": 0.25}
_PATTERNS = ("", "/", ".", "x", "\\", "-", "+", "|")  # who cannot tell colours apart tells these


def nps_by_month(nps: pd.DataFrame, over: Over) -> Figure:
    """The score with its interval, cut at what a score can be; few answers are a hollow point.

    Line and band break where a month has no score. One that is not over is pale and apart.
    """
    edges = {"low": nps["nps"] - nps["nps_margin"], "high": nps["nps"] + nps["nps_margin"]}
    known, months = _plain(nps.assign(**edges).dropna(subset="nps")), nps["answered_month"]
    known[["low", "high"]] = known[["low", "high"]].clip(-100, 100)
    known["over"] = known["answered_month"].map(over).astype(bool)
    follows = known["answered_month"].map(lambda day: 12 * day.year + day.month).diff() == 1
    stretches = known.groupby((~(follows & known["over"])).cumsum())
    figure = Figure([trace for _, stretch in stretches for trace in _score(stretch)])
    around = [months.iloc[0] - _HALF, months.iloc[-1] + _HALF]
    layout = {"showlegend": False, "yaxis_zeroline": True, "xaxis_range": around}
    return _finished(figure, "NPS", yaxis_range=_score_range(known[known["over"]]), **layout)


def _score(stretch: pd.DataFrame) -> Iterator[Scatter]:
    """The band and the line of months in a row; of one alone its interval is a bar."""
    months, over, alone = stretch["answered_month"], stretch["over"].all(), len(stretch) == 1
    edge = {"x": months, "mode": "lines", "line_width": 0, "hoverinfo": "skip"}
    yield Scatter(y=stretch["low"], **edge)
    yield Scatter(y=stretch["high"], fill="tonexty", fillcolor="var(--accent/40)", **edge)
    hollow = stretch["is_low_sample"] | ~stretch["over"]
    yield Scatter(
        x=months,
        y=stretch["nps"],
        customdata=stretch[["nps_margin", "responses"]],
        mode="lines+markers",
        opacity=1 if over else _PALE,
        line={"color": "var(--accent)", "width": 2.5},
        marker={"size": 7, "symbol": ["circle-open" if each else "circle" for each in hollow]},
        error_y={
            "array": stretch["high"] - stretch["nps"],
            "arrayminus": stretch["nps"] - stretch["low"],
            "visible": alone,
            "width": 0,
        },
        hovertemplate=f"{_MONTH}<b>%{{y:.1f}}</b> ± %{{customdata[0]:.1f}}"
        "<br>%{customdata[1]:,} answers<extra></extra>",
    )


def _score_range(closed: pd.DataFrame) -> list[float] | None:
    """Of the axis: the scores, and no interval of few answers, which may be the whole scale."""
    enough = closed[~closed["is_low_sample"].astype(bool)]
    if enough.empty:
        return None
    low = min(enough["low"].min(), closed["nps"].min())
    high = max(enough["high"].max(), closed["nps"].max())
    room = max(high - low, 1) / 20
    return [low - room, high + room]


def answers_by_month(nps: pd.DataFrame, over: Over) -> Figure:
    """How many answers there were, and of which kind."""
    kinds = ("detractors", "passives", "promoters")
    return _stacked(
        nps, "answered_month", {kind: f"var(--{kind})" for kind in kinds}, "answers", over
    )


def users_by_month(users: pd.DataFrame, over: Over) -> Figure:
    """Active users, the new ones at the bottom of each bar."""
    again = users["active_users"] - users["new_users"]
    kinds = {"new": "var(--accent)", "came back": "var(--quiet)"}
    users = users.assign(**{"new": users["new_users"], "came back": again})
    return _stacked(users, "session_month", kinds, "active users", over)


def revenue_by_month(revenue: pd.DataFrame, colours: dict[str, str], over: Over) -> Figure:
    """What was earned, refunds taken off, stacked by channel."""
    earning = [name for name, own in revenue.groupby("channel_name") if own["net_amount"].any()]
    wide = revenue.pivot(index="session_month", columns="channel_name", values="net_amount")
    kinds = {shown(name): colour for name, colour in colours.items() if name in earning}
    wide = wide.rename(columns=shown).reset_index()
    figure = _stacked(wide, "session_month", kinds, "net revenue", over, yaxis_tickprefix="$")
    return figure.update_traces(
        hovertemplate=f"{_MONTH}<b>$%{{y:,.2f}}</b><extra>%{{fullData.name}}</extra>"
    )


def sessions_by_hour(hours: pd.DataFrame) -> Figure:
    """Visits of each hour of the day."""
    every = list(range(0, 24, 4))
    bars = px.bar(_plain(hours), x="hour_of_day", y="sessions", custom_data=["session_share"])
    bars.update_traces(
        marker_color="var(--accent)",
        hovertemplate="%{x}:00 to %{x}:59 UTC<br><b>%{y:,}</b> visits"
        "<br>%{customdata[0]:.2f} %<extra></extra>",
    )
    ticks = {"tickvals": every, "ticktext": [f"{hour:02}:00" for hour in every]}
    return _finished(bars, "visits", xaxis={**_HOURS, **ticks})


def channel_colours(revenue: pd.DataFrame, flows: pd.DataFrame) -> dict[str, str]:
    """A colour for each channel, the one with the most revenue first; grey for none at all."""
    earned = dict.fromkeys([*flows["first_channel"], *flows["last_channel"]], Decimal(0))
    earned |= revenue.groupby("channel_name")["net_amount"].sum()
    ranked = sorted(earned, key=lambda name: (-earned[name], name))
    if _DIRECT in ranked:
        ranked.remove(_DIRECT)
    colours = {name: f"var(--channel-{n % _COLOURS})" for n, name in enumerate(ranked)}
    return colours | ({_DIRECT: "var(--quiet)"} if _DIRECT in earned else {})


def shown(name: str) -> str:
    """A name from the data as a label: plotly reads some HTML in labels."""
    return escape(name, quote=False)


def _plain(numbers: pd.DataFrame) -> pd.DataFrame:
    """Decimals as floats, which is all that a picture needs."""
    return numbers.map(
        lambda each: float(each) if isinstance(each, Decimal) else each
    ).infer_objects()


def _stacked(
    numbers: pd.DataFrame, months: str, kinds: dict[str, str], y: str, over: Over, **layout: Any
) -> Figure:
    """Bars per month, a colour and a pattern for each kind; one that is not over is pale."""
    numbers = _plain(numbers)
    bars = px.bar(numbers, x=months, y=list(kinds), color_discrete_map=kinds)
    opacity = [1 if over(month) else _PALE for month in numbers[months]]
    for trace, shape in zip(bars.data, cycle(_PATTERNS)):
        trace.marker.update(opacity=opacity, pattern={"shape": shape, **_PATTERN})
    bars.update_traces(hovertemplate=f"{_MONTH}<b>%{{y:,}}</b> %{{fullData.name}}<extra></extra>")
    return _finished(bars, y, **layout)


def _finished(figure: Figure, y: str | None, **layout: Any) -> Figure:
    """The traces without plotly's own look, for which the page has its own; `meta` is the unit."""
    return Figure(figure.data).update_layout(template="none", barmode="stack", meta=y, **layout)
