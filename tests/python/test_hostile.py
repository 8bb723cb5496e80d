"""Law 8's other half: names and values from YAML, the command line and MySQL are data, never code.

Each name below holds what some place on the way takes for a sign of its own: SQL's quotes and
semicolons, the drivers' placeholders, an S3 key's or a URL's signs, the terminal's and rich's.
"""

import json
import shlex

import pytest
from pipeline import mysql_administrator, write_sources

DAY = "2026-07-01"
NAMES = (
    "select", "order", 'naïve "x"', "a'b; drop table z --", "100%s %d %(x)s {t} $1", "a\\b \\' \\",
    "a/../b#c?d&e=f%20", "[red]x[/] [/b] :smile:", "表", "a b",
)  # fmt: skip
COLUMN = "x`y\"z' %s); drop table a; --"
VALUE = "'; drop table a; -- \\ \" %s ${x} {{ 1 }} [/b] é"


def mysql_quoted(name):
    return "`" + name.replace("`", "``") + "`"


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def hostile(module_pipeline):
    """A table of every name, in a database, schema and prefix that are no better."""
    made = module_pipeline([{"name": "t", "primary_key": ["id"]}])
    database = f"{made.database} `'\";%s"
    with mysql_administrator(made.endpoints) as cursor:
        cursor.execute(f"create database {mysql_quoted(database)} character set utf8mb4")
        cursor.execute(f"grant select on {mysql_quoted(database)}.* to 'loader'@'%'")
    place = mysql_quoted(database)
    for name in NAMES:
        table = f"{place}.{mysql_quoted(name)}"
        made.mysql(
            f"create table {table} (`group` varchar(99) primary key, `From` datetime not null, "
            f"{mysql_quoted(COLUMN)} varchar(99), key (`From`))",
            f"insert into {table} values (0x{VALUE.encode().hex()}, '{DAY}', 'x')",
        )
    tables = [
        {"name": name, "source": f"{database}.{name}", "primary_key": ["group"], "cursor": "from"}
        for name in NAMES
    ]
    declare(made, tables)
    return made, tables


def declare(pipeline, tables, schema="raw '\";%s data"):
    file = write_sources(pipeline.folder, pipeline.database, tables) / "models" / "sources.yml"
    declared = json.loads(file.read_text())
    declared["sources"][0]["schema"] = schema
    file.write_text(json.dumps(declared))


def rows(pipeline, name, columns="*"):
    return pipeline.query(f"select {columns} from {quoted(schema())}.{quoted(name)}")


def schema():
    return "raw '\";%s data"


PREFIX = "pre fix/'\";%s é"


def test_tables_of_any_name_land_twice_and_are_told(hostile):
    pipeline, _ = hostile
    for command in (["load", "--run-date", DAY], ["load", "--full-refresh"]):
        done = pipeline.loader(*command, LOADER_S3_PREFIX=PREFIX, LOADER_KEEP_PARTS="always")
        assert done.returncode == 0, done.stdout + done.stderr
        for name in NAMES:
            assert f"{name} " in done.stdout, done.stdout
    for name in NAMES:
        assert rows(pipeline, name, f'"group", {quoted(COLUMN)}') == [(VALUE, "x")]
    for command in (["plan", "--run-date", DAY], ["status"], ["check"]):
        done = pipeline.loader(*command, LOADER_S3_PREFIX=PREFIX)
        assert done.returncode == 0, done.stdout + done.stderr
        for name in NAMES:
            assert f"{name} " in done.stdout or f"{name}:" in done.stdout, done.stdout
    assert pipeline.value("select 1") == 1
