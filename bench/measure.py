"""What a way costs: seconds, CPU of its own and of MySQL, memory, bytes staged."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.place import Place

_LOOK_SECONDS = 0.1  # a look takes time of the cores that the way could use
_HIGHEST = re.compile(r"VmHWM:\s+(\d+) kB")


class WayError(Exception):
    """A way failed; its own words."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One run of one way, both tables.

    Attributes:
        seconds: from the start of its first process to the end of its last.
        cpu: seconds of CPU of its processes and their children; the servers' are not its own.
        mysql_cpu: seconds of CPU that MySQL took meanwhile.
        peak_bytes: the most memory that its processes held, those of one moment together.
        examined: rows that MySQL looked at meanwhile.
        output: what it wrote.
    """

    seconds: float
    cpu: float
    mysql_cpu: float
    peak_bytes: int
    examined: int
    output: str


def measured(place: Place, *commands: str | Sequence[str]) -> Cost:
    """Run commands one after the other, and measure them as one.

    Args:
        commands: a text is run by the shell.

    Raises:
        WayError: one of them failed.
    """
    server = place.server("mysql")
    examined, mysql_cpu = place.mysql_examined(), _cpu(server)
    began, cpu, peak, output = time.monotonic(), 0.0, 0, ""
    for command in commands:
        usage, most, written = _run(place, command)
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, most)
        output += written
    seconds = time.monotonic() - began
    return Cost(
        seconds=seconds,
        cpu=cpu,
        mysql_cpu=_cpu(server) - mysql_cpu,
        peak_bytes=peak,
        examined=place.mysql_examined() - examined,
        output=output,
    )


def _run(place: Place, command: str | Sequence[str]) -> tuple["os.struct_rusage", int, str]:  # type: ignore[name-defined]
    log = place.folder / "output.log"
    with log.open("w") as written:
        process = subprocess.Popen(  # noqa: S603 - the commands are ours
            command,
            shell=isinstance(command, str),
            cwd=place.project,
            env=place.env,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
        peak, ended = [0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended), daemon=True)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watcher.join()
    text = Path(log).read_text(errors="replace")
    if process.returncode:
        raise WayError(" | ".join(text.strip().splitlines()[-3:])[-400:])
    return usage, peak[0], text


def _watch(pid: int, peak: list[int], ended: threading.Event) -> None:
    """Note the most memory that a process and its children hold together, until it ends."""
    try:
        process = psutil.Process(pid)
        while not ended.is_set():
            held = 0
            for each in (process, *process.children(recursive=True)):
                try:
                    held += _most_held(each)
                except (psutil.Error, OSError):
                    continue
            peak[0] = max(peak[0], held)
            ended.wait(_LOOK_SECONDS)
    except psutil.Error:
        return


def _most_held(process: psutil.Process) -> int:
    """The most memory that a process has held so far, between two looks too. [proc(5)]."""
    status = Path(f"/proc/{process.pid}/status")
    found = _HIGHEST.search(status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else int(process.memory_info().rss)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
