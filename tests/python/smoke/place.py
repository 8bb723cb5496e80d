"""Where a smoke run happens: all that it makes bears its name, and goes with it."""

import io
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml
from botocore.exceptions import BotoCoreError, ClientError
from dbt.cli.main import dbtRunner

from loader import cli
from loader.cli.session import Session as CommandSession
from loader.errors import LoaderError
from loader.local import sample
from loader.stage import s3
from loader.warehouse.session import Session, quote

_SOURCES = Path("models", "sources", "_raw_data__sources.yml")


class SmokeError(LoaderError):
    """A step did not do what it must."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What one run has for itself.

    Attributes:
        name: what its schemas begin with, and the staging prefix ends with.
        source: the sample, in a MySQL database of that name.
        session: what every command of the loader starts from.
        log: where the output of every command goes.
    """

    name: str
    source: sample.Address
    session: CommandSession
    log: Path

    # -- commands --------------------------------------------------------------------------------

    def load(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Load, which must succeed; returns the report's loads by table.

        Raises:
            SmokeError: it failed; quotes why.
        """
        loads = self._loads(arguments)
        if failed := [load["error"] for load in loads if load["outcome"] == "failed"]:
            raise SmokeError(" ".join(failed))
        return {load["table_name"]: load for load in loads}

    def load_fails(self, *arguments: str) -> str:
        """Load, which must fail; returns why.

        Raises:
            SmokeError: it did not fail.
        """
        failed = [load["error"] for load in self._loads(arguments) if load["outcome"] == "failed"]
        if not failed:
            raise SmokeError("The load did not fail.")
        return " ".join(failed)

    def _loads(self, arguments: Sequence[str]) -> list[dict[str, Any]]:
        _, said = self.attempt("load", "--json", *arguments)
        loads: list[dict[str, Any]] = json.loads(said)["loads"]
        return loads

    def loader(self, *arguments: str) -> str:
        """Run a command of the loader, which must succeed; returns what it said.

        Raises:
            LoaderError: it failed.
        """
        status, said = self.attempt(*arguments)
        if status:
            raise SmokeError(said)
        return said

    def attempt(self, *arguments: str) -> tuple[int, str]:
        """Run it, whatever comes of it; returns its exit status and what it said.

        It runs within this process, so that a step can look at what happens meanwhile.
        """
        with self._captured("loader", *arguments) as said:
            try:
                cli.loader.main([*arguments], prog_name="loader", standalone_mode=False)
            except SystemExit as ended:
                return int(ended.code or 0), said.getvalue()
            except click.Abort:
                raise KeyboardInterrupt from None  # which click has taken for itself
        return 0, said.getvalue()

    def dbt(self, *arguments: str) -> str:
        """Run a command of dbt, which must succeed; returns what it said.

        Raises:
            SmokeError: it failed; quotes the end of what it said.
        """
        with self._captured("dbt", *arguments) as said:
            result = dbtRunner().invoke(["--no-use-colors", *arguments])
        if isinstance(result.exception, KeyboardInterrupt):
            raise result.exception
        if not result.success:
            end = said.getvalue().splitlines()[-40:]
            raise SmokeError("\n".join([*end, str(result.exception or "")]).strip())
        return said.getvalue()

    @contextmanager
    def _captured(self, *command: str) -> Iterator[io.StringIO]:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            try:
                yield said
            finally:
                with self.log.open("a") as log:
                    log.write(f"$ {' '.join(command)}\n{said.getvalue()}\n")

    def declare(self, table: str) -> None:
        """Add a table to those that the loader knows."""
        declared = yaml.safe_load(_SOURCES.read_text())
        loader = {"source": f"{self.name}.{table}", "primary_key": ["id"]}
        added = {"name": table, "config": {"meta": {"loader": loader}}}
        declared["sources"][0]["tables"].append(added)
        _SOURCES.write_text(yaml.safe_dump(declared))

    # -- what there is ---------------------------------------------------------------------------

    def schema(self, name: str) -> str:
        """One of the run's schemas, quoted."""
        return quote(f"{self.name}_{name}")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in the warehouse in a session of its own, and commit."""
        session = Session(self.session.profile)
        with closing(session), session.transaction():
            return session.execute(statement)

    def mysql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in MySQL as the user who writes; returns the last one's rows."""
        with sample.writer(self.source) as connection, connection.cursor() as cursor:
            cursor.execute("set sql_mode = ''")
            for statement in statements:
                cursor.execute(statement)
            connection.commit()
            return list(cursor.fetchall())

    def schemas(self) -> list[str]:
        """The run's schemas in the warehouse."""
        found = self.ask("select nspname from pg_namespace order by nspname")
        return [name for (name,) in found if name.startswith(self.name)]

    def staged(self) -> list[str]:
        """The keys of the run's files in the bucket.

        Raises:
            SmokeError: they cannot be listed.
        """
        settings = self.session.settings.stage
        pages = s3.connect(self.session.settings.stage).get_paginator("list_objects_v2")
        with _told():
            found = list(pages.paginate(Bucket=settings.bucket, Prefix=f"{settings.prefix}/"))
        return [each["Key"] for page in found for each in page.get("Contents", [])]

    def drop(self) -> None:
        """Remove the run's schemas and whatever is staged.

        Raises:
            LoaderError: something is left; says what, and how to remove it.
        """
        for thread in threading.enumerate():
            if thread.name.startswith(("load", "upload")):  # an interrupted load's
                thread.join(60)
        stage, failures = self.session.settings.stage, list[str]()
        for remove in (self._drop_schemas, self._remove_staged):
            try:
                remove()
            except LoaderError as error:
                failures.append(error.fact)
        if failures:
            raise SmokeError(
                " ".join(failures),
                f"Remove by hand: the schemas whose names begin with {self.name}, and what lies "
                f"under s3://{stage.bucket}/{stage.prefix}/.",
            )

    def _drop_schemas(self) -> None:
        for name in self.schemas():
            self.ask(f"drop schema {quote(name)} cascade")
        if left := self.schemas():
            raise SmokeError(f"Still there: {', '.join(left)}.")

    def _remove_staged(self) -> None:
        for key in self.staged():
            with _told():
                s3.connect(self.session.settings.stage).delete_object(
                    Bucket=self.session.settings.stage.bucket, Key=key
                )
        if left := self.staged():
            raise SmokeError(f"Still there: {', '.join(left)}.")


@contextmanager
def _told() -> Iterator[None]:
    """Turn boto3's errors into one sentence."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise SmokeError(f"S3: {error}.") from None
