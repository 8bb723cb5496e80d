"""What happens when a table changes in MySQL; docs/adding-a-table.md says it row by row."""

import json
import re
import threading
from dataclasses import dataclass

import pytest
from pipeline import ROOT, column, write_sources

from loader.load import plan as loading
from loader.source.declaration import check_declaration

DAY_1, DAY_2 = "2026-07-01", "2026-07-02"
TABLE = {"primary_key": ["id"], "cursor": "updated_at"}
CREATE = (
    "create table {t} (id int primary key, v int, name varchar(20) character set latin1, "
    "kind enum('a', 'b'), amount decimal(10,2), day datetime not null default '2026-07-03', "
    "updated_at datetime not null, key (updated_at))"
)
INSERT = (
    f"insert into {{t}} values (1, 10, 'né', 'a', 1.25, '{DAY_2}', '{DAY_1}'), "
    f"(2, 20, 'zwölf', 'b', -2, '{DAY_2}', '{DAY_2}')"
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of a table.

    Attributes:
        row: the first cell of the documentation's row that tells of it.
        sql: what is done in MySQL; `{t}` is the table.
        says: part of the sentence that is said, and stands in the documentation; empty for none.
        stops: whether the load fails, and leaves everything as it was.
        declares: what changes of the declaration.
    """

    row: str
    sql: tuple[str, ...] = ()
    says: str = ""
    stops: bool = False
    declares: dict | None = None
    only: str = ""


KEY, CURSOR, NAME = "the key is", "the cursor column", "a column gets a name"
QUIET = "anything else"
CHANGES = {
    "added": Change(
        row="a column is added", says="is new; rows landed earlier hold NULL",
        sql=("alter table {t} add column note varchar(20) default 'new' after v",),
    ),
    "dropped": Change(
        row="a column is dropped or renamed", says="MySQL has no column v any more", stops=True,
        sql=("alter table {t} drop column v",),
    ),
    "renamed": Change(
        row="a column is dropped or renamed", says="no column name, kind any more", stops=True,
        sql=("alter table {t} change name label varchar(20), change kind sort enum('a', 'b')",),
    ),
    "left_out": Change(
        row="a column is dropped or renamed", sql=("alter table {t} drop column v",),
        declares={"columns": [column("v", exclude=True)]},
    ),
    "wider": Change(
        row="a column gets wider", says="widened: integer to bigint",
        sql=("alter table {t} modify v bigint", "update {t} set v = 5000000000 where id = 2"),
    ),
    "wider_text": Change(
        row="a column gets wider", says="widened: varchar(80) to varchar(160)", only="redshift",
        sql=("alter table {t} modify name varchar(40) character set latin1",),
    ),
    "wider_key": Change(
        row="a column gets wider", says="Redshift widens no dist key", stops=True, only="redshift",
        sql=("alter table {t} modify id bigint",),
    ),
    "narrower": Change(
        row="a column gets narrower", says="narrowed to smallint; it stays integer",
        sql=("alter table {t} modify v smallint",),
    ),
    "retyped": Change(
        row="a column gets another type", says="which is no wider type of the same kind",
        stops=True, sql=("alter table {t} modify v varchar(20)",),
    ),
    "not_unique": Change(
        row=KEY, says="has no primary or unique key on (id)", stops=True,
        sql=("alter table {t} drop primary key, add primary key (id, v)",),
    ),
    "key_dropped": Change(
        row=KEY, says="has no column id", stops=True, sql=("alter table {t} change id no int",),
    ),
    "other_key": Change(
        row="another key, cursor or time zone is declared", says="is declared now", stops=True,
        sql=("alter table {t} drop primary key, add primary key (id, kind)",),
        declares={"primary_key": ["id", "kind"]},
    ),
    "other_cursor": Change(
        row="another key, cursor or time zone is declared", says="is declared now", stops=True,
        declares={"cursor": "day"},
    ),
    "cursor_renamed": Change(
        row=CURSOR, says="has no column updated_at", stops=True,
        sql=("alter table {t} change updated_at changed_at datetime not null",),
    ),
    "cursor_retyped": Change(
        row=CURSOR, says="the cursor column updated_at is varchar(30)", stops=True,
        sql=("alter table {t} modify updated_at varchar(30) not null",),
    ),
    "cursor_date": Change(
        row="a column gets narrower", says="narrowed to date; it stays timestamp",
        sql=("alter table {t} modify updated_at date not null",),
    ),
    "moved": Change(
        row="the table is dropped or renamed", says="MySQL has no table", stops=True,
        sql=("rename table {t} to {t}_old",),
    ),
    "reserved": Change(
        row=NAME, says="the name of column _Run_Date is the loader's own", stops=True,
        sql=("alter table {t} add column _Run_Date date",),
    ),
    "system_name": Change(
        row=NAME, says="the name of column xmin is a system column's", stops=True,
        sql=("alter table {t} add column xmin int",),
    ),
    "swapped": Change(  # as gh-ost and pt-online-schema-change do
        row="the table is swapped",
        sql=(
            "create table _{t}_gho like {t}", "alter table _{t}_gho engine=InnoDB",
            "insert into _{t}_gho select * from {t}",
            "rename table {t} to _{t}_del, _{t}_gho to {t}", "drop table _{t}_del",
        ),
    ),
    "charset": Change(
        row="a character set", sql=("alter table {t} modify name varchar(20) charset utf8mb4",),
    ),
    "enum": Change(
        row=QUIET, sql=(
            "alter table {t} modify kind enum('a', 'c', 'b')",
            "update {t} set kind = 'c' where id = 2",
        ),
    ),
    "reordered": Change(row=QUIET, sql=("alter table {t} modify v int after amount",)),
    "other_case": Change(
        row=QUIET, sql=("alter table {t} change v V int, change name NAME varchar(20)",)
    ),
    "nullable": Change(
        row=QUIET, sql=(
            "alter table {t} modify v int not null, modify day datetime null, "
            "modify amount decimal(10,2) invisible",
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def drifted(module_pipeline):
    """A table for every change, landed, changed, planned, and landed again."""
    made = module_pipeline([{**TABLE, "name": name} for name in CHANGES])
    changes = {name: each for name, each in CHANGES.items() if each.only in ("", made.kind)}
    for name in CHANGES:
        made.mysql(CREATE.format(t=name), INSERT.format(t=name))
    made.load("--run-date", DAY_1)
    before = {name: made.raw(name) for name in changes}
    for name, change in changes.items():
        made.mysql("select 1", *(statement.format(t=name) for statement in change.sql))
    write_sources(
        made.folder,
        made.database,
        [{**TABLE, "name": name, **(each.declares or {})} for name, each in changes.items()],
    )
    shown = made.loader("plan", "--run-date", DAY_2)
    plan = made.loader("plan", "--json", "--run-date", DAY_2)
    untouched = {name: made.raw(name) for name in changes} == before
    load = made.loader("load", "--json", "--run-date", DAY_2)
    report = json.loads(load.stdout)
    return {
        "pipeline": made,
        "statuses": (shown.returncode, plan.returncode, load.returncode),
        "shown": shown.stdout,
        "planned": {each["table_name"]: each for each in json.loads(plan.stdout)},
        "untouched": untouched,
        "loads": {each["table_name"]: each for each in report["loads"]},
        "said": report["said"],
        "before": before,
    }


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_told_before_and_after_and_does_what_is_documented(drifted, name):
    change, pipeline = CHANGES[name], drifted["pipeline"]
    if change.only not in ("", pipeline.kind):
        return
    planned, load = drifted["planned"][name], drifted["loads"][name]
    if change.stops:
        assert change.says in planned["error"]
        assert change.says in load["error"]
        assert planned["remedy"] == load["remedy"] != ""
        assert (f".{name}+ --resource-type model" in load["remedy"]) == ("any more" in change.says)
        assert pipeline.raw(name) == drifted["before"][name]
        return
    said = [each for each in drifted["said"] if each.startswith(f"{name}: ")]
    assert planned["changes"] == said
    assert any(change.says in each for each in said) if change.says else said == []
    assert load["outcome"] == "landed"
    in_mysql = pipeline.mysql(f"show columns from {name}")
    columns = ", ".join(column.lower() for column, *_ in in_mysql)
    quoted = ", ".join(f'"{column}"' for column in columns.split(", "))
    landed = pipeline.query(f"select {quoted} from raw_data.{name} where id = 2")
    assert told(landed) == told(pipeline.mysql(f"select {columns} from {name} where id = 2"))
    old = pipeline.query(f"select id, name from raw_data.{name} where id = 1")
    assert old == [(1, "né")]


@pytest.mark.parametrize(
    ("name", "columns", "expected"),
    [
        ("added", "note", [(None,), ("new",)]),
        ("left_out", "v", [(10,), (None,)]),
        ("wider", "v", [(10,), (5_000_000_000,)]),
    ],
)
def test_rows_landed_earlier_keep_what_they_had(drifted, name, columns, expected):
    pipeline = drifted["pipeline"]
    assert pipeline.query(f"select {columns} from raw_data.{name} order by id") == expected
    said = pipeline.loader("plan", "--full-refresh", "--select", name).stdout
    assert ("column v is left out, and loses the values it had" in said) is (name == "left_out")


def told(rows):
    """Rows as text, a day as its first instant."""
    return [[str(value).removesuffix(" 00:00:00") for value in row] for row in rows]


def test_a_plan_shows_every_table_and_touches_none(drifted):
    assert drifted["statuses"] == (1, 1, 1)
    assert drifted["untouched"]
    shown = drifted["shown"].split("\n")
    headings = [line.split("  ")[0] for line in shown if f"  {DAY_2}  " in line]
    assert headings == list(drifted["planned"])
    fails = ["error" in each for each in drifted["planned"].values()]
    assert sum("would fail: " in line for line in shown) == sum(fails)
    assert shown[-2] == "Nothing was touched. --sql shows the statements."
    assert "\x1b" not in drifted["shown"]


def test_every_row_of_the_documentation_is_tested():
    text = (ROOT / "docs" / "adding-a-table.md").read_text()
    rows = re.findall(r"^\| (.+?) \|(.*?)\| .+ \|$", text.split("When a table changes")[1], re.M)
    assert len(rows) == len({change.row for change in CHANGES.values()}) + 1
    for row, said in rows[1:]:
        tested = [each.says for each in CHANGES.values() if row.startswith(each.row) and each.says]
        assert any(words in said for words in tested) if said.strip() else not tested, row


@pytest.mark.only("postgres", because="Redshift keeps late-binding views, and refuses other ones")
def test_views_that_read_a_widened_column_stay_with_their_grants(new_pipeline, superuser):
    pipeline = new_pipeline([{**TABLE, "name": "t"}], CREATE.format(t="t"), INSERT.format(t="t"))
    pipeline.load("--run-date", DAY_1)
    pipeline.query("create view public.v1 as select id, v * 2 as twice from raw_data.t")
    pipeline.query("create view public.v2 as select twice from public.v1")
    superuser("drop role if exists reader", "create role reader")
    pipeline.query("grant select on public.v1, public.v2 to reader")
    pipeline.mysql("alter table t modify v bigint", "update t set v = 5000000000 where id = 2")
    done = pipeline.loader("load", "--run-date", DAY_2)
    assert "t: column v widened: integer to bigint" in done.stdout
    assert pipeline.query("select twice from public.v2 order by 1")[-1] == (10000000000,)
    for view in ("v1", "v2"):
        assert pipeline.value(f"select has_table_privilege('reader', 'public.{view}', 'select')")
    pipeline.query("drop view public.v1, public.v2")
    superuser("drop role reader")


@pytest.mark.parametrize(
    ("change", "then"),
    [
        ("modify day datetime(6)", "day = '2026-07-02 10:00:00.5'"),
        ("modify amount decimal(14,4) null", "amount = 1.2345"),  # read through a view
        ("change v score int", ""),
    ],
)
def test_no_change_of_a_table_goes_through_between_its_columns_and_its_rows(
    new_pipeline, monkeypatch, change, then
):
    """A number whose scale had grown by then was rounded, a time of day was lost, in silence."""
    of_view = "null" in change
    pipeline = new_pipeline(
        [{"name": "w", "primary_key": []} if of_view else {**TABLE, "name": "t"}]
    )
    sqls = [CREATE.format(t="t").replace("day datetime", "day date"), INSERT.format(t="t")]
    pipeline.mysql(*sqls, "create view w as select * from t")
    changing = threading.Thread(
        target=pipeline.mysql,
        args=[f"alter table t {change}", *([f"update t set {then}"] if then else [])],
    )

    def checked(*arguments):
        if changing.ident is None:
            changing.start()
            changing.join(0.5)
        check_declaration(*arguments)

    monkeypatch.setattr(loading, "check_declaration", checked)
    columns, name = "id, v, name, kind, amount, day", "w" if of_view else "t"
    before = pipeline.mysql(f"select {columns} from t order by id")
    pipeline.load("--full-refresh")
    changing.join(10)
    assert not changing.is_alive()
    assert pipeline.raw(name, columns) == before
    if then:
        pipeline.load("--full-refresh")
        changed = f"id, {then.split(' ')[0]}"
        assert pipeline.raw(name, changed) == pipeline.mysql(f"select {changed} from t order by id")


# -- another key, cursor or time zone ------------------------------------------------------------


def test_what_a_table_is_landed_by_changes_with_a_landing_of_the_whole(new_pipeline):
    pipeline = new_pipeline([{**TABLE, "name": "t"}], CREATE.format(t="t"), INSERT.format(t="t"))
    pipeline.load("--run-date", DAY_1)
    seoul = {"LOADER_TIMEZONE": "+09:00"}
    said = pipeline.fails("--run-date", DAY_1, **seoul)
    assert said == (
        "t: its rows were landed by key id, days of updated_at in UTC, and key id, days of "
        "updated_at in +09:00 is declared now. raw_data.t is unchanged.\n\n"
        "Land it whole: loader load --full-refresh --select t; after another key, build with "
        "dbt build --full-refresh."
    )
    checked = pipeline.loader("check", **seoul, status=1)
    assert "its rows were landed by" in checked.stdout
    whole = pipeline.loader("load", "--full-refresh", **seoul)
    assert "t: landed by key id, days of updated_at in +09:00 from now on" in whole.stdout
    pipeline.load("--run-date", DAY_1, **seoul)
    assert "is declared now" in pipeline.fails("--run-date", DAY_1)


def test_what_an_older_loader_has_landed_is_landed_on(new_pipeline):
    """Its ledger has fewer columns; that one does not say by what."""
    pipeline = new_pipeline([{**TABLE, "name": "t"}], CREATE.format(t="t"), INSERT.format(t="t"))
    pipeline.load("--run-date", DAY_1)
    for name in ("landed_by", "changed_columns", "salt_id"):
        pipeline.query(f"alter table raw_data._loads drop column {name}")
    pipeline.loader("status", status=0)
    for name in ("_load_id", "_loaded_at"):
        pipeline.query(f"alter table raw_data.t alter column {name} drop default")
    pipeline.load("--run-date", DAY_2, LOADER_TIMEZONE="+00:00")
    assert pipeline.raw("t", "id, num_nulls(_load_id, _loaded_at)") == [(1, 0), (2, 0)]


# -- through to the core model -------------------------------------------------------------------


@pytest.fixture
def changing(project, tmp_path):
    """The project in a folder of its own, whose models a test may change; landed and built."""
    made = project.copied(tmp_path)
    made.one_session(DAY_1)
    made.mysql(
        "insert into nps (id, user_id, score, created_at, updated_at) values "
        f"(1, 1, 9, '{DAY_1}', '{DAY_1}'), (2, 2, 8, '{DAY_1}', '{DAY_1}')"
    )
    made.load("--full-refresh")
    made.build("run", "--select", "staging", "core")
    return made


def test_a_build_by_another_key_than_its_tables_is_refused_with_the_remedy(changing):
    """The warehouse's own words, `column built.no does not exist`, told nobody what to do."""
    build = ("run", "--select", "nps")
    changing.mysql("alter table nps drop primary key, add primary key (id, user_id)")
    changing.edit("sources/_raw_data__sources.yml", "[id]", "[id, user_id]")
    changing.load("--full-refresh", "--select", "nps")
    said = changing.build_fails(*build)
    for more in (["--full-refresh"], []):
        changing.build(*build, *more)
    changing.edit("core/nps.sql", "key='response_id'", "key='no'")
    said = " ".join((said + changing.build_fails(*build)).split())
    for fact in ("landed by key id, user_id", "has no column no, which is its key"):
        assert f"{fact} now. Build anew: dbt build --full-refresh --select nps+. The table" in said


NEW = "alter table {} add column note varchar(20) default 'old'"


@pytest.mark.deep(because="it runs the job twice, in a project of its own")
def test_a_new_column_reaches_core_by_itself_and_the_run_says_which_came(new_project):
    """Of each kind of table without a staging view; one that lists its columns keeps its list."""
    pipeline = new_project()
    pipeline.start_anew()
    dated = "(id int primary key, v int, updated_at datetime not null, key (updated_at))"
    tables = {
        "by_day": dated, "listed": dated, "whole": "(id int primary key, v int)",
        "keyless": "(id int, v int)",
    }  # fmt: skip
    for name, columns in tables.items():
        rows = f"1, 10, '{DAY_1}'" if columns is dated else "1, 10"
        pipeline.mysql(f"create table {name} {columns}", f"insert into {name} values ({rows})")
    done = pipeline.loader("declare", f"{pipeline.database}.*", status=0)
    models = pipeline.folder / "models"
    (models / "staging" / "stg_shop__listed.sql").write_text(
        "select id, v, {{ loader_columns() }} from {{ source('raw_data', 'listed') }}"
    )
    pipeline.edit("core/listed.sql", "source('raw_data', 'listed')", "ref('stg_shop__listed')")
    pipeline.edit("core/listed.sql", "sort='updated_at'", "sort='id'")
    names = ("--select", *tables)
    done = pipeline.run("loader", "run", *names, status=0)

    for name, columns in tables.items():
        pipeline.mysql(NEW.format(name))
        when = ", updated_at = utc_date() - interval 1 day" if columns is dated else ""
        pipeline.mysql(f"update {name} set note = 'new'{when}")
    done = pipeline.run("loader", "run", *names, status=0)
    said = done.stdout + done.stderr
    for name, columns in tables.items():
        new = re.search(rf"{name}: column note \(\S+\) is new(; rows .* hold NULL)?", said)
        assert bool(new[1]) is (columns is dated)
    for name in ("by_day", "whole", "keyless"):
        assert pipeline.query(f"select v, note from analytics.{name}") == [(10, "new")]
        assert re.search(rf'analytics"\."{name}" has a new column: note', said)
    there = "select column_name from information_schema.columns where table_schema = 'analytics'"
    assert ("note",) not in pipeline.query(f"{there} and table_name = 'listed'")


@pytest.mark.deep(because="`make soak` changes columns too")
def test_changed_columns_reach_the_core_tables_and_lose_nothing(changing):
    """A number that grew digits was rounded in silence, a changed cast stopped the view."""
    if changing.kind == "postgres":
        changing.query("create view public.report as select sum(amount) from analytics.sessions")
    changing.mysql(
        "alter table nps add column comment varchar(300)",
        "insert into nps (id, user_id, created_at, updated_at, comment) values "
        f"(3, 3, '{DAY_2}', '{DAY_2}', repeat('é', 300))",
        f"update nps set comment = 'changed', updated_at = '{DAY_2}' where id = 2",
        "alter table user_session_channel modify channel varchar(64) not null",
        f"insert into user_session_channel values (1, repeat('b', 32), repeat('é', 60), '{DAY_2}')",
        "alter table session_transaction modify amount decimal(14,4) not null",
        f"insert into session_transaction values (repeat('b', 32), 0, 9.1234, '{DAY_2}')",
    )
    changing.load("--run-date", DAY_2)
    changing.edit("staging/stg_prod__nps.sql", "cast(score as integer) as score", "comment")
    changing.edit("staging/stg_prod__nps.sql", "cast(id as bigint)", "cast(id as numeric(20, 0))")
    changing.build("run", "--select", "staging", "core")
    assert changing.query("select response_id, score, comment from analytics.nps order by 1") == [
        (1, 9, None), (2, 8, "changed"), (3, None, "é" * 300)
    ]  # fmt: skip
    sessions = "select channel_name, amount from analytics.sessions order by session_id"
    assert changing.query(sessions.replace("amount", "cast(amount as varchar(20))")) == [
        ("Google", "1.0000"), ("é" * 60, "9.1234")
    ]  # fmt: skip
    if changing.kind == "postgres":
        assert str(changing.value("select sum from public.report")) == "10.1234"
        changing.query("drop view public.report")
    narrow = "cast(amount as numeric(9, 1)) as amount"
    changing.edit("staging/stg_prod__session_transaction.sql", "amount", narrow)
    changing.mysql(f"update session_transaction set updated_at = '{DAY_2} 01:00'")
    changing.load("--run-date", DAY_2)
    said = changing.build_fails("run", "--select", "+session_transaction")
    assert re.search(r"gives numeric\(9,1\), which\s+does not hold 1 of its values", said)
    assert "dbt run --full-refresh --select session_transaction+" in " ".join(said.split())
    amounts = "select cast(amount as varchar(9)) from analytics.session_transaction order by 1"
    assert changing.query(amounts) == [("1.0000",), ("9.1234",)]
