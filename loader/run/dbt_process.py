"""dbt in a process of its own, so that its memory, a crash of it and signals stay apart.

`python -m loader.run.dbt_process FD` imports dbt at once, while the loader still lands. It then
runs each line of its input, a JSON list of dbt's arguments, and answers each with a JSON line on
the file descriptor FD; what dbt prints goes where it always does. When the input ends, dbt is
interrupted, so that it never outlives a loader that was killed: it ends the statements that run,
and the warehouse rolls them back.
"""

import atexit
import json
import os
import signal
import sys
from contextlib import suppress
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from time import sleep
from types import FrameType
from typing import Any

GRACE_SECONDS = 8
"""How long dbt may take to end its statements."""
RESULTS = "the results of the command before"
"""As an argument: the folder of those results, which another dbt may have overwritten in target."""
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}


def main() -> None:
    """Answer every line of the input."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    commands = SimpleQueue[list[str]]()
    Thread(target=_read, args=(commands,), daemon=True).start()
    with (
        suppress(KeyboardInterrupt),
        TemporaryDirectory(prefix="dbt-results-") as results,
        os.fdopen(int(sys.argv[1]), "w", buffering=1) as answers,
    ):
        # Importing dbt takes seconds, and may be interrupted.
        from dbt.cli.main import dbtRunner  # noqa: PLC0415
        from dbt.selected_resources import set_selected_resources  # noqa: PLC0415

        manifest = None
        while True:
            arguments = [results if each == RESULTS else each for each in commands.get()]
            set_selected_resources(set())  # `dbt retry` would leave those of the command before
            ended = dbtRunner(manifest=manifest).invoke(arguments)
            if isinstance(ended.exception, KeyboardInterrupt):
                break
            answer = {"ok": ended.success, "message": str(ended.exception or "")}
            if "parse" in arguments:
                manifest = ended.result if ended.success else None
                answer |= _declared(manifest) if manifest else {}
            elif ended.result:
                ended.result.write(f"{results}/run_results.json")
                answer["nodes"] = [_node(each) for each in ended.result.results]
            answers.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    atexit._run_exitfuncs()  # such as what gives semaphores back
    os._exit(0)  # nothing is left to do, and Python would take its time to clear up


def _read(commands: "SimpleQueue[list[str]]") -> None:
    """Take commands until the loader closes the input, or dies."""
    for line in sys.stdin:
        commands.put(json.loads(line))
    os.kill(os.getpid(), signal.SIGINT)
    sleep(GRACE_SECONDS)
    os._exit(1)


def _interrupt(_: int, __: FrameType | None) -> None:
    """Interrupt dbt once; a second time would disturb it while it ends its statements."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _node(result: Any) -> dict[str, Any]:
    """What became of one node."""
    return {
        "node": result.node.unique_id,
        "status": str(result.status),
        "message": result.message,
        "failures": result.failures,
    }


def _declared(manifest: Any) -> dict[str, Any]:
    """What the project declares of ages and summaries."""
    return {
        "freshness": {
            source.name: {
                level: _bound(getattr(source.freshness, f"{level}_after", None))
                for level in ("warn", "error")
            }
            for source in manifest.sources.values()
            if source.source_name == "raw_data" and source.freshness
        },
        "summaries": {
            node.alias: node.schema
            for node in manifest.nodes.values()
            if node.config.materialized == "checked_table"
        },
    }


def _bound(bound: Any) -> int | None:
    """How many seconds a source may be old."""
    if bound is None or not bound.count:
        return None
    return int(bound.count) * _SECONDS[str(bound.period.value)]


if __name__ == "__main__":
    main()
