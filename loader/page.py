"""The page that `loader report` writes: one file of HTML that asks the network for nothing."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment
from plotly.offline import get_plotlyjs

from loader import charts
from loader.errors import ReportError
from loader.summaries import Numbers
from loader.windows import DAY

_TEMPLATE = Path(__file__).with_name("page.html")
Summaries = Mapping[str, Numbers]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A question, what the numbers say, a picture of them, and the numbers themselves.

    Attributes:
        name: of its place in the page.
        reading: how to read the picture.
        figures: as plotly takes them.
    """

    name: str
    question: str
    answer: str
    reading: str
    figures: tuple[charts.Figure, ...]
    numbers: Numbers


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
    found = [section for section in sections(summaries) if section.numbers.rows]
    figures = {
        f"{section.name}-{place}": figure
        for section in found
        for place, figure in enumerate(section.figures)
    }
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template.filters |= {"cell": cell, "day_before": _day_before}
    return template.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        sections=found,
        tiles=list(tiles(summaries)),
        health=summaries["health"],
        runs=summaries["runs"],
        published=summaries["published"],
        target=target,
        at=at,
        # Within a script only its end tag means anything. [HTML: Restrictions for contents of
        # script elements]
        figures=json.dumps(figures).replace("<", "\\u003c"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )


def sections(summaries: Summaries) -> Iterator[Section]:
    """The questions in the order in which they are asked."""
    nps, users, flows = summaries["nps"], summaries["users"], summaries["flows"]
    revenue, hours = summaries["revenue"], summaries["hours"]
    colours = charts.channel_colours(revenue, flows)
    yield Section(
        name="nps",
        question="How do users feel about us?",
        answer=_score_said(nps),
        reading="The band is the 95 % interval of the score: two months whose bands overlap widely "
        "may well be alike. A hollow point has few answers. Below, how many answers each month has "
        "and of which kind: promoters gave 9 or 10, detractors 0 to 6.",
        figures=(charts.nps_by_month(nps), charts.answers_by_month(nps)),
        numbers=nps,
    )
    yield Section(
        name="users",
        question="How many people use us, and how many are new?",
        answer=_users_said(users),
        reading="A user is new in the month of the first visit ever.",
        figures=(charts.users_by_month(users),),
        numbers=users,
    )
    yield Section(
        name="flows",
        question="What brings people here first, and what brings them back last?",
        answer=_flow_said(flows),
        reading="Each user once: the channel of the first visit at the left, of the last at the "
        "right. A user of one visit has the same at both ends.",
        figures=(charts.channel_flow(flows, colours),),
        numbers=flows,
    )
    yield Section(
        name="revenue",
        question="What does each channel earn?",
        answer=_revenue_said(revenue),
        reading="Payments less refunds, in US dollars; a refund counts in the month of the visit.",
        figures=(charts.revenue_by_month(revenue, colours),),
        numbers=revenue,
    )
    yield Section(
        name="hours",
        question="When are people here?",
        answer=_hours_said(hours),
        reading="Visits of all days by the hour (UTC) that they began in.",
        figures=(charts.sessions_by_hour(hours),),
        numbers=hours,
    )


def tiles(summaries: Summaries) -> Iterator[tuple[str, str, str]]:
    """The newest month at a glance: what, how much, and of when."""
    nps, users, revenue = summaries["nps"], summaries["users"], summaries["revenue"]
    scored = [
        row for row in zip(
            nps.column("answered_month"), nps.column("nps"), nps.column("nps_margin"), strict=True
        ) if row[1] is not None
    ]  # fmt: skip
    if scored:
        month, score, margin = scored[-1]
        yield "Net Promoter Score", f"{score:.1f} ± {margin:.1f}", f"{month:%B %Y}"
    if users.rows:
        month = users.column("session_month")[-1]
        yield "Active users", cell(users.column("active_users")[-1]), f"{month:%B %Y}"
    if earned := _earned(revenue):
        month = max(earned)
        yield "Net revenue", f"${sum(earned[month].values()):,.0f}", f"{month:%B %Y}"
    lags = summaries["health"].column("lag_days")
    if lags:
        current = sum(lag is not None and lag <= 0 for lag in lags)
        yield "Tables up to date", f"{current} of {len(lags)}", "landed up to yesterday"


def _score_said(nps: Numbers) -> str:
    columns = ("answered_month", "nps", "nps_margin", "responses")
    scored = [
        row
        for row in zip(*(nps.column(each) for each in columns), strict=True)
        if row[1] is not None
    ]
    if not scored:
        return "Nobody has answered yet."
    (month, score, margin, answers), before = scored[-1], scored[-2:-1]
    told = f"{score:.1f} ± {margin:.1f} in {month:%B %Y}, from {answers:,} answers"
    for _, earlier, its_margin, _ in before:
        # The margin of a difference of two independent scores.
        apart = float(margin**2 + its_margin**2) ** 0.5
        means = "more than" if abs(score - earlier) > apart else "no more than"
        told += f"; {score - earlier:+.1f} to the month before, {means} chance explains"
    return f"{told}."


def _users_said(users: Numbers) -> str:
    if not users.rows:
        return ""
    month, active, new, _ = users.rows[-1]
    return f"{active:,} people in {month:%B %Y}, {new:,} of them for the first time."


def _flow_said(flows: Numbers) -> str:
    total = sum(flows.column("users"))
    if not total:
        return ""
    same = sum(users for first, last, users in flows.rows if first == last)
    first, last, users = max(flows.rows, key=lambda row: (row[2], row[0], row[1]))
    return (
        f"{100 * same / total:.0f} % of {total:,} users came last through the channel that they "
        f"came through first; the widest stream, {users:,} users, is from {first} to {last}."
    )


def _revenue_said(revenue: Numbers) -> str:
    earned = _earned(revenue)
    if not earned:
        return ""
    month = max(earned)
    best = max(earned[month], key=lambda name: earned[month][name])
    return (
        f"${sum(earned[month].values()):,.2f} in {month:%B %Y}, the most, "
        f"${earned[month][best]:,.2f}, through {best}."
    )


def _hours_said(hours: Numbers) -> str:
    if not hours.rows:
        return ""
    hour, sessions, _, share = max(hours.rows, key=lambda row: (row[1], row[0]))
    return f"Most visits, {sessions:,} or {share:.1f} %, begin between {hour}:00 and {hour}:59 UTC."


def _earned(revenue: Numbers) -> dict[date, dict[str, Decimal]]:
    """Net revenue per month and channel."""
    columns = ("session_month", "channel_name", "net_amount")
    earned: dict[date, dict[str, Decimal]] = {}
    for month, name, amount in zip(*(revenue.column(each) for each in columns), strict=True):
        earned.setdefault(month, {})[name] = amount
    return earned


def _day_before(day: date | None) -> str:
    return cell(day and day - DAY)


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
