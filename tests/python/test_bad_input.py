"""Bad input: one sentence and its remedy, the right exit status, nothing changed, no traceback."""

import gc
import re
from dataclasses import replace

import pytest
from pipeline import copy_project

from loader.source import mysql

DAY = "2026-07-01"
TABLE = {"name": "t", "primary_key": ["id"], "cursor": "updated_at"}
CREATE = (
    "create table t (id int primary key, v varchar(20), updated_at datetime null, key (updated_at))"
)


@pytest.fixture(scope="module")
def pipeline(module_pipeline):
    """A table that has been landed once; whatever goes wrong, its rows stay."""
    made = module_pipeline([TABLE], CREATE, f"insert into t values (1, 'one', '{DAY}')")
    made.load("--run-date", DAY)
    return made


@pytest.fixture
def refused(pipeline):
    """Run the loader, which must refuse and leave everything as it was."""
    before = pipeline.raw("t")

    def run(*arguments, status=1, says=(), **changes):
        done = pipeline.loader(*arguments, **changes, status=status)
        for words in says:
            assert words in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        fact, _, remedy = done.stderr.strip().partition("\n\n")
        assert fact.count("\n") == 0
        assert remedy
        for secret in ("LOADER_MYSQL_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
            assert pipeline.endpoints.env[secret] not in done.stdout + done.stderr
        assert pipeline.raw("t") == before

    return run


def test_a_process_of_its_own_ends_the_same_way(pipeline):
    """The other tests call the command line within this process."""
    done = pipeline.run("loader", "load", "--select", "tt", status=2)
    fact, remedy = "No declared table is called tt.", "Did you mean t? Known tables: t."
    assert done.stderr == f"Error: {fact}\n\n{remedy}\n"
    done = pipeline.run("loader", "load", LOADER_MYSQL_PORT="1", status=1)
    assert "Cannot connect to MySQL" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


REFUSED = {
    # what changes of the environment, and the words that say what is wrong
    "a bucket that may not be written": (
        {"AWS_SECRET_ACCESS_KEY": "guessed"}, ["S3 bucket raw-landing"],
    ),
    "no setting": (
        {"LOADER_MYSQL_PASSWORD": None}, ["Missing in the environment", "LOADER_MYSQL_PASSWORD"],
    ),
    "no variable of the profile": (
        {"DATABASE": None}, ["asks for the environment variable", "DATABASE"],
    ),
    "an AWS profile that is not there": ({"AWS_PROFILE": "nowhere"}, ["nowhere", "AWS"]),
    "an endpoint that is no address": ({"AWS_ENDPOINT_URL_S3": "garbage"}, ["Invalid endpoint"]),
    "no profile": ({"DBT_PROFILES_DIR": "/"}, ["No profiles.yml", "profiles.yml.example"]),
    "a wrong password": ({"PASSWORD": "guessed"}, ["Cannot connect to the warehouse"]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_missing_or_wrong_around_the_loader_is_named(refused, pipeline, what):
    changes, words = REFUSED[what]
    own = {"DATABASE", "PASSWORD"}
    changes = {pipeline.setting(name) if name in own else name: to for name, to in changes.items()}
    refused("load", says=words, **changes)
    gc.collect()


def test_a_name_without_its_option_and_an_unknown_target(refused):
    refused("load", "t", status=2, says=["Did you mean --select t?"])
    refused("load", "--target", "prod", says=["Known targets: local, postgres, redshift"])


@pytest.mark.only("redshift", because="PostgreSQL's COPY needs no role")
def test_a_missing_role_is_named_before_anything_is_read(refused):
    refused("load", says=["LOADER_IAM_ROLE is not set"], LOADER_IAM_ROLE=None)


# -- the source ----------------------------------------------------------------------------------


def test_a_zero_timestamp_in_the_cursor_is_not_missed_in_silence(new_pipeline):
    """MySQL 8 would take a constant before 1970 for one that no TIMESTAMP is less than."""
    pipeline = new_pipeline([TABLE])
    pipeline.mysql(
        "create table t (id int primary key, updated_at timestamp null, key (updated_at))",
        f"insert into t values (1, '{DAY}'), (2, '0000-00-00')",
    )
    done = pipeline.loader("load", "--run-date", DAY)
    assert "in 1 row, which" in done.stderr
    pipeline.mysql("delete from t where id = 2")
    plan = pipeline.loader("plan", "--run-date", DAY, "--sql").stdout
    assert "is null or `updated_at` < '1970-01-01 00:00:01'" in plan


def test_a_fault_of_the_loaders_own_is_one_sentence_and_in_the_ledger(new_pipeline, monkeypatch):
    pipeline = new_pipeline([TABLE, {**TABLE, "name": "u"}])
    pipeline.mysql(CREATE, CREATE.replace("table t", "table u"))
    describe = mysql.describe

    def faulty(source, table):
        if table.name == "u":
            raise RuntimeError("hunter2")
        return describe(source, table)

    pipeline.load()
    monkeypatch.setattr(mysql, "describe", faulty)
    for command, left in (("load --full-refresh", "landed"), ("verify --repair", "compared")):
        done = pipeline.loader(*command.split(), status=1)
        assert re.search(rf"u  failed: RuntimeError at \S+; nothing was {left}", done.stderr)
        assert "hunter2" not in done.stderr + done.stdout
    assert re.search("t .* agree", done.stdout)
    outcomes = dict(
        pipeline.query("select table_name, outcome from raw_data._loads order by load_id")
    )
    assert outcomes == {"t": "landed", "u": "failed"}


# -- dbt -----------------------------------------------------------------------------------------


def test_dbt_before_anything_was_landed(project):
    said = project.build_fails("build")
    assert "raw_data.nps" in said
    assert f"not been landed in {project.kind} yet. Run `loader load` first." in said
    assert project.query("select 1 from pg_tables where schemaname = 'analytics'") == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("run_dat: 2026-07-01", "no var is called run_dat. Known vars: run_date, start_date"),
        *(
            pytest.param(*each, marks=pytest.mark.deep(because="dbt reads the project for each"))
            for each in (
                ("run_date: '2026-02-30'", "'2026-02-30' is not a day of the calendar"),
                ("{start_date: 2026-07-02, end_date: 2026-07-02}", "is not after start_date"),
                ("run_date: 01.07.2026", "run_date '01.07.2026' is not a date"),
                ("start_date: 2026-07-01", "do not make a window"),
                ("{run_date: 2026-07-01, end_date: 2026-07-02}", "do not make a window"),
                ("run_date:", "the var run_date is empty"),
                ("run_date: 2026-07-01", "--full-refresh rebuilds from all of raw_data"),
                ("nps_low_sample: abc", "nps_low_sample is abc"),
                ("keep_published: -1", "keep_published is -1"),
                ("minimum_rows_scale: zero", "minimum_rows_scale is zero"),
                ("allow_row_change: maybe", "allow_row_change is maybe. Write true or false."),
            )
        ),
    ],
)
@pytest.mark.only("postgres", because="nothing is asked of the warehouse")
def test_a_wrong_var(project, given, words):
    option = ["--full-refresh"] if words.startswith("--full-refresh") else []
    said = project.build_fails("run", "--vars", given, *option)
    assert words in said
    assert "Nothing was built." in said
    assert "Finished running  in" in said
    assert project.query("select 1 from pg_tables where schemaname = 'analytics'") == []


@pytest.mark.deep(because="dbt reads a project of its own for each")
@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.only("postgres", because="nothing is asked of the warehouse")
def test_a_var_of_ones_own_is_no_wrong_one(project, tmp_path, installed):
    """Of a project that this one is installed in, or declared beside this one's own."""
    folder = tmp_path / "dbt_packages" / "mysql_to_redshift" if installed else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    copy_project(folder, "prod")
    file = tmp_path / "dbt_project.yml"
    if installed:
        file.write_text("{name: shop, profile: mysql_to_redshift}")
    else:
        file.write_text(file.read_text().replace("vars:\n", "vars:\n  country: us\n", 1))
    said = replace(project, folder=tmp_path).build_fails("run", "--vars", "country: kr")
    assert "no var is called" not in said
    assert "Run `loader load` first" in said  # the next check


@pytest.mark.deep(because="test_redshift tries the flag beside it always")
@pytest.mark.only("postgres", because="dbt-redshift's autocommit still sends BEGIN and COMMIT")
def test_autocommit_would_break_the_publish_and_is_refused(project, tmp_path):
    profile = (project.target_folder / "profiles.yml").read_text()
    (tmp_path / "profiles.yml").write_text(
        profile.replace("      sslmode:", "      autocommit: true\n      sslmode:", 1)
    )
    done = project.dbt("run", DBT_PROFILES_DIR=str(tmp_path))
    assert done.returncode != 0
    assert "autocommit" in done.stdout
