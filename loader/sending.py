"""How a message leaves: by Slack's incoming webhook and by e-mail."""

import json
import re
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial
from http.client import HTTPException
from threading import Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from loader.config import MailSettings, TellSettings

ANSWER_SECONDS = 10
"""How long a server may take to answer."""
WAIT_SECONDS = 20
"""How long Slack may ask to wait before the one retry; it is not waited for longer."""
WHOLE_SECONDS = 60
"""How long sending to one place may take, however slowly a server goes on answering."""

_TEXT_MOST = 3000  # [Slack: Text object]
_BLOCKS_MOST = 50  # [Slack: Blocks]
_PART_MOST = 50_000  # of an e-mail, in characters
_LINE_MOST = 500  # at most 2,500 when each character is escaped: one line always fits
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500
_TLS_FROM_THE_START = 465


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is told.

    Attributes:
        subject: in one line.
        parts: a heading and its lines, each.
    """

    subject: str
    parts: Sequence[tuple[str, Sequence[str]]]


class RefusedError(Exception):
    """A server's answer that means no; it never leaves this module."""


def send(message: Message, settings: TellSettings) -> dict[str, str]:
    """Send a message to every place that is set; raises nothing and takes a bounded time.

    Returns:
        By the place's name why it was not told; empty where it was.
    """
    message = _clean(message)
    ways = dict[str, Callable[[], None]]()
    if settings.slack_webhook:
        ways["Slack"] = partial(_post, settings.slack_webhook, slack_payload(message))
    if settings.mail:
        ways[f"E-mail to {', '.join(settings.mail.to)}"] = partial(_mail, settings.mail, message)
    secret = [settings.slack_webhook.rpartition("/")[2], settings.mail and settings.mail.password]
    failures = {place: _within_bounds(way) for place, way in ways.items()}
    return {
        place: "its answer holds a secret"
        if any(one and one in why for one in secret)
        else why[:200]
        for place, why in failures.items()
    }


def _clean(message: Message) -> Message:
    parts = [
        (heading, [one_line(line) for text in lines for line in text.splitlines() if line.strip()])
        for heading, lines in message.parts
    ]
    return Message(subject=one_line(message.subject), parts=parts)


def one_line(text: str) -> str:
    """A text without line breaks, control characters, marks of direction and half characters."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return text.rstrip()


def _fitting(lines: Sequence[str], room: int) -> Iterator[str]:
    """As many lines as there is room for, in characters, and how many there are more."""
    for number, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            yield f"… and {len(lines) - number:,} lines more"
            return
        yield line


def _within_bounds(way: Callable[[], None]) -> str:
    """Say why a way failed, or that it took too long; a thread, because DNS knows no time-out."""
    failures = list[str]()

    def run() -> None:
        try:
            way()
            failures.append("")
        except Exception as error:
            failures.append(_why(error))

    thread = Thread(target=run, name="tell", daemon=True)
    thread.start()
    thread.join(WHOLE_SECONDS)
    return failures[0] if failures else f"it took longer than {WHOLE_SECONDS} s"


def _why(error: Exception) -> str:
    """What went wrong, in words of this module's own: a library's may hold the webhook's path."""
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    match error:
        case RefusedError():
            return str(error)
        case TimeoutError():
            return f"it did not answer within {ANSWER_SECONDS} s"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case smtplib.SMTPException():
            return _why_no_mail(error)
        case HTTPException() | ConnectionResetError():
            return "it broke the connection"
        case _:
            tunnel = re.fullmatch("Tunnel connection failed: ([0-9]+) .*", str(error))
            refused = tunnel and f"the proxy refused with {tunnel[1]}"
            return refused or getattr(error, "strerror", None) or type(error).__name__


def _why_no_mail(error: smtplib.SMTPException) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            return f"it refused the user or the password ({error.smtp_code})"
        case smtplib.SMTPRecipientsRefused():
            return f"it refused {', '.join(error.recipients)}"
        case smtplib.SMTPResponseException():
            told = error.smtp_error  # bytes, whatever its type says
            text = told.decode(errors="replace") if isinstance(told, bytes) else told
            return one_line(f"it answered {error.smtp_code} {text}")
        case smtplib.SMTPNotSupportedError():
            return f"it cannot do what is asked of it: {error}"
        case _:
            slow = isinstance(error.__context__, TimeoutError)
            return _why(TimeoutError()) if slow else "it broke the connection"


# -- Slack -----------------------------------------------------------------------------------------


class _NoRedirects(HTTPRedirectHandler):
    """A redirect is an answer like any other: what is told stays with whom it is told."""

    def redirect_request(self, *_: Any) -> None:
        """Go nowhere."""


def _post(webhook: str, payload: dict[str, Any]) -> None:
    """Post to the webhook; once more after 429 or a server's error.

    Proxies are those of the environment; certificates are verified. [Slack: Rate limits]

    Raises:
        RefusedError: Slack refused.
        OSError, HTTPException: it could not be reached.
    """
    opener = build_opener(_NoRedirects, HTTPSHandler(context=ssl.create_default_context()))
    body, headers = json.dumps(payload).encode(), {"Content-Type": "application/json"}
    for is_last in (False, True):
        request = Request(webhook, data=body, headers=headers)  # noqa: S310 - the setting is http(s)
        try:
            opener.open(request, timeout=ANSWER_SECONDS).close()
            return
        except HTTPError as answer:
            with answer:
                wait = _wait(answer)
                if is_last or wait is None:
                    raise RefusedError(_refusal(answer)) from None
        time.sleep(wait)


def _wait(answer: HTTPError) -> float | None:
    """The seconds to wait before trying again; None if that is of no use."""
    if answer.code != _TOO_MANY_REQUESTS and answer.code < _SERVER_ERROR:
        return None
    asked = answer.headers.get("Retry-After", "1")
    wait = int(asked) if re.fullmatch("[0-9]{1,9}", asked) else 1
    return wait if wait <= WAIT_SECONDS else None


def _refusal(answer: HTTPError) -> str:
    """The answer's code, and Slack's own word for it, such as no_service."""
    word = re.match(rb"[a-z_]{1,60}$", answer.read(100))
    if word:
        return f"it answered {answer.code} {word[0].decode()}"
    asked = answer.headers.get("Location") and "a redirect, which is not followed"
    return f"it answered {answer.code}" + (f", {asked}" if asked else "")


def slack_payload(message: Message) -> dict[str, Any]:
    """Write a message as Slack takes it: nothing in it is markup, a link or a mention.

    Slack reads `<!channel>` as a mention, and with `verbatim` nothing that lacks the brackets; what
    is in a code block is not formatted. [Slack: Formatting message text; Text object]
    """
    blocks = [_section(f"*{_escaped(message.subject)}*")]
    for heading, lines in message.parts[: _BLOCKS_MOST - 1]:
        shown = "\n".join(_fitting([_escaped(line) for line in lines], _TEXT_MOST - 200))
        blocks.append(_section(f"*{_escaped(heading)}*\n```\n{shown}\n```"))
    return {"text": _escaped(message.subject), "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _escaped(text: str) -> str:
    cut = text if len(text) <= _LINE_MOST else text[: _LINE_MOST - 1] + "…"
    plain = cut.replace("`", "'")  # three of them would end the code block
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# -- e-mail ----------------------------------------------------------------------------------------


def _mail(settings: MailSettings, message: Message) -> None:
    """Send an e-mail, over TLS unless the settings say that there is none.

    Raises:
        RefusedError: the server refused some of the recipients.
        OSError, SMTPException: it could not be reached, or refused.
    """
    context = ssl.create_default_context()
    at_once = settings.tls and settings.port == _TLS_FROM_THE_START
    connect = partial(smtplib.SMTP_SSL, context=context) if at_once else smtplib.SMTP
    with connect(settings.host, settings.port, timeout=ANSWER_SECONDS) as server:
        if settings.tls and not at_once:
            server.starttls(context=context)
        if settings.user:
            server.login(settings.user, settings.password)
        refused = server.send_message(email(settings, message))
    if refused:
        raise RefusedError(f"it refused {', '.join(refused)}")


def email(settings: MailSettings, message: Message) -> EmailMessage:
    """Write a message as an e-mail in plain text."""
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"], mail["To"] = settings.sender, ", ".join(settings.to)
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=settings.sender.partition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # asks for no reply of an absent one [RFC 3834]
    parts = (
        "\n  ".join([heading, *_fitting(lines, _PART_MOST)]) for heading, lines in message.parts
    )
    mail.set_content("\n\n".join([message.subject, *parts]) + "\n")
    return mail
