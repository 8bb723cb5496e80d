"""End servers once the tests that started them have ended, however they did.

`python ending.py FOLDER` waits for the end of its standard input, whose other end a test worker
holds, and then ends the servers of FOLDER and has it removed, for which nobody waits: it holds a
hundred thousand files. A signal to the tests does not reach it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from loader.local.processes import Registry

# Nobody reads again what they hold. PostgreSQL's signal has it give its shared memory back.
# [PostgreSQL: Shutting Down the Server]
ENDED_BY = {"s3": signal.SIGKILL, "postgres": signal.SIGQUIT, "mysql": signal.SIGKILL}


@contextmanager
def ends_servers(folder: Path) -> Iterator[None]:
    """End the servers that are started in a folder, even if this process is killed before."""
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


if __name__ == "__main__":
    sys.stdin.read()
    folder = Path(sys.argv[1])
    for name, number in ENDED_BY.items():
        Registry(folder.resolve()).stop(name, number)
    with suppress(FileNotFoundError):
        gone = folder.rename(folder.with_name(f"{folder.name}-gone-{os.getpid()}"))
        nowhere = subprocess.DEVNULL
        subprocess.Popen(["rm", "-rf", str(gone)], stdout=nowhere, stderr=nowhere)
