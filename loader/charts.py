"""The figures of `loader report`, as plotly takes them: a list of traces and a layout.

A colour is written `{"css": name}` and taken from the page's style, which has one for a light
screen and one for a dark one; `clear` makes it see-through, from 0 to 1.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from html import escape
from typing import Any

from loader.summaries import Numbers

Figure = dict[str, Any]
_COLOURS = 8  # --channel-0 to --channel-7 in page.html
_DIRECT = "Direct"
_HALF = timedelta(days=15)  # of a month, so that a line's points stand over the bars' middles


def nps_by_month(nps: Numbers) -> Figure:
    """The score with its interval; a month with few answers is a hollow point."""
    months, scores, margins = (nps.column(name) for name in ("answered_month", "nps", "nps_margin"))
    known = [
        (month, score - margin, score + margin)
        for month, score, margin in zip(months, scores, margins, strict=True)
        if score is not None
    ]
    edge = {
        "x": plain([month for month, _, _ in known]),
        "mode": "lines",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    low = nps.column("is_low_sample")
    return {
        "data": [
            {**edge, "y": plain([least for _, least, _ in known])},
            {
                **edge,
                "y": plain([most for _, _, most in known]),
                "fill": "tonexty",
                "fillcolor": {"css": "accent", "clear": 0.75},
            },
            {
                "x": plain(months),
                "y": plain(scores),
                "name": "NPS",
                "mode": "lines+markers",
                "line": {"color": {"css": "accent"}, "width": 2.5},
                "marker": {
                    "size": 7,
                    "symbol": ["circle-open" if few else "circle" for few in low],
                },
                "customdata": list(zip(plain(margins), nps.column("responses"), strict=True)),
                "hovertemplate": "%{x|%B %Y}<br><b>%{y:.1f}</b> ± %{customdata[0]:.1f}"
                "<br>%{customdata[1]:,} answers<extra></extra>",
                "showlegend": False,
            },
        ],
        "layout": {
            "xaxis": {"range": plain([months[0] - _HALF, months[-1] + _HALF]) if months else None},
            "yaxis": {"title": {"text": "NPS"}, "zeroline": True},
        },
    }


def answers_by_month(nps: Numbers) -> Figure:
    """How many answers there were, and of which kind."""
    return {
        "data": [
            _bars(nps, "answered_month", kind, kind, {"css": kind})
            for kind in ("detractors", "passives", "promoters")
        ],
        "layout": {"barmode": "stack", "yaxis": {"title": {"text": "answers"}}},
    }


def channel_flow(flows: Numbers, colours: dict[str, Any]) -> Figure:
    """Users from the channel of their first visit, at the left, to that of their last."""
    firsts, lasts, users = (
        flows.column(name) for name in ("first_channel", "last_channel", "users")
    )
    left = [name for name in colours if name in firsts]
    right = [name for name in colours if name in lasts]
    return {
        "data": [
            {
                "type": "sankey",
                "arrangement": "fixed",
                "node": {
                    "label": [shown(name) for name in left + right],
                    "x": [0.001] * len(left) + [0.999] * len(right),
                    "y": [*_places(left, firsts, users), *_places(right, lasts, users)],
                    "color": [colours[name] for name in left + right],
                    "pad": 14,
                    "thickness": 14,
                    "line": {"width": 0},
                    "hovertemplate": "%{label}<br>%{value:,} users<extra></extra>",
                },
                "link": {
                    "source": [left.index(name) for name in firsts],
                    "target": [len(left) + right.index(name) for name in lasts],
                    "value": plain(users),
                    "color": [{**colours[name], "clear": 0.65} for name in firsts],
                    "hovertemplate": "first %{source.label}, last %{target.label}"
                    "<br><b>%{value:,}</b> users<extra></extra>",
                },
            }
        ],
        "layout": {"height": 440, "margin": {"l": 4, "r": 4, "t": 8, "b": 8}},
    }


def revenue_by_month(revenue: Numbers, colours: dict[str, Any]) -> Figure:
    """What was earned, refunds taken off, stacked by channel."""
    columns = zip(
        revenue.column("channel_name"),
        plain(revenue.column("session_month")),
        plain(revenue.column("net_amount")),
        strict=True,
    )
    months, amounts = defaultdict[str, list[Any]](list), defaultdict[str, list[Any]](list)
    for name, month, amount in columns:
        months[name].append(month)
        amounts[name].append(amount)
    return {
        "data": [
            {
                "type": "bar",
                "name": shown(name),
                "x": months[name],
                "y": amounts[name],
                "marker": {"color": colours[name]},
                "hovertemplate": "%{x|%B %Y}<br><b>$%{y:,.2f}</b><extra>"
                + shown(name)
                + "</extra>",
            }
            for name in colours
            if any(amounts[name])
        ],
        "layout": {
            "barmode": "stack",
            "yaxis": {"title": {"text": "net revenue"}, "tickprefix": "$"},
        },
    }


def users_by_month(users: Numbers) -> Figure:
    """Active users, the new ones at the bottom of each bar."""
    new = plain(users.column("new_users"))
    active = plain(users.column("active_users"))
    again = [some - fresh for some, fresh in zip(active, new, strict=True)]
    bars = _bars(users, "session_month", "new_users", "new", {"css": "accent"})
    back = {**bars, "y": again, "name": "came back", "marker": {"color": {"css": "quiet"}}}
    return {
        "data": [bars, back],
        "layout": {"barmode": "stack", "yaxis": {"title": {"text": "active users"}}},
    }


def sessions_by_hour(hours: Numbers) -> Figure:
    """Visits of each hour of the day."""
    bars = _bars(hours, "hour_of_day", "sessions", "sessions", {"css": "accent"})
    return {
        "data": [
            {
                **bars,
                "customdata": plain(hours.column("session_share")),
                "hovertemplate": "%{x}:00 to %{x}:59 UTC<br><b>%{y:,}</b> visits"
                "<br>%{customdata:.2f} %<extra></extra>",
                "showlegend": False,
            }
        ],
        "layout": {
            "xaxis": {
                "type": "linear",
                "range": [-0.6, 23.6],
                "tickvals": list(range(0, 24, 4)),
                "ticktext": [f"{hour:02}:00" for hour in range(0, 24, 4)],
            },
            "yaxis": {"title": {"text": "visits"}},
        },
    }


def channel_colours(revenue: Numbers, flows: Numbers) -> dict[str, Any]:
    """A colour for each channel, the one with the most revenue first; grey for none at all."""
    earned = defaultdict[str, Decimal](Decimal)
    amounts = zip(revenue.column("channel_name"), revenue.column("net_amount"), strict=True)
    for name, amount in amounts:
        earned[name] += amount
    for name in (*flows.column("first_channel"), *flows.column("last_channel")):
        earned[name] += 0
    names = sorted(earned, key=lambda name: (-earned[name], name))
    ranked = [name for name in names if name != _DIRECT]
    colours: dict[str, Any] = {
        name: {"css": f"channel-{place % _COLOURS}"} for place, name in enumerate(ranked)
    }
    return colours | ({_DIRECT: {"css": "quiet"}} if _DIRECT in earned else {})


def plain(values: Sequence[Any]) -> list[Any]:
    """Values as JSON has them."""
    return [
        float(value)
        if isinstance(value, Decimal)
        else value.isoformat()
        if isinstance(value, date)
        else value
        for value in values
    ]


def shown(name: str) -> str:
    """A name from the data as a label: plotly reads some HTML in labels."""
    return escape(name, quote=False)


def _places(names: Sequence[str], ends: Sequence[str], users: Sequence[int]) -> Iterator[float]:
    """How far down the middle of each node lies, from 0 to 1, so that both sides are alike."""
    total, above = sum(users), 0
    for name in names:
        own = sum(count for end, count in zip(ends, users, strict=True) if end == name)
        yield round((above + own / 2) / total, 4)
        above += own


def _bars(numbers: Numbers, x: str, y: str, name: str, colour: Figure) -> Figure:
    return {
        "type": "bar",
        "name": name,
        "x": plain(numbers.column(x)),
        "y": plain(numbers.column(y)),
        "marker": {"color": colour},
        "hovertemplate": "%{x|%B %Y}<br><b>%{y:,}</b> " + name + "<extra></extra>",
    }
