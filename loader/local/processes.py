"""Start servers in the background, remember them, and end only those."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from loader.errors import ConfigError

STARTED: list[subprocess.Popen[bytes]] = []  # kept, because dropping one warns that it runs
_START_SECONDS = 60
_STOP_SECONDS = 30


def free_port(preferred: int | None = None) -> int:
    """Find a free TCP port on this machine's loopback: the preferred one if nobody has it."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigError("This machine has no free port.", "Close some programs.")


def is_listening(port: int) -> bool:
    """Whether something answers on a port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Registry:
    """The servers that were started here, by name: process id, its start, port.

    The start's time tells a process from a later one that got its number.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "services.json"

    def running(self, name: str) -> int | None:
        """The port of a server that was started here and still runs."""
        entry = self._read().get(name)
        return int(entry["port"]) if entry and _process(entry) else None

    def port(self, name: str) -> int | None:
        """The port that a server had, running or not."""
        entry = self._read().get(name)
        return int(entry["port"]) if entry else None

    def start(
        self, name: str, command: Sequence[str], port: int, log: Path, env: Mapping[str, str]
    ) -> None:
        """Start a server that outlives this program, and wait until it listens.

        Raises:
            ConfigError: it ended, or did not listen in time; quotes the end of its log.
        """
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - the command is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **env},
                cwd="/",
                start_new_session=True,
            )
        STARTED.append(process)
        self.remember(name, process.pid, port)
        wait_until(lambda: is_listening(port), name, log, process)

    def remember(self, name: str, pid: int, port: int) -> None:
        """Note a server that runs."""
        entries = self._read()
        entries[name] = {"pid": pid, "started": psutil.Process(pid).create_time(), "port": port}
        self._file.write_text(json.dumps(entries, indent=1))

    def stop(self, name: str, ended_by: signal.Signals = signal.SIGTERM) -> bool:
        """End a server that was started here, and wait for it; False if it does not run."""
        entry = self._read().get(name)
        process = _process(entry) if entry else None
        if entry is None or process is None:
            return False
        process.send_signal(ended_by)
        deadline = time.monotonic() + _STOP_SECONDS
        while _process(entry):  # one that has ended may wait for init to take note of it
            time.sleep(0.02)
            if time.monotonic() > deadline:
                process.kill()
        for started in STARTED:
            started.poll()  # one that is known to have ended does not warn that it runs
        return True

    def _read(self) -> dict[str, dict[str, float]]:
        if not self._file.exists():
            return {}
        entries: dict[str, dict[str, float]] = json.loads(self._file.read_text())
        return entries


def wait_until(
    ready: Callable[[], bool],
    name: str,
    log: Path,
    process: "subprocess.Popen[bytes] | None" = None,
) -> None:
    """Wait for a server.

    Raises:
        ConfigError: it ended, or took too long; quotes the end of its log.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if ready():
            return
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.05)
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    raise ConfigError(
        f"The embedded {name} did not start. Its log ends: {' | '.join(lines[-3:])}",
        f"Read {log}; `make clean` starts from nothing.",
    )


def _process(entry: Mapping[str, float]) -> psutil.Process | None:
    try:
        process = psutil.Process(int(entry["pid"]))
        if process.create_time() == entry["started"] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except psutil.NoSuchProcess:
        pass
    return None


def write_secret(file: Path, text: str) -> None:
    """Write a file that only this user may read."""
    file.touch(mode=0o600)
    file.write_text(text)


def run(command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
    """Run a command to its end, its output into a log.

    Raises:
        ConfigError: it failed; quotes the end of its output.
    """
    with log.open("w") as output:
        done = subprocess.run(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            cwd="/",
            check=False,
        )
    if done.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()
        raise ConfigError(
            f"{Path(command[0]).name} failed: {' | '.join(lines[-3:])}",
            f"Read {log}; `make clean` starts from nothing.",
        )
