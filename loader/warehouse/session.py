"""One connection to the warehouse: statements, transactions, and what a driver's error says."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from loader.errors import LandingError
from loader.warehouse.profile import Profile, connect


class Session:
    """A connection that is made when it is first needed."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._opened: Any = None

    @property
    def _connection(self) -> Any:
        if self._opened is None:
            self._opened = connect(self.profile)
        return self._opened

    def close(self) -> None:
        """End the connection, and with it the transaction and the lock that it holds."""
        if self._opened is not None:
            with suppress(Exception):
                self._opened.close()
            self._opened = None

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, if it has any.

        Raises:
            LandingError: the warehouse refused it; the driver's error is its cause.
        """
        connection = self._connection
        try:
            with closing(connection.cursor()) as cursor:
                if parameters:
                    cursor.execute(statement, tuple(parameters))
                else:
                    cursor.execute(statement)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except Exception as error:
            raise LandingError(
                f"{self.profile.place}: {one_line(error)}",
                "Nothing was landed. Check the warehouse and the rights of the target's user, "
                "then run again.",
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, or nothing of it.

        Raises:
            LandingError: the connection broke at COMMIT, so that its answer is not known.
        """
        try:
            yield
        except BaseException:
            self.release()
            raise
        try:
            self._connection.commit()
        except Exception as error:
            raise LandingError(
                f"{self.profile.place}: the connection broke at COMMIT ({one_line(error)}); the "
                "tables hold either the old rows or the new ones, never a mix.",
                "Run again; landing a window twice is the same as landing it once.",
            ) from error

    def release(self) -> None:
        """End the open transaction without a trace; the table's lock stays."""
        with suppress(Exception):
            self._connection.rollback()


def quote(name: str) -> str:
    """A warehouse identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def one_line(error: Exception) -> str:
    """A driver's message without its line breaks."""
    return " ".join(str(error).split())
