"""Whatever was landed and built in whatever order, the core tables end up as the source."""

import json
import random
import re
from datetime import date, timedelta

import pytest
from machine import assert_core_equals_source
from pipeline import ROOT

FIRST = date(2026, 7, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(31)]
ROWS_A_DAY = 8
CORE = ("run", "--select", "staging", "core")
AN_ORDER = pytest.mark.deep(because="the state machine draws a few such orders, `make soak` many")


def insert_day(pipeline, day, ids):
    pipeline.mysql(
        "insert into nps (id, user_id, score, created_at, updated_at) values "
        + ", ".join(f"({n}, {n}, {n % 11}, '{day} 08:00:00', '{day} 08:00:00.5')" for n in ids)
    )


@pytest.fixture
def july(project):
    """A month of answers, and one visit with all that belongs to it."""
    for number, day in enumerate(DAYS):
        insert_day(project, day, range(1 + number * ROWS_A_DAY, 1 + (number + 1) * ROWS_A_DAY))
    project.mysql("insert into channel values ('Direct')")
    project.one_session("2026-07-01")
    return project


@AN_ORDER
def test_hard_deletes_arrive_with_a_whole_landing_and_not_with_a_window(july):
    july.load("--start-date", "2026-07-01", "--end-date", "2026-08-01")
    july.build(*CORE)
    july.mysql(
        "delete from nps where id in (1, 2)", "delete from channel where channelname = 'Direct'"
    )
    july.load("--run-date", "2026-07-01")
    july.build(*CORE)
    assert july.value("select count(*) from analytics.nps where response_id in (1, 2)") == 2
    assert july.query("select channel_name from analytics.channel") == [("Google",)]

    july.load("--full-refresh")
    july.load("--run-date", "2026-07-02")  # a window on top of it, before anything is built
    july.mysql("update nps set updated_at = '2026-08-09' where id = 9")
    july.load("--run-date", "2026-07-02")  # and a row that moves out of it
    july.build(*CORE)
    assert july.value("select count(*) from analytics.nps where response_id in (1, 2)") == 0
    assert july.value("select count(*) from analytics.nps where response_id = 9") == 1
    july.load("--run-date", "2026-08-09")
    july.build(*CORE)
    assert_core_equals_source(july)

    july.mysql("delete from nps", "delete from channel")
    july.load("--full-refresh")
    july.build(*CORE)
    assert_core_equals_source(july)
    insert_day(july, DAYS[5], [1000])
    july.load("--run-date", str(DAYS[5]))
    july.build(*CORE)
    assert_core_equals_source(july)


@pytest.mark.deep(because="nobody archives every day")
def test_superseded_rows_may_be_archived_without_a_trace_in_the_core(july):
    july.load("--start-date", "2026-07-01", "--end-date", "2026-08-01")
    july.mysql(  # some rows move on, some back in time, some are withdrawn
        "update nps set score = 10, updated_at = '2026-07-31 20:00:00' where id % 7 = 0",
        "update nps set score = 0, updated_at = '2026-07-02 20:00:00' where id % 11 = 0",
        "update nps set is_deleted = 1, updated_at = '2026-07-20 20:00:00' where id % 13 = 0",
    )
    july.load("--start-date", "2026-07-20", "--end-date", "2026-08-01")
    july.mysql("delete from nps where id in (3, 30)")
    july.loader("verify", "--select", "nps", "--repair")
    july.build(*CORE)
    assert_core_equals_source(july)
    raw_rows = july.value("select count(*) from raw_data.nps")

    said = july.build("run-operation", "prune_raw_data", "--args", "{days: 0}")
    assert "would be moved" in said
    assert july.value("select count(*) from raw_data.nps") == raw_rows

    july.build("run-operation", "prune_raw_data", "--args", "{days: 0, dry_run: false}")
    archived = july.value("select count(*) from archive.nps")
    assert archived > 0
    assert july.value("select count(*) from raw_data.nps") == raw_rows - archived
    july.build(*CORE, "--full-refresh")
    assert_core_equals_source(july)
    july.build("test", "--select", "source:raw_data.nps")

    july.mysql(
        "alter table nps add column note varchar(9)",
        "update nps set updated_at = '2026-07-31 21:00:00' where id = 1",
    )
    july.load("--run-date", "2026-07-31")
    july.build("run-operation", "prune_raw_data", "--args", "{days: 0, dry_run: false}")
    assert july.value("select count(*) from archive.nps where note is null") > archived


KEYS = {"pair": ["actor_id", "film_id"], "odd": ["1st"], "odd_pair": ["From", "1st"]}


def append(path, text):
    path.write_text(path.read_text() + text)


def declare(made, name, given, tests, **loader):
    """Declare a table in raw_data, and in core a plain copy of it by a key that is given so."""
    loader["source"] = f"{made.database}.{name}"
    append(
        made.folder / "models/sources/_raw_data__sources.yml",
        f"      - {{name: {name}, config: {{meta: {{loader: {json.dumps(loader)}}}}},"
        f" data_tests: [key_of_newest_version{tests}]}}\n",
    )
    (made.folder / "models/core" / f"{name}.sql").write_text(
        f"{{{{ newest_rows(source('raw_data', '{name}'), key={json.dumps(given)}) }}}}"
    )


def declare_keys(made):
    """Declare a plain copy of each of KEYS, with a snapshot."""
    core, history = [], []
    for name, key in KEYS.items():
        listed = [column.lower() for column in key]
        given = listed if len(key) > 1 else key[0]
        declare(made, name, given, "", primary_key=key, cursor="updated_at")
        core.append(f"  - {{name: {name}, data_tests: [primary_key]}}\n")
        own = json.dumps([f'"{column}"' for column in listed])
        history.append(
            f"  - {{name: {name}_history, relation: ref('{name}'), config: {{unique_key: {own}, "
            "strategy: check, check_cols: [v], hard_deletes: invalidate}}\n"
        )
    (made.folder / "models/core/keys.yml").write_text("models:\n" + "".join(core))
    (made.folder / "snapshots/keys.yml").write_text("snapshots:\n" + "".join(history))


def add_as_documented(made):
    """Add the table of docs/adding-a-table.md; returns how many lines a plain copy has, and all."""
    page = (ROOT / "docs/adding-a-table.md").read_text().split("## More that")[0]
    blocks = re.findall(r"(?s)```(?:yaml|sql)\n(.*?)```", page)
    declared, _, view, core, view_yaml, core_yaml = blocks
    declared = declared.replace("prod.", f"{made.database}.")
    append(made.folder / "models/sources/_raw_data__sources.yml", declared)
    (made.folder / "models/staging/stg_prod__invoice.sql").write_text(view)
    (made.folder / "models/core/invoice.sql").write_text(core)
    append(made.folder / "models/staging/_prod__models.yml", view_yaml)
    append(made.folder / "models/core/_core__models.yml", core_yaml)
    lines = [len(block.splitlines()) for block in blocks]
    return lines[0] + lines[1], sum(lines) - lines[1]


@pytest.mark.deep(because="the whole project is built six times")
def test_a_key_of_several_columns_or_with_any_name_converges(project, tmp_path):
    """206 of 1,093 tables that were met have such a key."""
    made = project.copied(tmp_path)
    plain, whole = add_as_documented(made)
    assert plain <= 6
    assert whole <= 35
    declare_keys(made)

    def converges(*options, versions):
        made.build("build", "--select", *(f"+{name}+" for name in KEYS), *options)
        for name, key in KEYS.items():
            columns = ", ".join(f'"{column.lower()}"' for column in key)
            listed = ", ".join(f"`{column}`" for column in key)
            built = made.query(f"select {columns}, v from analytics.{name} order by {columns}")
            assert built == list(made.mysql(f"select {listed}, v from {name} order by {listed}"))
            assert made.value(f"select count(*) from analytics.{name}_history") == versions

    for name, key in KEYS.items():
        columns = ", ".join(f"`{column}` int not null" for column in key)
        rows = ((n, 8 - n)[: len(key)] for n in (1, 2, 3))
        values = ", ".join(f"({', '.join(map(str, row))}, 'a', '2026-07-01')" for row in rows)
        made.mysql(
            f"drop table if exists {name}",
            f"create table {name} ({columns}, v varchar(9), updated_at datetime not null,"
            f" primary key ({', '.join(f'`{column}`' for column in key)}), key (updated_at))",
            f"insert into {name} values {values}",
        )
    made.mysql(
        "drop table if exists invoice",
        "create table invoice (id int primary key, user_id int not null, total decimal(9,2) "
        "not null, updated_at datetime not null, key (updated_at))",
        "insert into invoice values (7, 1, 9.5, '2026-07-01')",
    )
    made.load("--full-refresh")
    converges("+invoice", versions=3)
    assert made.query("select invoice_id, user_id, total from analytics.invoice") == [(7, 1, 9.5)]
    for name, key in KEYS.items():
        made.mysql(
            f"update {name} set v = 'b', updated_at = '2026-07-02' where `{key[-1]}` in (1, 7)"
        )
    made.load("--run-date", "2026-07-02", "--select", *KEYS)
    converges("--vars", "run_date: 2026-07-02", versions=4)
    for name, key in KEYS.items():
        made.mysql(f"delete from {name} where `{key[-1]}` in (1, 7)")
    done = made.loader("verify", "--select", *KEYS, "--repair", "--yes")
    assert "repair" in done.stdout
    converges(versions=4)
    made.build("run-operation", "prune_raw_data", "--args", "{days: 0, dry_run: false}")
    for name, key in KEYS.items():
        made.mysql(f"delete from {name} where `{key[-1]}` in (2, 6)")
    made.load("--full-refresh", "--select", *KEYS)
    converges(versions=4)


COMPARED = {"one": ["id"], "two": ["a", "b"]}


@pytest.mark.parametrize(
    ("seed", "builds"), [(17, 3), *(pytest.param(seed, 5, marks=AN_ORDER) for seed in (17, 18))]
)
def test_a_table_that_is_compared_converges_whatever_came_before(project, tmp_path, seed, builds):
    """Whole copies, comparisons, repairs and failures, with builds between them or not."""
    made = project.copied(tmp_path)
    dice, names = random.Random(seed), list(COMPARED)
    for name, key in COMPARED.items():
        declare(made, name, key, ", row_count_matches_ledger", primary_key=key, mode="compare")
        columns = ", ".join(f"{column} int not null" for column in key)
        made.mysql(
            f"drop table if exists {name}",
            f"create table {name} ({columns}, v double, primary key ({', '.join(key)}))",
        )

    def change():
        for name, key in COMPARED.items():
            ids = dice.sample(range(40), 8)
            rows = (", ".join([str(n)] * len(key)) + f", {dice.random()}" for n in ids)
            some = f" where {key[0]} in (1, 2, {dice.randrange(40)})"
            gone = some if dice.random() > 0.15 else ""
            made.mysql(
                f"replace into {name} values {', '.join(f'({row})' for row in rows)}",
                f"delete from {name}{gone}",
            )

    steps = {
        "compare": lambda: made.load("--select", *names),
        "whole": lambda: made.load("--full-refresh", "--select", *names),
        "repair": lambda: made.loader("verify", "--select", *names, "--repair", "--yes"),
        "fails": lambda: made.loader("load", "--select", *names, LOADER_S3_BUCKET="no-such-bucket"),
        "nothing": lambda: None,
    }
    for build in ([], [], [], ["--full-refresh"], [])[-builds:]:
        for step in [*dice.choices(list(steps), k=3), "compare"]:
            change()
            if dice.random() < 0.3:
                made.mysql("delete from one", "delete from two")
            steps[step]()
        made.build(
            "build", "--select", *names, *(f"source:raw_data.{each}" for each in names), *build
        )
        for name, key in COMPARED.items():
            columns = f"{', '.join(key)}, v"
            built = made.query(f"select {columns} from analytics.{name} order by 1")
            assert built == list(made.mysql(f"select {columns} from {name} order by 1")), name
    made.loader("verify", "--select", *names, "--values", status=0)
