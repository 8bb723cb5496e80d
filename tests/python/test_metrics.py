"""The metrics, as MetricFlow answers them, are the numbers of the summaries."""

import csv
import re
from dataclasses import replace
from decimal import Decimal

import pytest
from pipeline import DBT_FILES, ROOT

MONTHLY = """
select
    cast(nps.answered_month as varchar), nps.nps, nps.responses, users.active_users, earned.net
from analytics.nps_summary_monthly as nps
full outer join analytics.active_users_monthly as users on nps.answered_month = users.session_month
full outer join (
    select session_month, sum(net_amount) as net from analytics.channel_performance group by 1
) as earned on nps.answered_month = earned.session_month
order by 1
"""
PER_CHANNEL = """
select channel_name, channel_group, users, net_amount
from analytics.channel_performance where session_month = '2026-07-01' and sessions > 0
order by 1
"""


@pytest.fixture
def answered(landed_warehouse, tmp_path):
    """Ask MetricFlow, which must know the answer; returns its rows, sorted."""
    parsed = landed_warehouse.target_folder / "target" / "semantic_manifest.json"
    if not parsed.exists():
        landed_warehouse.build("parse")
    # A project whose relations are in this database, whichever dbt was last asked about.
    for name in DBT_FILES:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / parsed.name).write_text(
        re.sub(r"postgres_(built|landed)", landed_warehouse.warehouse, parsed.read_text())
    )
    pipeline = replace(landed_warehouse, folder=tmp_path)

    def ask(*question):
        file = tmp_path / "answer.csv"
        pipeline.run("mf", "query", *question, "--csv", str(file), status=0)
        _, *rows = csv.reader(file.read_text().splitlines())
        return sorted(rows)

    return ask


def numbers(rows, labels):
    return [(*row[:labels], *(Decimal(value or 0) for value in row[labels:])) for row in rows]


@pytest.mark.deep(because="MetricFlow takes four seconds to start, and starts twice")
@pytest.mark.only("postgres", because="MetricFlow speaks to PostgreSQL for both")
def test_metrics_are_what_the_summaries_say(landed_warehouse, answered):
    told = re.findall(r"^mf query (.*)$", (ROOT / "models/overview.md").read_text(), re.M)
    by_month, by_channel = (command.split() for command in told)
    rows = [[row[0][:10], *row[1:]] for row in answered(*by_month) if row[0]]
    assert numbers(rows, 1) == numbers(landed_warehouse.query(MONTHLY), 1)
    assert len(rows) == 24
    july = answered(*by_channel, "--start-time", "2026-07-01", "--end-time", "2026-07-31")
    rows = [row for row in july if Decimal(row[2] or 0)]
    assert numbers(rows, 2) == numbers(landed_warehouse.query(PER_CHANNEL), 2)
