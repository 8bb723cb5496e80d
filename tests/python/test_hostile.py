"""Names and values from YAML, the command line and MySQL are data, never code.

Each name below holds what some place on the way takes for a sign of its own: SQL's quotes and
semicolons, the drivers' placeholders, an S3 key's or a URL's signs, the terminal's and rich's.
"""

import json
import re

import pytest
from pipeline import mysql_administrator, write_sources

from loader.declared.tables import Table, read_tables
from loader.errors import ConfigError, SourceError
from loader.source.declaration import check_declaration
from loader.source.read_plan import Description
from loader.source.types import POSTGRES, REDSHIFT, Column

DAY = "2026-07-01"
NAMES = (
    "select", "order", 'naïve "x"', "a'b; drop table z --", "100%s %d %(x)s {t} $1", "a\\b \\' \\",
    "a/../b#c?d&e=f%20", "[red]x[/] [/b] :smile:", "表", "a b",
)  # fmt: skip
COLUMN = "x`y\"z' %s); drop table a; --"
VALUE = "'; drop table a; -- \\ \" %s ${x} {{ 1 }} [/b] é"
SCHEMA = "raw '\";%s data"
PREFIX = "pre fix/'\";%s é"
ESCAPES = "\x1b[31m[/b]red\x07\n\u202eError: ok"


def mysql_quoted(name):
    return "`" + name.replace("`", "``") + "`"


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def hostile(module_pipeline):
    """A table of every name, in a database, a schema and a prefix that are no better."""
    made = module_pipeline([{"name": "t", "primary_key": ["id"]}])
    database = f"{made.database} `'\";%s\x1b[31m"
    with mysql_administrator(made.endpoints) as cursor:
        cursor.execute(f"create database {mysql_quoted(database)} character set utf8mb4")
        cursor.execute(f"grant select on {mysql_quoted(database)}.* to 'loader'@'%'")
    for name in NAMES:
        table = f"{mysql_quoted(database)}.{mysql_quoted(name)}"
        made.mysql(
            f"create table {table} (`group` varchar(99) primary key, `From` datetime not null, "
            f"{mysql_quoted(COLUMN)} varchar(99), key (`From`))",
            f"insert into {table} values (0x{VALUE.encode().hex()}, '{DAY}', 'x')",
        )
    declared = {"primary_key": ["group"], "cursor": "from"}
    tables = [{"name": name, "source": f"{database}.{name}", **declared} for name in NAMES]
    file = write_sources(made.folder, made.database, tables) / "models" / "sources.yml"
    written = json.loads(file.read_text())
    written["sources"][0]["schema"] = SCHEMA
    file.write_text(json.dumps(written))
    return made


def test_tables_of_any_name_are_landed_and_told(hostile):
    for command in (["load", "--run-date", DAY], ["load", "--full-refresh"]):
        done = hostile.loader(*command, LOADER_S3_PREFIX=PREFIX, status=0)
        for name in NAMES:
            assert f"{name} " in done.stdout, done.stdout
    for name in NAMES:
        found = hostile.query(f"select * from {quoted(SCHEMA)}.{quoted(name)}")
        assert [row[0] for row in found] == [VALUE]
    for command in (["plan", "--run-date", DAY], ["status"], ["check"]):
        done = hostile.loader(*command, LOADER_S3_PREFIX=PREFIX, status=0)
        assert_shown_safely(done.stdout)
        for name in NAMES:
            assert re.search(f"{re.escape(name)}[ :]", done.stdout), done.stdout


def test_staged_files_have_keys_that_need_no_escape(hostile):
    loads = hostile.load("--run-date", DAY, LOADER_S3_PREFIX="x").values()
    keys = {load["manifest"].removeprefix("s3://raw-landing/") for load in loads}
    assert len({key.split("/")[1] for key in keys}) == len(NAMES)
    for key in keys:
        assert re.fullmatch(r"[\w/.-]+", key, re.ASCII), key
        assert ".." not in key


def test_a_remedy_can_be_pasted(hostile):
    said = hostile.fails("--run-date", DAY, "--select", "a b", LOADER_TIMEZONE="+09:00")
    assert "loader load --full-refresh --select 'a b';" in said


# -- what is shown on a terminal -----------------------------------------------------------------


def assert_shown_safely(*texts):
    for text in texts:
        assert all(each.isprintable() or each == "\n" for each in text), text


def test_what_comes_from_mysql_or_the_warehouse_does_nothing_to_the_terminal(new_pipeline):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"]}])
    pipeline.mysql(
        "create table t (id varchar(90) primary key, v varchar(90))",
        f"insert into t values (0x{ESCAPES.encode().hex()}, 'x\0')",
    )
    done = pipeline.loader("load")
    assert "id \\x1b[31m[/b]red\\x07\\n\\u202eError: ok: column v holds a NUL" in done.stderr
    fact, _, remedy = done.stderr.strip().partition("\n\n")
    assert "\n" not in fact + remedy
    pipeline.mysql(f"update t set v = 0x{ESCAPES.encode().hex()}")
    pipeline.load()
    pipeline.query("alter table raw_data.t add constraint c check (v = 'y') not valid")
    refused = pipeline.loader("load", status=1)
    status, plan = pipeline.loader("status"), pipeline.loader("plan")
    assert_shown_safely(done.stderr, refused.stderr, status.stdout, plan.stdout)
    for (error,) in pipeline.query("select error from raw_data._loads where error is not null"):
        assert_shown_safely(error)


@pytest.mark.parametrize(
    "arguments",
    [
        ["load", "--select", ESCAPES], ["load", "--run-date", ESCAPES],
        ["load", "--target", ESCAPES], ["load", ESCAPES],
    ],
)  # fmt: skip
def test_what_is_typed_does_nothing_to_the_terminal(hostile, arguments):
    done = hostile.loader(*arguments)
    assert done.returncode in (1, 2)
    assert_shown_safely(done.stdout, done.stderr)


@pytest.mark.parametrize("name", [ESCAPES, "a\0", "A", "_a", ""])
def test_a_name_that_no_raw_table_has_is_refused(tmp_path, name):
    write_sources(tmp_path, "prod", [{"name": name, "primary_key": ["id"]}])
    with pytest.raises(ConfigError, match="cannot be a raw table's") as refused:
        read_tables(tmp_path)
    assert_shown_safely(str(refused.value))


def test_a_name_is_as_long_as_the_warehouse_takes(new_pipeline):
    """MySQL's names have 64 characters; what the loader adds to one must not make it too long."""
    longest = {"postgres": 63, "redshift": 127}[new_pipeline([]).kind]
    letter = "a" if longest < 64 else "é"
    stem = letter * (longest // len(letter.encode()) - 1)
    names = [stem + end for end in "xy"]
    tables = [{"name": name, "primary_key": ["id"], "cursor": "at"} for name in names]
    pipeline = new_pipeline([*tables, {"name": stem + "éé", "primary_key": ["id"]}])
    for name in (*names, stem + "éé"):
        pipeline.mysql(
            f"create table {name} (id int primary key, at date not null, key (at))",
            f"insert into {name} values ({len(name)}, '{DAY}')",
        )
    for window in (["--run-date", DAY], ["--full-refresh"], ["--run-date", DAY]):
        assert pipeline.load("--select", *names, *window).keys() == set(names)
    indexed = "select distinct tablename from pg_indexes where schemaname = 'raw_data'"
    for name in names:
        assert pipeline.query(f"select id from raw_data.{name}") == [(len(name),)]
        if pipeline.kind == "postgres":
            assert (name,) in pipeline.query(indexed)
    assert f"is longer than {longest} bytes" in pipeline.fails("--select", stem + "éé")


@pytest.mark.only("postgres", because="Redshift's rows are in no pages; its stand-in's are")
def test_a_row_that_no_page_of_postgresql_holds_is_refused_with_what_to_do(new_pipeline):
    pipeline = new_pipeline([{"name": "wide", "primary_key": ["c0"]}])
    columns = ", ".join(f"c{number} bigint not null" for number in range(1, 1_005))
    pipeline.mysql(
        f"create table wide (c0 bigint primary key, n int, {columns})",
        f"insert into wide values (1, null, {', '.join(['1'] * 1_004)})",
    )
    said = pipeline.fails()
    assert "row is too big" in said
    assert "Leave out columns (`exclude: true`)" in said
    pipeline.mysql("alter table wide " + ", ".join(f"drop column c{n}" for n in range(1, 700)))
    pipeline.load()


@pytest.mark.parametrize(
    ("dialect", "name", "why"),
    [
        (POSTGRES, "Ⱥ" * 31, "is longer than the 63 bytes"),  # 62, and 93 in lower case
        (POSTGRES, "Ⱥ" * 21, ""),
        (POSTGRES, "OID", ""),  # was a system column's up to PostgreSQL 11
        (POSTGRES, "CTID", "is a system column's"),
        (REDSHIFT, "Ⱥ" * 43, "is longer than the 127 bytes"),
        (REDSHIFT, "Ⱥ" * 42, ""),
        (REDSHIFT, "OID", "is a system column's"),
    ],
)
def test_a_columns_name_is_looked_at_as_it_lands(dialect, name, why):
    column = Column(name=name, data_type="int", column_type="int", nullable=False)
    table = Table(name="t", database="d", source="t", primary_key=(name,))
    key = ((name.lower(),),)
    described = Description(
        columns=(column,), unique_keys=key, leading=frozenset(), engine="", rows=0
    )
    if not why:
        check_declaration(table, described, dialect, lambda _: ())
        return
    with pytest.raises(SourceError, match=f"the name of column {name} {why}"):
        check_declaration(table, described, dialect, lambda _: ())


# -- dbt -----------------------------------------------------------------------------------------


@pytest.mark.deep(because="the whole project is built once more")
def test_macros_take_names_from_mysql_and_vars_as_data(project):
    """A column's name could end a statement of `prune_raw_data`, a var's value one of grants."""
    name = 'x" from z; drop schema analytics cascade; --'
    project.mysql(
        f"alter table nps add column `{name}` int default 7, add column `order` int",
        f"insert into nps (id, user_id, created_at, updated_at) values (1, 1, '{DAY}', '{DAY}')",
    )
    project.query("create schema analytics")
    project.load("--run-date", DAY)
    project.mysql("update nps set updated_at = '2026-07-02'")
    project.load("--run-date", "2026-07-02", "--select", "nps")
    project.build("run-operation", "prune_raw_data", "--args", "{days: 0, dry_run: false}")
    assert project.query(f"select id, {quoted(name)} from archive.nps") == [(1, 7)]
    group = "x' or '1' = '1"
    said = project.build("seed", "--vars", json.dumps({"analysts": group}))
    assert f"There is no group {group}" in said
    assert project.value("select count(*) from pg_namespace where nspname = 'analytics'") == 1
