"""What is declared of values holds: masked ones stay in MySQL, left out ones are never read."""

import hashlib
import hmac
import json
import re
from contextlib import ExitStack
from datetime import date

import pytest
import yaml
from cutting import relayed
from pipeline import ROOT, column, write_sources
from test_cursors import assert_served
from test_secrets import everything_in

from loader.declared.settings import load_settings
from loader.declared.tables import read_tables
from loader.warehouse.ledger import LEDGER_COLUMNS, Load, changed_columns

SALT = "pepper-of-the-tests-and-of-nobody"
SALTED = {"LOADER_MASK_SALT": SALT}
DAY_1, DAY_2, DAY_3 = "2026-07-01", "2026-07-02", "2026-07-03"
CLEAR = "hush"
"""Every value that must not leave MySQL holds this word."""


def hashed(value):
    inner = hashlib.sha256(value if isinstance(value, bytes) else value.encode()).hexdigest()
    return hmac.new(SALT.encode(), inner.encode(), "sha256").hexdigest()


USERS = {
    "name": "users",
    "primary_key": ["id"],
    "cursor": "updated_at",
    "exclude_rows": "is_test = 1 or name like 'test%'",
    "columns": [
        column("email", pii=True, mask="hash"),
        *(column(f"email_{n}", mask="hash") for n in ("latin1", "sjis")),
        *(column(name, mask="hash") for name in ("phone", "finger", "born", "story", "place")),
        column("ssn", pii=True, mask="drop"),
        column("avatar", exclude=True),
        {"name": "name", "meta": {"pii": True, "loader": {"mask": "none"}}},  # as older dbt has it
        column("note", on_unrepresentable="strip"),
        column("day", on_unrepresentable="null"),
    ],
}
ACCOUNTS = {
    "name": "accounts",
    "primary_key": ["owner"],
    "cursor": "updated_at",
    "columns": [column("owner", mask="hash")],
}
CREATE_USERS = (
    "create table users (id int primary key, email varchar(100), "
    "email_latin1 varchar(100) character set latin1, email_sjis varchar(20) character set sjis, "
    "phone bigint, finger varbinary(20), born date, story longtext, place point, ssn varchar(20), "
    "avatar geometrycollection, name varchar(50), note varchar(20), day date not null, "
    "is_test tinyint, updated_at datetime not null, key (updated_at))"
)
CREATE_ACCOUNTS = (
    "create table accounts (owner varchar(100) primary key, balance int, label varchar(20), "
    "updated_at datetime not null, key (updated_at))"
)
ONE = "zoé-hush@example.com"
STORY = "hush\0" + "é" * 40_000


def insert(table, *values):
    return f"insert into {table} values ({', '.join(values)})"


def text(value):
    return f"convert(x'{value.encode().hex()}' using utf8mb4)"


ROWS = (
    insert("users", "1", text(ONE), text(ONE), "x'8540'", "4917100000001", "x'68757368fe00'",
           "'1980-02-03'", text(STORY), "point(1, 2)", "'hush-1'", "null", "'Zoé'",
           "concat('a', char(0))", f"'{DAY_1}'", "0", f"'{DAY_1}'"),
    insert("users", "2", "''", text(ONE), "x'8541'", "4917100000001", "''", "'0000-00-00'", "''",
           "null", "'hush-2'", "null", "'Ann'", "concat(char(0), 'b')", "'0000-00-00'", "0",
           f"'{DAY_1} 12:00:00'"),
    # Whether the third is a test nobody knows: it is no reason to lose it.
    insert("users", "3", *["null"] * 12, f"'{DAY_2}'", "null", f"'{DAY_2}'"),
    insert("users", "4", "'hush-4'", *["null"] * 9, "'hush-4'", "'hush-4'",
           "'0000-00-00'", "1", f"'{DAY_1}'"),
    insert("users", "5", "'hush-5'", *["null"] * 9, "'test hush'", "null", f"'{DAY_1}'", "0",
           f"'{DAY_2}'"),
)  # fmt: skip


class Watched:
    """What a pipeline said, sent and left behind, its staged files opened."""

    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.said = []
        self.wire = bytearray()

    def run(self, *command, **changes):
        """Run the loader with a relay before each server that it talks to."""
        env = {**SALTED, "LOADER_KEEP_PARTS": "always", **changes}
        with ExitStack() as ended:
            for who in ("MySQL", "S3", "warehouse"):
                relay, change = relayed(self.pipeline, who, self.wire)
                ended.callback(relay.close)
                env |= change
            done = self.pipeline.loader(*command, **env)
        self.said += [done.stdout, done.stderr]
        return done

    @property
    def everything(self):
        """One text of it all."""
        staged = everything_in(self.pipeline.bucket / self.pipeline.warehouse)
        tables = self.pipeline.query(
            "select table_name from information_schema.tables where table_schema = 'raw_data'"
        )
        rows = (self.pipeline.raw(table) for (table,) in tables)
        return b"\n".join(
            [*(f"{each}".encode() for each in (*self.said, *rows)), *staged, self.wire]
        )


@pytest.fixture(scope="module")
def watched(module_pipeline):
    """Both tables landed, and every command that says something of them run."""
    made = Watched(module_pipeline([USERS, ACCOUNTS]))
    made.pipeline.mysql(
        CREATE_USERS, *ROWS, CREATE_ACCOUNTS,
        insert("accounts", text(ONE), "1", "null", f"'{DAY_1}'"),
        insert("accounts", "'hush-b'", "2", "null", f"'{DAY_2}'"),
    )  # fmt: skip
    made.run("load", "--full-refresh", status=0)
    for command in (
        ["plan", "--run-date", DAY_1], ["plan", "--run-date", DAY_1, "--json"], ["status"],
        ["status", "--json"], ["check"], ["load", "--json", "--run-date", DAY_1],
    ):  # fmt: skip
        made.run(*command, status=0)
    # A row whose key is masked is refused; neither message nor ledger tell the key.
    made.pipeline.mysql(insert("accounts", "'hush-c'", "3", "concat('x', char(0))", f"'{DAY_3}'"))
    made.run("load", "--run-date", DAY_3, "--select", "accounts", status=1)
    made.pipeline.mysql("delete from accounts where balance = 3")
    return made


# -- masked columns --------------------------------------------------------------------------------


def test_no_masked_value_leaves_mysql(watched):
    """Not to the loader, nor S3, the warehouse, a log, an error; nor does a row left out."""
    everything = watched.everything
    assert len(everything) > 50_000
    assert "Zoé".encode() in everything  # what is not masked is found in the same places
    for clear in (CLEAR.encode(), b"4917100000001", b"1980-02-03", b"68757368", b"\xfe\0'"):
        assert clear not in everything, clear
    assert hashlib.sha256(b"hush-c").hexdigest().encode() in watched.wire
    said = "\n".join(watched.said)
    assert f"owner {hashed('hush-c')}: column label holds a NUL character" in said


def test_the_salt_is_nowhere(watched):
    everything = watched.everything
    for part in (SALT[:8], SALT[-8:], SALT.encode().hex()):
        assert part.encode() not in everything
    assert SALT not in repr(load_settings({**watched.pipeline.env, **SALTED}, "redshift"))


def test_a_hash_lands_for_every_type_and_null_stays_null(watched):
    names = "email_latin1, phone, finger, born, story, place"
    bare = "POINT(1 2)"
    assert watched.pipeline.raw("users", f"id, email, {names}") == [
        (1, *map(hashed, [ONE, ONE, "4917100000001", b"hush\xfe\0", "1980-02-03", STORY, bare])),
        (2, *map(hashed, ["", ONE, "4917100000001", "", "0000-00-00", ""]), None),
        (3, *[None] * 7),
    ]
    kinds = "data_type, character_maximum_length"
    assert watched.pipeline.query(
        f"select distinct {kinds} from information_schema.columns "
        "where table_name = 'users' and column_name in ('email', 'phone', 'story', 'finger')"
    ) == [("character", 64)]


def test_characters_without_an_equal_in_utf8_have_hashes_of_their_own(watched):
    one, other, none = [value for _, value in watched.pipeline.raw("users", "id, email_sjis")]
    assert one != other
    assert {len(one), len(other)} == {64}
    assert none is None


def test_a_masked_key_tells_rows_apart_and_brings_their_versions_together(new_pipeline):
    pipeline = new_pipeline([ACCOUNTS])
    pipeline.mysql(
        CREATE_ACCOUNTS,
        insert("accounts", "'a'", "1", "null", f"'{DAY_1}'"),
        insert("accounts", "'b'", "2", "null", f"'{DAY_1}'"),
    )
    pipeline.load("--run-date", DAY_1, **SALTED)
    pipeline.mysql(f"update accounts set balance = 20, updated_at = '{DAY_2}' where owner = 'b'")
    pipeline.load("--run-date", DAY_1, **SALTED)
    pipeline.load("--run-date", DAY_2, **SALTED)
    versions = pipeline.query("select owner, balance, _run_date from raw_data.accounts order by 2")
    assert versions == [
        (hashed("a"), 1, date(2026, 7, 1)),
        (hashed("b"), 2, None),
        (hashed("b"), 20, date(2026, 7, 2)),
    ]


def test_a_missing_salt_is_named_before_anything_is_read(watched, monkeypatch):
    monkeypatch.setattr(
        "loader.source.mysql.count_window", lambda *_: pytest.fail("rows were counted")
    )
    pipeline = watched.pipeline
    for command in (["load", "--run-date", DAY_1], ["plan", "--run-date", DAY_1], ["check"]):
        done = pipeline.loader(*command, "--select", "accounts", status=1)
        said = done.stdout + done.stderr
        assert ".accounts: LOADER_MASK_SALT is not set, and `mask: hash` is declared for" in said
        assert "Set LOADER_MASK_SALT to a secret" in said


def test_another_salt_is_noticed_until_the_table_is_landed_whole(new_pipeline):
    pipeline = new_pipeline([ACCOUNTS])
    pipeline.mysql(CREATE_ACCOUNTS, insert("accounts", "'a'", "1", "null", f"'{DAY_1}'"))
    other = {"LOADER_MASK_SALT": "another secret of some length"}
    pipeline.load("--run-date", DAY_1, **SALTED)
    before = pipeline.raw("accounts")
    said = pipeline.fails("--run-date", DAY_2, **other)
    assert "accounts: LOADER_MASK_SALT is not the one that its rows were masked with" in said
    assert "loader load --full-refresh --select accounts" in said
    pipeline.loader("plan", "--run-date", DAY_2, status=1, **other)
    assert pipeline.raw("accounts") == before
    pipeline.load("--full-refresh", **other)
    pipeline.load("--run-date", DAY_1, **other)
    assert pipeline.raw("accounts", "balance") == [(1,)]
    assert pipeline.fails("--run-date", DAY_1, **SALTED)


def test_hashes_never_land_beside_clear_values(new_pipeline):
    """Not even where the clear column is as wide as a hash, as on Redshift a varchar(16) is."""
    plain = [{"name": name, "primary_key": ["id"]} for name in ("words", "numbers")]
    masked = [{**table, "columns": [column("v", mask="hash")]} for table in plain]
    pipeline = new_pipeline(plain)
    for name, kind in (("words", "varchar(16)"), ("numbers", "int")):
        pipeline.mysql(
            f"create table {name} (id int primary key, v {kind})",
            f"insert into {name} values (1, 7)",
        )
    pipeline.load()
    before = pipeline.raw("words"), pipeline.raw("numbers")
    write_sources(pipeline.folder, pipeline.database, masked)
    said = pipeline.fails(**SALTED)
    for name in ("words", "numbers"):
        assert re.search(rf"{name}: column v was \S+ and would be char\(64\) now", said)
        assert f'drop table "raw_data"."{name}" cascade' in said
    assert (pipeline.raw("words"), pipeline.raw("numbers")) == before
    pipeline.query("drop table raw_data.words, raw_data.numbers cascade")
    pipeline.load("--full-refresh", **SALTED)
    assert pipeline.raw("words", "v") == pipeline.raw("numbers", "v") == [(hashed("7"),)]
    write_sources(pipeline.folder, pipeline.database, plain)
    said = pipeline.fails()
    assert said.count(": column v was char(64) and would be") == 2


EQUAL = {
    # what is hashed, and the columns that hold it
    "42": {
        **dict.fromkeys(("int", "int(6) zerofill", "bigint unsigned zerofill", "double"), "42"),
        **dict.fromkeys(("decimal(10,2)", "decimal(20,0) zerofill", "decimal(9,4) zerofill"), "42"),
        **dict.fromkeys(("float(7,3)", "double(10,3) zerofill", "float"), "42"),
        **dict.fromkeys(("varchar(9)", "char(5) character set latin1", "varbinary(9)"), "'42'"),
    },
    "1.5": dict.fromkeys(("decimal(10,1)", "decimal(10,9)", "double", "varchar(9)"), "1.5"),
    "0": dict.fromkeys(("year", "int", "decimal(9,3)", "double(9,3)", "bit(3)"), "0"),
    "2026-07-01 08:00:00.5": dict.fromkeys(
        ("datetime(1)", "datetime(6)", "timestamp(3) null", "varchar(30)"),
        "'2026-07-01 08:00:00.5'",
    ),
    "2026-07-01 08:00:00": dict.fromkeys(("datetime", "datetime(3)"), "'2026-07-01 08:00:00'"),
    "-10:00:00": dict.fromkeys(("time", "time(2)"), "'-10:00:00'"),
}


def test_equal_values_have_equal_hashes_however_their_columns_show_them(new_pipeline):
    held = [(value, *each) for value, columns in EQUAL.items() for each in columns.items()]
    columns = [column(f"c{n}", mask="hash") for n in range(len(held))]
    table = {"name": "t", "primary_key": ["id"], "cursor": "at", "columns": columns}
    pipeline = new_pipeline([table])
    listed = ", ".join(f"c{n} {kind}" for n, (_, kind, _) in enumerate(held))
    pipeline.mysql(
        f"create table t (id int primary key, {listed}, at date not null, key (at))",
        f"insert into t values (1, {', '.join(literal for *_, literal in held)}, '{DAY_1}')",
    )
    pipeline.load("--run-date", DAY_1, **SALTED)
    (landed,) = pipeline.raw("t", ", ".join(each["name"] for each in columns))
    for (value, kind, _), found in zip(held, landed, strict=True):
        assert found == hashed(value), kind


# -- columns and rows that are left out ------------------------------------------------------------


def test_columns_left_out_are_neither_read_nor_landed(watched):
    found = watched.pipeline.query(
        "select column_name from information_schema.columns where table_name = 'users'"
    )
    names = {name for (name,) in found}
    assert {"name", "email", "day"} < names
    assert not {"ssn", "avatar"} & names
    assert "ssn" not in "".join(watched.said)


def test_rows_left_out_are_missing_from_every_count(watched):
    """A row of which the condition is neither true nor false is kept."""
    pipeline = watched.pipeline
    assert pipeline.raw("users", "id") == [(1,), (2,), (3,)]
    counts = "source_rows, staged_rows, copied_rows, landed_rows"
    landed = f"select mode, {counts} from raw_data._loads where table_name = 'users' "
    loads = pipeline.query(landed + "and outcome = 'landed' order by load_id")
    assert loads == [("full_refresh", 3, 3, 3, 3), ("run_date", 2, 2, 2, 2)]


def test_rows_left_out_are_not_missed_and_the_cursors_index_still_serves(new_pipeline):
    """A row that no window would hold is no reason to stop if it is left out anyway."""
    table = {"name": "t", "primary_key": ["id"], "cursor": "at", "exclude_rows": "at is null"}
    pipeline = new_pipeline([table])
    pipeline.mysql(
        "create table t (id int primary key, at datetime, key (at))",
        "insert into t select seq, '2026-07-01' + interval seq hour from seq_1_to_2000",
        "insert into t values (0, null)",
        "analyze table t",
    )
    assert pipeline.load("--run-date", DAY_1)["t"]["source_rows"] == 23
    assert_served(pipeline, DAY_1)


def test_a_condition_that_mysql_refuses_is_named(new_pipeline):
    table = {"name": "t", "primary_key": ["id"]}
    pipeline = new_pipeline([table], "create table t (id int primary key, v int)")
    for command, condition, why in (
        ("load", "is_tst = 1", "is_tst"),
        ("plan", "v =\n1 and", "syntax"),
        ("check", "v = 1 -- x", "syntax"),
        ("plan", "f(v)", f"routine '{pipeline.database}.f'"),
        ("check", "max(v) = 1", "group function"),
    ):
        declared = [{**table, "exclude_rows": condition}]
        write_sources(pipeline.folder, pipeline.database, declared)
        done = pipeline.loader(command, status=1)
        said = done.stdout + done.stderr
        assert f"{pipeline.database}.t: MySQL refuses exclude_rows {condition!r}: " in said
        assert why in said
        assert "Correct it in the declaration of table t" in said


# -- personal columns ------------------------------------------------------------------------------


def test_a_personal_column_without_a_policy_is_not_read(new_pipeline, monkeypatch):
    monkeypatch.setattr(
        "loader.source.mysql.count_window", lambda *_: pytest.fail("rows were counted")
    )
    plainly = {"name": "phone", "meta": {"pii": True}}
    pipeline = new_pipeline(
        [{"name": "t", "primary_key": ["id"], "columns": [column("email", pii=True), plainly]}]
    )
    pipeline.mysql("create table t (id int primary key, email text, phone text)")
    for command in ("load", "plan", "check"):
        done = pipeline.loader(command, status=1)
        said = done.stdout + done.stderr
        assert f"{pipeline.database}.t: marked `pii: true` without a policy: email, phone." in said
        for way in ("mask: hash", "mask: drop", "exclude: true", "mask: none"):
            assert f"`{way}`" in said
    assert pipeline.query("select outcome, source_rows from raw_data._loads") == [("failed", None)]
    assert pipeline.query("select 1 from pg_class where relname = 't'") == []


# -- changed values by column ----------------------------------------------------------------------


def test_a_column_says_it_first_then_its_table_then_the_source(new_pipeline):
    own = [column("note", on_unrepresentable="strip"), column("kept", on_unrepresentable="fail")]
    pipeline = new_pipeline(
        [
            {"name": "t", "primary_key": ["id"], "on_unrepresentable": "null", "columns": own},
            {"name": "u", "primary_key": ["id"]},
            {"name": "v", "primary_key": ["id"]},
        ]
    )
    file = pipeline.folder / "models" / "sources.yml"
    declared = json.loads(file.read_text())
    declared["sources"][0]["config"] = {"meta": {"loader": {"on_unrepresentable": "strip"}}}
    file.write_text(json.dumps(declared))
    nul = "concat('a', char(0), 'b')"
    pipeline.mysql(
        "create table t (id int primary key, day date, note varchar(9), story varchar(9), "
        "kept varchar(9))",
        f"insert into t values (1, '0000-00-00', {nul}, {nul}, 'c')",
        "create table u (id int primary key, note varchar(9))",
        f"insert into u values (1, {nul})",
        "create table v (id varchar(9) primary key)",
        f"insert into v values ({nul})",
    )
    assert "v: id a\\0b: column id holds a NUL character" in pipeline.fails()
    assert pipeline.raw("t", "day, note, story") == [(None, "ab", None)]
    assert pipeline.raw("u", "note") == [("ab",)]
    pipeline.mysql(f"update t set kept = {nul}")
    assert "column kept holds a NUL character" in pipeline.fails("--select", "t")

    declared["sources"][0]["config"]["meta"]["loader"]["on_unrepresentable"] = "text"
    file.write_text(json.dumps(declared))
    done = pipeline.loader("load", status=1)
    assert "source raw_data: on_unrepresentable is 'text'" in done.stderr


def test_changed_values_are_counted_by_column(watched):
    whole, window = watched.pipeline.query(
        "select changed_values, changed_columns, salt_id from raw_data._loads "
        "where table_name = 'users' and outcome = 'landed' order by load_id"
    )
    assert whole[:2] == (3, '{"note": 2, "day": 1}')
    assert window[:2] == whole[:2]
    assert re.fullmatch("[0-9a-f]{16}", whole[2])
    accounts = watched.pipeline.query(
        "select distinct changed_values, changed_columns from raw_data._loads "
        "where table_name = 'accounts' and outcome = 'landed'"
    )
    assert accounts == [(0, None)]  # masked values are not among them
    said = "\n".join(watched.said)
    assert said.count("values changed: 3 (note 2, day 1)") == 1
    assert re.search(r"^users +\S+ +2026-07-02 +3 +\d+ s ago +3 \(note 2, day 1\)", said, re.M)
    assert said.count('"changed_columns": {\n') == 2  # the status's and the report's


def test_the_ledger_tells_the_most_changed_columns_first_and_adds_up_what_it_cannot_hold():
    assert changed_columns({}) is None
    assert changed_columns({"a": 1, "é": 3, "c": 1}) == '{"é": 3, "a": 1, "c": 1}'
    told = changed_columns({f"{n:03}" + "表" * 61: n for n in range(1, 401)})
    assert 6000 < len(told.encode()) <= 8192
    assert LEDGER_COLUMNS["changed_columns"] == "varchar(8192)"
    load = Load(
        load_id="1", table_name="t", mode="", window_start=None, window_end=None, started_at=None,
        changed_columns=told,
    )  # fmt: skip
    assert sum(load.changes.values()) == sum(range(1, 401))
    first, *_, last = load.changes
    assert (first[:3], last) == ("400", "...")


# -- declarations ----------------------------------------------------------------------------------


def test_a_policy_of_a_column_that_mysql_has_not_is_named(new_pipeline):
    policies = {"p": {"pii": True, "mask": "none"}, "h": {"mask": "hash"}, "x": {"exclude": True}}
    pipeline = new_pipeline(
        [
            {"name": name, "primary_key": ["id"], "columns": [column("emial", **policy)]}
            for name, policy in policies.items()
        ]
    )
    pipeline.mysql(*(f"create table {name} (id int primary key)" for name in policies))
    said = pipeline.fails(**SALTED)
    for name in policies:
        assert f"{pipeline.database}.{name} has no column emial; it has id." in said


def test_a_column_whose_name_is_the_loaders_own_can_be_left_out(new_pipeline):
    table = {"name": "t", "primary_key": ["id"]}
    pipeline = new_pipeline([table])
    pipeline.mysql(
        "create table t (id int primary key, _load_id int, v point)",
        "insert into t (id) values (1)",
    )
    assert "declare `exclude: true` for it" in pipeline.fails()
    left_out = [column(name, exclude=True) for name in ("_load_id", "v")]
    write_sources(pipeline.folder, pipeline.database, [{**table, "columns": left_out}])
    assert pipeline.load()["t"]["landed_rows"] == 1
    nothing = [*left_out, column("id", exclude=True)]
    declared = {**table, "primary_key": [], "columns": nothing}
    write_sources(pipeline.folder, pipeline.database, [declared])
    assert f"{pipeline.database}.t: every column is left out." in pipeline.fails()


def test_the_examples_in_the_docs_are_declarations(tmp_path):
    """Its columns' and its table's policies, on the table that the page is about."""
    page = (ROOT / "docs" / "adding-a-table.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.S)]
    (table,) = blocks[0]
    lists = [block for block in blocks[1:] if isinstance(block, list)]
    columns = [each for block in lists for each in block if "config" in each]  # no model
    (more,) = [block for block in blocks[1:] if isinstance(block, dict)]
    loader = table["config"]["meta"]["loader"] | more["config"]["meta"]["loader"]
    write_sources(tmp_path, "prod", [{"name": "invoice", **loader, "columns": columns}])
    policies = read_tables(tmp_path)[1]["invoice"].policies
    assert policies.keys() == {each["name"] for each in columns}
    assert {"hash", "drop", "none"} <= {policy.mask for policy in policies.values()}
