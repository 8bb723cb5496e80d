"""A wrong publish is put back with one command: rows, grants and views as they were."""

import re
import shlex
from contextlib import closing
from random import Random

import pytest
from pipeline import ROOT, Pipeline

from loader.cli.session import open_session
from loader.run.published import held_back

MART = "analytics.nps_summary"
NAME = "nps_summary"


@pytest.fixture
def changed(built):
    """The built warehouse, a view on the summary, and other answers than it was built from."""
    built.query(f"create view public.report as select sum(responses) as responses from {MART}")
    built.query("update analytics.nps set score = 10")
    return built


def rows(pipeline):
    """The summary's rows by column; a column that was put back comes last."""
    with pipeline.warehouse_connection() as connection, connection.cursor() as cursor:
        cursor.execute(f"select * from {MART} order by answered_on")
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def readers_have(pipeline):
    """What a reader of the summary has: rows, columns, rights, the view, its place on disk."""
    return (
        rows(pipeline),
        pipeline.query(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            f"where attrelid = '{MART}'::regclass and attnum > 0 and not attisdropped order by 1"
        ),
        pipeline.query(f"select relacl, oid from pg_class where oid = '{MART}'::regclass"),
        pipeline.query("select * from public.report"),
    )


def everything(pipeline):
    """All that a publish or a restore changes."""
    return readers_have(pipeline), kept(pipeline), publications(pipeline)


def kept(pipeline):
    """The versions in the archive, the oldest first."""
    these = f"schemaname = 'archive' and tablename like '{NAME}\\_\\_%' order by 1"
    found = pipeline.query(f"select right(tablename, 14) from pg_tables where {these}")
    return [version for (version,) in found]


def publications(pipeline):
    return pipeline.query(
        "select version, row_count from analytics._publications "
        f"where model_name = '{NAME}' order by published_at"
    )


def publish(pipeline, *options):
    return pipeline.build("run", "--select", NAME, *options)


def as_the_readme_says(command):
    """The arguments of the README's one command of that name."""
    text = (ROOT / "README.md").read_text()
    (typed,) = re.findall(rf"`dbt (run-operation {command}[^`]*)`", text)
    return shlex.split(typed)


def restore(pipeline, arguments=f"{{model: {NAME}}}"):
    return pipeline.build("run-operation", "restore_published", "--args", arguments)


def pretend_published(pipeline, version, published_at):
    """Put an earlier version on record, and into the archive."""
    pipeline.query(
        f"create table archive.{NAME}__{version} as select * from {MART} limit 1;"
        f"insert into analytics._publications values "
        f"('{NAME}', '{published_at}', 1, '', '{version}')"
    )


def test_a_wrong_publish_is_put_back_byte_for_byte_and_so_is_the_restore(changed, superuser):
    superuser("drop role if exists reader", "create role reader")
    changed.query(f"grant select on {MART} to reader")
    right = readers_have(changed)
    publish(changed)
    wrong = readers_have(changed)
    assert wrong[0] != right[0]
    (first, _), (second, _) = publications(changed)
    assert kept(changed) == [first]
    said = changed.build(*as_the_readme_says("list_published"))
    versions = said.split(f"{NAME}\n")[1].split("_monthly")[0]
    assert f"{second}, last published {second[:4]}" in versions
    found = re.findall(r"(\d{14}), .* 730 rows(, current)?", versions)
    assert found == [(second, ", current"), (first, "")]
    before = everything(changed)
    said = restore(changed, f"{{model: {NAME}, dry_run: true}}")
    assert f"would go back to version {first}" in said
    assert "Rows that would go: 730; that would come: 730." in said
    assert everything(changed) == before
    said = changed.build(*as_the_readme_says("restore_published"))
    assert readers_have(changed) == right
    assert f"kept as version {second}" in said
    assert f"Left as they are, and made of the same rows: {NAME}_monthly." in said
    assert kept(changed) == [second]
    assert publications(changed)[2:] == [(first, 730)]
    assert "is forward again" in restore(changed)
    assert readers_have(changed) == wrong
    assert kept(changed) == [first]
    restore(changed, f"{{model: {NAME}, version: {first}}}")
    assert readers_have(changed) == right
    before = everything(changed)
    said = restore(changed, f"{{model: {NAME}, version: '{first}'}}")
    assert "Nothing was changed" in said
    assert everything(changed) == before
    changed.query(f"revoke all on {MART} from reader")
    superuser("drop role reader")


def test_a_version_that_is_held_stays_through_builds_until_it_is_lifted(changed):
    """And a check that fails is on record with the summaries that it holds back."""
    right = rows(changed)
    publish(changed)
    wrong = rows(changed)
    assert f"{NAME} is held" in restore(changed, f"{{model: {NAME}, hold: true}}")
    at_once = "analytics._publications p join analytics._held_back h on p.xmin = h.xmin"
    assert changed.value(f"select count(*) from {at_once}") == 1
    said = publish(changed)
    assert f"{NAME} stays as it is: somebody holds it since" in said
    assert rows(changed) == right
    assert "  held since " in changed.build("run-operation", "list_published")
    assert held(changed).endswith(f"lift_hold --args '{{model: {NAME}}}'")
    lift = re.search(r"dbt (run-operation lift_hold) --args '(.*)'", said)
    for now in ("is held no more", "is not held"):
        assert now in changed.build(*lift[1].split(), "--args", lift[2])
        assert held(changed) is None
    publish(changed)
    assert rows(changed) == wrong
    changed.query("update analytics.nps set answered_at = null where response_id = 7")
    check, since = "filled_nps", []
    for command in (["run"], ["build", check]):  # by the gate, or by dbt's own order
        changed.build_fails(command[0], "--select", *command[1:], NAME)
        assert held(changed).endswith(f" by {check} (1 row)")
        since += changed.query("select held_since from analytics._held_back")
    assert since[0] == since[1]
    changed.query("update analytics.nps set answered_at = updated_at where response_id = 7")
    publish(changed)
    assert held(changed) is None


def test_every_test_that_reads_a_summary_passes_over_one_that_somebody_holds(changed):
    """Each run would fail until it is lifted; of one that a check holds back nothing is excused."""
    names = {file.stem for file in (ROOT / "tests").glob("*.sql")}
    changed.query(
        f"delete from {MART}; delete from analytics.channel_performance; "
        "insert into analytics._held_back (model_name, check_name, held_since) "
        "select distinct model_name, unnest(array['a check', 'a b']), unnest(array[timestamp "
        "'2026-07-02', '2026-07-03']) from analytics._publications"
    )
    assert f"ERROR={len(names)}" in changed.build_fails("test", "--select", *names)
    assert held(changed).startswith("held back since 2026-07-02 00:00 UTC by a check")
    changed.query("update analytics._held_back set check_name = null")
    said = changed.build("test", "--select", *names)
    assert {*re.findall(r"(\w+) passes over: somebody holds \w+ since", said)} == names
    assert "lift_hold --args '{model: channel_performance}'" in said


def held(pipeline):
    with pipeline.inside(), closing(open_session(None).warehouse()) as warehouse:
        return held_back(warehouse).get(NAME)


@pytest.mark.deep(because="the way there and back is always tried")
def test_as_many_versions_stay_as_asked_and_equal_rows_are_none(changed):
    """The last that readers had stay: a restored one stays longer than its name says."""
    changed.query("create schema if not exists archive")
    pretend_published(changed, "20240101000000", "2025-06-01")  # restored since
    for year in ("2024", "2025"):
        pretend_published(changed, f"{year}0201000000", f"{year}-02-01")
    publish(changed)
    (first, _), (second, _) = publications(changed)[-2:]
    assert kept(changed) == ["20240101000000", "20250201000000", first]
    for said in (
        "has_schema_privilege('analytics_users', 'archive', 'usage')",
        f"has_table_privilege('analytics_users', 'archive.{NAME}__{first}', 'select')",
    ):
        assert changed.value(f"select {said}") is False
    publish(changed)
    assert publications(changed)[-2:] == [(second, 730), (second, 730)]
    assert len(kept(changed)) == 3
    # A publication comes after the one before, even if the clock does not say so.
    changed.query(
        f"update analytics._publications set published_at = '2999-01-01' where version = '{second}'"
    )
    changed.query("update analytics.nps set score = 0")
    publish(changed, "--vars", "keep_published: 0")
    assert publications(changed)[-1][0] != second
    assert kept(changed) == []


def test_a_failed_publish_makes_no_version(changed):
    changed.query("alter table analytics.nps_summary add column extra integer")
    changed.query(f"create view public.extra as select extra from {MART}")
    before = everything(changed)
    said = changed.build_fails("run", "--select", NAME)
    assert "because other objects depend on it" in said
    assert everything(changed) == before


@pytest.mark.deep(because="the way there and back is always tried")
def test_a_version_with_other_columns_is_put_back_unless_a_view_forbids_it(changed):
    """And the record of what was published before versions were kept is taken along."""
    changed.query("alter table analytics._publications drop column version")
    changed.query(f"alter table {MART} add column extra integer default 7")
    changed.query(f"alter table {MART} alter column promoters type numeric(12, 1)")
    right = readers_have(changed)
    said = changed.build("run-operation", "list_published")
    assert f"{NAME}: no publication is on record" in said
    publish(changed)
    wrong = rows(changed)
    assert "extra" not in wrong[0]
    changed.query(f"create view public.promoted as select promoters from {MART}")
    before = everything(changed)
    said = changed.build_fails(*as_the_readme_says("restore_published"))
    assert "because other objects depend on it" in said
    assert everything(changed) == before
    changed.query("drop view public.promoted")
    said = restore(changed, f"{{model: {NAME}, dry_run: true}}")
    assert "Their columns differ." in said
    restore(changed)
    assert readers_have(changed) == right
    # Where the record is lost, the versions are not.
    changed.query("delete from analytics._publications")
    before = kept(changed)
    said = changed.build("run-operation", "list_published", "--args", f"{{model: {NAME}}}")
    assert re.findall(r"(\d{14}), .* 730 rows(, current)?", said) == [(before[0], "")]
    restore(changed)
    assert rows(changed) == wrong
    restore(changed)
    assert readers_have(changed) == right


GIVE = (
    "delete from public.given where mod(ascii(md5(at::text)), 3) = 1; "
    "insert into public.given (note, amount, rate, at, yes) select case when s % 4 > 0 then "
    "repeat(' ', s % 4) || s % 3 end, s % 5 / 3.0, round(s % 5 / 3.0, s % 3), "
    "timestamp '2026-01-01' + s % 7 * interval '1 us', nullif(s % 3, 0) = 1 "
    "from generate_series({}, {}) as s"
)
COLUMN = {"d": "drop column number", "f": "add column part double precision default 1 / 3.0"}


@pytest.fixture
def anything(project, tmp_path):
    """A project with a summary of whatever rows are in public.given."""
    copied = project.copied(tmp_path)
    (copied.folder / "models" / "marts" / "anything.sql").write_text("select * from public.given")
    project.query(
        "drop table if exists public.given; create table public.given (note varchar(30), "
        "amount numeric(12, 2), rate numeric, at timestamp, yes boolean, number serial)"
    )
    return copied


def publish_given(pipeline, *changes):
    pipeline.query(";".join(("select 1", *changes)))
    pipeline.build("run", "--select", "anything", "--vars", "keep_published: 4")
    latest = "select version, row_count from analytics._publications where model_name = 'anything'"
    return pipeline.value(f"{latest} order by published_at desc limit 1")


def go_back(pipeline, version, build=Pipeline.build):
    arguments = f"{{model: anything, version: '{version}'}}"
    return build(pipeline, "run-operation", "restore_published", "--args", arguments)


def in_archive(pipeline):
    """How many rows are kept of each earlier version."""
    these = "tablename like 'anything\\_\\_2%' order by 1"
    found = [table for (table,) in pipeline.query(f"select tablename from pg_tables where {these}")]
    return {each[-14:]: pipeline.value(f"select count(*) from archive.{each}") for each in found}


@pytest.mark.deep(because="what is put back is byte for byte what it was is tried always")
def test_any_history_of_publishes_and_restores_gives_each_version_as_it_was(anything):
    """With rows that are there twice, and columns that come, go, or tell no two rows apart."""
    random, known = Random(18), {}
    for step in "ccc0001cd301fc2":
        start = random.randrange(50)
        give = GIVE.format(start, start + random.randrange(1, 40))
        if step.isdigit():
            version = [*in_archive(anything)][int(step)]
            go_back(anything, version)
        else:
            column = COLUMN.get(step, "owner to warehouse")
            version = publish_given(anything, f"alter table public.given {column}", give)
        found = anything.query("select cast(a as text) from analytics.anything a order by 1")
        assert found == known.setdefault(version, found), step
        assert len(in_archive(anything)) == min(4, len(known) - 1)


@pytest.mark.deep(because="a publish writes what differs, as counting's tests see always")
def test_an_earlier_version_costs_what_differs_whatever_size_the_summary_has(anything):
    """And is not put back where what it differs from is not there any more."""
    five = "update public.given set amount = amount + 1 where number % 20000 = 7"
    first = publish_given(anything, GIVE.format(1, 100000))
    assert publish_given(anything) == first
    assert in_archive(anything) == {}
    second = publish_given(anything, five)
    publish_given(anything, five)
    assert in_archive(anything) == {first: 10, second: 10}
    written = "select count(*) from analytics.anything group by cast(xmin as text) order by 1"
    assert anything.query(written) == [(5,), (99995,)]
    go_back(anything, second)
    assert sum(in_archive(anything).values()) == 10 + 15  # two changes made one
    anything.query("delete from analytics.anything where number = 8")
    assert "somebody has written into it" in go_back(anything, first, Pipeline.build_fails)
    go_back(anything, publish_given(anything))


@pytest.mark.only("postgres", because="the names are dbt's")
def test_every_version_of_a_model_is_listed(project, tmp_path):
    copied = project.copied(tmp_path)
    marts = copied.folder / "models" / "marts"
    for version in (1, 2):
        marts.joinpath(f"score_v{version}.sql").write_text("select * from {{ ref('nps') }}")
    marts.joinpath("score.yml").write_text("models: [{name: score, versions: [{v: 1}, {v: 2}]}]")
    said = copied.build("run-operation", "list_published")
    assert re.findall(r"(score\S*): no publication", said) == ["score.v1", "score.v2"]


@pytest.mark.deep(because="the way there and back is always tried")
def test_an_unknown_name_is_answered_with_the_known_ones(changed):
    changed.query("create schema if not exists archive")
    pretend_published(changed, "20240101000000", "2024-01-01")
    before = everything(changed)
    models = "Known: active_users_monthly, channel_performance, channel_summary, nps_summary, "
    versions = f"Known: {publications(changed)[-1][0]}, 20240101000000."
    for command, arguments, expected in (
        ("restore_published", "{model: nps}", f"no summary is called nps. {models}"),
        ("restore_published", "{}", f"restore_published needs a model. {models}"),
        ("restore_published", f"{{model: {NAME}, version: x}}", f"has no version x. {versions}"),
        ("restore_published", f"{{model: {NAME}_monthly}}", "no earlier version of nps_summary_mo"),
        ("list_published", "{model: 1}", f"no summary is called 1. {models}"),
    ):
        said = changed.build_fails("run-operation", command, "--args", arguments)
        assert expected in said
        assert "Nothing was changed." in said
    assert everything(changed) == before
