"""dbt's part of a run: what it is asked to build, and what became of it.

dbt has a process of its own, so its memory, a crash of it and signals stay apart. It ends when its
input does, so it never outlives a loader that was killed; the warehouse rolls back the rest.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from typing import Any, TypeAlias

from loader.declared.tables import SOURCE
from loader.errors import RunError, counted, is_transient_text
from loader.load.job import Watcher
from loader.warehouse.stop import Stop

GRACE_SECONDS = 8
"""How long dbt may take to end its statements."""
_LOOK_SECONDS = 0.2
_FAILED = ("error", "fail", "runtime error", "partial success")
_NOT_RUN = 2  # the exit status of a dbt that did nothing, such as for a project that is wrong
_NAMED = 5
_OF_THE_GATE = "config.materialized:checked_table+1,test_type:generic,config.severity:error"
"""The tests of a summary: they have passed on its new rows before these were published."""
_LOGGED_BY_A_MACRO = "JinjaLogInfo"
# A project may have no summary; and what is traced is dbt's own code.
_SAYS_NOTHING = ("NoNodesForSelectionCriteria", "MainStackTrace")
_WHY = "\0"  # precedes what ended dbt, after all that its libraries may have written
_SAID_BY_A_MACRO = re.compile(r"\s*(Got \d+ results?, configured to|(Failure|Warning) in test )")
_NO_NODE_ENDED = ("LogStartLine", "LogHookStartLine", "LogHookEndLine")
# Each other event that says `total` is of a node that is through. [dbt-core 1.11: events/types.py]
Node: TypeAlias = Mapping[str, Any]


def reading(table: str) -> str:
    """Write what selects a table's source and all that reads it, directly or not."""
    return f"source:{SOURCE}.{table}+"


def build_arguments(
    only: Sequence[str] = (), without: Sequence[str] = (), checks: str = "all"
) -> list[str]:
    """Write `dbt build` for all that was landed since the last one, whatever days it is of.

    Some days alone would leave out what a table without a cursor was landed with. Unit tests say
    nothing of the day's rows; they belong to `make test` and CI.

    Args:
        only: what is selected; all if empty.
        without: the tables that could not be landed: what reads them is left as it was.
        checks: what tests look at: `all` again, or what is `new`.
    """
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    left = [*map(reading, without), *([_OF_THE_GATE] if checks == "new" else [])]
    for option, nodes in (("--select", only), ("--exclude", left)):
        arguments += [option, *nodes] if nodes else []
    return arguments


class Dbt:
    """The dbt of a run: by id, what became of each node (status, message, failures) and its SQL."""

    def __init__(
        self,
        target: str | None,
        stop: Stop,
        log: Path | None = None,
        run_id: str = "",
        checks: str = "all",
    ) -> None:
        """Prepare it; nothing is started.

        Args:
            target: of the profile, if not its own default.
            log: the file that dbt's output goes to; None for where the loader's goes.
            run_id: the run whose lease every publish looks at; empty for none.
            checks: what tests look at: `all` rows, or the `new` ones and what these touch.
        """
        # As a person types it: dbt parses the project anew when --target comes and goes.
        self._options = ["--target", target] if target else []
        self._stop = stop
        self._log = log
        self.environment = {"LOADER_RUN_ID": run_id, "LOADER_CHECKS": checks}
        # Not dbt's own folder, into which another dbt may write its results meanwhile.
        self.folder = Path(os.environ.get("DBT_TARGET_PATH", "target"), "loader_run").absolute()
        self.nodes, self.code, self.invocations = dict[str, Node](), dict[str, Any](), set[str]()

    def build(self, arguments: Sequence[str], watcher: Watcher, verbose: bool) -> None:
        """Build; a further time, only what failed and what was left out because of it.

        Args:
            watcher: told the command as a person would type it, how many nodes are built of how
                many, and what dbt says of those that failed or that it warns of.
            verbose: have dbt say everything, itself.

        Raises:
            RunError: something failed; transient if the warehouse was in the way.
            StoppedError: the run was asked to end, and so is dbt.
        """
        left = [
            name
            for name, node in self.nodes.items()
            if node["status"] in (*_FAILED, "skipped") and not name.startswith("operation.")
        ]
        command = [*(["retry"] if left else arguments), *self._options]
        watcher.say(f"$ dbt {shlex.join(command)}")
        if not left:  # dbt retry reads what the attempt before has written
            (self.folder / "run_results.json").unlink(missing_ok=True)
        follow = None if verbose or self._log else partial(_follow, watcher, self._stop)
        status, said = self._run(command, follow)
        if status not in (0, 1):
            why = said.rpartition(_WHY)[2].strip() or f"its process ended with status {status}"
            raise RunError(
                f"dbt: {why}",
                "Mend it, then run again; what is published is as it was.",
                transient=is_transient_text(why),
            )
        written = self._read("run_results")
        results = written.get("results")
        self.invocations.add(written.get("metadata", {}).get("invocation_id"))
        for result in results or []:
            kept = {name: result[name] for name in ("status", "message", "failures")}
            noted = result.get("adapter_response") or {}  # by macros/failing_rows.sql
            if lines := noted.get("lines"):
                kept |= {"message": "\n".join(lines), **{n: noted[n] for n in ("table", "days")}}
            self.nodes[result["unique_id"]] = {"node": result["unique_id"], **kept}
            self.code[result["unique_id"]] = result.get("compiled_code")
        count = sum(not name.startswith("operation.") for name in self.nodes)  # no hooks
        if failed := self.failures:
            raise _build_error(failed, count)
        if status or results is None:
            raise RunError("dbt failed and names no node.", "See its output; then run again.")
        warned = f"; {len(self.warnings):,} warned" if self.warnings else ""
        watcher.say(f"built and tested: {count:,} nodes{warned}")

    @property
    def failures(self) -> list[Node]:
        """The nodes that failed."""
        return [node for node in self.nodes.values() if node["status"] in _FAILED]

    @property
    def warnings(self) -> list[Node]:
        """The tests that only warn."""
        return [node for node in self.nodes.values() if node["status"] == "warn"]

    def readers(self, tables: Sequence[str]) -> list[str]:
        """Read which models and snapshots stand on these tables, directly or not; sorted."""
        children = self.manifest().get("child_map", {})
        ends = tuple(f".{SOURCE}.{table}" for table in tables)
        found, left = set[str](), {name for name in children if name.endswith(ends)}
        while left:
            found |= left
            left = {child for name in left for child in children.get(name, ())} - found
        kinds = ("model.", "snapshot.")
        return sorted(name.split(".")[2] for name in found if name.startswith(kinds))

    def manifest(self) -> dict[str, Any]:
        """Read dbt's manifest of the project; empty before its first command."""
        return self._read("manifest")

    def _read(self, artifact: str) -> dict[str, Any]:
        """Read what dbt has written of its last command; empty if nothing, or but a half."""
        with suppress(FileNotFoundError, ValueError):
            return dict(json.loads((self.folder / f"{artifact}.json").read_text()))
        return {}

    def _run(
        self, command: Sequence[str], follow: Callable[[Iterable[bytes]], None] | None
    ) -> tuple[int, str]:
        """Run a command to its end; returns its exit status and what it said of a failure.

        Who follows it is given dbt's events, a line of JSON each; else dbt writes text itself.
        """
        colours = [] if sys.stdout.isatty() and not self._log else ["--no-use-colors"]
        form = ["--log-format", "json", "--no-use-colors"] if follow else colours
        if self._log:
            self._log.touch(0o600)
        output = self._log.open("ab") if self._log else None
        with TemporaryFile("w+") as errors:
            process = subprocess.Popen(  # noqa: S603 - nothing of anybody's is in it
                [sys.executable, "-P", "-m", "loader.run.dbt", *form, "--write-json", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if follow else output,
                stderr=errors,
                umask=0o077,  # its log and target tell of rows
                env={**os.environ, **self.environment, "DBT_TARGET_PATH": str(self.folder)},
                start_new_session=True,  # a terminal's Ctrl-C is the loader's to pass on
            )
            if output is not None:
                output.close()
            reader = Thread(target=follow, args=(process.stdout,), daemon=True)
            if follow:
                reader.start()
            try:
                while process.poll() is None:
                    self._stop.sleep(_LOOK_SECONDS)
            finally:
                self._end(process)
                if follow and process.stdout:
                    reader.join(GRACE_SECONDS)
                    process.stdout.close()
            errors.seek(0)
            return process.returncode, errors.read()

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(min(GRACE_SECONDS + 1, self._stop.left / 2))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _follow(watcher: Watcher, stop: Stop, lines: Iterable[bytes]) -> None:
    """Tell of each node that is through, and what dbt warns of or could not do, until a stop."""
    done = 0
    watcher.rows("build", done, 1)  # dbt takes a while to say how many there are
    for line in lines:
        try:
            event = json.loads(line)
            info, data = event["info"], event["data"]
        except (ValueError, TypeError, KeyError):  # what else prints, such as a plugin
            watcher.say(line.decode(errors="replace").rstrip())
            continue
        # A refusal of the gate or of a macro is no compilation, and its text says what is wrong.
        name, message = info["name"], info["msg"].replace("Compilation Error in ", "")
        is_said = info["level"] in ("warn", "error") and name not in _SAYS_NOTHING
        is_said = is_said and not (stop.because or _SAID_BY_A_MACRO.match(message))
        if is_said or name == _LOGGED_BY_A_MACRO:
            for said in message.splitlines():
                watcher.say(said)
        if data.get("total") and name not in _NO_NODE_ENDED:
            done += 1
            watcher.rows("build", done, data["total"])


def _build_error(failed: Sequence[Node], count: int) -> RunError:
    """The error of a build; a failed test or a refusal of the gate is nothing to try again."""
    shown = ", ".join(_named(node) for node in failed[:_NAMED])
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    return RunError(
        f"{len(failed)} of dbt's {count} nodes failed: {shown}{more}. What reads them was not "
        "built or published anew: its readers go on with what was published before.",
        "Each one's message says what to mend; then run again.",
        transient=any(
            node["status"] == "error"
            and "Compilation Error" not in (node["message"] or "")
            and is_transient_text(node["message"] or "")
            for node in failed
        ),
    )


def _named(node: Node) -> str:
    name = node["node"].split(".")[2]
    return f"{name} ({counted(node['failures'])})" if node["failures"] else name


def main() -> None:
    """Run dbt until its command or the input ends."""
    Thread(target=_interrupt_at_end_of_input, daemon=True).start()
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - the loader itself does without

    ended = dbtRunner().invoke(sys.argv[1:])
    if ended.exception:
        print(_WHY, ended.exception, file=sys.stderr)
        sys.exit(_NOT_RUN)
    sys.exit(0 if ended.success else 1)


def _interrupt_at_end_of_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    os._exit(_NOT_RUN)  # such as where a warehouse does not answer that a statement is cancelled


if __name__ == "__main__":
    main()
