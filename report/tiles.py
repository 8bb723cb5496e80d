"""The tiles at the top of the page: the last whole month at a glance, and the one that goes on."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import pandas as pd

from loader.errors import counted
from loader.run.published import last_publications
from report import charts
from report.reading import Summaries

DAY = timedelta(days=1)
SCORE = "{0.nps:.1f} ± {0.nps_margin:.1f}"
Tile: TypeAlias = tuple[str, ...]


def last_day(summaries: Summaries, name: str, at: datetime) -> date:
    """The last day that is whole in the numbers of that name, as each day before it is.

    They have come as far as each table with days that the numbers are read from: to its newest
    row, and no further than it had been landed, without a day missing, when the numbers were last
    published. Of answers it is the last that is published: an old one that is changed makes a
    newer row, and no newer day.
    """
    published, last = _published_at(summaries, name), _newest_rows(summaries, name)
    landed: dict[str, list[tuple[date, date]]] = {}
    for table, landed_at, start, before in summaries["landed"].itertuples(index=False):
        if table in last and landed_at <= (published or landed_at):
            landed.setdefault(table, []).append((start, before))
    ends = [_end_without_gap(sorted(windows)) - DAY for windows in landed.values()]
    return min([*last.values(), *ends], default=at.date() - DAY)


def _newest_rows(summaries: Summaries, name: str) -> dict[str, date]:
    """The day of the newest row of each table that the numbers are read from, and of answers."""
    reads = summaries[name].attrs["reads"]
    rows = [*summaries["newest"].itertuples(index=False)]
    days = {table: day for table, day in rows if day and table in reads}
    if name == "nps" and (answered := _answered(summaries)):
        days["answers"] = answered[-1][2]
    return days


def _answered(summaries: Summaries) -> list[tuple[date, int, date]] | None:
    """The months' first days, days with answers and last such day; None if they are not known.

    Days and score are of two summaries, of which one may show what was published before.
    """
    marts = (summaries[name].attrs["table"].rpartition(".")[2] for name in ("answered", "nps"))
    if {*marts} & {*summaries["held"].iloc[:, 0]}:
        return None
    return [*summaries["answered"].dropna().itertuples(index=False, name=None)]


def _end_without_gap(windows: list[tuple[date, date]]) -> date:
    """The day after the last one before which none is missing, of windows by their start."""
    end = windows[0][1]
    for start, before in windows:
        if start > end:
            break
        end = max(end, before)
    return end


def _published_at(summaries: Summaries, name: str) -> datetime | None:
    """When a build has published the numbers of that name last, as readers have them now.

    Every build that passes is noted as a publication, one without a new row too. So what was
    landed after it is not in the numbers: a check holds it back, no build came, or an earlier
    version was put back.
    """
    mart = summaries[name].attrs["table"].rpartition(".")[2]
    found = last_publications(summaries["published"].itertuples(index=False)).get(mart)
    return found and found.built_at


def lacks_rows(summaries: Summaries, name: str) -> bool:
    """Whether rows have landed that the numbers of that name do not have yet, of any day."""
    reads, published = summaries[name].attrs["reads"], _published_at(summaries, name)
    return any(
        table in reads and landed_at > (published or landed_at)
        for table, landed_at in summaries["changed"].itertuples(index=False)
    )


def is_over(through: date) -> charts.Over:
    """Make what tells of a month, by its first day, whether all its days may have rows."""
    return lambda month: _next(month) - DAY <= through


def _next(month: date) -> date:
    """The first day of the month after."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def whole(numbers: pd.DataFrame, over: charts.Over) -> pd.DataFrame:
    """The rows of months that are over; all, if none is. The month is the first column."""
    kept = numbers[[over(month) for month in numbers.iloc[:, 0]]]
    return kept if len(kept) else numbers


def tiles(summaries: Summaries, at: datetime) -> Iterator[Tile]:
    """The last whole month at a glance, with its change, and apart from it the running one."""
    scored, through = summaries["nps"].dropna(subset="nps"), last_day(summaries, "nps", at)
    so_far, over = _named_so_far(summaries, "nps", through), is_over(through)
    *before, month = [*of_enough(whole(scored, over)).itertuples()][-2:] or [None]
    if month:
        now = month.answered_month
        change = [f", {month.nps - was.nps:+.1f} {on(was.answered_month, now)}" for was in before]
        later = [
            f"{f'{first:%B %Y}' if over(first) else so_far(first)}: {_score_so_far(each)}"
            for each in scored[scored["answered_month"] > now].itertuples()
            for first in [each.answered_month]
        ]
        answered = f", {found}" if (found := days_of_answers(summaries, now)) else ""
        when = f"{now:%B %Y}{answered}{''.join(change)}"
        yield "Net Promoter Score", SCORE.format(month), when, *later
    for name, what, column, form in (
        ("users", "Active users", "active_users", "{:,}"),
        ("revenue", "Net revenue", "net_amount", "${:,.0f}"),
    ):
        numbers = summaries[name].groupby("session_month")[column].sum().reset_index()
        through = last_day(summaries, name, at)
        so_far = _named_so_far(summaries, name, through)
        yield from _months(what, numbers, through, so_far, form)
    if days := [(day, name) for name, day in summaries["newest"].itertuples(index=False) if day]:
        (newest, _), (oldest, name) = max(days), min(days)
        ago = (at.date() - newest).days
        when = f"{counted(ago, 'day')} ago" if ago else "today"
        lags = [f"{name}'s is of {oldest:%-d %b %Y}"] if oldest < newest - DAY else []
        yield "Newest row of any table", f"{newest:%-d %b %Y}", when, *lags


def of_enough(scores: pd.DataFrame) -> pd.DataFrame:
    """The months with answers enough for a score; all, if none has."""
    kept = scores[[not each for each in scores["is_low_sample"]]]
    return kept if len(kept) else scores


def on(before: date, month: date) -> str:
    """Say what a month is compared with; in one between nobody may have answered."""
    return "on the month before" if _next(before) == month else f"on {before:%B %Y}"


def days_of_answers(summaries: Summaries, month: date) -> str:
    """Say on how many days of a month there are answers; empty if on all."""
    if (answered := _answered(summaries)) is None:
        return "answers on a number of days that is not known"
    days = {first: count for first, count, _ in answered}
    found, every = days.get(month), (_next(month) - month).days
    return f"answers on {found} of {every} days" if found and found < every else ""


def _score_so_far(month: Any) -> str:
    """Say a month's score and of how many answers it is; of few, its margin is no interval."""
    answers = counted(month.responses, "answer")
    if month.is_low_sample:
        return f"{answers}, too few for a score"
    return f"{SCORE.format(month)}, {answers}"


def _named_so_far(summaries: Summaries, name: str, through: date) -> Callable[[date], str]:
    """Make what names a month that is not over, by its first day, with its days as far as known.

    Args:
        through: the last day that is whole in the numbers of that name.
    """
    newest = min(_newest_rows(summaries, name).values(), default=through)
    is_known = not lacks_rows(summaries, name)

    def so_far(month: date) -> str:
        days = f", {counted(through.day, 'day')}" if is_known and through >= month else ""
        more = " and later rows" if days and through < newest < _next(month) else ""
        return f"{month:%B} so far{days}{more}"

    return so_far


def _months(
    what: str, numbers: pd.DataFrame, through: date, so_far: Callable[[date], str], form: str
) -> Iterator[Tile]:
    """The last whole month of a number per month, and the one after it, which is not over."""
    months = list(numbers.itertuples(index=False, name=None))
    closed = list(whole(numbers, is_over(through)).itertuples(index=False, name=None))
    for month, value in closed[-1:]:
        changes = [
            f", {100 * (value - was) / was:+.1f} % {on(at, month)}"
            for at, was in closed[-2:-1]
            if was
        ]
        running = [f"{so_far(day)}: {form.format(now)}" for day, now in months[len(closed) :]]
        yield what, form.format(value), f"{month:%B %Y}{''.join(changes)}", *running
