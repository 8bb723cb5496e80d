"""Run loader and dbt commands in forked children, which may have to die (SIGKILL) on the way.

Reads from each line of its input a list of runs, `[{"command": [...], "env": {...}, "die_before":
n}, ...]`, starts them all at once, and answers with their exit statuses and what they have said. A
step of the loader is any statement, any batch of rows, and anything sent to S3; one of dbt is any
statement.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from tempfile import TemporaryFile

from dbt.adapters.factory import load_plugin
from dbt.adapters.sql.connections import SQLConnectionManager
from dbt.cli.main import dbtRunner

from loader import cli
from loader.load import window
from loader.source import mysql
from loader.stage import s3, staging
from loader.warehouse.base import Warehouse
from loader.warehouse.postgres import Postgres
from loader.warehouse.redshift import Redshift
from loader.warehouse.session import Session

KIND = os.environ.get("DBT_TARGET", "postgres")
load_plugin(KIND)  # once here, or each child would take a second for it

STEPS = (
    (Session, ("execute", "release", "close")),
    (Warehouse, ("record", "loads")),
    ({"postgres": Postgres, "redshift": Redshift}[KIND], ("_copy",)),
    (staging.Staging, ("write", "finish", "_upload", "__exit__")),
    (s3, ("sweep",)),
    (mysql, ("describe", "count_window")),
    (window, ("to_copy_text",)),
    (SQLConnectionManager, ("add_query",)),
)


def die_before(step):
    """Make this process die before that step."""
    left = [step]

    def counted(function):
        def wrapped(*arguments, **keywords):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*arguments, **keywords)

        return wrapped

    for owner, names in STEPS:
        for name in names:
            setattr(owner, name, counted(getattr(owner, name)))


def run(command):
    """Run one command and return its exit status."""
    if command[0] == "dbt":
        result = dbtRunner().invoke(["--no-use-colors", "--no-write-json", *command[1:]])
        return 0 if result.success else 1
    sys.argv[:] = command
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def start(each, said):
    """Run it in a child, which writes what it says into a file; returns the child's process id."""
    child = os.fork()
    if child == 0:
        status = 3
        with suppress(BaseException):
            for output in (1, 2):
                os.dup2(said.fileno(), output)
            os.environ.update(each.get("env", {}))
            if each.get("die_before") is not None:
                die_before(each["die_before"])
            status = run(each["command"])
            sys.stdout.flush()
        os._exit(status)
    return child


def main():
    """Answer every line."""
    for line in sys.stdin:
        with TemporaryFile("a+", errors="replace") as said:
            children = [start(each, said) for each in json.loads(line)]
            statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            said.seek(0)
            print("ended", json.dumps([statuses, said.read()]), flush=True)


if __name__ == "__main__":
    main()
