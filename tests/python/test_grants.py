"""Analysts may read what is published and own adhoc; schemas are named as the design says."""

import pytest


def test_analysts_may_read_raw_data_and_analytics_and_create_in_adhoc(built):
    may = "select has_table_privilege('analytics_users', '{}', '{}')"
    for table in ("raw_data.nps", "analytics.nps", "analytics.nps_summary", "analytics.sessions"):
        assert built.value(may.format(table, "select")) is True
        assert built.value(may.format(table, "insert")) is False
    for schema, right, expected in (
        ("analytics", "usage", True),
        ("analytics", "create", False),
        ("adhoc", "create", True),
    ):
        said = f"select has_schema_privilege('analytics_users', '{schema}', '{right}')"
        assert built.value(said) is expected


def test_a_table_landed_or_built_later_is_readable_at_once(built):
    built.query("drop table analytics.sessions_by_hour")
    built.build("run", "--select", "sessions_by_hour")
    assert built.value(
        "select has_table_privilege('analytics_users', 'analytics.sessions_by_hour', 'select')"
    )


@pytest.mark.deep(because="dbt reads the project anew for the var, and for the next test's none")
def test_without_the_group_nothing_fails_and_one_line_says_what_to_do(built):
    said = built.build("run", "--select", "sessions_by_hour", "--vars", "analysts: nobody_here")
    assert "There is no group nobody_here, so nothing was granted" in said
    assert {"postgres": "create role", "redshift": "create group"}[built.kind] in said
