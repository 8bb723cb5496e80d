"""The command that tries whom a run notifies."""

import sys

import click

from loader.cli import options
from loader.cli.session import open_session
from loader.errors import ConfigError


@click.command(
    short_help="Send a test message to everybody in LOADER_NOTIFY.",
    epilog=options.examples(
        "loader notify                            try it before the first night",
        "loader notify --message 'Airflow: the run of 2026-07-01 failed'",
    ),
)
@click.option("--message", help="What to say of a run that failed, instead of a test.")
@options.target
def notify(message: str | None, target: str | None) -> None:
    """Send a message to everybody in LOADER_NOTIFY, and say what became of it."""
    session = open_session(target)
    from loader.run.receivers import send

    if not session.settings.notify:
        raise ConfigError(
            "Nobody is notified: LOADER_NOTIFY is not set.",
            "Set it to one or more addresses; docs/your-own.md shows some.",
        )
    answers = send(
        "failure" if message else "info",
        f"mysql_to_redshift: {message or 'a test'}, from {session.profile.place}",
        "`loader status` shows what is landed, missing or failing.",
        session.settings.notify,
    )
    for receiver, why in answers.items():
        click.echo(f"{receiver}: {why or 'notified'}")
    sys.exit(any(answers.values()))
