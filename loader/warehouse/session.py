"""One connection to the warehouse: statements, transactions, and what a driver's error says."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar

from loader import lines
from loader.declared.profile import Profile
from loader.errors import LandingError, is_transient_text
from loader.warehouse.connecting import connect

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_CLOSE_SECONDS = 2
_FETCHED = 1_000  # rows at a time: a cluster of one node gives out no more [Redshift: FETCH]
_IDLE_SECONDS = 30  # a server or a firewall may end what is idle for longer
_waiting: list[list[tuple[float, Any, int]]] = []
QUERY_CANCELED = "57014"


class Session:
    """A connection that is made when it is first needed."""

    snapshot_settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, profile: Profile, answer_seconds: float = 30) -> None:
        """Prepare it.

        Args:
            answer_seconds: how long the warehouse may take to answer.
        """
        self.profile = profile
        self.answer_seconds = answer_seconds
        self._opened: Any = None
        self._process = 0

    @property
    def _connection(self) -> Any:
        if self._opened is None:
            opened = take_on() or connect(self.profile, self.answer_seconds)
            self._opened, self._process = opened
            lines.keep(self._opened)
        return self._opened

    def close(self) -> None:
        """End the transaction, with the lock that it holds, and the connection if nobody keeps it.

        A server that does not answer at once gets its connection ended.
        """
        if lines.is_kept(self._opened):
            self.answer_seconds = min(self.answer_seconds, _CLOSE_SECONDS)
            self.release()
        if lines.is_kept(self._opened):
            keep_idle(self._opened, self._process)
        elif self._opened is not None:
            give_up(self._opened)
        self._opened = None

    def terminate(self) -> None:
        """End the connection from another thread, and with it the statement that runs on it.

        A statement within a transaction cannot always be cancelled. [PostgreSQL: Server Signaling
        Functions; Redshift: PG_TERMINATE_BACKEND, PG_CANCEL_BACKEND]
        """
        if (opened := self._opened) is not None:
            with suppress(LandingError), closing(Session(self.profile)) as other:
                other.execute("select pg_terminate_backend(%s)", (self._process,))
            lines.end(opened)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, if it has any.

        Raises:
            LandingError: the warehouse refused it; the driver's error is its cause.
        """
        connection = self._connection
        deadline = lines.Deadline(connection, self.answer_seconds)
        try:
            with deadline, closing(connection.cursor()) as cursor:
                if parameters and self.profile.type == "postgres":
                    # psycopg2 takes a % in a quoted name for a place; Redshift's driver does not.
                    # [psycopg2: Passing parameters to SQL queries]
                    statement = _QUOTED.sub(lambda name: name[0].replace("%", "%%"), statement)
                cursor.execute(statement, *([tuple(parameters)] if parameters else []))
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except Exception as error:
            lines.forget(connection)
            if deadline.has_passed:
                raise self._unanswered() from error
            raise LandingError(
                f"{self.profile.place}: {one_line(error)}",
                "Nothing was landed. Check the warehouse, and the rights of the target's user.",
            ) from error

    def _unanswered(self) -> LandingError:
        """The error of a warehouse that took too long to answer."""
        return LandingError(
            f"{self.profile.place} has not answered within {self.answer_seconds:,.0f} seconds; "
            "nothing was landed.",
            "See what keeps the warehouse busy; LOADER_ANSWER_SECONDS says how long it may take.",
            transient=True,
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, or nothing of it.

        Raises:
            LandingError: COMMIT failed; if the connection broke, its answer is not known.
        """
        try:
            yield
        except BaseException:
            self.release()
            raise
        try:
            with lines.Deadline(self._connection, self.answer_seconds):
                self._connection.commit()
        except Exception as error:
            lines.forget(self._opened)
            raise LandingError(
                f"{self.profile.place}: COMMIT failed ({one_line(error)}); the tables hold either "
                "the old rows or the new ones, never a mix.",
                "Run again; landing a window twice is the same as landing it once.",
            ) from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read inside as of one instant, and leave nothing behind.

        On Redshift every transaction reads so. [Redshift: Serializable isolation]
        """
        self.release()
        try:
            for statement in self.snapshot_settings:
                self.execute(statement)
            yield
        finally:
            self.release()

    def stream(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """Read many rows a few at a time, within a transaction; one such statement at once.

        [Redshift: DECLARE; PostgreSQL: DECLARE]
        """
        self.execute(f"declare streamed cursor for {statement}")
        while rows := self.execute(f"fetch forward {_FETCHED} from streamed"):
            yield from rows
        self.execute("close streamed")

    def release(self) -> None:
        """Roll the open transaction back. The table's lock stays: another connection holds it."""
        if self._opened is not None:
            try:
                with lines.Deadline(self._opened, self.answer_seconds):
                    self._opened.rollback()
            except Exception:
                lines.forget(self._opened)


@contextmanager
def connections_kept() -> Iterator[None]:
    """Keep each connection that is closed inside for whoever opens the next; end all at the end.

    A cluster takes longer to connect to than to land a small table. A process has one target only.
    """
    _waiting.append([])
    try:
        yield
    finally:
        _end(*(each for _, each, _ in _waiting.pop()))


def keep_idle(connection: Any, process: int) -> None:
    """Keep a connection that is at rest, or end it where nobody wants another one."""
    try:
        _waiting[-1].append((time.monotonic(), connection, process))
    except IndexError:
        _end(connection)


def take_on() -> tuple[Any, int] | None:
    """Take on a connection that is still good, with its process at the server."""
    while _waiting and _waiting[-1]:
        with suppress(IndexError):  # another thread may have taken the last
            since, connection, process = _waiting[-1].pop()
            if time.monotonic() - since < _IDLE_SECONDS and lines.is_kept(connection):
                return connection, process
            _end(connection)
    return None


def give_up(connection: Any) -> None:
    """End a connection that broke, and those at rest: what broke it may have broken them."""
    _end(connection)
    if _waiting:
        ended, _waiting[-1] = _waiting[-1], []
        _end(*(each for _, each, _ in ended))


def _end(*connections: Any) -> None:
    for each in connections:
        with suppress(Exception):
            each.close()


def quote(name: str) -> str:
    """A warehouse identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal in which backslashes escape, as they do on Redshift."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def one_line(error: BaseException) -> str:
    """A driver's message without its line breaks."""
    parts = _fields(error)
    text = f"{parts['M']} {parts.get('D', '')}" if parts else str(error)
    return " ".join(text.split())


def sqlstate(error: BaseException) -> str:
    """The code of the driver's error that is behind a LandingError; empty if it has none."""
    cause = _behind(error)
    return str(getattr(cause, "pgcode", None) or _fields(cause).get("C", ""))


def is_transient(error: BaseException) -> bool:
    """Whether the same may well succeed another time, without anybody mending anything.

    True for an error that says so of itself, a conflict with another transaction, a server that
    restarts, and a connection that broke, of which drivers know no code. [PostgreSQL: Error Codes]
    """
    if getattr(error, "transient", False):
        return True
    cause, code = _behind(error), sqlstate(error)
    if code:
        by_text = not code.startswith("22") and is_transient_text(one_line(cause))  # 22: a value's
        return code in _TRANSIENT or code.startswith("08") or by_text
    return isinstance(cause, OSError) or type(cause).__name__ in _CONNECTION_ERRORS


_TRANSIENT = {"40001", "40P01", "57P01", "57P02", "57P03"}
_CONNECTION_ERRORS = {"OperationalError", "InterfaceError"}  # by that name in both drivers


def _behind(error: BaseException) -> BaseException:
    while isinstance(error, LandingError) and error.__cause__:
        error = error.__cause__
    return error


def _fields(error: BaseException) -> dict[str, str]:
    """What redshift_connector makes of an error: the message's fields by their letters."""
    fields = error.args[0] if error.args else None
    return fields if isinstance(fields, dict) and "M" in fields else {}
