"""`loader declare`: tables that nobody has declared land and build as it wrote them."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pipeline import mysql_administrator

from loader.cli.session import open_session
from loader.declare.choose import raw_name
from loader.declare.cursors import tells_changes
from loader.declare.survey import Found
from loader.declare.write import entry
from loader.source.types import POSTGRES

TABLES = """
    create table orders (id int primary key, total decimal(9,2), updated_at datetime not null
        default current_timestamp on update current_timestamp, key (updated_at))
        comment 'What was ordered, {{ not Jinja }}';
    create table `Order Lines` (order_id int, `from` int, note text,
        primary key (order_id, `from`));
    create table `select` (`1st` varchar(9) not null unique, `XMIN` int, `ctid` int);
    create table visits (path varchar(20), seen datetime, name varchar(9));
    create table nps_summary (id int primary key);
    create table places (id int primary key, at point, changed_on date);
    create table late (id int primary key, modified datetime not null, user_pass varchar(9),
        mail varchar(9), user_login varchar(9), lastip varchar(9), token_created_at date);
    create table unset (id int primary key, modified datetime not null, key (modified));
    create table customer (id int primary key, email varchar(50), homePhone varchar(9),
        name varchar(9), password_hash char(60), address_id int,
        is_deleted tinyint(1) not null default 0);
    create table old_days (id int primary key, paid_on date, note varchar(9));
    create table moodle (id int primary key, timecreated bigint, timemodified bigint not null,
        updated_by int not null, key (timemodified));
    insert into moodle values (1, 0, 1782900000, 1), (2, null, 1782900060, 1);
    create table mrs (id int primary key, date_created datetime not null, date_changed datetime,
        key (date_created), key (date_changed));
    insert into mrs values (1, '2026-07-01', null), (2, '2026-07-01', '2026-07-02');
    create table wiki (page_id int primary key, page_touched binary(14) not null,
        key (page_touched));
    insert into wiki values (1, '20260701120000');
    create table ids (id int primary key, updated int not null, changed int not null);
    insert into ids values (1, 7, 0);
    create view all_orders as select * from orders;
    insert into orders values (1, 1.5, '2026-07-01'), (2, 2.5, '2026-07-01 23:00:00');
    insert into `Order Lines` values (1, 1, 'a'), (1, 2, null);
    insert into `select` values ('x', 1, 2);
    insert into unset values (1, 0);
    insert into visits (path, seen) values ('/', '2026-07-01'), ('/', '2026-07-01');
    insert into places values (1, point(1, 2), null);
    insert into customer values (1, 'a@b', '1', 'n', 'x', 5, 0);
    insert into old_days values (1, '0000-00-00', 'a\\0b')
"""
HOW = {
    "orders: orders, key id, days of updated_at": [],
    "Order Lines: order_lines, key order_id, from, copied whole": [],
    "visits: visits, no key, copied whole": [],
    "nps_summary: {}__nps_summary, key id, copied whole": [],
    "places: places, key id, copied whole": [
        "at is point and lands as text", "changed_on may be NULL, so it is no cursor",
    ],
    "late: late, key id, days of modified": [
        "modified was chosen by its name: make sure that every change sets it",
        "left out, because they look like secrets: user_pass",
        "personal, so that somebody has to decide: mail, user_login, lastip",
    ],
    "moodle: moodle, key id, days of timemodified (seconds)": [
        "timemodified was chosen by its name: make sure that every change sets it",
        "timemodified counts seconds, as its values, 1782900000 to 1782900060, say",
    ],
    "mrs: mrs, key id, days of date_changed, date_created": [
        "date_changed and date_created were chosen by their names: make sure that every change "
        "sets date_changed",
    ],
    "wiki: wiki, key page_id, days of page_touched": [
        "page_touched was chosen by its name: make sure that every change sets it",
    ],
    "ids: ids, key id, copied whole": [
        "updated is no cursor: updated holds 7 to 7, which are no times",
        "changed is no cursor: changed holds no time yet",
    ],
    "unset: unset, key id, copied whole": [
        "modified is no cursor: The cursor modified of {0}.unset holds no day (NULL or a zero "
        "date) in 1 row, which every window would miss"
    ],
    "customer: customer, key id, copied whole": [
        "left out, because they look like secrets: password_hash",
        "personal, so that somebody has to decide: email, homephone, name",
    ],
    "old_days: old_days, key id, copied whole": [
        'paid_on holds what the warehouse cannot, 1 times: mend it, or declare '
        'on_unrepresentable: "null" or text',
        "note holds what the warehouse cannot, 1 times: mend it, or declare "
        "on_unrepresentable: strip",
    ],
}  # fmt: skip


@pytest.fixture
def shop(new_project):
    """The project, and a database beside its sample."""
    pipeline = new_project()
    pipeline.start_anew()
    pipeline.mysql(*TABLES.split(";"))
    return pipeline


def declare(pipeline, *arguments):
    done = pipeline.loader("declare", f"{pipeline.database}.*", *arguments)
    return done.returncode, done.stdout + done.stderr


def files_of(pipeline):
    return {
        path.relative_to(pipeline.folder): path.read_bytes()
        for path in (pipeline.folder / "models").rglob("*")
        if path.is_file()
    }


def test_what_is_declared_lands_and_builds_as_it_was_written(shop):
    before, database = files_of(shop), shop.database
    status, said = declare(shop, "--dry-run")
    assert status == 0, said
    assert files_of(shop) == before
    assert declare(shop, "--check")[0] == 1

    status, said = declare(shop)
    assert status == 0, said
    lines = said.splitlines()
    for how, remarks in HOW.items():
        at = lines.index(f"{database}.{how.format(database)}")
        for remark in remarks:
            assert f"    {remark.format(database)}" in lines[at + 1 : at + 4]
    assert f"{database}.select: left out: the name of column XMIN is a system column's" in said
    assert f"by their whole names alone. Left out: {database}.all_orders\n" in said
    after = files_of(shop)
    assert {name: after[name] for name in before} == before
    assert declare(shop, "--check")[1].splitlines()[-1].startswith("Tables not declared: 0; ")

    written = "".join(after[name].decode() for name in after.keys() - before.keys())
    assert written.count("\n") / 12 < 35
    done = shop.loader("load", "--select", "customer", status=1)
    assert "marked `pii: true` without a policy: email, homephone, name" in done.stderr
    assert "column paid_on has no equal" in shop.fails("--select", "old_days")
    names = ["orders", "order_lines", "visits", f"{database}__nps_summary", "places"]
    names += ["moodle", "mrs", "wiki", "ids"]
    shop.load("--select", *names)
    shop.build("build", "--select", *names, *(f"source:raw_data.{name}" for name in names))
    rows = shop.query('select order_id, "from", note from analytics.order_lines order by 2')
    assert rows == [(1, 1, "a"), (1, 2, None)]
    assert shop.value("select count(*) from analytics.visits") == 2
    assert shop.value("select count(*) from analytics.orders") == 2


def declared_in(pipeline):
    with pipeline.inside():
        return open_session(None).tables


def test_what_is_new_is_added_and_what_has_changed_is_told(new_pipeline):
    pipeline = new_pipeline([])
    database = pipeline.database
    pipeline.mysql("create table a (id int primary key, v int, password varchar(9))")
    assert declare(pipeline)[0] == 0
    sources = pipeline.folder / "models" / "sources" / f"_{database}__sources.yml"
    sources.write_text(sources.read_text() + "        tags: [mine]\n")
    pipeline.mysql(
        "create table b (x int, y int, primary key (y, x))", "create table tmp_c (x int)"
    )
    status, said = declare(pipeline, "--except", f"{database}.tmp_*")
    assert status == 0, said
    assert "tags: [mine]\n\n      - name: b\n" in sources.read_text()
    assert {name: table.primary_key for name, table in declared_in(pipeline).items()} == {
        "a": ("id",), "b": ("y", "x"),
    }  # fmt: skip

    pipeline.mysql(
        "alter table a drop primary key, add column email varchar(9), drop column password",
        "drop table b", "create view w as select 1 as one", "drop table tmp_c",
    )  # fmt: skip
    before = files_of(pipeline)
    status, said = declare(pipeline, "--check")
    assert status == 1
    assert said.splitlines() == [
        f"{database}.a has no primary or unique key on (id), so two rows could share it",
        f"{database}.a: email looks personal, and nothing says how it lands",
        f"{database}.b: MySQL has no such table any more, and b is declared",
        f"Views are declared by their whole names alone. Left out: {database}.w",
        "Tables not declared: 0; differences: 3.",
    ]
    assert files_of(pipeline) == before  # the password is left out, and may be gone
    done = pipeline.loader("declare", f"{database}.w", status=0)
    assert f"{database}.w: w, no key, copied whole" in done.stdout
    pipeline.mysql("create table secretary (id int primary key, secretary_name varchar(9))")
    status, said = declare(pipeline, "--check", "--except", f"{database}.*")
    assert (status, said.splitlines()[-1]) == (1, "Tables not declared: 0; differences: 1.")

    sources.write_text(sources.read_text() + "\nexposures: []\n")
    pipeline.mysql("create table d (id int primary key)")
    before = files_of(pipeline)
    status, said = declare(pipeline)
    assert status == 1
    assert "does not end with the list that tables are added to; nothing was written" in said
    assert files_of(pipeline) == before


@pytest.mark.parametrize(
    ("name", "taken", "raw"),
    [
        ("Orders", (), "orders"),
        ("orders", ("orders",), "shop__orders"),
        ("orders", ("orders", "shop__orders"), "shop__orders_2"),
        ("my orders!", (), "my_orders"),
        ("_orders", (), "orders"),
        ("!", (), "shop"),
        ("é" * 40, (), "é" * 31),
        ("x" * 64, ("x" * 63,), "x" * 61 + "_2"),
    ],
)
def test_a_name_is_one_that_project_and_warehouse_take(name, taken, raw):
    found = Found(database="Shop", name=name, comment="", description=None)
    assert raw_name(found, POSTGRES, taken) == raw


def test_a_pattern_that_matches_nothing_is_told_with_the_databases(new_pipeline):
    pipeline = new_pipeline([])
    pipeline.mysql("create table a (id int primary key)", "create view v_a as select 1 as one")
    both = (f"{pipeline.database}.*", f"{pipeline.database}.v_a")
    assert "Left out" not in pipeline.loader("declare", *both, "--dry-run").stdout
    for pattern, why in (
        ("sho.*", "No table that this user may read is called sho.*."),
        (f"{pipeline.database}.v_*", f"{pipeline.database}.v_* matches views only: v_a."),
    ):
        done = pipeline.loader("declare", pattern, status=2)
        assert why in done.stderr
    assert pipeline.database in done.stderr


def test_names_that_only_mysql_tells_apart_are_all_declared(new_pipeline):
    """In one folder, and beside a snapshot; names with commas and quotes are names."""
    pipeline = new_pipeline([])
    pipeline.folder.joinpath("snapshots").mkdir()
    snapshots = {"snapshots": [{"name": "history", "relation": "ref('a')"}]}
    pipeline.folder.joinpath("snapshots", "s.yml").write_text(json.dumps(snapshots))
    other = f"{pipeline.database}-2"
    with mysql_administrator(pipeline.endpoints) as cursor:
        for name in (other, other.replace("-", "_")):
            cursor.execute(f"create database `{name}`")
            cursor.execute(f"grant select on `{name}`.* to 'loader'@'%'")
            cursor.execute(f"create table `{name}`.history (id int primary key)")
    pipeline.mysql('create table `a,b` (`x,"y` int primary key, v int)')
    pipeline.loader("declare", f"{pipeline.database}*.*", status=0)
    slug = other.replace("-", "_")
    found = {name: (table.database, table.source, table.primary_key)
             for name, table in declared_in(pipeline).items()}  # fmt: skip
    assert found == {
        f"{slug}__history": (other, "history", ("id",)),
        f"{slug}__history_2": (slug, "history", ("id",)),
        "a_b": (pipeline.database, "a,b", ('x,"y',)),
    }
    assert 'dist=\'"x,""y"\'' in (pipeline.folder / "models/core/a_b.sql").read_text()


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("updated_at", True), ("dateModified", True), ("timemodified", True), ("date_upd", True),
        ("last_change", True), ("exchange_date", False), ("unchanged_since", False),
        ("next_update_at", False), ("created_at", False),
    ],
)  # fmt: skip
def test_a_column_that_tells_when_a_row_changed_is_known_by_its_words(name, is_one):
    assert tells_changes(name) is is_one


@pytest.mark.reads("mariadb", because="MySQL has no sequences")
def test_a_sequence_is_no_table(new_pipeline):
    pipeline = new_pipeline([], "create table a (id int primary key)", "create sequence numbers")
    assert "Tables declared: 1 of 1" in declare(pipeline)[1]


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_any_text_is_yaml_as_it_is(text):
    assert yaml.safe_load(entry({"name": text}, 6)) == [{"name": text}]


def test_a_large_table_without_a_cursor_is_compared_unless_a_column_forbids_it(
    new_pipeline, monkeypatch
):
    monkeypatch.setattr("loader.declare.choose.LARGE", 2)
    pipeline = new_pipeline([{"name": "other", "primary_key": []}])
    pipeline.mysql(
        "create table large (id int primary key, v varchar(9), x double)",
        "create table floats (x double primary key)",
        "create table small (id int primary key)",
        "insert into large (id) select seq from seq_1_to_9",
        "insert into floats select seq from seq_1_to_9",
        "analyze table large, floats, small",
    )
    said = declare(pipeline)[1]
    assert "large: large, key id, compared" in said
    assert "lands what differs" in said
    assert "floats: floats, key x, copied whole\n    column x is a key of floats" in said
    assert "small: small, key id, copied whole" in said
    pipeline.load("--select", "large")
    assert pipeline.load("--select", "large")["large"]["mode"] == "compare"
