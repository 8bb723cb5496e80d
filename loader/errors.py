"""Every error the loader raises on purpose: a LoaderError, of a class that says what was touched.

Each carries the fact and its remedy; the command line prints both and exits with `exit_status`.
"""

import re
import traceback
from collections.abc import Iterable
from difflib import get_close_matches

_FACT_MOST = 10_000  # characters: a value that is wrong may be megabytes
# Redshift reports a conflict as an internal error whose whole message is 1023, its detail after
# it. Two tables or types that are made at the same time break the catalog's own keys.
# [Redshift: Serializable isolation; PostgreSQL: System Catalogs]
_PASSING = re.compile(
    r"""(?x)
    ^\s* (?: ERROR:\  )? 1023\b | conflict\ with\ concurrent\ transaction
    | serializable\ isolation\ violation | violates\ unique\ constraint\ "pg_
    | could\ not\ serialize\ access | deadlock\ detected
    | connection\ (?: refused | reset | timed\ out | already\ closed | is\ closed | not\ open )
    | server\ closed\ the\ connection | connection\ has\ been\ closed | lost\ connection
    | terminating\ connection | starting\ up | shutting\ down | in\ recovery\ mode
    | too\ many\ (?: clients | connections ) | remaining\ connection\ slots
    | time[d]?\ out | timeout\ expired | broken\ ?pipe | socket\ closed | communication\ error
    | temporary\ failure\ in\ name\ resolution | network\ is\ unreachable
    """,
    re.IGNORECASE | re.MULTILINE,
)


def printable(text: str) -> str:
    r"""Write what a terminal would act on, and what hides or reorders text, as an escape.

    Names and values come from YAML, from MySQL and from what the servers answer.

    >>> print(printable("naïve \x1b[31m\n\u202e"))
    naïve \x1b[31m\n\u202e
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask for the known name that is most like one that is not; empty if none is."""
    return "".join(f"Did you mean {each}? " for each in get_close_matches(name, known, 1))


def counted(count: int, what: str = "row") -> str:
    """Write how many there are of something, as people say it: 1 row, 1,200 rows."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def is_transient_text(text: str) -> bool:
    """Whether a warehouse's message tells of another transaction, or of a server that was away.

    dbt keeps the text of a driver's error and nothing else.

    >>> is_transient_text("1023 Serializable isolation violation on table - 119371, transactions")
    True
    >>> is_transient_text("value 1023 is out of range")
    False
    >>> is_transient_text("server closed the connection unexpectedly")
    True
    >>> is_transient_text("('communication error', BrokenPipeError(32, 'Broken pipe'))")
    True
    >>> is_transient_text("BrokenPipe: server socket closed. We noticed a timeout is set ...")
    True
    >>> is_transient_text('password authentication failed for user "pipeline"')
    False
    >>> is_transient_text('numeric field overflow in relation "sockets"')
    False
    """
    return bool(_PASSING.search(text))


class LoaderError(Exception):
    """A failure that a person can act on.

    Args:
        fact: what is wrong, naming table, column, key and value, and what was left untouched.
        remedy: what to do next, in one sentence.
        transient: it may well pass by itself, such as a connection that broke; `loader run` then
            tries again.
    """

    exit_status = 1

    def __init__(self, fact: str, remedy: str = "", *, transient: bool = False) -> None:
        self.fact = printable(fact if len(fact) <= _FACT_MOST else f"{fact[:_FACT_MOST]} …")
        self.remedy = printable(remedy)
        self.transient = transient
        super().__init__(f"{self.fact}\n\n{self.remedy}" if remedy else self.fact)


class ConfigError(LoaderError):
    """Settings, a profile or a source declaration are wrong; nothing was touched."""


class CommandLineError(ConfigError):
    """The command line asks for something impossible; nothing was touched."""

    exit_status = 2


class SourceError(LoaderError):
    """MySQL could not be read exactly; nothing was landed."""


class StageError(LoaderError):
    """S3 could not be written or read; nothing was landed."""


class LandingError(LoaderError):
    """The warehouse refused the rows; raw_data is unchanged."""


class RunError(LoaderError):
    """A step of `loader run` failed; says what was left untouched."""


class LeaseHeldError(RunError):
    """Another run of the target goes on; nothing was touched."""

    exit_status = 75  # EX_TEMPFAIL: nothing is wrong, try again later. [sysexits.h]


class StoppedError(RunError):
    """A signal, a lost lease or a step that takes too long ended what was under way.

    Args:
        signal: the signal's number; 0 if it was none.
    """

    def __init__(self, fact: str, remedy: str, signal: int = 0) -> None:
        super().__init__(fact, remedy)
        self.by_signal = signal > 0
        self.exit_status = 128 + signal if signal else 1


def unexpected(error: Exception, left: str = "nothing was landed", table: str = "") -> LoaderError:
    """Make a fault of the loader's own of an error, unless it was raised on purpose.

    The text of such a fault is not shown, because nobody knows what it holds.

    Args:
        left: what stays as it was.
        table: the name of the table that was being read, landed or compared.
    """
    if isinstance(error, LoaderError):
        return error
    at = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{table}: " if table else ""
    return LoaderError(
        f"{where}{type(error).__name__} at {at.filename}:{at.lineno}; {left}.",
        "This is a fault of the loader; please report it.",
    )
