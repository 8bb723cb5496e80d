"""Who is told of a run, by real servers that listen on this machine; a dead one fails no run."""

import json
import re
import ssl
import time
from contextlib import contextmanager
from functools import partial

import pytest
from pipeline import ROOT
from receivers import Answer, MailServer, Webhook, serving
from reports import NOT_NULL, failed, node, report

from loader import sending
from loader.config import SETTINGS, load_settings
from loader.errors import ConfigError
from loader.local.processes import free_port
from loader.tell import failing, tell

SECRET, PASSWORD = "hunter2", "correct horse"
NEEDED = {name: "x" for name, setting in SETTINGS.items() if setting.default is None}


def settings(**changes):
    """What the environment says, of these variables alone."""
    return load_settings({**NEEDED, "LOADER_MYSQL_PORT": "1", **changes}, "redshift")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Whatever proxy this machine has, it is not asked for itself."""
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")


@pytest.fixture
def slack():
    """A webhook that takes everything."""
    with serving(Webhook()) as server:
        yield server


def texts(payload):
    """Every text of a message to Slack, which must be of a form that Slack takes."""
    assert set(payload) == {"text", "blocks"}
    assert 0 < len(payload["text"]) <= 3000
    assert len(payload["blocks"]) <= 50
    for block in payload["blocks"]:
        assert block["type"] == "section"
        assert {**block["text"], "text": ""} == {"type": "mrkdwn", "text": "", "verbatim": True}
        assert 0 < len(block["text"]["text"]) <= 3000
        yield block["text"]["text"]


def told(webhook, now, previous=None):
    """What Slack is told of a run, as one text; empty if it is told nothing."""
    before = len(webhook.told)
    assert tell(now, previous, settings(LOADER_SLACK_WEBHOOK=webhook.url)) == []
    return "\n".join(text for payload in webhook.told[before:] for text in texts(payload))


# -- what is told, and when ----------------------------------------------------------------------


def test_a_failure_is_told_with_all_that_helps(slack):
    said = told(slack, failed())
    assert said.startswith(
        "*mysql_to_redshift: the run of 2026-11-20 on redshift failed at build*\n"
    )
    for line in (
        "build after 3 attempts: dbt: 1 of 62 failed.",
        "Look at the rows.",
        "nps, 2026-11-20 to 2026-11-21: the counts differ",
        "nps: column note is new",
        f"{NOT_NULL}: fail, 3 rows",
        "  Got 3 results, configured to fail if != 0",
        "model.mysql_to_redshift.nps_summary: error",
        "    unique: 2",
        "test.mysql_to_redshift.enough_rows.3c4d: warn, 1 rows",
        "nps: 4 rows missing, 0 too many, 1,200 stale, on 2 days",
        "nps: 53.0 hours old (error)",
        "sessions: never loaded (warn)",
        "nps_summary: 2026-11-20 03:10 UTC, 24.0 hours old",
        "loader status --target redshift",
        "dbt show --select pipeline_health --output json --limit 100 --target redshift",
        "dbt show --select not_null_nps_summary_responses --output json --target redshift",
        "loader run --run-date 2026-11-20 --target redshift",
        "20261121T030000-3f9a1c, 2026-11-21 03:00 UTC to 2026-11-21 03:10 UTC",
    ):
        assert line in said.replace("&gt;", ">").splitlines(), line
    assert "channel" not in said


def test_the_message_says_that_nothing_is_known_to_be_published(slack):
    said = told(slack, {**failed(), "published": []})
    assert "*What stays published*\n```\nnothing that this run could see\n```" in said


@pytest.mark.parametrize(
    ("dates", "window", "options"),
    [
        ({}, "the run on", "loader run --target"),
        (
            {"run_date": None, "start_date": "2026-07-01", "end_date": "2026-08-01"},
            "the run from 2026-07-01 to 2026-08-01 on",
            "loader run --start-date 2026-07-01 --end-date 2026-08-01 --target",
        ),
    ],
)
def test_the_command_to_run_again_has_the_dates_of_the_run(slack, dates, window, options):
    said = told(slack, failed(dates=dates))
    assert window in said
    assert options in said


def test_a_failure_is_told_every_time_with_how_many_there_were(slack):
    first = failed(started_at="2026-11-19T03:00:00+00:00")
    assert failing(first, report()) == {"runs": 1, "since": first["started_at"]}
    first["failing"] = failing(first, report())
    second = failed()
    assert "2 runs in a row since 2026-11-19 03:00 UTC" in told(slack, second, first)
    second["failing"] = failing(second, first)
    third = failed(outcome="interrupted")
    assert "was interrupted at build, 3 runs in a row since 2026-11-19" in told(
        slack, third, second
    )
    third["failing"] = failing(third, second)
    assert third["failing"]["runs"] == 3
    again = told(slack, report(), third)
    assert "succeeded again, after 3 failed runs since 2026-11-19 03:00 UTC" in again
    assert "To run it again" not in again


def test_the_recovery_is_told_once_and_a_run_that_works_is_not(slack):
    assert "succeeded again, after a failed run since" in told(slack, report(), failed())
    assert told(slack, report(), report()) == ""
    assert told(slack, report(), None) == ""
    assert failing(report(), failed()) is None


@pytest.mark.parametrize("part", ["dbt", "verify", "freshness"])
def test_a_success_with_something_new_to_look_at_is_told_once(slack, part):
    found = failed()[part]
    if part == "dbt":
        found = {**found, "failures": []}
    warned = report(**{part: found})
    assert "succeeded, with something new to look at" in told(slack, warned, report())
    assert told(slack, warned, warned) == ""
    assert told(slack, report(), warned) == ""


# -- Slack's form --------------------------------------------------------------------------------


HOSTILE = "<!channel> <@U1> *b* ``` & <https://evil|ok> @here \u202e\x00\ud800 &lt;!here&gt;"


def hostile_report():
    """A failed run in which every text that is not ours is hostile."""
    text = json.dumps(failed())
    for harmless in ("the counts differ", "nps", "Got 3 results", "column note", "3f9a1c"):
        text = text.replace(harmless, json.dumps(HOSTILE)[1:-1])
    return json.loads(text)


def test_hostile_names_and_values_are_shown_and_mention_nobody(slack):
    said = told(slack, hostile_report())
    assert not re.search("[<>\u202e\x00\ud800]", said)
    assert not re.search("&(?!(amp|lt|gt);)", said)
    assert said.count("```") == 2 * (len(slack.told[0]["blocks"]) - 1)
    assert "&lt;!channel&gt; &lt;@U1&gt; *b* ''' &amp; &lt;https://evil|ok&gt; @here" in said
    assert "&amp;lt;!here&amp;gt;" in said


def test_a_long_message_is_cut_where_slack_cuts(slack):
    many = [node(f"test.p.{n}.x", message="&" * 10_000) for n in range(2000)]
    now = failed(dbt={"failures": many, "warnings": many}, target="<" * 10_000)
    said = told(slack, now)
    assert "… and 3,997 lines more" in said
    assert "&amp;…" in said
    assert "&lt;…*" in said
    with mail_server() as server:
        assert tell(now, None, server.settings()) == []
    assert len(server.letters[0].get_content()) < 200_000


# -- a Slack that does not take it ---------------------------------------------------------------


def refusal(webhook, seconds=5.0, **changes):
    """The one sentence on a Slack that could not be told."""
    began = time.monotonic()
    said = tell(failed(), None, settings(LOADER_SLACK_WEBHOOK=webhook, **changes))
    assert time.monotonic() - began < seconds
    assert len(said) == 1
    assert SECRET not in said[0]
    return re.fullmatch(r"Slack was not told of the run: (.+)\.", said[0])[1]


@pytest.mark.parametrize(
    ("answers", "why", "requests"),
    [
        ([Answer(500)], "", 2),
        ([Answer(503), Answer(502, "rollup_error")], "it answered 502 rollup_error", 2),
        ([Answer(429, headers={"Retry-After": "1"})], "", 2),
        ([Answer(429, headers={"Retry-After": "3600"})], "it answered 429 ok", 1),
        ([Answer(429, headers={"Retry-After": "soon"})], "", 2),
        ([Answer(404, "no_service")], "it answered 404 no_service", 1),
        ([Answer(403, f"<b>{SECRET}</b>")], "it answered 403", 1),
        ([Answer(400, SECRET.strip("2"))], "it answered 400 hunter", 1),
        ([Answer(410, "x", headers={"Location": "/"})],
         "it answered 410 x", 1),
    ],
)  # fmt: skip
def test_slack_is_asked_once_more_where_that_helps(answers, why, requests):
    with serving(Webhook(*answers)) as server:
        began = time.monotonic()
        if why:
            assert refusal(server.url) == why
        else:
            assert told(server, failed())
            assert time.monotonic() - began >= 1
        assert len(server.requests) == requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(slack, status):
    away = Answer(status, "", headers={"Location": slack.url})
    with serving(Webhook(away)) as server:
        why = f"it answered {status}, a redirect, which is not followed"
        assert refusal(server.url) == why
    assert slack.requests == []


def test_a_slack_that_is_not_there():
    assert refusal(f"http://localhost:{free_port()}/{SECRET}") == "Connection refused"
    assert refusal(f"https://[/{SECRET}") == "ValueError"
    assert refusal(f"https://x:{SECRET}@localhost:1:2/{SECRET}")


def test_a_slack_that_is_slow_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.3)
    with serving(Webhook(Answer(after=1))) as server:
        assert refusal(server.url, seconds=0.9) == "it did not answer within 0.3 s"
        assert server.requests == ["POST /services/T0/B0/hunter2"]


def test_a_slack_that_answers_byte_by_byte_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(sending, "WHOLE_SECONDS", 0.5)
    with serving(Webhook(Answer(seconds_per_byte=0.02))) as server:
        assert refusal(server.url, seconds=0.9) == "it took longer than 0.5 s"


def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_a_certificate_is_verified(certificate, monkeypatch):
    with serving(Webhook(tls=tls(certificate))) as server:
        assert refusal(server.url) == "its certificate is not trusted: self-signed certificate"
        other = server.url.replace("localhost", "127.0.0.1")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert "its certificate is not trusted: IP address mismatch" in refusal(other)
        assert server.requests == []
        assert told(server, failed())


def test_the_proxies_of_the_environment_are_asked(slack, monkeypatch):
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{slack.server_port}")
    assert refusal(f"https://hooks.example/{SECRET}") == "the proxy refused with 407"
    assert slack.requests == ["CONNECT hooks.example:443"]


# -- e-mail --------------------------------------------------------------------------------------


@contextmanager
def mail_server(**options):
    with serving(MailServer(**options)) as server:
        server.settings = partial(
            settings,
            LOADER_EMAIL_TO="ada@example.com, bob@example.com",
            LOADER_SMTP_HOST="localhost",
            LOADER_SMTP_PORT=str(server.port),
        )
        yield server


LOGIN = {"LOADER_SMTP_USER": "loader", "LOADER_SMTP_PASSWORD": PASSWORD}


def no_mail(server, **changes):
    """The one sentence on an e-mail that could not be sent."""
    (said,) = tell(failed(), None, server.settings(**changes))
    assert PASSWORD not in said
    place = "E-mail to ada@example.com, bob@example.com"
    return re.fullmatch(rf"{place} was not told of the run: (.+)\.", said)[1]


def test_an_email_is_plain_text_and_cannot_be_given_headers():
    with mail_server() as server:
        target = "prod\r\nBcc: eve@example.com\r\n\r\n.\r\nMAIL FROM:<x> ü"
        now = {**hostile_report(), "target": target}
        assert tell(now, None, server.settings(LOADER_SMTP_FROM="loader@example.com")) == []
    (letter,) = server.letters
    assert sorted(letter.keys()) == sorted(
        ["Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "Content-Type",
         "Content-Transfer-Encoding", "MIME-Version"]
    )  # fmt: skip
    assert letter["From"] == "loader@example.com"
    assert letter["To"] == "ada@example.com, bob@example.com"
    assert [each.split("<")[1][:3] for each in server.recipients] == ["ada", "bob"]
    assert "ü failed at build" in letter["Subject"]
    assert letter.get_content_type() == "text/plain"
    text = letter.get_content()
    lines = [line for line in text.splitlines() if "<!channel>" in line]
    assert len(lines) > 5
    assert text.startswith(letter["Subject"])
    assert "  dbt show --select pipeline_health" in text
    assert not re.search("[\u202e\x00\ud800]", text)


def test_a_password_is_sent_over_verified_tls_only(certificate, monkeypatch):
    verify = {**LOGIN, "LOADER_SMTP_TLS": "verify"}
    with mail_server(tls=tls(certificate)) as server:
        assert no_mail(server, **verify).startswith("its certificate is not trusted")
        assert server.logins == server.letters == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert tell(failed(), None, server.settings(**verify)) == []
        assert server.logins == [(f"\0loader\0{PASSWORD}", True)]
        assert len(server.letters) == 1
    with mail_server() as server:
        assert "STARTTLS extension not supported" in no_mail(server, **verify)
        assert server.logins == server.letters == []
    with mail_server(tls=tls(certificate), at_once=True) as server:
        monkeypatch.setattr(sending, "_TLS_FROM_THE_START", server.port)
        assert tell(failed(), None, server.settings(**verify)) == []
        assert server.logins == [(f"\0loader\0{PASSWORD}", True)]


@pytest.mark.parametrize(
    ("refuses", "why"),
    [
        ({"AUTH": "535 no"}, "it refused the user or the password (535)"),
        ({"MAIL": "550 not\x07 you"}, "it answered 550 not  you"),
        ({"MAIL": f"550 {'x' * 190} {PASSWORD}"}, "its answer holds a secret"),
        ({"RCPT TO:<BOB": "550 no bob"}, "it refused bob@example.com"),
        ({"RCPT": "550 no"}, "it refused ada@example.com, bob@example.com"),
        ({"DATA": "554 spam"}, "it answered 554 spam"),
        ({"EHLO": "421 later", "HELO": "421 later"}, "it answered 421 later"),
    ],
)
def test_a_mail_server_that_refuses(refuses, why):
    with mail_server(refuses=refuses) as server:
        assert no_mail(server, **LOGIN) == why


def test_a_mail_server_that_is_not_there_or_says_nothing(monkeypatch):
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.3)
    with serving(Webhook()) as deaf, mail_server() as server:
        assert no_mail(server, LOADER_SMTP_PORT=str(free_port())) == "Connection refused"
        why = no_mail(server, LOADER_SMTP_PORT=str(deaf.server_port))
    assert why == "it did not answer within 0.3 s"


# -- the settings --------------------------------------------------------------------------------

MAIL = {"LOADER_EMAIL_TO": "a@b.c", "LOADER_SMTP_HOST": "h"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"LOADER_SLACK_WEBHOOK": f"http://hooks.slack.com/{SECRET}"}, "is no https address"),
        ({"LOADER_SLACK_WEBHOOK": f"http://localhost:1@evil.com/{SECRET}"}, "is no https address"),
        ({"LOADER_SLACK_WEBHOOK": f"https://hooks.slack.com/{SECRET}\n"}, "is no https address"),
        ({"LOADER_EMAIL_TO": "ada@example.com"}, "LOADER_SMTP_HOST is not"),
        ({**MAIL, "LOADER_EMAIL_TO": "ada"}, "LOADER_EMAIL_TO has 'ada'"),
        ({**MAIL, "LOADER_EMAIL_TO": "a@b.c\r\nBcc: d@e.f"}, "LOADER_EMAIL_TO"),
        (
            {**MAIL, "LOADER_SMTP_FROM": "<>"},
            "LOADER_SMTP_FROM has '<>'",
        ),
        (
            {**LOGIN, **MAIL, "LOADER_SMTP_TLS": "off"},
            "h would be sent a password in clear",
        ),
        (
            {**MAIL, "LOADER_SMTP_TLS": "maybe"},
            "auto, verify, off",
        ),
    ],
)  # fmt: skip
def test_a_setting_that_means_nothing_is_named_and_no_secret_shown(changes, words):
    with pytest.raises(ConfigError) as refused:
        settings(**changes)
    assert words in str(refused.value)
    assert refused.value.remedy
    assert SECRET not in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_the_settings_do_not_show_their_secrets():
    secrets = {
        name: f"https://{name}"
        for name in SETTINGS
        if re.search("PASSWORD|SECRET|WEBHOOK|SALT|TOKEN", name)
    }
    assert len(secrets) >= 3
    made = settings(LOADER_EMAIL_TO="a@b.c", LOADER_SMTP_HOST="localhost", **secrets)
    assert made.tell.slack_webhook == secrets["LOADER_SLACK_WEBHOOK"]
    assert "https://" not in repr(made)


def test_a_fault_of_our_own_is_a_sentence_too(slack):
    (said,) = tell({"ok": False}, None, settings(LOADER_SLACK_WEBHOOK=slack.url))
    assert said.startswith("Nobody was told of the run: KeyError at ")
    assert tell(failed(), None, settings()) == []


# -- the command ---------------------------------------------------------------------------------


def test_the_command_sends_a_test_message_and_says_what_became_of_it(new_pipeline, slack):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    done = pipeline.loader("tell")
    assert done.returncode == 1
    assert "neither LOADER_SLACK_WEBHOOK nor LOADER_EMAIL_TO is set" in done.stderr
    with mail_server() as server:
        mail = {
            "LOADER_SLACK_WEBHOOK": slack.url,
            "LOADER_EMAIL_TO": "ada@example.com",
            "LOADER_SMTP_HOST": "localhost",
            "LOADER_SMTP_PORT": str(server.port),
        }
        done = pipeline.loader("tell", **mail)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["Slack: told", "E-mail to ada@example.com: told"]
        assert "a test, from" in slack.told[0]["text"]
        assert "a test, from" in server.letters[0]["Subject"]
        slack.answers.append(Answer(404, "no_service"))
        done = pipeline.loader("tell", **mail)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "Slack: it answered 404 no_service"
    assert SECRET not in done.stdout + done.stderr


def test_the_page_on_settings_names_the_command():
    assert "\nloader tell\n" in (ROOT / "docs" / "your-own.md").read_text()
