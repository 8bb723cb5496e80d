"""`make smoke-redshift`."""

import os
import sys
from pathlib import Path

import click

from loader.errors import LoaderError
from smoke.settings import check_settings


@click.command()
@click.option("--home", default=".local", help="Where the embedded MySQL is kept.")
def smoke(home: str) -> None:
    """Try every step of the way on the Redshift that the environment names."""
    try:
        check_settings(os.environ)
        from smoke.running import run  # noqa: PLC0415 - dbt takes seconds to import

        sys.exit(run(Path(home)))
    except LoaderError as error:
        click.echo(f"{click.style('Error', fg='red')}: {error}", err=True)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    smoke()
