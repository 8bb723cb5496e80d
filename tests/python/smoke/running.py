"""Take the steps until one fails, and drop everything, however it ends."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import click

from smoke.making import new_place
from smoke.place import Place
from smoke.steps import STEPS

INTERRUPTED = 130
"""The exit status of a program that Ctrl-C has ended, as shells have it."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(home: Path) -> int:
    """Make a place, take every step there, and drop it; returns the exit status.

    Args:
        home: where the embedded MySQL is kept.

    Raises:
        LoaderError: there is no place; nothing was made in the warehouse or the bucket.
    """
    interrupts = list[int]()

    def interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        if len(interrupts) == 1:  # a second one would come between the clean-up
            raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, interrupt)
    began = time.monotonic()
    with new_place(home, click.echo) as place:
        click.echo(f"{place.session.profile.place}, schemas {place.name}_...")
        passed = _take_steps(place)
        if passed:
            click.echo(f"All {len(STEPS)} steps passed in {time.monotonic() - began:.0f} s")
            place.log.unlink()
            return 0
        click.echo("Interrupted" if interrupts else "Failed", nl=False)
        click.echo(f"; what every command said: {place.log}")
    return INTERRUPTED if interrupts else 1


def _take_steps(place: Place) -> bool:
    passed = False
    try:
        passed = all(_passes(name, step, place) for name, step in STEPS)
    except KeyboardInterrupt:
        click.echo("Interrupted; a moment, until everything is dropped")
    finally:
        for number in _SIGNALS:  # from here on nothing may come between
            signal.signal(number, signal.SIG_IGN)
        dropped = _passes("everything is dropped, nothing is left", _drop, place)
    return passed and dropped


def _drop(place: Place) -> str:
    place.drop()
    return ""


def _passes(name: str, step: Callable[[Place], str], place: Place) -> bool:
    """Take one step, and say how it went."""
    began, failure, found = time.monotonic(), "", ""
    try:
        found = step(place)
    except Exception as error:  # whatever it is, the rest is to be dropped
        failure = str(error) or type(error).__name__
    word = click.style("FAIL", fg="red") if failure else click.style("pass", fg="green")
    click.echo(f"{word} {time.monotonic() - began:6.1f} s  {name:42} {found}".rstrip())
    if failure:
        click.echo(f"\n{failure}\n")
    return not failure
