"""dbt's part of a run: started once, told what to build, asked what became of it."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loader.declared.tables import SOURCE
from loader.declared.windows import Dates
from loader.errors import RunError
from loader.run.dbt_process import GRACE_SECONDS, RESULTS
from loader.warehouse.stop import Stop
from loader.warehouse.transience import is_transient_text

_LOOK_SECONDS = 0.2
_FAILED = ("error", "fail", "runtime error", "partial success")
_NAMED = 5


class Dbt:
    """dbt in a process of its own; used with `with`, at whose end it ends."""

    def __init__(self, target: str | None, stop: Stop, log: Path | None, run_id: str = "") -> None:
        """Start it.

        Args:
            target: of the profile, if not its own default.
            log: the file that dbt's output goes to; None for where the loader's goes.
            run_id: the run whose lease every publish looks at; empty for none.
        """
        self._stop = stop
        # As a person types it: dbt parses the project anew when --target comes and goes.
        self._options = ["--target", target] if target else []
        self._global = [] if sys.stdout.isatty() and not log else ["--no-use-colors"]
        commands, to_dbt = os.pipe()
        from_dbt, answers = os.pipe()
        output = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600) if log else None
        self._process = subprocess.Popen(  # noqa: S603 - nothing of anybody's is in it
            [sys.executable, "-P", "-m", "loader.run.dbt_process", str(answers)],
            stdin=commands,
            stdout=output,
            stderr=output,
            pass_fds=[answers],
            umask=0o077,  # its log and target tell of rows
            env={**os.environ, "LOADER_RUN_ID": run_id},
            start_new_session=True,  # a terminal's Ctrl-C is the loader's to pass on
        )
        for ours in (commands, answers, output):
            if ours is not None:
                os.close(ours)
        self._commands = os.fdopen(to_dbt, "wb", buffering=0)
        self._answers = os.fdopen(from_dbt, "rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._commands.close()
        try:
            self._process.wait(min(GRACE_SECONDS + 1, self._stop.left / 2))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def parse(self) -> None:
        """Let dbt read the project, and say nothing but warnings and errors."""
        self._ask(["--log-level", "warn", "parse"])

    def build(self, arguments: Sequence[str], tell: Callable[[str], None]) -> None:
        """Give dbt a command that builds.

        Args:
            tell: called with the command as a person would type it.
        """
        typed = [f"'{each}'" if " " in each else each for each in (*arguments, *self._options)]
        tell(f"$ dbt {' '.join(typed)}")
        self._ask(arguments)

    def build_again(self, tell: Callable[[str], None]) -> None:
        """Let dbt build what failed of the command before, and what waits for that."""
        tell("$ dbt retry")
        self._ask(["retry", "--state", RESULTS])

    def _ask(self, arguments: Sequence[str]) -> None:
        command = [*self._global, *arguments, *self._options]
        with suppress(BrokenPipeError):  # the answer says why
            self._commands.write(json.dumps(command).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to the oldest command.

        Raises:
            StoppedError: the run was asked to end.
        """
        while not select.select([self._answers], [], [], _LOOK_SECONDS)[0]:
            self._stop.check()
        if line := self._answers.readline():
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._stop.check()
        return {"message": f"its process ended with status {self._process.wait()}"}


def build_arguments(
    dates: Dates, only: Sequence[str] = (), without: Sequence[str] = ()
) -> list[str]:
    """Write `dbt build` for what has been landed.

    Unit tests say nothing of the day's rows; they belong to `make test` and CI.

    Args:
        only: the tables that were selected; all if empty.
        without: the tables that could not be landed: what reads them is left as it was.
    """
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    for option, tables in (("--select", only), ("--exclude", without)):
        if tables:
            arguments += [option, *(f"source:{SOURCE}.{table}+" for table in tables)]
    days = {"run_date": dates.run_date, "start_date": dates.start_date, "end_date": dates.end_date}
    if given := {name: day for name, day in days.items() if day}:
        arguments += ["--vars", json.dumps(given)]
    return [*arguments, "--full-refresh"] if dates.full_refresh else arguments


class Build:
    """One `dbt build` and what is tried again of it.

    Attributes:
        nodes: what became of each node, by unique id.
    """

    def __init__(self, dbt: Dbt, arguments: Sequence[str], parsed: Mapping[str, Any]) -> None:
        """Prepare it.

        Args:
            parsed: dbt's answer about the project.
        """
        self._dbt = dbt
        self._arguments = arguments
        self._parsed = parsed
        self.nodes: dict[str, Mapping[str, Any]] = {}

    def attempt(self, tell: Callable[[str], None]) -> None:
        """Build; a further time, only what failed and what was left out because of it.

        Args:
            tell: called with the command as a person would type it.

        Raises:
            RunError: something failed; transient if the warehouse was in the way of all the rest.
        """
        _check(self._parsed)
        left = [
            name
            for name, node in self.nodes.items()
            if node["status"] in (*_FAILED, "skipped") and not name.startswith("operation.")
        ]
        if left:
            self._dbt.build_again(tell)
        else:
            self._dbt.build(self._arguments, tell)
        answer = self._dbt.answer()
        self.nodes |= {node["node"]: node for node in answer.get("nodes", [])}
        _check(answer)
        if failed := self.failures:
            raise _failed(failed, len(self.nodes))

    @property
    def failures(self) -> list[Mapping[str, Any]]:
        """The nodes that failed."""
        return [node for node in self.nodes.values() if node["status"] in _FAILED]

    @property
    def warnings(self) -> list[Mapping[str, Any]]:
        """The tests that only warn."""
        return [node for node in self.nodes.values() if node["status"] == "warn"]


def _check(answer: Mapping[str, Any]) -> None:
    """Raise what kept dbt from doing anything."""
    if answer["message"]:
        raise RunError(
            f"dbt: {answer['message'].strip()}",
            "Mend it, then run again; what is published is as it was.",
            transient=is_transient_text(answer["message"]),
        )


def _failed(failed: Sequence[Mapping[str, Any]], count: int) -> RunError:
    """The error of a build; a failed test or a refusal of the gate is nothing to try again."""
    shown = ", ".join(_named(node) for node in failed[:_NAMED])
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    return RunError(
        f"{len(failed)} of dbt's {count} nodes failed: {shown}{more}. Summaries that read them are "
        "published as they were.",
        "Each one's message says what to mend; then run again.",
        transient=any(
            node["status"] == "error"
            and "Compilation Error" not in (node["message"] or "")
            and is_transient_text(node["message"] or "")
            for node in failed
        ),
    )


def _named(node: Mapping[str, Any]) -> str:
    name = node["node"].split(".")[2]
    return f"{name} ({node['failures']:,} rows)" if node["failures"] else name
