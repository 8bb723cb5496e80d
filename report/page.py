"""The page: one file of HTML that asks the network for nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from loader.errors import counted
from loader.run.published import last_publications
from report import charts
from report.reading import ReportError, Summaries
from report.tiles import (
    DAY,
    SCORE,
    days_of_answers,
    is_over,
    last_day,
    of_enough,
    on,
    tiles,
    whole,
)

_QUIET = timedelta(days=8)  # a week without a row is told at the top
_TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A question, what the numbers say, a picture of them, and the numbers themselves.

    Attributes:
        name: of its place in the page.
        reading: how to read the picture.
        matrix: of each first channel its users, and of each of `lasts` their number and share.
    """

    name: str
    question: str
    answer: str
    reading: str
    figures: tuple[Figure, ...]
    numbers: pd.DataFrame
    matrix: list[tuple[str, int, list[tuple[str, int, float]]]] = field(default_factory=list)
    lasts: list[str] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The summary that the numbers are of."""
        return str(self.numbers.attrs["table"]).rpartition(".")[2]


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
        if file.exists() and not file.is_file():
            raise OSError(0, "it is no file")
        file.parent.mkdir(exist_ok=True)
        half.write_text(render(summaries, target, at), encoding="utf-8")
        half.replace(file)
    except OSError as error:
        raise ReportError(
            f"{file} could not be written: {error.strerror}.", "Name another file with --output."
        ) from None


def render(summaries: Summaries, target: str, at: datetime) -> str:
    """Write the page as text."""
    found = list(sections(summaries, at))
    pairs = {
        name: dict(summaries[name].itertuples(index=False))
        for name in ("held", "newest", "failing")
    }
    published = last_publications(summaries["published"].itertuples(index=False))
    built = sorted((model, each.built_at) for model, each in published.items())
    pairs["published"] = pd.DataFrame(built, columns=["model_name", "published_at"], dtype=object)
    figures = {
        f"{section.name}-{place}": json.loads(figure.to_json())
        for section in found
        for place, figure in enumerate(section.figures)
    }
    quiet = {
        name: (before - newest).days - 1
        for name, before in summaries["health"][["table_name", "landed_before"]].values
        if before and (newest := pairs["newest"].get(name)) and before - newest > _QUIET
    }
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template.filters |= {"cell": cell, "csv": csv}
    return template.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        **{**summaries, **pairs},
        since=dict(built),
        quiet=quiet,
        sections=found,
        tiles=list(tiles(summaries, at)),
        target=target,
        at=at,
        day=DAY,
        # Within a script only its end tag means anything. [HTML: Restrictions for contents of
        # script elements]
        figures=json.dumps(figures).replace("<", "\\u003c"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )


def sections(summaries: Summaries, at: datetime) -> Iterator[Section]:
    """The questions in the order in which they are asked, of the summaries that have rows."""
    nps, users, flows = summaries["nps"], summaries["users"], summaries["flows"]
    revenue, hours = summaries["revenue"], summaries["hours"]
    colours = charts.channel_colours(revenue, flows)
    if len(nps):
        over = is_over(last_day(summaries, "nps", at))
        yield Section(
            name="nps",
            question="How do users feel about us?",
            answer=_score_said(whole(nps, over), summaries),
            reading="The band, a bar at a month alone, is the 95 % interval: two months where it "
            "overlaps widely may well be alike. A hollow point has few answers; a pale one stands "
            "apart, because its month is not over, and may end at the axis, which does not follow "
            "it. Below, how many answers each month has and of which kind: promoters gave 9 or 10, "
            "detractors 0 to 6.",
            figures=(charts.nps_by_month(nps, over), charts.answers_by_month(nps, over)),
            numbers=nps,
        )
    if len(users):
        over = is_over(last_day(summaries, "users", at))
        newest = whole(users, over).iloc[-1]
        yield Section(
            name="users",
            question="How many people use us, and how many are new?",
            answer=f"{newest.active_users:,} people in {newest.session_month:%B %Y}, "
            f"{newest.new_users:,} of them for the first time.",
            reading="A user is new in the month of the first visit that there is: in the first "
            "month everybody is.",
            figures=(charts.users_by_month(users, over),),
            numbers=users,
        )
    if len(flows):
        yield Section(
            name="flows",
            question="What brings people here first, and what brings them back last?",
            answer=_flow_said(flows),
            reading="Each user once. A line has the users who came first through a channel, and "
            "what share of them came last through each; in bold that of the same channel.",
            figures=(),
            numbers=flows,
            matrix=list(_matrix(flows, list(colours))),
            lasts=[name for name in colours if name in set(flows["last_channel"])],
        )
    if len(revenue):
        over = is_over(last_day(summaries, "revenue", at))
        newest = _newest_month(whole(revenue, over))
        best = _largest(newest, "net_amount", "channel_name")
        yield Section(
            name="revenue",
            question="What does each channel earn?",
            answer=f"${newest['net_amount'].sum():,.2f} in {best.session_month:%B %Y}, the most, "
            f"${best.net_amount:,.2f}, through {best.channel_name}.",
            reading="Payments less refunds, in US dollars; a refund counts in the month of the "
            "visit.",
            figures=(charts.revenue_by_month(revenue, colours, over),),
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


def _matrix(
    flows: pd.DataFrame, channels: list[str]
) -> Iterator[tuple[str, int, list[tuple[str, int, float]]]]:
    users = {(first, last): count for first, last, count in flows.itertuples(index=False)}
    lasts = [name for name in channels if name in set(flows["last_channel"])]
    for first in channels:
        if total := sum(users.get((first, last), 0) for last in lasts):
            counts = [(last, users.get((first, last), 0)) for last in lasts]
            yield first, total, [(last, count, 100 * count / total) for last, count in counts]


def _score_said(nps: pd.DataFrame, summaries: Summaries) -> str:
    scored = list(of_enough(nps.dropna(subset="nps")).itertuples())
    if not scored:
        return "Nobody has answered yet."
    now, month = scored[-1], scored[-1].answered_month
    days = days_of_answers(summaries, month).removeprefix("answers")
    said = f"{SCORE.format(now)} in {month:%B %Y}, from {counted(now.responses, 'answer')}{days}"
    for before in scored[-2:-1]:
        change = now.nps - before.nps
        # The margin of a difference of two independent scores.
        apart = float(now.nps_margin**2 + before.nps_margin**2) ** 0.5
        means = "more than" if abs(change) > apart else "no more than"
        than = on(before.answered_month, month)
        said += f"; {change:+.1f} {than}, {means} chance explains"
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


def csv(numbers: pd.DataFrame) -> str:
    """The address of a file of some numbers; no spreadsheet takes a text of it for a formula."""
    plain = numbers.map(
        lambda each: f"'{each}" if isinstance(each, str) and each[:1] in tuple("=+-@") else each
    )
    return f"data:text/csv;charset=utf-8,{quote(plain.to_csv(index=False))}"


def cell(value: Any, column: str = "") -> str:
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
        case date() if column.endswith("_month"):
            return f"{value:%B %Y}"
        case _:
            return str(value)
