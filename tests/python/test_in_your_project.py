"""A dbt project that was there before: what docs/in-your-project.md tells people to type."""

import re

import pytest
import yaml
from pipeline import ROOT

PAGE = (ROOT / "docs" / "in-your-project.md").read_text()
BLOCKS = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
THEIRS = {
    "models/people.sql": "select 1 as id, cast('Ann' as varchar(9)) as name",
    "models/names.sql": "{{ config(materialized='table') }} select name from {{ ref('people') }}",
    "models/grown.sql": "{{ config(materialized='incremental', on_schema_change="
    "'append_new_columns') }} select cast({{ var('n', 1) }} as {{ var('kind', 'int') }}) as n",
    "models/models.yml": "models:\n"
    "  - {name: people, columns: [{name: id, data_tests: [unique]}]}\n"
    "  - {name: names, columns: [{name: name, data_tests: [not_null]}]}\n",
}
SUMMARY = (
    "{{ config(materialized='checked_table') }} select sum(amount) as amount from {{ ref('%s') }}"
)
pytestmark = pytest.mark.deep(because="dbt reads a project of its own for each")
OF_SUMMARY = """models: [{name: total, columns: [{name: amount, data_tests: [
    mysql_to_redshift.between: {arguments: {minimum: 0, maximum: 99}}]}]}]"""


@pytest.fixture
def theirs(new_pipeline):
    """A project with models of its own, built once without anything of this one."""
    pipeline = new_pipeline([])
    (pipeline.folder / "models" / "sources.yml").unlink()
    (pipeline.folder / "dbt_project.yml").write_text(
        "name: their_own\nversion: '1.0'\nprofile: mysql_to_redshift\n"
    )
    for name, text in THEIRS.items():
        (pipeline.folder / name).write_text(text)
    pipeline.mysql(
        "create table orders (id int primary key, amount decimal(7,1), "
        "updated_at datetime not null default current_timestamp on update current_timestamp, "
        "key (updated_at))",
        "create table `lines` (order_id int, line int, note varchar(9), "
        "primary key (order_id, line))",
        "create table visits (path varchar(9))",
        "insert into orders values (1, 5, '2026-07-01'), (2, 6, '2026-07-02')",
        "insert into `lines` values (1, 1, 'a'), (1, 2, 'b')",
        "insert into visits values ('/'), ('/')",
    )
    pipeline.build("build")
    return pipeline


def add_package(pipeline, blocks=BLOCKS):
    """Do what the page says, with this repository in place of the clone beside the project."""
    packages, *settings = blocks
    (pipeline.folder / "packages.yml").write_text(
        packages.replace("../mysql_to_redshift", str(ROOT))
    )
    project = pipeline.folder / "dbt_project.yml"
    project.write_text(project.read_text() + "".join(settings).replace("my_project", "their_own"))
    pipeline.dbt("deps", status=0)


def relations(pipeline):
    """What is in their schema: the name, the kind, and of a view what it says."""
    return pipeline.query(
        "select relname, relkind, case when relkind = 'v' then pg_get_viewdef(oid) end "
        "from pg_class where relnamespace = 'analytics'::regnamespace and relkind in ('r', 'v') "
        "and relname not like '\\_%' order by 1"
    )


def manifest(pipeline):
    pipeline.build("parse")
    return pipeline.artifact("manifest")


def test_the_documented_lines_bring_the_macros_and_leave_what_was_there(theirs):
    before, commands = relations(theirs), manifest(theirs)
    add_package(theirs)
    after = manifest(theirs)
    for kind in ("nodes", "sources", "exposures", "metrics", "groups"):
        mine = {name for name in after[kind] if ".mysql_to_redshift" in name}
        assert not mine, "something came along"
    hooks = {name for name in after["nodes"] if name.startswith("operation.")}
    assert len(hooks) == 2
    for name, node in commands["nodes"].items():
        now = after["nodes"][name]
        assert (now["config"], now["raw_code"]) == (node["config"], node["raw_code"])
    theirs.build("build")
    assert relations(theirs) == before
    theirs.query("create view analytics.of_a_reader as select * from analytics.people")
    (theirs.folder / "models" / "people.sql").write_text(
        "select 1 as id, 'Ann' as name union all select 1, 'Bob'"
    )
    said = theirs.build_fails("build", "--select", "people")
    assert "Got 1 result" in said  # dbt's own test, with its own words
    views = theirs.value(
        "select count(*) from pg_views where schemaname = 'analytics' and viewname = 'of_a_reader'"
    )
    assert views == 0, "dbt's own view is made anew with all that depends on it"
    theirs.build("run", "--select", "grown", "--vars", "{n: 2.5, kind: 'numeric(9,2)', x: 1}")
    # dbt's own way: what these macros build takes on the wider type, and theirs does not.
    assert theirs.query("select n from analytics.grown order by 1") == [(1,), (1,), (3,)]


def test_tables_are_declared_land_and_build_there(theirs):
    add_package(theirs)
    theirs.loader("declare", f"{theirs.database}.*", status=0)
    theirs.loader("declare", f"{theirs.database}.*", "--check", status=0)
    (theirs.folder / "models" / "total.sql").write_text(SUMMARY % "orders")
    (theirs.folder / "models" / "total.yml").write_text(OF_SUMMARY)
    theirs.load()
    theirs.build("build")
    assert theirs.value("select amount from analytics.total") == 11
    assert theirs.value("select count(*) from analytics.visits") == 2
    assert theirs.value('select count(*) from analytics."lines"') == 2

    theirs.mysql(
        "alter table orders modify amount decimal(9,2), add column status varchar(9)",
        "update orders set amount = 99.25, status = 'paid' where id = 2",
        "delete from `lines` where line = 2",
    )
    theirs.load("--full-refresh")
    said = theirs.build_fails("build")
    assert "total was not published" in said
    assert "analytics.total" in said
    rows = theirs.query("select id, amount, status from analytics.orders order by 1")
    assert [(key, float(amount), status) for key, amount, status in rows] == [
        (1, 5.0, None), (2, 99.25, "paid"),
    ]  # fmt: skip
    assert theirs.value('select count(*) from analytics."lines"') == 1
    assert theirs.value("select amount from analytics.total") == 11


def test_a_setting_that_is_missing_is_told_before_anything_is_built(theirs):
    packages, settings, flags = BLOCKS
    assert yaml.safe_load(settings).keys() == {"dispatch", "on-run-start"}
    add_package(theirs, (packages, flags))
    theirs.loader("declare", f"{theirs.database}.orders", status=0)
    theirs.load()
    said = theirs.build_fails("run", "--select", "orders")
    assert "search_order [their_own, mysql_to_redshift, dbt]" in said
    assert "orders" not in {name for name, *_ in relations(theirs)}
