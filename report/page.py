"""The page: one file of HTML that asks the network for nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from loader.errors import ReportError
from report import charts
from report.reading import Summaries

_TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A question, what the numbers say, a picture of them, and the numbers themselves.

    Attributes:
        name: of its place in the page.
        reading: how to read the picture.
    """

    name: str
    question: str
    answer: str
    reading: str
    figures: tuple[Figure, ...]
    numbers: pd.DataFrame


def write_page(file: Path, summaries: Summaries, target: str, at: datetime) -> None:
    """Write the page; whoever reads it sees the old one or the new one.

    Args:
        target: the dbt target that the numbers are of.
        at: when they were read, in UTC.

    Raises:
        ReportError: the file cannot be written.
    """
    half = file.with_name(f"{file.name}.half")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(render(summaries, target, at), encoding="utf-8")
        half.replace(file)
    except OSError as error:
        raise ReportError(
            f"{file} could not be written: {error.strerror}.", "Name another file with --output."
        ) from None


def render(summaries: Summaries, target: str, at: datetime) -> str:
    """Write the page as text."""
    found = list(sections(summaries))
    figures = {
        f"{section.name}-{place}": json.loads(figure.to_json())
        for section in found
        for place, figure in enumerate(section.figures)
    }
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template.filters |= {"cell": cell}
    return template.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        **summaries,
        sections=found,
        tiles=list(tiles(summaries)),
        target=target,
        at=at,
        day=timedelta(days=1),
        # Within a script only its end tag means anything. [HTML: Restrictions for contents of
        # script elements]
        figures=json.dumps(figures).replace("<", "\\u003c"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )


def sections(summaries: Summaries) -> Iterator[Section]:
    """The questions in the order in which they are asked, of the summaries that have rows."""
    nps, users, flows = summaries["nps"], summaries["users"], summaries["flows"]
    revenue, hours = summaries["revenue"], summaries["hours"]
    colours = charts.channel_colours(revenue, flows)
    if len(nps):
        yield Section(
            name="nps",
            question="How do users feel about us?",
            answer=_score_said(nps),
            reading="The band is the 95 % interval of the score: two months whose bands overlap "
            "widely may well be alike. A hollow point has few answers. Below, how many answers "
            "each month has and of which kind: promoters gave 9 or 10, detractors 0 to 6.",
            figures=(charts.nps_by_month(nps), charts.answers_by_month(nps)),
            numbers=nps,
        )
    if len(users):
        newest = users.iloc[-1]
        yield Section(
            name="users",
            question="How many people use us, and how many are new?",
            answer=f"{newest.active_users:,} people in {newest.session_month:%B %Y}, "
            f"{newest.new_users:,} of them for the first time.",
            reading="A user is new in the month of the first visit ever.",
            figures=(charts.users_by_month(users),),
            numbers=users,
        )
    if len(flows):
        yield Section(
            name="flows",
            question="What brings people here first, and what brings them back last?",
            answer=_flow_said(flows),
            reading="Each user once: the channel of the first visit at the left, of the last at "
            "the right. A user of one visit has the same at both ends.",
            figures=(charts.channel_flow(flows, colours),),
            numbers=flows,
        )
    if len(revenue):
        newest = _newest_month(revenue)
        best = _largest(newest, "net_amount", "channel_name")
        yield Section(
            name="revenue",
            question="What does each channel earn?",
            answer=f"${newest['net_amount'].sum():,.2f} in {best.session_month:%B %Y}, the most, "
            f"${best.net_amount:,.2f}, through {best.channel_name}.",
            reading="Payments less refunds, in US dollars; a refund counts in the month of the "
            "visit.",
            figures=(charts.revenue_by_month(revenue, colours),),
            numbers=revenue,
        )
    if len(hours):
        best = _largest(hours, "sessions", "hour_of_day")
        yield Section(
            name="hours",
            question="When are people here?",
            answer=f"Most visits, {best.sessions:,} or {best.session_share:.1f} %, begin between "
            f"{best.hour_of_day}:00 and {best.hour_of_day}:59 UTC.",
            reading="Visits of all days by the hour (UTC) that they began in.",
            figures=(charts.sessions_by_hour(hours),),
            numbers=hours,
        )


def tiles(summaries: Summaries) -> Iterator[tuple[str, str, str]]:
    """The newest month at a glance: what, how much, and of when."""
    users, revenue, lags = summaries["users"], summaries["revenue"], summaries["health"]["lag_days"]
    for month in summaries["nps"].dropna(subset="nps").tail(1).itertuples():
        score = f"{month.nps:.1f} ± {month.nps_margin:.1f}"
        yield "Net Promoter Score", score, f"{month.answered_month:%B %Y}"
    for month in users.tail(1).itertuples():
        yield "Active users", cell(month.active_users), f"{month.session_month:%B %Y}"
    if len(revenue):
        newest = _newest_month(revenue)
        amount = f"${newest['net_amount'].sum():,.0f}"
        yield "Net revenue", amount, f"{newest['session_month'].iloc[0]:%B %Y}"
    if len(lags):
        current = sum(lag is not None and lag <= 0 for lag in lags)
        yield "Tables up to date", f"{current} of {len(lags)}", "landed up to yesterday"


def _score_said(nps: pd.DataFrame) -> str:
    scored = list(nps.dropna(subset="nps").itertuples())
    if not scored:
        return "Nobody has answered yet."
    now = scored[-1]
    said = f"{now.nps:.1f} ± {now.nps_margin:.1f} in {now.answered_month:%B %Y}, "
    said += f"from {now.responses:,} answers"
    for before in scored[-2:-1]:
        change = now.nps - before.nps
        # The margin of a difference of two independent scores.
        apart = float(now.nps_margin**2 + before.nps_margin**2) ** 0.5
        means = "more than" if abs(change) > apart else "no more than"
        said += f"; {change:+.1f} to the month before, {means} chance explains"
    return f"{said}."


def _flow_said(flows: pd.DataFrame) -> str:
    total = flows["users"].sum()
    same = flows["users"][flows["first_channel"] == flows["last_channel"]].sum()
    widest = _largest(flows, "users", "first_channel", "last_channel")
    return (
        f"{100 * same / total:.0f} % of {total:,} users came last through the channel that they "
        f"came through first; the widest stream, {widest.users:,} users, is from "
        f"{widest.first_channel} to {widest.last_channel}."
    )


def _newest_month(revenue: pd.DataFrame) -> pd.DataFrame:
    return revenue[revenue["session_month"] == revenue["session_month"].max()]


def _largest(numbers: pd.DataFrame, *by: str) -> Any:
    """The row that comes last by these columns."""
    return numbers.sort_values(list(by)).iloc[-1]


def cell(value: Any) -> str:
    """A value as the page's tables show it."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int() | Decimal():
            return f"{value:,}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case _:
            return str(value)
