"""Sending a message to those whom a run notifies, by the addresses that apprise reads."""

import logging
import re
import time
from collections.abc import Sequence
from math import inf
from threading import Thread
from urllib.parse import unquote

SECONDS = 60
"""How long all receivers together may take, however slowly a server goes on answering."""
_REASON_MOST = 500  # characters


def send(
    kind: str, subject: str, body: str, addresses: Sequence[str], seconds: float = inf
) -> dict[str, str]:
    """Send a message to all addresses at once; raises nothing and takes a bounded time.

    Args:
        kind: failure, warning, success or info, as apprise colours it.
        seconds: how long it may take, if that is less than `SECONDS`.

    Returns:
        By receiver why it was not notified; empty where it was.
    """
    for library in ("apprise", "urllib3"):  # what they log holds addresses; `_why` shows the rest
        logging.getLogger(library).propagate = False
    seconds = min(seconds, SECONDS)
    answers, threads = dict[str, str](), list[Thread]()

    def run(receiver: str, address: str) -> None:
        try:
            answers[receiver] = _send(kind, subject, body, address)
        except Exception as error:
            answers[receiver] = type(error).__name__

    for number, address in enumerate(addresses, start=1):
        receiver = f"Address {number} of LOADER_NOTIFY ({address.partition('://')[0]})"
        answers[receiver] = f"it took longer than {seconds:g} s"
        # The end of the process waits for no such thread, however long its server takes.
        threads.append(Thread(target=run, args=(receiver, address), daemon=True))
        threads[-1].start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    return dict(answers)


def _send(kind: str, subject: str, body: str, address: str) -> str:
    """Send to one receiver; returns why it was not notified, in words that hold no secret."""
    from apprise import Apprise, AppriseAsset, OverflowMode  # 0.9 s, if there is something to say

    asset = AppriseAsset(
        app_id="mysql_to_redshift",
        default_service_retry=1,
        default_service_wait=2.0,
        http_redirects=False,
        image_url_mask="",  # else Slack is asked to show a picture from the internet
        service_timeout=0,  # else it makes threads of its own, which the end of the process awaits
    )
    service = Apprise.instantiate(address, asset=asset)
    if service is None:
        return "apprise knows no such address"
    if getattr(service, "secure_mode", "") == "insecure" and service.password:
        return "it would send a password in clear; mailtos:// does not"
    service.overflow_mode = OverflowMode.TRUNCATE
    result = Apprise(service, asset=asset).notify(
        title=subject, body=body, notify_type=kind, body_format="text"
    )
    return "" if result else _why([entry.message for entry in result.logs()], address)


def _why(said: Sequence[str], address: str) -> str:
    """Quote the last that apprise says of a failure, without anything that the address holds."""
    pieces = re.split("[?&][^=&]*=|[/:@?&,#]+", address.partition("://")[2])
    hidden = {form for piece in pieces for form in (piece, unquote(piece)) if len(form) > 1}
    hiding = "|".join(re.escape(each) for each in sorted(hidden, key=len, reverse=True))
    why = " ".join(said[-1].split()) if said else "no reason was given"
    shown = re.sub(hiding or "(?!)", "…", why, flags=re.IGNORECASE)[:_REASON_MOST]
    return "".join(filter(str.isprintable, shown)).rstrip(".")
