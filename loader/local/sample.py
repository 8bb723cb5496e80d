"""The sample source: two years of survey answers and web sessions, the same on every machine.

Random numbers come from `random.Random(seed).random()` alone, whose sequence Python guarantees.
[Python: random, "Notes on Reproducibility"]
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import md5
from pathlib import Path
from random import Random

import pymysql
from pymysql.cursors import Cursor

from loader.declared.windows import DAY

FIRST_DAY = date(2024, 8, 1)
LAST_DAY = date(2026, 7, 31)
ANSWERS_PER_DAY = 222
SESSIONS_PER_DAY = 137
SESSION_USERS = 1_000
SURVEY_USERS = 40_000
CHANNELS = ("Organic", "Google", "Youtube", "Facebook", "Instagram", "Naver", "Direct")
_CHANNEL_WEIGHTS = (0.20, 0.42, 0.56, 0.68, 0.78, 0.86, 1.00)  # cumulative
_QUIET_CHANNEL = "TikTok"  # a channel that nobody came through yet
_HOUR_WEIGHTS = (2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 8, 8, 9, 8, 7, 7, 8, 9, 11, 13, 14, 12, 8, 4)
_SECOND = timedelta(seconds=1)

TABLES = {
    "channel": "channelname varchar(32) not null primary key",
    "nps": """
        id int unsigned not null auto_increment primary key,
        user_id int unsigned not null,
        score tinyint,
        created_at datetime not null,
        updated_at datetime(6) not null,
        is_deleted tinyint(1) not null default 0,
        key updated_at (updated_at)""",
    "user_session_channel": """
        userid int unsigned not null,
        sessionid char(32) character set ascii not null primary key,
        channel varchar(32) not null,
        created_at timestamp not null default current_timestamp,
        key created_at (created_at)""",
    "session_timestamp": """
        sessionid char(32) character set ascii not null primary key,
        ts datetime not null,
        key ts (ts)""",
    "session_transaction": """
        sessionid char(32) character set ascii not null primary key,
        refunded tinyint(1) not null,
        amount decimal(10,2) not null,
        updated_at datetime not null,
        key updated_at (updated_at)""",
}


@dataclass(frozen=True)
class Address:
    """Where the sample is, and the password of the user who writes it."""

    port: int
    password: str
    database: str = "prod"


@dataclass(frozen=True)
class Play:
    """What happened on a played day."""

    day: date
    answers: int
    updated: int
    deleted: int
    late: int
    sessions: int


@contextmanager
def writer(address: Address) -> Iterator["pymysql.Connection[Cursor]"]:
    """Connect as the user who writes the sample, in UTC."""
    with pymysql.connect(
        host="127.0.0.1", port=address.port, user="sample", password=address.password,
        database=address.database, charset="utf8mb4", local_infile=True,
        init_command="set time_zone = '+00:00'",
    ) as connection:  # fmt: skip
        yield connection


def is_filled(address: Address) -> bool:
    """Whether the sample is there, to its last table."""
    with writer(address) as connection, connection.cursor() as cursor:
        cursor.execute("show tables like 'session_transaction'")
        return cursor.fetchone() is not None


def count(address: Address, table: str) -> int:
    """How many rows a table of the sample has."""
    with writer(address) as connection, connection.cursor() as cursor:
        cursor.execute(f"select count(*) from {table}")
        ((rows,),) = cursor.fetchall()
    return int(rows)


def fill(
    address: Address,
    folder: Path,
    say: Callable[[str, int], None],
    first_day: date = FIRST_DAY,
) -> None:
    """Write the sample from nothing, by bulk load.

    Args:
        folder: where the files that MySQL loads are written for a moment.
        say: told each table's name and rows.
        first_day: where it begins; it ends on LAST_DAY.
    """
    random = Random(2024)  # noqa: S311 - no secret
    days = [first_day + n * DAY for n in range((LAST_DAY - first_day).days + 1)]
    sessions = [each for day in days for each in _sessions(random, day, SESSIONS_PER_DAY, f"{day}")]
    answers = [answer for day in days for answer in _answers(random, day)]
    rows: dict[str, list[tuple[object, ...]]] = {
        "channel": [(name,) for name in (*CHANNELS, _QUIET_CHANNEL)],
        "nps": [(number, *answer) for number, answer in enumerate(answers, start=1)],
        "user_session_channel": [session.channel_row for session in sessions],
        "session_timestamp": [session.time_row for session in sessions if session.has_time],
        "session_transaction": [row for session in sessions if (row := session.transaction_row)],
    }
    with writer(address) as connection, connection.cursor() as cursor:
        for table, columns in TABLES.items():
            cursor.execute(f"drop table if exists {table}")
            cursor.execute(f"create table {table} ({columns}) engine=InnoDB")
            file = folder / f"{table}.tsv"
            with file.open("w") as text:
                text.writelines(
                    "\t".join(_field(value) for value in row) + "\n" for row in rows[table]
                )
            cursor.execute(f"load data local infile '{file}' into table {table}")
            file.unlink()
            connection.commit()
            say(table, len(rows[table]))
        cursor.execute(f"analyze table {', '.join(TABLES)}")


def play(address: Address) -> Play:
    """Let one more day happen: new rows, updates, soft deletes, refunds, and late commits.

    A late commit is a row whose cursor lies in the day before, so that it is missed by whoever
    landed that day already.
    """
    with writer(address) as connection, connection.cursor() as cursor:
        cursor.execute("select date(max(created_at)) from nps")
        ((newest,),) = cursor.fetchall()
        day = newest + DAY
        random = Random(day.toordinal())  # noqa: S311 - no secret
        answers = list(_answers(random, day, until=day))
        late = [_late(answer) for answer in answers[:5]]
        cursor.executemany(
            "insert into nps (user_id, score, created_at, updated_at, is_deleted) "
            "values (%s, %s, %s, %s, %s)",
            [*answers, *late],
        )
        noon = datetime(day.year, day.month, day.day, 12)
        updated = _touch(cursor, random, noon, "score = mod(score + 3, 11)", ANSWERS_PER_DAY)
        deleted = _touch(cursor, random, noon + _SECOND, "is_deleted = 1", ANSWERS_PER_DAY // 10)
        sessions = list(_sessions(random, day, SESSIONS_PER_DAY, f"{day}"))
        cursor.executemany(
            "insert into user_session_channel values (%s, %s, %s, %s)",
            [session.channel_row for session in sessions],
        )
        cursor.executemany(
            "insert into session_timestamp values (%s, %s)",
            [session.time_row for session in sessions if session.has_time],
        )
        transactions = [row for session in sessions if (row := session.transaction_row)]
        cursor.executemany("insert into session_transaction values (%s, %s, %s, %s)", transactions)
        cursor.execute(
            "update session_transaction set refunded = 1, updated_at = %s "
            "where refunded = 0 order by updated_at desc, sessionid limit 3 ",
            (noon,),
        )
        connection.commit()
    return Play(day, len(answers), updated, deleted, len(late), len(sessions))


@dataclass(frozen=True)
class _Session:
    """One visit, as it spreads over three tables."""

    id: str
    user: int
    channel: str
    at: datetime
    has_time: bool
    amount: float | None
    refunded: bool
    refunded_at: datetime

    @property
    def channel_row(self) -> tuple[object, ...]:
        return (self.user, self.id, self.channel, self.at)

    @property
    def time_row(self) -> tuple[object, ...]:
        return (self.id, self.at)

    @property
    def transaction_row(self) -> tuple[object, ...] | None:
        if self.amount is None:
            return None
        at = self.refunded_at if self.refunded else self.at
        return (self.id, int(self.refunded), f"{self.amount:.2f}", at)


def _instant(random: Random, day: date) -> datetime:
    """A second of the day; evenings are busier than nights."""
    mark, hour = random.random() * sum(_HOUR_WEIGHTS), 0
    while mark >= _HOUR_WEIGHTS[hour]:
        mark -= _HOUR_WEIGHTS[hour]
        hour += 1
    return datetime(day.year, day.month, day.day, hour) + int(random.random() * 3600) * _SECOND


def _answers(random: Random, day: date, until: date = LAST_DAY) -> Iterator[tuple[object, ...]]:
    """One day's survey answers: mood rises slowly, with a bad winter."""
    progress = (day - FIRST_DAY).days / 730
    mood = 0.42 + 0.16 * progress - 0.10 * math.exp(-(((progress - 0.45) / 0.06) ** 2))
    weekday = 0.75 if day.weekday() >= 5 else 1.1  # noqa: PLR2004 - the weekend
    for created in sorted(_instant(random, day) for _ in range(int(ANSWERS_PER_DAY * weekday))):
        draw = random.random()
        if draw < mood:
            score: int | None = 9 + int(random.random() * 2)
        elif draw < mood + 0.26:
            score = 7 + int(random.random() * 2)
        else:
            score = int(7 * random.random() ** 0.6)
        if random.random() < 0.004:  # noqa: PLR2004
            score = None
        updated = created + int(random.random() * 1e6) * timedelta(microseconds=1)
        fate = random.random()
        deleted = fate < 0.01  # noqa: PLR2004
        if fate < 0.06:  # noqa: PLR2004 - changed or deleted some days later
            updated += int(1 + random.random() * 14) * DAY
        if updated.date() > until:
            updated, deleted = created, False
        user = 1 + int(SURVEY_USERS * random.random() ** 1.5)
        yield (user, score, created, updated, int(deleted))


def _sessions(random: Random, day: date, count: int, name: str) -> Iterator[_Session]:
    """One day's visits; now and then two of one user in the same second."""
    previous: _Session | None = None
    for number in range(count):
        at = _instant(random, day)
        user = 1 + int(SESSION_USERS * random.random() ** 1.3)
        if previous and random.random() < 0.01:  # noqa: PLR2004
            user, at = previous.user, previous.at
        draw = random.random()
        channel = next(c for c, w in zip(CHANNELS, _CHANNEL_WEIGHTS, strict=True) if draw < w)
        buys, has_time = random.random() < 0.05, random.random() >= 0.002  # noqa: PLR2004
        amount = round(5 + 195 * random.random() ** 2, 2)
        refunded = random.random() < 0.08  # noqa: PLR2004
        previous = _Session(
            id=md5(f"{name}/{number}".encode(), usedforsecurity=False).hexdigest(),
            user=user,
            channel=channel,
            at=at,
            has_time=has_time,
            amount=amount if buys else None,
            refunded=refunded and at.date() + 5 * DAY <= max(LAST_DAY, day),
            refunded_at=at + int(1 + random.random() * 4) * DAY,
        )
        yield previous


def _late(answer: tuple[object, ...]) -> tuple[object, ...]:
    """The same answer, as if it had been given the evening before and committed now."""
    user, score, created, _, deleted = answer
    assert isinstance(created, datetime)  # noqa: S101 - for the type checker
    evening = datetime.combine(created.date() - DAY, datetime.max.time()).replace(microsecond=0)
    return (user, score, evening, evening, deleted)


def _touch(cursor: Cursor, random: Random, at: datetime, change: str, rows: int) -> int:
    """Change some rows of the last months, and say when."""
    cursor.execute("select max(id) from nps")
    ((newest,),) = cursor.fetchall()
    ids = sorted({newest - 1_000 - int(random.random() * 20_000) for _ in range(rows)})
    return cursor.execute(
        f"update nps set {change}, updated_at = %s where is_deleted = 0 and id in %s", (at, ids)
    )


def _field(value: object) -> str:
    r"""Write a value as LOAD DATA reads it: \N is NULL. [MySQL: LOAD DATA]."""
    return "\\N" if value is None else str(value)
