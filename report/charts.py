"""The figures of the page.

A colour is written `var(--name)`, or `var(--name/40)` to be see-through, and taken from the page's
style, which has one for a light screen and one for a dark one.
"""

from datetime import timedelta
from decimal import Decimal
from html import escape
from typing import Any

import pandas as pd
import plotly.express as px
from plotly.graph_objects import Figure, Sankey, Scatter

_COLOURS = 8  # --channel-0 to --channel-7 in page.html
_DIRECT = "Direct"
_HALF = timedelta(days=15)  # of a month, so that a line's points stand over the bars' middles
_MONTH = "%{x|%B %Y}<br>"


def nps_by_month(nps: pd.DataFrame) -> Figure:
    """The score with its interval; a month with few answers is a hollow point."""
    known, months = nps.dropna(subset="nps"), nps["answered_month"]
    low, high = known["nps"] - known["nps_margin"], known["nps"] + known["nps_margin"]
    edge = {"x": known["answered_month"], "mode": "lines", "line_width": 0, "hoverinfo": "skip"}
    line = px.line(
        _plain(nps),
        x="answered_month",
        y="nps",
        markers=True,
        custom_data=["nps_margin", "responses"],
    ).update_traces(
        line={"color": "var(--accent)", "width": 2.5},
        marker={
            "size": 7,
            "symbol": ["circle-open" if few else "circle" for few in nps["is_low_sample"]],
        },
        hovertemplate=f"{_MONTH}<b>%{{y:.1f}}</b> ± %{{customdata[0]:.1f}}"
        "<br>%{customdata[1]:,} answers<extra></extra>",
    )
    figure = Figure(
        [
            Scatter(y=low.astype(float), **edge),
            Scatter(
                y=high.astype(float),
                fill="tonexty",
                fillcolor="var(--accent/40)",
                **edge,
            ),
            *line.data,
        ]
    )
    around = [months.iloc[0] - _HALF, months.iloc[-1] + _HALF]
    return _finished(figure, "NPS", showlegend=False, yaxis_zeroline=True, xaxis_range=around)


def answers_by_month(nps: pd.DataFrame) -> Figure:
    """How many answers there were, and of which kind."""
    kinds = ("detractors", "passives", "promoters")
    return _stacked(nps, "answered_month", {kind: f"var(--{kind})" for kind in kinds}, "answers")


def users_by_month(users: pd.DataFrame) -> Figure:
    """Active users, the new ones at the bottom of each bar."""
    again = users["active_users"] - users["new_users"]
    kinds = {"new": "var(--accent)", "came back": "var(--quiet)"}
    users = users.assign(**{"new": users["new_users"], "came back": again})
    return _stacked(users, "session_month", kinds, "active users")


def revenue_by_month(revenue: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """What was earned, refunds taken off, stacked by channel."""
    earning = [name for name, own in revenue.groupby("channel_name") if own["net_amount"].any()]
    wide = revenue.pivot(index="session_month", columns="channel_name", values="net_amount")
    kinds = {shown(name): colour for name, colour in colours.items() if name in earning}
    wide = wide.rename(columns=shown).reset_index()
    figure = _stacked(wide, "session_month", kinds, "net revenue", yaxis_tickprefix="$")
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
    return _finished(bars, "visits", xaxis={"type": "linear", "range": [-0.6, 23.6], **ticks})


def channel_flow(flows: pd.DataFrame, colours: dict[str, str]) -> Figure:
    """Users from the channel of their first visit, at the left, to that of their last."""
    firsts, lasts = (
        flows.groupby(side)["users"].sum().reindex(colours).dropna()
        for side in ("first_channel", "last_channel")
    )
    names = [*firsts.index, *lasts.index]
    middles = [(users.cumsum() - users / 2) / users.sum() for users in (firsts, lasts)]
    flow = Sankey(
        arrangement="fixed",
        node={
            "label": [shown(name) for name in names],
            "x": [0.001] * len(firsts) + [0.999] * len(lasts),
            "y": [round(float(place), 4) for places in middles for place in places],
            "color": [colours[name] for name in names],
            "pad": 14,
            "thickness": 14,
            "line": {"width": 0},
            "hovertemplate": "%{label}<br>%{value:,} users<extra></extra>",
        },
        link={
            "source": [firsts.index.get_loc(name) for name in flows["first_channel"]],
            "target": [len(firsts) + lasts.index.get_loc(name) for name in flows["last_channel"]],
            "value": list(flows["users"]),
            "color": [colours[name].replace(")", "/59)") for name in flows["first_channel"]],
            "hovertemplate": "first %{source.label}, last %{target.label}"
            "<br><b>%{value:,}</b> users<extra></extra>",
        },
    )
    return _finished(Figure(flow), None, height=440, margin={"l": 4, "r": 4, "t": 8, "b": 8})


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
    numbers: pd.DataFrame, months: str, kinds: dict[str, str], y: str, **layout: Any
) -> Figure:
    """Bars per month, a colour for each kind."""
    numbers = _plain(numbers)
    bars = px.bar(numbers, x=months, y=list(kinds), color_discrete_map=kinds)
    bars.update_traces(hovertemplate=f"{_MONTH}<b>%{{y:,}}</b> %{{fullData.name}}<extra></extra>")
    return _finished(bars, y, **layout)


def _finished(figure: Figure, y: str | None, **layout: Any) -> Figure:
    """The traces without plotly's own look, for which the page has its own."""
    return Figure(figure.data).update_layout(
        template="none", barmode="stack", yaxis_title=y, **layout
    )
