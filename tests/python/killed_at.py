"""Run the loader again and again, killed (SIGKILL) before its n-th step.

Reads N from each line of its input, runs `loader` with its own arguments in a child that dies
before step N, and answers with the child's exit status. A step is any statement, any batch of rows,
and anything sent to S3.
"""

import os
import signal
import sys
from contextlib import suppress

from dbt.adapters.factory import load_plugin

from loader import cli, load, mysql, s3
from loader.warehouse.base import Warehouse
from loader.warehouse.postgres import Postgres
from loader.warehouse.redshift import Redshift
from loader.warehouse.session import Session

load_plugin(
    os.environ.get("DBT_TARGET", "postgres")
)  # once here, or each child would take a second for it

STEPS = (
    (Session, ("execute", "release", "close")),
    (Warehouse, ("_insert", "_newest")),
    (
        {"postgres": Postgres, "redshift": Redshift}[os.environ.get("DBT_TARGET", "postgres")],
        ("_copy",),
    ),
    (s3.Staging, ("write", "finish", "_upload", "__exit__")),
    (s3, ("sweep",)),
    (mysql, ("describe", "count_window")),
    (load, ("to_copy_text",)),
)


def die_before(step):
    """Make the loader die before that step."""
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


def main():
    """Answer every line."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            die_before(int(line))
            with suppress(SystemExit):
                cli.loader(["load", "--json", *sys.argv[1:]], standalone_mode=False)
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        print("ended", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
