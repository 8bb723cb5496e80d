"""`python -m loader.local`: start, fill, play and stop the embedded services; `make` calls it."""

import shutil
import sys
from contextlib import closing
from pathlib import Path

import click
import psycopg2
import pymysql
from rich.console import Console

from loader.cli.session import open_session
from loader.declared.windows import DAY
from loader.errors import ConfigError, LoaderError, counted
from loader.local import demo, own, postgres, sample, services

FOLDER = Path(".local")
CONSOLE = Console(highlight=False, soft_wrap=True)


@click.group()
def local() -> None:
    """Run a MySQL, a PostgreSQL and an S3 of one's own under .local/."""


@local.command()
def up() -> None:
    """Start the embedded services that do not run yet."""
    endpoints = start()
    CONSOLE.print(
        f"MySQL on port {endpoints.mysql_port}, PostgreSQL on {endpoints.postgres_port}, "
        f"S3 on {endpoints.s3_port}"
    )


@local.command()
def down() -> None:
    """Stop the embedded services, and only those."""
    stopped = services.down(FOLDER) if FOLDER.exists() else []
    CONSOLE.print(f"Stopped {', '.join(stopped)}" if stopped else "Nothing was running")


@local.command()
def clean() -> None:
    """Stop the services and remove what was made here; a profiles.yml of one's own stays."""
    for registry in FOLDER.rglob("services.json"):  # those of tests and bench lie deeper
        services.down(registry.parent)
    for link in services.DBT_FOLDERS:
        if Path(link).is_symlink():
            Path(link).unlink()
    if services.profile_is_ours(Path()):
        Path("profiles.yml").unlink()
    elif Path("profiles.yml").exists():
        CONSOLE.print("profiles.yml was changed by hand and stays")
    shutil.rmtree(FOLDER, ignore_errors=True)


@local.command()
@click.option("--days", default=1, show_default=True, type=click.IntRange(1, 31))
def play(days: int) -> None:
    """Let days happen in the sample: new rows, updates, soft deletes, late commits."""
    address = sample.Address(*_address(start()))
    if not sample.is_filled(address):
        raise ConfigError("The sample is not filled yet.", "Run `make demo` first.")
    first = None
    for _ in range(days):
        played = sample.play(address)
        first = first or played.day
        CONSOLE.print(
            f"{played.day}: {played.answers} answers, {played.updated} changed, "
            f"{played.deleted} withdrawn, {played.late} committed late for the day before, "
            f"{played.sessions} visits"
        )
    CONSOLE.print(
        "\nLand it with its look-back, build and verify: loader run --start-date "
        f"{(first or played.day) - DAY} --end-date {played.day + DAY}"
    )


@local.command("mysql")
@click.argument("statement")
def mysql_command(statement: str) -> None:
    """Write into the embedded MySQL, or read it: run a STATEMENT as the user who fills it."""
    try:
        with sample.writer(sample.Address(*_address(start()))) as source:
            cursor = source.cursor()
            rows = cursor.execute(statement)
            for row in cursor:
                CONSOLE.print(*row, sep="\t")
            source.commit()
    except pymysql.err.Error as error:
        raise ConfigError(f"MySQL: {error.args[-1]}.", "Mend the statement.") from None
    CONSOLE.print(counted(rows))


@local.command("postgres")
@click.argument("statement")
def postgres_command(statement: str) -> None:
    """Read the embedded warehouse, or write into it: run a STATEMENT as the user who builds it."""
    try:
        names, rows = postgres.query(start().postgres_port, statement)
    except psycopg2.Error as error:
        said = str(error).splitlines()[0]
        raise ConfigError(f"PostgreSQL: {said}.", "Mend the statement.") from None
    for row in [names, *rows] if names else []:
        shown = (f"\\x{it.hex()}" if isinstance(it, memoryview) else it for it in row)
        CONSOLE.print(*shown, sep="\t")
    CONSOLE.print(counted(len(rows)))


@local.command("demo")
def demo_command() -> None:
    """Go the whole way, from an empty folder to a checked summary."""
    demo.run(CONSOLE, start())


@local.command("own")
def own_command() -> None:
    """Take the sample out of a clone and its warehouse; a project of one's own is left."""
    for sentence in own.take_out(Path()):
        CONSOLE.print(sentence)
    endpoints = start()
    postgres.empty(endpoints.postgres_port, endpoints.postgres_password, CONSOLE.print)
    shutil.rmtree(FOLDER / "runs", ignore_errors=True)  # the reports of the sample's runs
    with closing(open_session("local").warehouse()) as warehouse:
        warehouse.prepare()  # so that `dbt build` passes before anything was landed
    CONSOLE.print(
        "\nThe services go on, for a trial here; make down stops them.\n"
        "What is left passes make lint, make test and dbt build. git restore . brings the files\n"
        "of the sample back, and make demo then lands it again.\n"
        "Next: git commit -am 'Our own project'; the settings of docs/your-own.md, or\n"
        "export LOADER_MYSQL_URL=mysql://USER:PASSWORD@HOST:PORT to land here; then\n"
        "export PATH=$PWD/.venv/bin:$PATH\n"
        "loader declare 'shop.*'; loader check; loader run"
    )


def start() -> services.Endpoints:
    """Start the services and point profiles.yml at them."""
    endpoints = services.up(FOLDER, CONSOLE.print)
    services.prepare_project(Path(), endpoints.postgres_port)
    return endpoints


def _address(endpoints: services.Endpoints) -> tuple[int, str]:
    return endpoints.mysql_port, endpoints.admin_password


if __name__ == "__main__":
    try:
        local(prog_name="python -m loader.local")
    except LoaderError as error:
        click.echo(f"{click.style('Error', fg='red')}: {error}", err=True)
        sys.exit(error.exit_status)
