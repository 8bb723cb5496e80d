"""The command that tries what a run is told by."""

import sys

import click

from loader.cli import options
from loader.cli.session import open_session
from loader.errors import ConfigError


@click.command(
    short_help="Send a test message to Slack and by e-mail.",
    epilog=options.examples(
        "loader tell                              try it before the first night",
        "loader tell --target redshift",
    ),
)
@options.target
def tell(target: str | None) -> None:
    """Send a test message to Slack and by e-mail, whichever is set, and say what became of it."""
    session = open_session(target)
    from loader.sending import Message, send

    parts = [
        ("From now on", ["whoever reads this is told when a run fails, and when one recovers"])
    ]
    message = Message(
        subject=f"mysql_to_redshift: a test, from {session.profile.place}", parts=parts
    )
    answers = send(message, session.settings.tell)
    if not answers:
        raise ConfigError(
            "Nobody is told: neither LOADER_SLACK_WEBHOOK nor LOADER_EMAIL_TO is set.",
            "Set one of them, or both; docs/your-own.md has the table.",
        )
    for place, why in answers.items():
        click.echo(f"{place}: {why or 'told'}")
    sys.exit(any(answers.values()))
