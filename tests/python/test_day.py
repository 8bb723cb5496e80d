"""A day costs what the day holds: what a daily run asks a cluster to read of its large tables."""

import json
import re

import pytest

pytestmark = pytest.mark.only("redshift", because="it reads the stand-in's log of statements")
DAY = "2026-07-31"
BUILD = ("build", "--exclude-resource-type", "unit_test")
TABLE = r"(?:nps|user_session_channel|session_timestamp|session_transaction|sessions)"
READ = re.compile(
    rf'(?:from|join|using|into|update)\s+(?:"\w+"\.)?"?(?:raw_data|analytics)"?\."?{TABLE}"?(?!\w)'
)
BY_LOAD, BY_DAY = r"_load_id\"?\s*(?:>|<|=|in\b)", r"_run_date\"?\s*(?:>|<|=|between)"
BY_KEY = r"(?:response_id|session_id|sessionid|\bid)\"?\s*(?:=|in\b)"
NARROW = re.compile(f"{BY_LOAD}|{BY_DAY}|{BY_KEY}")
NO_ROWS = re.compile(
    r"limit [01]\b|where false|^(?:alter|comment|grant|lock|create (?:or replace )?view)"
)
WATERMARK = re.compile(r"select max\(_watermark\) from [^\s;)]+")
OF_TOUCHED = re.compile(
    r'select "session_id" from \S+ where "user_id" in \(select "user_id" from \w+\)'
)
WHOLE = {
    r"model\.\w+\.(?:channel_|sessions_|active_)\w+ check": "of a candidate, with whole tables",
    r"users": "the visits of the users who are touched: one column",
    r"test\.\w+\.every_\w+": "compares two whole tables",
    r"test\.\w+\.(?:primary_key|row_count_matches)_sessions_[\w.]*": "of a view of three tables",
    r"test\.\w+\.row_count_at_least_[\w.]+": "counts up to its minimum, and no further",
    r"watermark": "the newest load that core has: one column, of which zone maps know the highest",
}  # what reads a whole table, by dbt's node or by what it asks; docs/speed.md says why


def read_whole(log):
    """Each statement that reads a large table without a predicate that a cluster prunes by."""
    for each in log:
        comments = re.findall(r"(?s)/\*(.*?)\*/", each.text)
        text = re.sub(r"(?s)/\*.*?\*/|--[^\n]*", "", each.text).strip().lower()
        told = next((json.loads(it) for it in comments if it.strip().startswith("{")), {})
        if WATERMARK.search(text):
            yield "watermark", text
        if OF_TOUCHED.search(text):
            yield "users", text
        text = OF_TOUCHED.sub("", WATERMARK.sub("", text))
        if READ.search(text) and not NARROW.search(text) and not NO_ROWS.search(text):
            summary = re.match(r'create\s+temporary\s+table\s+"(\w+)__candidate', text)
            name = f"model.any.{summary[1]}" if summary else "the loader"
            name = told.get("node_id") or name
            is_check = name.startswith("model.") and "count(*) as failures" in text
            yield f"{name} check" if is_check else name, text


@pytest.mark.deep(because="all is built twice")
def test_no_statement_of_a_daily_run_reads_a_large_table_whole_but_those_named(built, redshift):
    for command in (("snapshot",), ("snapshot",), BUILD):  # these first ones look at everything
        built.build(*command, LOADER_CHECKS="new")
    redshift.log.clear()
    done = built.loader("run", "--run-date", DAY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(re.search(r"(?i)^copy .*nps", each.text) for each in redshift.log)
    found = {
        name: text
        for name, text in read_whole(redshift.log)
        if not any(re.fullmatch(known, name) for known in WHOLE)
    }
    assert found == {}
