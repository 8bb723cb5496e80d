"""`loader report`: the page's numbers are the tables', it opens in a browser, and asks nobody."""

import base64
import csv
import io
import json
import os
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from browser import opened
from pipeline import ROOT

from loader.warehouse.ledger import Load
from report import page
from report.reading import QUERIES, ReportError, failing

TABLES = {
    "nps": "nps_summary_monthly", "users": "active_users_monthly",
    "revenue": "channel_performance", "hours": "sessions_by_hour",
}  # fmt: skip
MEASURE = "<script>document.body.dataset.width = document.documentElement.scrollWidth</script>"
PRINTED = """<script>
    const right = each => each.getBoundingClientRect().right;
    document.body.style.width = "660px";
    document.body.dataset.beyond = [...document.querySelectorAll(".main-svg, table")]
        .filter(each => right(each) > right(each.closest("section"))).length
    document.body.dataset.whole = [...new Set([...document.querySelectorAll("section, .chart, tr")]
        .filter(each => getComputedStyle(each).breakInside === "avoid").map(each => each.tagName))]
</script>"""


@pytest.fixture(scope="module")
def report(landed_warehouse, tmp_path_factory):
    """The page of the built sample."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    done = landed_warehouse.loader("report", "--output", str(file), status=0)
    assert re.match(rf"Wrote {file}, \d\.\d MB", done.stdout)
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    return file


def table(text, name):
    """The columns and cells of one of the page's tables."""
    inside = re.search(rf'(?s)<table id="{name}-numbers">(.*?)</table>', text)[1]
    heads = [each.replace(" ", "_") for each in re.findall("<th(?: class.*?)?>(.*?)</th>", inside)]
    rows = re.findall("(?s)<tr>(.*?)</tr>", inside.split("<tbody>")[1])
    return heads, [list(map(unescape, re.findall("<td.*?>(.*?)</td>", row))) for row in rows]


def figures(text):
    """The page's figures by name; plotly writes a column of numbers as base64."""
    embedded = re.search('(?s)<script type="application/json" id="figures">(.*?)</script>', text)

    def plain(each):
        if "bdata" not in each:
            return each
        return np.frombuffer(base64.b64decode(each["bdata"]), each["dtype"]).tolist()

    return json.loads(embedded[1], object_hook=plain)


def test_the_numbers_are_the_tables(report, landed_warehouse):
    text = report.read_text()
    for name, model in TABLES.items():
        heads, shown = table(text, name)
        rows = landed_warehouse.query(
            f"select {', '.join(heads)} from analytics.{model} order by 1, 2"
        )
        assert shown == [list(map(page.cell, row, heads)) for row in rows], name
        link = unescape(re.search(rf'download="{name}.csv" href="data:[^,]*,(.*?)"', text)[1])
        taken_away = csv.DictReader(io.StringIO(unquote(link)))
        assert [each[heads[1]] for each in taken_away] == [str(row[1]) for row in rows]
        assert len(shown) >= 24
    heads, shown = table(text, "flows")
    assert heads == ["first_channel", "last_channel", "users"]
    of_channels = "select count(*) from analytics.channel_summary where first_channel is not null"
    assert sum(int(users) for *_, users in shown) == landed_warehouse.value(of_channels)
    assert len(table(text, "published")[1]) == 6
    assert "active_users_monthly, which reads session_timestamp, session_transaction, " in text
    landed = {row[0]: row[1] for row in table(text, "health")[1]}
    assert landed["nps"] == "2026-08-01"


def test_the_figures_are_the_tables(report, landed_warehouse):
    drawn = figures(report.read_text())

    def points(figure, trace=0):
        data = drawn[figure]["data"][trace]
        return list(zip(data["x"], data["y"], strict=True))

    def asked(columns, model):
        rows = landed_warehouse.query(f"select {columns} from analytics.{model} order by 1")
        return [(str(when), float(value)) for when, value in rows]

    nps = "nps_summary_monthly"
    assert points("nps-0", 2) == asked("answered_month, nps", nps)
    assert points("nps-0", 0) == asked("answered_month, nps - nps_margin", nps)
    assert points("nps-0", 1) == asked("answered_month, nps + nps_margin", nps)
    for trace, kind in enumerate(("detractors", "passives", "promoters")):
        assert points("nps-1", trace) == asked(f"answered_month, {kind}", nps)
    users = "active_users_monthly"
    assert points("users-0", 0) == asked("session_month, new_users", users)
    assert points("users-0", 1) == asked("session_month, active_users - new_users", users)
    for place, trace in enumerate(drawn["revenue-0"]["data"]):
        channel = f"channel_performance where channel_name = '{trace['name']}'"
        assert points("revenue-0", place) == asked("session_month, net_amount", channel)
    hours = [(str(hour), visits) for hour, visits in points("hours-0")]
    assert hours == asked("hour_of_day, sessions", "sessions_by_hour")
    shares = report.read_text().split('class="shares"')[1].split("</table>")[0]
    lasts = re.findall("<th>last (.*?)</th>", shares)
    flows = {
        (first, last): int(users)
        for first, rest in re.findall('(?s)<tr><td class="words">(.*?)</td>(.*?)</tr>', shares)
        for last, users in zip(lasts, re.findall('title="(.*?) users"', rest), strict=True)
        if users != "0"
    }
    counted = landed_warehouse.query(
        "select first_channel, last_channel, count(*) from analytics.channel_summary "
        "where first_channel is not null group by 1, 2"
    )
    assert flows == {(first, last): users for first, last, users in counted}


@pytest.mark.only("postgres", because="the page is the same")
def test_it_opens_in_a_browser_with_no_network_in_both_colours_on_a_phone_and_printed(
    report, tmp_path
):
    measured = tmp_path / "measured.html"
    measured.write_text(report.read_text().replace("</body>", f"{MEASURE}</body>"))
    looks = []
    for width, dark in ((1200, False), (500, True)):
        shown = opened(measured, tmp_path, width=width, dark=dark)
        for name in figures(report.read_text()):
            drawn = shown.split(f'id="{name}"')[1].split("<details>")[0]
            assert "<svg" in drawn, name
        assert int(re.search(r'data-width="(\d+)"', shown)[1]) <= width
        looks.append(set(re.findall(r"fill: rgb\(\d+, \d+, \d+\)", shown)))
    assert looks[0] - looks[1]
    assert looks[1] - looks[0]
    printed = report.read_text().replace("@media print {", "@media screen {")
    measured.write_text(printed.replace("</body>", f"{PRINTED}</body>"))
    shown = opened(measured, tmp_path)
    assert 'data-beyond="0"' in shown
    assert 'data-whole="DIV,TR"' in shown  # a section may break, or most of a page stays white


def test_it_may_ask_for_nothing(report):
    text = report.read_text()
    assert "content=\"default-src 'none'; script-src 'unsafe-inline';" in text
    assert not re.search(r"<(link|iframe|img|script src)", text.split("<script")[0])


@pytest.mark.deep(because="the whole project is built once more")
def test_without_summaries_one_sentence_says_what_to_do(project, new_pipeline, tmp_path):
    file = tmp_path / "report.html"
    done = project.loader("report", "--output", str(file), DBT_SCHEMA="dev")
    assert "There is no dev_analytics.nps" in done.stderr  # a developer's, not production's
    done = project.loader("report", "--output", str(file), status=1)
    assert "There is no analytics.nps_summary_monthly yet; no page was written." in done.stderr
    assert "\n\nBuild the summaries first: `loader run`" in done.stderr
    other = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    done = other.loader("report", "--output", str(file))
    assert "The dbt project has none of what the page shows: nps_summary_monthly" in done.stderr
    (other.folder / "models" / "bad.sql").write_text("{{ oh(")
    done = other.loader("report", "--output", str(file))
    assert re.match("Error: dbt cannot read the project: .*; no page was written", done.stderr)
    assert not file.exists()


def test_what_is_no_file_and_a_folder_that_is_not_there_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "render", lambda *_: "a page")
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("pipe", "it is no file"), ("no/such/report.html", "No such file")):
        with pytest.raises(ReportError, match=why):
            page.write_page(tmp_path / name, {}, "local", datetime(2026, 7, 1, tzinfo=UTC))
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


def test_the_loader_knows_no_mart():
    marts = [path.stem for path in (ROOT / "models" / "marts").glob("*.sql")]
    for path in (ROOT / "loader").rglob("*.py"):
        if "local" not in path.parts:
            assert not [mart for mart in marts if f'"{mart}"' in path.read_text()], path


# -- what the warehouse may hold -----------------------------------------------------------------


def summaries(**rows):
    """Summaries with no rows but these."""
    kinds = {"held": "model why", "newest": "table newest_row", "failing": "table since",
             "landed": "table landed_at start before",
             "changed": "table landed_at",
             "last_run": "outcome failed_step started_at"}  # fmt: skip
    made = {
        name: pd.DataFrame(rows.get(name, []), columns=columns.split(), dtype=object)
        for name, columns in kinds.items()
    }
    for name, (columns, table, _) in QUERIES.items():
        names = [column.rpartition(" ")[2] for column in columns]
        made[name] = pd.DataFrame(rows.get(name, []), columns=names, dtype=object)
        made[name].attrs |= {"table": f"analytics.{table}", "reads": rows.get("reads", [])}
    return made


AT = datetime(2026, 7, 2, tzinfo=UTC)


def test_empty_summaries_make_a_page_that_says_so():
    text = page.render(summaries(), "local", AT)
    assert figures(text) == {}
    assert "Nothing was ever landed." in text
    assert "None was published yet." in text
    assert "the published tables" not in text
    assert "<section><p>There is no summary here to draw yet" in text
    text = page.render(summaries(published=[("other", AT, "", "")]), "local", AT)
    assert ">Take this table away as published.csv<" in text


def test_names_from_the_data_are_text_everywhere():
    name = "</script><img src=x onerror=alert(1)>"
    text = page.render(
        summaries(
            flows=[(name, name, 3)],
            revenue=[(date(2026, 7, 1), name, 1, Decimal(5), Decimal(0), Decimal(5))],
        ),
        name, AT,
    )  # fmt: skip
    assert "<img" not in text.split("plotly.js v")[0]
    assert "<img" not in json.dumps(figures(text)["revenue-0"]["data"][0])
    assert table(text, "flows")[1] == [[name, name, "3"]]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([("30.00", "2.00"), ("34.00", "2.00")], "+4.0 on the month before, more than chance"),
        ([("30.00", "2.00"), ("28.00", "2.00")], "-2.0 on the month before, no more than chance"),
        ([("30.00", "2.00")], "30.0 ± 2.0 in July 2026, from 50 answers."),
        ([("30.00", "2.00"), (None, None)], "30.0 ± 2.0 in July 2026"),
        ([(None, None)], "Nobody has answered yet."),
        ([("-90.00", "20.00"), ("95.00", "9.00")], "95.0 ± 9.0 in August 2026"),  # few answers
    ],
)
def test_a_change_of_the_score_is_told_apart_from_chance(scores, said):
    rows = [
        (date(2026, month, 1), 50, 30, 5, 15, 0, score and Decimal(score),
         margin and Decimal(margin), False)
        for month, (score, margin) in enumerate(scores, start=7)
    ]  # fmt: skip
    text = page.render(summaries(nps=rows), "local", datetime(2026, 9, 1, tzinfo=UTC))
    assert said in text
    traces = figures(text)["nps-0"]["data"]
    scored = [score for score, _ in scores if score]
    assert all(len(trace["x"]) == len(scored) for trace in traces)
    assert all(-100 <= edge <= 100 for band in traces[:2] for edge in band["y"])


def test_the_score_breaks_where_nobody_answered_and_is_pale_where_a_month_is_not_over():
    rows = [
        (date(2026, month, 1), 50, 30, 5, 15, 0, Decimal(score), Decimal(margin), margin > 50)
        for month, score, margin in ((5, 30, 2), (6, 34, 2), (9, 40, 60), (10, -80, 90))
    ]
    text = page.render(summaries(nps=rows), "local", datetime(2026, 10, 9, tzinfo=UTC))
    figure = figures(text)["nps-0"]
    bands, lines = figure["data"][::3], figure["data"][2::3]
    drawn = [["2026-05-01", "2026-06-01"], ["2026-09-01"], ["2026-10-01"]]
    assert [each["x"] for each in bands] == [each["x"] for each in lines] == drawn
    assert lines[0]["opacity"] == lines[1]["opacity"] == 1 > lines[2]["opacity"]
    assert lines[2]["marker"]["symbol"] == ["circle-open"]
    low, high = figure["layout"]["yaxis"]["range"]
    assert (round(low), round(high)) == (27, 41)


def test_the_state_of_each_table_is_in_words():
    landed = datetime(2026, 7, 2, 3, tzinfo=UTC)
    known = (("current", 2, 0, 0), ("quiet", 2, 0, 0), ("behind", 1, 1, 2), ("gap", 2, 0, 3))
    health = [(name, date(2026, 7, day), *lag, landed, 9, 0, 1000) for name, day, *lag in known]
    health.append(("never", None, None, None, None, 1, 1, None))
    health.append(("fails", date(2026, 7, 2), 0, 0, landed, 9, 2, 1000))
    days = ((3, "failed", 1), (2, "succeeded", 1), (1, "succeeded", 0))
    runs = [(date(2026, 7, day), last, None, 2, failed, 0, 0, 0, 0) for day, last, failed in days]
    newest = [("quiet", date(2026, 3, 1)), ("current", date(2026, 7, 1)), ("gap", date(2026, 7, 1))]
    load = {"table_name": "fails", "mode": "run_date", "window_start": None, "window_end": None}
    loads = [
        Load(load_id=f"{day}", started_at=datetime(2026, 7, day), outcome=outcome, **load)
        for day, outcome in enumerate(("failed", "landed", "failed", "failed"), start=1)
    ]
    shown = summaries(health=health, runs=runs, newest=newest, failing=failing(loads).items())
    text = page.render(shown, "local", AT)
    for words in (
        "<b>1 Jul 2026</b><span>1 day ago</span>", "loads have failed since 2026-07-03 00:00",
        "1 day behind", "never landed", "no row newer for 122 days", "3 days missing</span>",
    ):  # fmt: skip
        assert words in text
    assert text.count("up to date</span>") == 1
    above = text.split('<div class="tiles">')[0]
    assert "Loads of 1 table fail</b>: <a" in above
    assert "2 of 6 tables lack days</b> between those that have landed: <a" in above
    assert "1 of 6 tables has no row of the last days that have landed</b>, for 122 days" in above
    assert re.findall(r'<i class="(\w*)" title="(\S+): \w+">(.)<', text) == [
        ("", "2026-07-01", "✓"), ("mended", "2026-07-02", "↺"), ("failed", "2026-07-03", "✕"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "step", "said"),
    [
        (
            "failed",
            "land",
            'The last run failed</b>, on 2026-07-02 00:00 UTC at land: <a href="#pip',
        ),
        ("failed", "build", 'failed</b>, on 2026-07-02 00:00 UTC at build: <a href="#runs'),
        ("interrupted", None, "The last run was interrupted</b>, on 2026-07-02 00:00 UTC: <a"),
        ("died", None, "The last run died</b>: it began on 2026-07-02 00:00 UTC"),
        ("succeeded", None, ""),
    ],
)
def test_a_last_run_that_failed_is_said_at_the_top(outcome, step, said):
    """Of that step no summary need be held back."""
    shown = summaries(last_run=[(outcome, step, AT)])
    above = page.render(shown, "local", AT).split('<div class="tiles">')[0]
    assert ('role="alert"' in above, said in above) == (bool(said), True)


def test_what_is_held_back_is_said_at_the_top_and_at_its_picture():
    why = "held back since 2026-07-02 03:00 UTC by unique_users (2 rows)"
    published = [
        ("active_users_monthly", datetime(2026, 7, 1, 3), "", ""), ("other", AT, "", ""),
    ]  # fmt: skip
    whole = {"users": [(date(2026, 6, 1), 5, 1, 7)], "published": published}
    text = page.render(summaries(**whole, held=[("active_users_monthly", why)]), "local", AT)
    banner, rest = text.split('role="alert"')[1].split("</div>", 1)
    assert "1 of 2 summaries shows what was published before" in banner
    assert f"<b>active_users_monthly</b>, {why}" in banner
    last = [("failed", "build", AT)]
    shown = summaries(**whole, held=[("active_users_monthly", why)], last_run=last)
    assert 'at build: <a href="#held">what is held back' in page.render(shown, "local", AT)
    assert '<div class="banner" id="held"' in text
    assert f"H{why[1:]}</b>: what you see was published on 2026-07-01 03:00 UTC" in rest
    assert 'role="alert"' not in page.render(summaries(**whole), "local", AT)


def test_a_month_that_is_not_over_stands_apart_from_the_last_whole_one():
    """As rows of all tables behind it tell, not the calendar: the sample's end lies months back."""
    users = [(date(2026, month, 1), count, 1, 1) for month, count in ((6, 200), (7, 250), (8, 9))]
    newest = [(name, date(2026, 8, day)) for name, day in (("nps", 31), ("visits", 31), ("ts", 1))]
    scores = [(date(2026, month, 1), 99, 0, 0, 0, 0, 10.0 * month, 3, False) for month in (7, 8)]
    shown = summaries(users=users, nps=scores, newest=newest, reads=["ts", "visits"])
    text = page.render(shown, "local", datetime(2026, 11, 29, tzinfo=UTC))
    assert "<b>250</b><span>July 2026, +25.0 % on the month before</span>" in text
    assert "<span>August so far, 1 day: 9</span>" in text
    assert "<b>70.0 ± 3.0</b><span>July 2026</span>" in text
    assert "<span>August so far, 1 day: 80.0 ± 3.0, 99 answers</span>" in text
    assert "250 people in July 2026" in text
    opacity = figures(text)["users-0"]["data"][0]["marker"]["opacity"]
    assert opacity[0] == opacity[1] > opacity[2]
    shown["newest"]["newest_row"] = date(2026, 8, 31)
    shown["landed"].loc[1] = ["nps", AT, date.min, date(2026, 8, 29)]
    assert "<b>9</b><span>August 2026, -96.4 %" in page.render(shown, "local", AT)
    # And old ones were changed since.
    shown["answered"].loc[0] = [date(2026, 7, 1), 30, date(2026, 7, 31)]
    shown["answered"].loc[1] = [date(2026, 8, 1), 2, date(2026, 8, 2)]
    text = page.render(shown, "local", AT)
    assert "<span>July 2026, answers on 30 of 31 days</span>" in text
    assert "70.0 ± 3.0 in July 2026, from 99 answers on 30 of 31 days." in text
    held = {**shown, "held": pd.DataFrame([("nps_summary", "why")], columns=["model", "why"])}
    assert "answers on a number of days that is not known" in page.render(held, "local", AT)
    assert "<span>August so far, 2 days: 80.0" in page.render(shown, "local", AT)
    shown["nps"].loc[1, ["responses", "is_low_sample"]] = 1, True
    assert "2 days: 1 answer, too few for a score<" in page.render(shown, "local", AT)
    shown["landed"].loc[0] = ["visits", AT, date.min, date(2026, 8, 29)]
    assert "<span>August so far, 28 days and later rows: 9</span>" in page.render(
        shown, "local", AT
    )


def test_a_score_of_few_answers_is_no_headline_and_a_change_names_what_it_is_from():
    scores = [
        (date(2026, month, 1), count, 0, 0, 0, 0, score, 3, count < 30)
        for month, count, score in ((5, 90, 30.0), (8, 99, 40.0), (10, 2, 0.0), (11, 1, 100.0))
    ]
    at = datetime(2026, 11, 20, tzinfo=UTC)
    text = page.render(summaries(nps=scores), "local", at)
    assert "<b>40.0 ± 3.0</b><span>August 2026, +10.0 on May 2026</span>" in text
    assert "<span>October 2026: 2 answers, too few for a score</span>" in text
    assert "<span>November so far, 19 days: 1 answer, too few for a score</span>" in text
    assert "+10.0 on May 2026, more than chance explains." in text
    users = [(date(2026, month, 1), count, 1, 1) for month, count in ((5, 200), (7, 250))]
    assert "July 2026, +25.0 % on May 2026<" in page.render(summaries(users=users), "local", at)


def test_a_month_is_whole_to_the_first_day_that_is_missing():
    """A later day that is landed by itself, like today by hand, makes none before it whole."""
    users = [(date(2026, month, 1), count, 1, 1) for month, count in ((7, 200), (8, 9), (11, 1))]
    windows = [(date.min, date(2026, 8, 3)), (date(2026, 8, 3), date(2026, 8, 4)),
               (date(2026, 11, 28), date(2026, 11, 30))]  # fmt: skip
    landed = [("ts", AT, *window) for window in windows]
    newest = [("ts", date(2026, 11, 30))]
    shown = summaries(users=users, newest=newest, landed=landed, reads=["ts"])
    text = page.render(shown, "local", AT)
    assert "<b>200</b><span>July 2026</span>" in text
    assert "<span>August so far, 3 days: 9</span>" in text
    assert "<span>November so far: 1</span>" in text
    shown["landed"].loc[3] = ["ts", AT, date(2026, 8, 4), date(2026, 11, 30)]
    text = page.render(shown, "local", AT)
    assert "<b>9</b><span>August 2026, -95.5 %" in text
    assert "<span>November so far, 29 days and later rows: 1</span>" in text


def test_a_month_is_not_over_by_rows_that_landed_after_what_is_published():
    """Whether a check holds them back, no build has come, or an earlier version was put back."""
    users = [(date(2026, month, 1), count, 1, 1) for month, count in ((7, 200), (8, 250))]
    days = ((8, 31), (9, 1))
    landed = [("ts", datetime(2026, *day, 3), date.min, date(2026, *day)) for day in days]
    shown = summaries(
        users=users, newest=[("ts", date(2026, 8, 31))], landed=landed, reads=["ts"],
        published=[("active_users_monthly", datetime(2026, 8, 31, 4), "", "A")],
    )  # fmt: skip
    assert "<span>August so far, 30 days and later rows: 250</span>" in page.render(
        shown, "local", AT
    )
    shown["changed"].loc[0] = landed[1][:2]  # of whatever day: one may be landed again
    assert "<span>August so far: 250</span>" in page.render(shown, "local", AT)
    said = "<b>250</b><span>August 2026, +25.0 %"
    # B is published; A, B and A are put back; and then a build that passed publishes A.
    versions = ((1, "B", True), (2, "A", False), (3, "B", True), (4, "A", False), (5, "A", True))
    for day, version, has_all in versions:
        note = ["active_users_monthly", datetime(2026, 9, day, 4), "", version]
        shown["published"].loc[day] = note
        assert (said in page.render(shown, "local", AT)) is has_all
