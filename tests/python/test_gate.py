"""A summary changes only if the checks of its inputs and its own pass on the new rows."""

import re

import pytest
from pipeline import ROOT
from test_rollback import MART, everything, readers_have


@pytest.fixture
def changed(built, tmp_path):
    """The built warehouse, and a copy of the project whose files a test may change."""
    pipeline = built.copied(tmp_path)
    pipeline.query(f"create view public.report as select sum(responses) as responses from {MART}")
    return pipeline


@pytest.mark.parametrize("command", ["run", "build"])
def test_a_failing_check_leaves_the_published_table_as_it_was(changed, command):
    before = everything(changed)
    changed.edit("marts/_marts__models.yml", "minimum: 12", "minimum: 5000")
    changed.query("update analytics.nps set score = 10")
    said = changed.build_fails(command, "--select", "nps_summary")
    assert "nps_summary was not published: 1 check failed on the new rows" in said
    assert "row_count_at_least_nps_summary_5000: 1" in said
    assert "is as it was" in said
    assert everything(changed) == before
    rejected = changed.query("select count(*), min(nps) from analytics.nps_summary__candidate")
    assert rejected == [(730, 100)]  # the new rows, for a look


def test_a_failing_input_check_stops_before_anything_is_built(changed):
    before = everything(changed)
    changed.edit("core/_core__models.yml", "minimum: 150000", "minimum: 9000000")
    said = changed.build_fails("run", "--select", "nps_summary", "nps_summary_monthly")
    assert "nps_summary was not published: 1 input check failed before it was built" in said
    assert "nps_summary_monthly was not published" in said
    assert "row_count_at_least_nps_9000000: 1" in said
    assert everything(changed) == before
    assert changed.query("select to_regclass('analytics.nps_summary__candidate')") == [(None,)]
    said = changed.build_fails("build", "--select", "nps", "nps_summary")
    assert re.search(r"SKIP .*nps_summary ", said)  # here dbt itself keeps it back
    assert everything(changed) == before


CHECKS = {
    "primary_key_nps_summary_answered_on",
    "filled_nps_summary",
    "row_count_at_least_nps_summary_12",
    "row_change_within_nps_summary_20",
    "between_nps_summary_nps__100___100",
}
FEW = "select * from scored where answered_on < '2024-08-06'"
NOTHING = ", ".join(["cast(null as bigint)"] * 5)
WRONG = (
    f"{FEW} union all {FEW} union all "
    f"select cast(null as date), {NOTHING}, 1000, cast(null as numeric(18, 4)), false"
)
"""Eleven rows, five of them twice, and one in which every column is wrong."""
ANOTHER = (
    "select answered_on, responses, cast(promoters as numeric(12, 1)) as promoters, passives, "
    "detractors, excluded_answers, nps, nps_margin, is_low_sample, 1 as added from scored"
)


def test_each_check_that_is_declared_guards_the_table_and_is_named(changed):
    before = everything(changed)
    changed.edit("marts/nps_summary.sql", "select * from scored", WRONG)
    said = changed.build_fails("run", "--select", "nps_summary")
    assert {check for check in CHECKS if f"  {check}: " in said} == CHECKS
    assert f"{len(CHECKS)} checks failed on the new rows" in said
    assert everything(changed) == before


def test_a_check_that_only_warns_does_not_stop_and_where_is_respected(changed):
    changed.edit(
        "marts/_marts__models.yml",
        "          arguments: {minimum: 12}\n",
        "          arguments: {minimum: 5000}\n          config: {severity: warn}\n",
    )
    changed.edit(
        "marts/_marts__models.yml",
        "data_tests: [primary_key]",
        """data_tests:
          - primary_key
          - accepted_values:
              arguments: {values: ['2024-08-01']}
              config: {where: "answered_on < '2024-08-02'"}""",
    )
    changed.build("run", "--select", "nps_summary")


def test_the_query_of_the_message_shows_the_rows(changed):
    changed.edit("marts/_marts__models.yml", "-100, maximum: 100", "0, maximum: 30")
    said = changed.build_fails("run", "--select", "nps_summary")
    line = next(line for line in said.splitlines() if "between_nps_summary_nps" in line)
    failures = int(line.rsplit(": ", 1)[1].split()[0])
    row, *_, query = (each.strip() for each in said.split(line)[1].splitlines()[1:5])
    assert re.fullmatch(r"answered_on \d{4}-\d\d-\d\d, nps -?\d+\.\d+", row)
    assert len(changed.query(query)) == failures > 0


def test_a_publish_keeps_grants_views_and_what_a_reader_has_seen_and_drops_the_candidate(
    changed, superuser
):
    superuser("drop role if exists reader", "create role reader")
    changed.query(f"grant select on {MART} to reader")
    _, _, rights_and_place, _ = readers_have(changed)
    changed.query("update analytics.nps set score = 10")
    seen = f"select count(*), min(nps) < 100 from {MART}"
    with changed.warehouse_connection() as connection, connection.cursor() as cursor:
        connection.autocommit = False
        connection.set_session(isolation_level="REPEATABLE READ")
        cursor.execute(seen)  # a reader whose transaction began before
        changed.build("run", "--select", "nps_summary")
        cursor.execute(seen)
        assert cursor.fetchall() == [(730, True)]
        connection.rollback()
    assert readers_have(changed)[2] == rights_and_place
    assert changed.query(seen) == [(730, False)]
    assert changed.query("select to_regclass('analytics.nps_summary__candidate')") == [(None,)]
    changed.query(f"revoke all on {MART} from reader")
    superuser("drop role reader")


def test_a_new_and_a_changed_column_are_published_in_place(changed):
    changed.edit("marts/nps_summary.sql", "select * from scored", ANOTHER)
    *_, report = readers_have(changed)
    changed.build("run", "--select", "nps_summary")
    assert readers_have(changed)[3] == report
    assert changed.value(f"select sum(added) from {MART}") == 730
    kind = "select data_type from information_schema.columns where table_name = 'nps_summary' and "
    assert changed.value(kind + "column_name = 'promoters'") == "numeric"


def test_without_an_earlier_table_nothing_appears_when_a_check_fails(changed):
    changed.query("drop view public.report")
    changed.query(f"drop table {MART}")
    changed.edit("marts/_marts__models.yml", "minimum: 12", "minimum: 5000")
    said = changed.build_fails("run", "--select", "nps_summary")
    assert "There is no earlier" in said
    assert changed.query(f"select to_regclass('{MART}')") == [(None,)]


def test_row_change_is_measured_against_the_publication_before(changed):
    changed.build("test", "--select", "row_change_within_nps_summary_20")
    changed.query(
        "insert into analytics._publications "
        "select model_name, published_at - interval '1 day', 10, '' from analytics._publications "
        "where model_name = 'nps_summary'"
    )
    said = changed.build_fails("test", "--select", "row_change_within_nps_summary_20")
    assert "FAIL 1 row_change_within_nps_summary_20" in said
    is_right = ("--vars", "allow_row_change: true", "--select", "nps_summary")
    changed.query("update analytics._publications set row_count = 10")
    said = changed.build_fails("run", "--select", "nps_summary")
    assert "right: dbt build --vars 'allow_row_change: true' --select nps_summary" in said
    changed.build("run", *is_right)
    changed.build("run", "--select", "nps_summary")


def test_views_of_others_stay_when_a_view_is_built_again(built):
    built.query("create view public.visits as select count(*) as visits from analytics.sessions")
    before = built.query("select visits from public.visits")
    built.build("run", "--select", "sessions", "pipeline_health")
    assert built.query("select visits from public.visits") == before


@pytest.mark.deep(because="what keeps the damage away is always tried")
def test_a_key_with_two_open_versions_is_found_and_goes_as_the_docs_say(built):
    built.build("snapshot", "--select", "nps_history")
    built.query("insert into analytics.nps_history select * from analytics.nps_history limit 7")
    said = built.build_fails("test", "--select", "nps_history")
    assert "FAIL 7 unique_nps_history_response_id" in said
    text = (ROOT / "docs" / "how-it-works.md").read_text()
    (repair,) = re.findall(r"(?s)```sql\n(begin;.*?)```", text)
    built.query(repair)
    built.build("test", "--select", "nps_history")
