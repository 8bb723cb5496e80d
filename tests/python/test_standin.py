"""The stand-in is a fair judge: it refuses what Redshift refuses, and does what Redshift does."""

import json

import pytest
import redshift_connector
import zstandard
from standin import copying, lint, strict
from standin.copying import CopyError
from standin.relay import ROLE

POSTGRESQL_ONLY = {
    "DISTINCT ON": "select distinct on (a) a, b from t order by a, b",
    "FILTER": "select count(*) filter (where a > 1) from t",
    "LATERAL": "select * from t cross join lateral (select t.a) as l",
    "ON CONFLICT": "insert into t values (1) on conflict do nothing",
    "RETURNING": "delete from t returning a",
    "VALUES as a table": "select * from (values (1), (2)) as v",
    "IS DISTINCT FROM": "select a is distinct from b from t",
    "ARRAY": "select array[1, 2] from t",
    "a subscript": "select a[1] from t",
    "->": "select a -> 'b' from t",
    "->>": "select a ->> 'b' from t",
    "UNNEST": "select * from unnest(a)",
    "CONCAT of more than two": "select concat(a, b, c) from t",
    "no ROWS frame": "select sum(a) over (order by b) from t",
    "LAST_VALUE OVER": "select last_value(a) over (partition by b order by c) from t",
    "RANGE": "select sum(a) over (order by b range unbounded preceding) from t",
    "COUNT(DISTINCT ...) OVER": "select count(distinct a) over (partition by b) from t",
    "EXCEPT ALL": "select a from t except all select a from u",
    "TABLESAMPLE": "select * from t tablesample bernoulli (10)",
    "FETCH FIRST": "select a from t fetch first 1 rows only",
    "more than 1,000 rows": "fetch forward 1001 from c",
    "more than 1,000": "fetch all from c",
    "SAVEPOINT": "savepoint x",
    "INDEX": "create index i on t (a)",
    "SEQUENCE": "create sequence s",
    "WITH before UPDATE or DELETE": "with x as (select 1) delete from t using x",
    "current_timestamp with a table": "select current_timestamp from t",
    "now()": "select now() from t",
    "string_agg()": "select string_agg(a, ',') from t",
    "array_agg()": "select array_agg(a) from t",
    "generate_series()": "select * from generate_series(1, 2)",
    "date_bin()": "select date_bin('1 day', a, b) from t",
    "gen_random_uuid()": "select gen_random_uuid()",
    "without its precision": "select cast(a as numeric) from t",
    "the type JSONB": "select a::jsonb from t",
    "the type UUID": "create table t (a uuid)",
    "cannot be parsed": "frobnicate the warehouse",
}  # fmt: skip
REDSHIFTS_OWN = [
    "select nvl(a, b), getdate(), len(c), dateadd(day, 1, d), datediff(day, d, e) from t",
    "select left(a, 3), trunc(b), convert_timezone('UTC', c), date_trunc('month', c) from t",
    "create table x.y diststyle key distkey (a) compound sortkey (a, b) as (select 1 as a, 2 as b)",
    "create view a.b as (select 1 as c) with no schema binding",
    "delete from a using b where a.id = b.id",
    "select row_number() over (partition by a order by b) from t",
    "select sum(a) over (order by b rows between unbounded preceding and current row) from t",
    "merge into a.t using a.s on t.id = s.id when matched then update set x = s.x "
    "when not matched then insert (id) values (s.id)",
    "select * from a union all select * from b",
    "with x (a) as (select 1) select a from x",
    "lock a.t",
    "fetch forward 1000 from c",
    "grant select on all tables in schema a to group b",
]


@pytest.mark.parametrize("feature", POSTGRESQL_ONLY)
def test_what_only_postgresql_has_is_refused_by_name(feature):
    with pytest.raises(strict.RefusedByRedshiftError) as refused:
        strict.check(POSTGRESQL_ONLY[feature])
    assert feature.lower() in str(refused.value).lower()


@pytest.mark.parametrize("statement", REDSHIFTS_OWN)
def test_what_redshift_has_is_taken(statement):
    strict.check(statement)


def test_a_compiled_file_that_redshift_would_refuse_fails_the_check(tmp_path, capsys):
    (tmp_path / "good.sql").write_text("select a from t")
    assert strict.main([str(tmp_path)]) == 0
    (tmp_path / "bad.sql").write_text("select distinct on (a) a from t")
    assert strict.main([str(tmp_path)]) == 1
    assert "bad.sql: DISTINCT ON is not Redshift's" in capsys.readouterr().out


def copy(
    options="", columns="a", role=f"iam_role '{ROLE}'", source="s3://b/m.json",
    form="delimiter '\\t' escape null as '\\\\N'",
):  # fmt: skip
    return (
        f"copy t ({columns}) from '{source}' {role} manifest zstd {form} "
        f"dateformat 'auto' timeformat 'auto' maxerror 0 {options}"
    )


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (copy(role=""), "IAM_ROLE"),
        (copy(role="iam_role 'arn:aws:iam::1:role/another'"), "IAM_ROLE"),
        (copy(role="access_key_id 'x'"), "ACCESS_KEY_ID"),
        (copy("truncatecolumns"), "TRUNCATECOLUMNS"),
        (copy("acceptinvchars"), "ACCEPTINVCHARS"),
        (copy().replace("maxerror 0", "maxerror 5"), "MAXERROR above 0"),
        (copy().replace("timeformat 'auto'", ""), "fractions of a second"),
        (copy("sortby x"), "does not know the option SORTBY"),
        (copy(source="/tmp/file"), "s3://"),
    ],
)
def test_copy_refuses_options_that_are_unknown_or_hide_a_loss(statement, why):
    with pytest.raises(CopyError, match=why):
        copying.parse(statement, ROLE)


pytestmark = pytest.mark.only("redshift", because="it is the stand-in that is tested")


def test_lint_checks_no_window_and_no_keys_of_a_table_without(module_pipeline, monkeypatch):
    keyed = {"name": "keyed", "primary_key": ["id"]}
    bare, dated = {"name": "bare", "primary_key": []}, {**keyed, "name": "dated", "cursor": "at"}
    project = module_pipeline([bare, keyed, dated])
    monkeypatch.setattr(lint, "ROOT", project.folder)
    with project.inside():
        said = [each for each in lint.loader_statements() if not strict.check(each)]
    assert sum(each.startswith("copy ") for each in said) == 1 + 2 + 3  # whole, keys, days


@pytest.fixture(scope="module")
def database(module_pipeline):
    """A database of the stand-in's."""
    return module_pipeline([]).warehouse


@pytest.fixture
def connection(redshift, database):
    """The real driver, connected to the stand-in, where there is no table `t` yet."""
    made = redshift_connector.connect(
        host="127.0.0.1", port=redshift.port, user="warehouse", password="local", ssl=False,
        database=database,
    )  # fmt: skip
    made.autocommit = True
    run(made, "drop table if exists t")
    yield made
    made.close()


def run(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


TYPES = (
    "select format_type(atttypid, atttypmod) from pg_attribute inner join pg_class "
    "on pg_class.oid = attrelid where relname = 't' and attnum > 0 order by attnum"
)


@pytest.mark.parametrize(
    ("columns", "values", "asked", "answer"),
    [
        ("a integer primary key, b integer unique", "(1, 1), (1, 1)",
         "select count(*) from t", [(2,)]),
        ("a integer", "(1), (2)", "select avg(a) from t", [(1,)]),
        ('"Ab" integer', "(1)", "select ab from t", [(1,)]),
        ("a varchar, b numeric", "('a', 1)", TYPES,
         [("character varying(256)",), ("numeric(18,0)",)]),
        ("a text", "('a')", TYPES, [("character varying(256)",)]),
        ("a integer, b date) diststyle key distkey (a) sortkey (b", "(1, '2026-07-01')",
         "select diststyle, sortkey1 from svv_table_info where \"table\" = 't'",
         [("KEY(a)", "b")]),
    ],
    ids=["keys are not enforced", "the mean of integers", "names in quotes become lower-case",
         "types without a size", "text is varchar", "keys are kept for the catalog"],
)  # fmt: skip
def test_what_redshift_does_in_its_own_way(connection, columns, values, asked, answer):
    run(connection, f"create table t ({columns})")
    run(connection, f"insert into t values {values}")
    assert run(connection, asked) == answer


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("insert into t values ('ééé')", "value too long"),  # counted in bytes
        ("create table u (OID integer)", '"oid" conflicts with a system column'),
        ("alter table t add column oid date", '"oid" conflicts with a system column'),
    ],
)
def test_what_a_table_does_not_take_is_refused(connection, statement, why):
    run(connection, "create table t (a varchar(4))")
    run(connection, "insert into t values ('éé')")
    with pytest.raises(redshift_connector.Error, match=why):
        run(connection, statement)


def test_blanks_at_the_end_mean_nothing_when_text_is_compared(connection):
    """They are kept all the same, and LIKE sees them. [Redshift: Character types]."""
    run(connection, "create table t (n integer, a varchar(9))")
    run(connection, "insert into t values (1, 'Direct'), (2, 'Direct '), (3, ' Direct'), (4, '')")
    run(connection, "insert into t values (5, ' ')")
    direct = [(1,), (2,)]
    for condition in (
        "a = 'Direct'",
        "a in ('Direct  ')",
        "not a <> 'Direct'",
        "a between 'Direct' and 'Direct'",
    ):
        assert run(connection, f"select n from t where {condition} order by n") == direct
    for count in (
        "count(distinct a)",
        "count(*) from (select a from t group by a)",
        "count(*) from (select a from t union select a from t)",
        "max(n) from (select dense_rank() over (order by a) as n from t)",
    ):
        assert run(connection, f"select {count} {'' if 'from' in count else 'from t'}") == [(3,)]
    joined = "select count(*) from t inner join t as u on t.a = u.a"
    for without in ("hashjoin", "mergejoin", "nestloop"):
        run(connection, f"set enable_{without} = off")
        assert run(connection, joined) == [(9,)]
        run(connection, f"set enable_{without} = on")
    assert run(connection, "select len(a) from t order by n") == [(6,), (7,), (7,), (0,), (1,)]
    assert run(connection, "select n from t where a like 'Direct'") == [(1,)]


def test_a_cursor_gives_out_no_more_than_the_leader_node_may_keep(
    redshift, connection, monkeypatch
):
    monkeypatch.setattr(redshift, "cursor_bytes", 10)
    connection.autocommit = False
    run(connection, "create table t (a varchar(9))")
    run(connection, "insert into t values ('123'), ('456')")
    run(connection, "declare c cursor for select a from t")
    run(connection, "fetch forward 1 from c")
    with pytest.raises(redshift_connector.Error, match="total set of cursor data"):
        run(connection, "fetch forward 1 from c")
    connection.rollback()


def test_truncate_commits(connection):
    run(connection, "create table t (a integer)")
    run(connection, "insert into t values (1)")
    connection.autocommit = False
    run(connection, "truncate t")
    connection.rollback()
    assert run(connection, "select count(*) from t") == [(0,)]


def test_a_statement_that_is_refused_fails_its_transaction(connection):
    connection.autocommit = False
    run(connection, "create table t (a integer)")
    with pytest.raises(redshift_connector.Error, match="DISTINCT ON"):
        run(connection, "select distinct on (a) a from t")
    connection.rollback()
    assert run(connection, "select 1 from pg_class where relname = 't'") == []
    connection.rollback()


def staged(redshift, body, mandatory=True):
    bucket = "raw-landing"
    redshift.stage.put_object(Bucket=bucket, Key="x/p.zst", Body=zstandard.compress(body))
    entry = {"url": f"s3://{bucket}/x/p.zst", "mandatory": mandatory}
    manifest = json.dumps({"entries": [entry]}).encode()
    redshift.stage.put_object(Bucket=bucket, Key="x/m.json", Body=manifest)
    return f"s3://{bucket}/x/m.json"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"ok\n" + "ééé\n".encode(), "String length exceeds DDL length"),
        (b"a\tb\n", "Extra column(s) found"),
    ],
)
def test_a_row_that_copy_cannot_take_leaves_a_detail_that_survives(redshift, connection, body, why):
    run(connection, "create table t (a varchar(4))")
    with pytest.raises(redshift_connector.Error, match="Load into table 't' failed"):
        run(connection, copy(source=staged(redshift, body)))
    detail = run(connection, "select error_message from sys_load_error_detail")
    assert why in [message for (message,) in detail]
    assert run(connection, "select count(*) from t") == [(0,)]


def test_copy_reads_escapes_as_redshift_does_and_counts(redshift, connection):
    run(connection, "create table t (a varchar(9), b integer)")
    body = b"a\\\tb\t1\n\\\\N\t2\n\\N\t3\n\t\\N\n\t\n"  # an empty number is NULL too
    run(connection, copy(columns="a, b", source=staged(redshift, body)))
    assert run(connection, "select pg_last_copy_count()") == [(5,)]
    rows = run(connection, "select a, b from t order by b, a")
    assert rows == [("a\tb", 1), ("\\N", 2), (None, 3), ("", None), ("", None)]


def test_copy_reads_csv_as_redshift_does(redshift, connection):
    run(connection, "create table t (a varchar(9), b varbyte(4))")
    as_csv = {"columns": "a, b", "form": "csv null as 'none'"}
    body = b'"a,\n""","FF00"\n"",""\nnone,none\n'
    run(connection, copy(**as_csv, source=staged(redshift, body)))
    rows = run(connection, "select a, from_varbyte(b, 'hex') from t order by len(a)")
    assert rows == [("", ""), ('a,\n"', "ff00"), (None, None)]
    for options, body, why in (
        ({"columns": "a, b"}, b"a\tFF\n", "VARBYTE is loaded from CSV, Parquet and ORC only"),
        ({**as_csv, "form": "csv escape null as 'none'"}, b"", "not compatible with ESCAPE"),
        (as_csv, b'a,"FF"\n', "values are all in quotes"),
        (as_csv, b'"' + b"x" * 4_194_304 + b'","FF"\n', "Load into table 't' failed"),
    ):
        with pytest.raises(redshift_connector.Error, match=why):
            run(connection, copy(**options, source=staged(redshift, body)))


def test_a_manifest_whose_entries_may_be_missing_is_refused(redshift, connection):
    run(connection, "create table t (a varchar(4))")
    with pytest.raises(redshift_connector.Error, match="not mandatory"):
        run(connection, copy(source=staged(redshift, b"a\n", mandatory=False)))
