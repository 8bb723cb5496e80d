"""Who is notified of a run, by real servers on this machine; a dead one fails no run."""

import io
import json
import logging
import re
import subprocess
import sys
import time

import apprise
import pytest
from apprise.plugins.slack import NotifySlack
from certificates import server_context
from receivers import Answer, Webhook, serving
from reports import NOT_NULL, failed, node, report

from loader.declared.settings import SETTINGS, load_settings
from loader.errors import ConfigError
from loader.local.processes import free_port
from loader.run.notify import failing, notify

SECRET, PASSWORD = "hunter2", "correct%20horse"
NEEDED = {name: "x" for name, setting in SETTINGS.items() if setting.default is None}


def settings(**changes):
    """What the environment says, of these variables alone."""
    return load_settings({**NEEDED, "LOADER_MYSQL_PORT": "1", **changes}, "redshift")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, capfd):
    """No proxy is asked, nothing waited for before trying again, and nothing said of a secret."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    root, shown = logging.getLogger(), logging.StreamHandler(log := io.StringIO())
    monkeypatch.setattr(root, "level", logging.DEBUG)
    root.addHandler(shown)
    yield
    root.removeHandler(shown)
    said = "".join(capfd.readouterr()) + log.getvalue()
    assert not re.search(f"{SECRET}|correct.{{1,3}}horse", said)


@pytest.fixture
def webhook():
    """A webhook that takes everything."""
    with serving(Webhook()) as server:
        yield server


def told(webhook, now, previous=None):
    """What a webhook is told of a run, as one text; empty if it is told nothing."""
    before = len(webhook.told)
    assert notify(now, previous, [webhook.url]) == []
    return "\n".join(f"{one['title']}\n{one['message']}" for one in webhook.told[before:])


# -- what is told, and when ----------------------------------------------------------------------


def test_a_failure_is_told_with_all_that_helps(webhook):
    said = told(webhook, failed())
    assert said.startswith("mysql_to_redshift: the run of 2026-11-20 on redshift failed at build\n")
    for line in (
        "build after 3 attempts: dbt: 1 of 62 failed.",
        "Look at the rows.",
        "nps, 2026-11-20 to 2026-11-21: the counts differ",
        "Run the load again.",
        "nps: column note is new",
        f"{NOT_NULL}: fail, 3 rows",
        "  Got 3 results, configured to fail if != 0",
        "model.mysql_to_redshift.nps_summary: error",
        "    unique: 2",
        "test.mysql_to_redshift.enough_rows.3c4d: warn, 1 row",
        "nps_summary: since 2026-11-20 03:10 UTC",
        "nps_summary: held back since 2026-11-21 03:09 UTC by unique (2 rows)",
        "loader status --target redshift",
        "dbt show --select pipeline_health --output json --limit 100 --target redshift",
        "loader run --run-date 2026-11-20 --target redshift",
        "20261121T030000-3f9a1c, 2026-11-21 03:00 UTC to 2026-11-21 03:10 UTC",
    ):
        assert f"  {line}" in said.splitlines(), line
    assert "channel" not in said
    assert webhook.told[0]["type"] == "failure"


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
def test_the_command_to_run_again_has_the_dates_of_the_run(webhook, dates, window, options):
    said = told(webhook, failed(dates=dates))
    assert "\nWhat stays published\n" in said
    assert window in said
    assert options in said
    assert "--wait 600" in told(webhook, failed(dates=dates, has_lease=True))


def test_a_failure_is_told_every_time_with_how_many_there_were(webhook):
    def counted(now, previous):
        return {**now, "failing": failing(now, previous)}

    first = counted(failed(started_at="2026-11-19T03:00:00+00:00"), report())
    assert first["failing"] == {"runs": 1, "since": first["started_at"]}
    second = counted(failed(), first)
    assert "2 runs in a row since 2026-11-19 03:00 UTC" in told(webhook, second, first)
    third = counted(failed(outcome="interrupted"), second)
    said = told(webhook, third, second)
    assert "was interrupted at build, 3 runs in a row since 2026-11-19" in said
    partly = counted(report(select=["nps"]), third)  # the others may fail still
    assert told(webhook, partly, third) == ""
    assert failing(failed(), partly)["runs"] == 4
    again = told(webhook, report(), third)
    assert "succeeded again, after 3 failed runs since 2026-11-19 03:00 UTC" in again
    assert "To run it again" not in again


def test_the_recovery_is_told_once_and_a_run_that_works_is_not(webhook):
    assert "succeeded again, after a failed run since" in told(webhook, report(), failed())
    assert told(webhook, report(), report()) == ""
    assert told(webhook, report(), None) == ""
    held = report(held_back={"nps_summary": "by hand"})
    assert "succeeded, with something new to look at" in told(webhook, held, report())
    assert told(webhook, held, held) == ""
    assert failing(report(), failed()) is None


@pytest.mark.parametrize("part", ["dbt", "verify"])
def test_a_success_with_something_new_to_look_at_is_told_once(webhook, part):
    found = failed()[part]
    if part == "dbt":
        found = {**found, "failures": []}
    warned = report(**{part: found})
    assert "succeeded, with something new to look at" in told(webhook, warned, report())
    assert webhook.told[0]["type"] == "warning"
    assert told(webhook, warned, warned) == ""
    assert told(webhook, report(), warned) == ""


# -- how it is written ---------------------------------------------------------------------------

HOSTILE = "<!channel> <@U1> *b* ``` & <https://evil|ok> @here \u202e\x00\ud800 &lt;!here&gt;"
TARGET = "prod\r\nBcc: eve@example.com\r\n\r\n.\r\nMAIL FROM:<x> ü"


def hostile_report():
    """A failed run in which every text that is not ours is hostile."""
    text = json.dumps(failed())
    for harmless in ("the counts differ", "nps", "Got 3 results", "column note", "3f9a1c"):
        text = text.replace(harmless, json.dumps(HOSTILE)[1:-1])
    return {**json.loads(text), "target": TARGET}


def test_a_receiver_is_told_in_plain_text_that_mentions_nobody(webhook, monkeypatch):
    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://localhost:{webhook.server_port}")
    slack = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7"
    assert notify(hostile_report(), None, [slack]) == []
    (payload,) = webhook.told
    assert payload["mrkdwn"] is False
    text = payload["attachments"][0]["title"] + payload["attachments"][0]["text"]
    assert not re.search("[<>\u202e\x00\ud800]", text)
    assert not re.search("&(?!(amp|lt|gt);)", text)
    assert "&lt;!channel&gt; &lt;@U1&gt;" in text
    assert "http" not in json.dumps(payload).replace("https://evil", "")
    told(webhook, hostile_report())
    assert webhook.told[-1]["title"].isprintable()  # no letter could be given headers by it


def test_a_long_message_is_cut(webhook):
    many = [node(f"test.p.{n}.x", message="&" * 10_000) for n in range(2000)]
    said = told(webhook, failed(dbt={"failures": many, "warnings": many}, target="<" * 10_000))
    assert "  … and 3,9" in said
    assert "&…\n" in said
    assert len(said) < 20_000


# -- receivers that do not take it ---------------------------------------------------------------


def refusal(address):
    """Why a receiver was not notified, which is said in one sentence."""
    (said,) = notify(failed(), None, [address])
    name = re.escape(address.partition("://")[0])
    pattern = rf"Address 1 of LOADER_NOTIFY \({name}\) was not notified of the run: (.+)\."
    return re.fullmatch(pattern, said)[1]


FAILED = "Failed to send JSON POST notification: "


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([Answer(500)], ""),
        ([Answer(429, headers={"Retry-After": "3600"})], ""),
        (2 * [Answer(404, SECRET)], f"{FAILED}Page not found., error=404"),
        (2 * [Answer(302, headers={"Location": "/elsewhere"})], f"{FAILED}error=302"),
    ],
)
def test_a_receiver_is_asked_once_more_and_no_redirect_followed(answers, why):
    with serving(Webhook(*answers)) as server:
        assert refusal(server.url) == why if why else told(server, failed())
        assert server.requests == 2 * [f"POST /services/T0/B0/{SECRET}"]


def test_a_receiver_that_is_not_there_or_no_receiver():
    nobody = f"localhost:{free_port()}"
    lost = "A Connection error occurred sending JSON notification to …"
    assert refusal(f"json://ada:{SECRET}@{nobody}/{SECRET}") == lost
    assert refusal(f"json://{SECRET}/x") == lost
    assert refusal(f"mailto://{nobody}?to=ada@example.com").startswith("Connection error")
    for address in (f"slack://bad/{SECRET}", f"nosuch://{SECRET}", f"https://[/{SECRET}"):
        assert refusal(address) in ("apprise knows no such address", "ValueError")


def test_a_password_is_sent_over_verified_tls_only(certificate, monkeypatch):
    login = f"loader:{PASSWORD}@localhost:1?to=ada@example.com"
    assert "a password in clear" in refusal(f"mailto://{login}")
    assert refusal(f"mailtos://{login}").startswith("Connection error")
    with serving(Webhook(tls=server_context(certificate))) as server:
        assert refusal(server.url).startswith("A Connection error")
        assert server.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        assert notify(failed(), None, [server.url]) == []


def test_a_receiver_that_answers_byte_by_byte_delays_neither_the_others_nor_the_end(webhook):
    program = """if True:
        import json, sys
        from loader.run import notify
        notify.SECONDS = 9
        print(notify.notify(json.loads(sys.stdin.read()), None, sys.argv[1:]))
        """
    with serving(Webhook(Answer(seconds_per_byte=1))) as slow:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program, slow.url, webhook.url],
            input=json.dumps(failed()), capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert time.monotonic() - began < 40
    assert "(json) was not notified of the run: it took longer than 9 s." in done.stdout
    assert "Address 2" not in done.stdout
    assert len(webhook.told) == 1
    assert SECRET not in done.stdout + done.stderr


def test_a_fault_of_our_own_or_of_apprise_is_a_sentence_too(webhook, monkeypatch):
    (said,) = notify({"ok": False}, None, [webhook.url])
    assert re.fullmatch(r"KeyError at .*notify\.py:\d+; nobody was notified of the run\.", said)
    assert notify(failed(), None, []) == []

    def broken(*_, **__):
        raise OSError(SECRET)

    monkeypatch.setattr(apprise.Apprise, "notify", broken)
    assert refusal(webhook.url) == "OSError"


def test_apprise_is_not_imported_until_something_is_sent():
    """It takes as long as all else that `loader --help` and a load import."""
    program = "import sys, loader.cli, loader.run.report; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# -- the setting ---------------------------------------------------------------------------------


def test_addresses_stand_apart_by_spaces_or_commas_and_are_not_shown():
    mail = f"mailtos://u:{PASSWORD}@h?to=a@b.c,d@e.f"
    made = settings(LOADER_NOTIFY=f" json://h/{SECRET},{mail}\n  slack://a/b/c ")
    assert made.notify == (f"json://h/{SECRET}", mail, "slack://a/b/c")
    assert settings().notify == settings(LOADER_NOTIFY=" ").notify == ()
    assert not re.search(f"{SECRET}|://", repr(made))


@pytest.mark.parametrize("address", [SECRET, f"json://h {SECRET}"])
def test_a_setting_that_means_nothing_is_named_and_no_secret_shown(address):
    with pytest.raises(ConfigError, match="Address 1 of LOADER_NOTIFY is none") as refused:
        settings(LOADER_NOTIFY=address)
    assert "://" in refused.value.remedy
    assert SECRET not in str(refused.value)


# -- the command ---------------------------------------------------------------------------------


def test_the_command_sends_a_test_message_and_says_what_became_of_it(new_pipeline, webhook):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    done = pipeline.loader("notify", status=1)
    assert "LOADER_NOTIFY is not set" in done.stderr
    both = {"LOADER_NOTIFY": f"{webhook.url} {webhook.url}"}
    done = pipeline.loader("notify", status=0, **both)
    first, second = (f"Address {n} of LOADER_NOTIFY (json)" for n in (1, 2))
    assert done.stdout == f"{first}: notified\n{second}: notified\n"
    assert "a test, from" in webhook.told[0]["title"]
    pipeline.loader("notify", "--message", "DAG run 7 failed", status=0, **both)
    assert "mysql_to_redshift: DAG run 7 failed, from" in webhook.told[2]["title"]
    webhook.answers += 4 * [Answer(404)]
    done = pipeline.loader("notify", **both, status=1)
    assert "(json): Failed to send JSON POST notification: Page not found" in done.stdout
    assert SECRET not in done.stdout + done.stderr
