"""A day of visits: what the summaries cost that count different users, and what they cost whole.

The repository's own project, with its visits at two sizes, the second ten times the first, and a
user for every ten of them. Each day has new visits of different users, as many at both sizes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.day import nodes
from bench.growth import AUGUST, GROWTH, Field, Line, begin, land_anew, middle
from bench.place import Place
from bench.tables import numbers
from loader.declared.windows import DAY

VISITS = "Summaries of visits on a day that has some: `loader run`, and `dbt run`, which counts all"
SUMMARIES = ("channel_summary", "channel_performance", "active_users_monthly", "sessions_by_hour")
_PER_USER = 10
_LOOKS = 2
_CHANNELS = "elt(1 + mod({0}, 4), 'Google', 'Naver', 'Organic', 'Direct')"


@dataclass
class Taken:
    """Seconds of each run at one size, whole ones apart: of `loader run`, and by summary."""

    visits: int
    runs: list[float] = field(default_factory=list)
    narrow: dict[str, list[float]] = field(default_factory=dict)
    whole: dict[str, list[float]] = field(default_factory=dict)


def measure(place: Place, visits: int, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure days at both sizes.

    Args:
        place: with the repository's project.
        visits: at the larger one.

    Returns:
        The section, its lines.
    """
    here = Field(place=place, rows=visits, runs=runs, say=say)
    begin(here)
    small, large = (_days(here, size, visits // 1000) for size in (visits // GROWTH, visits))
    return {VISITS: [vars(line) for line in lines(small, large, visits // 1000)]}


def _days(here: Field, visits: int, on_a_day: int) -> Taken:
    here.mysql(*(f"truncate {table}" for table in _ROWS))
    _add(here, 0, visits, "'2024-08-01' + interval mod({0}, 700) day", visits // _PER_USER)
    land_anew(here)
    here.dbt("build", "--exclude-resource-type", "unit_test")
    here.loader("run")
    here.place.settle()
    taken = Taken(visits)
    for turn in range(_LOOKS + here.runs):
        day, first = str(AUGUST + turn * DAY), visits + turn * on_a_day
        _add(here, first, first + on_a_day, f"'{day}'", visits // _PER_USER)
        here.place.checkpoint()
        cost = here.loader("run", "--run-date", day)
        here.say(f"{visits:,} visits, {day}: {cost.seconds:.1f} s")
        if turn >= _LOOKS:
            taken.runs.append(round(cost.seconds, 3))
            _note(taken.narrow, dict(nodes(here.place)))
    for _ in range(here.runs):
        here.dbt("run", "--select", *SUMMARIES)
        _note(taken.whole, dict(nodes(here.place, "")))
    return taken


_ROWS = {
    "user_session_channel": "(userid, sessionid, channel, created_at) select "
    f"1 + mod({{0}} * 7919, {{users}}), md5({{0}}), {_CHANNELS}, {{at}}",
    "session_timestamp": "(sessionid, ts) select md5({0}), {at} + interval "
    "mod({0} * 61, 86400) second",
    "session_transaction": "(sessionid, refunded, amount, updated_at) select md5({0}), "
    "mod({0}, 180) = 0, mod({0}, 100), {at}",
}


def _add(here: Field, first: int, end: int, at: str, users: int) -> None:
    """Add visits; every twentieth is paid for."""
    for table, rows in _ROWS.items():
        some = " where mod(n, 20) = 0" if table == "session_transaction" else ""
        said = rows.format("n", users=users, at=at.format("n"))
        here.mysql(
            *(
                f"insert into {table} {said} from (select {first} + n as n from {some_numbers}"
                f") as visits{some}"
                for some_numbers in numbers(end - first)
            )
        )


def _note(seconds: dict[str, list[float]], by_node: dict[str, float]) -> None:
    for name in SUMMARIES:
        seconds.setdefault(name, []).append(round(by_node[f"model `{name}`"], 3))


def lines(small: Taken, large: Taken, on_a_day: int) -> Iterator[Line]:
    """Tell what a day takes at both sizes, the whole run and each summary, and what a whole one."""
    for taken in (small, large):
        ratio = f"{middle(large.runs) / middle(small.runs):.2f} × the small one's"
        yield Line(
            what=f"**`loader run`**, {on_a_day:,} new visits beside {taken.visits:,}",
            seconds=taken.runs,
            found=ratio if taken is large else "",
        )
    for name in SUMMARIES:
        for taken in (small, large):
            yield Line(
                what=f"… of it `{name}`, {taken.visits:,} visits",
                seconds=taken.narrow[name],
                found=f"{middle(taken.whole[name]):.2f} s where all are counted",
            )
