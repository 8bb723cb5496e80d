"""The command line: parse, call, show progress, exit status.

What takes longest to import, such as rich, is imported where something is shown.
"""

import signal
import sys

import click

from loader.cli import landing, looking, options, run
from loader.cli.declare import declare
from loader.cli.session import leave
from loader.errors import StoppedError, unexpected


def main() -> None:
    """Run the command line; a failure that a person can act on ends without a traceback."""
    # Ctrl-C ends the process, and with it the connections: Python's own handler would wait as long
    # as a driver waits for its server. What is landed or built handles signals itself (stop.py).
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        loader(prog_name="loader")
    except Exception as caught:
        error = unexpected(caught, "what had been landed or published before stays")
        click.echo(f"{click.style('Error', fg='red')}: {error}", err=True)
        if isinstance(error, StoppedError):
            leave(error.exit_status)
        sys.exit(error.exit_status)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=options.examples(
        "loader check                             is everything there for a first load?",
        "loader run                               land, build and verify the days that are missing",
        "loader status                            what is landed, missing or failing",
        "loader COMMAND --help                    a command's options and examples",
    ),
)
@click.version_option(package_name="mysql_to_redshift")
def loader() -> None:
    """Land MySQL tables in the warehouse's schema raw_data, through S3.

    The tables are declared in the dbt source YAML (models/sources); the warehouse is the dbt
    profile's. Run `loader check` before the first load.
    """


COMMANDS = (
    run.run, landing.load, landing.plan, landing.verify, looking.status, looking.report,
    looking.check, declare, run.notify,
)  # fmt: skip
for command in COMMANDS:
    loader.add_command(command)
