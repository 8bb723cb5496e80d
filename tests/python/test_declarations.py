"""A wrong declaration must be refused before anything is touched, by file, table and key."""

import re

import pytest
import yaml
from pipeline import ROOT, write_sources

from loader.declared import yaml_file
from loader.declared.settings import SETTINGS, environment, load_settings
from loader.declared.tables import read_tables, select_tables
from loader.errors import CommandLineError, ConfigError

GOOD = {"name": "nps", "primary_key": ["id"], "cursor": "updated_at"}
SETTINGS_THAT_WORK = {
    "LOADER_MYSQL_HOST": "db.example.com",
    "LOADER_MYSQL_USER": "loader",
    "LOADER_MYSQL_PASSWORD": "hunter2",
    "LOADER_S3_BUCKET": "landing",
}


def test_the_projects_own_declarations_are_read():
    schema, tables = read_tables(ROOT)
    assert "raw_data" in schema
    assert list(tables) == [
        "nps", "channel", "user_session_channel", "session_timestamp", "session_transaction",
    ]  # fmt: skip
    assert tables["nps"].primary_key == ("id",)
    assert tables["nps"].deleted == "is_deleted"
    assert tables["channel"].cursor is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"primary_key": None}, "table nps: primary_key is missing"),
        ({"primary_key": []}, "table nps: primary_key is missing"),
        ({"primary_key": "id"}, "table nps: primary_key is 'id'"),
        ({"source": "nps"}, "table nps: source is 'nps'"),
        ({"lookback_days": -1}, "table nps: lookback_days is -1"),
        ({"lookback_days": "one"}, "table nps: lookback_days is 'one'"),
        ({"cursr": "updated_at"}, "table nps: meta.loader has no key cursr"),
    ],
)
def test_a_wrong_declaration_is_named(tmp_path, change, message):
    write_sources(tmp_path, "prod", [{**GOOD, **change}])
    with pytest.raises(ConfigError, match=message):
        read_tables(tmp_path)


def test_a_policy_that_nobody_knows_is_named(tmp_path):
    column = {"name": "score", "config": {"meta": {"loader": {"on_unrepresentable": "round"}}}}
    write_sources(tmp_path, "prod", [{**GOOD, "columns": [column]}])
    with pytest.raises(ConfigError, match="column score: on_unrepresentable is 'round'"):
        read_tables(tmp_path)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("@hunter2", "line 2: while scanning for the next token, found character"),
        ("!hunter2", "line 2: could not determine a constructor for the tag …"),
        ("!hun't'er2", "line 2: could not determine a constructor for the tag …"),
        ("*hunter2", "line 2: found undefined alias"),
        ("[hunter2", "while parsing a flow sequence"),
        ("hunter2: hunter2", "line 2: mapping values are not allowed"),
        ("!!bool hunter2", "such as a day, that is none"),
        ("2026-02-30 # hunter2", "such as a day, that is none"),
        ("[" * 9_999 + "]" * 9_999, "profiles.yml"),
        ("hunter2 \udcff", "such as a day, that is none"),
    ],
)
@pytest.mark.parametrize("parser", [yaml.CSafeLoader, yaml.SafeLoader])
def test_what_is_not_yaml_is_told_without_its_text(tmp_path, monkeypatch, written, message, parser):
    """It may be a profile's password, in whatever build of PyYAML."""
    monkeypatch.setattr(yaml_file, "_LOADER", parser)
    file = tmp_path / "profiles.yml"
    file.write_text(f"outputs:\n  password: {written}\n", "utf-8", "surrogateescape")
    with pytest.raises(ConfigError) as refusal:
        yaml_file.read_yaml(file)
    assert message in str(refusal.value)
    assert not {"hunter2", "er2"} & set(re.findall(r"\w+", str(refusal.value)))


def grown(written):
    """A text whose every line holds the one before nine times."""
    lines = [f"x{n}: &{n} {written.replace('*', f'*{n - 1}')}" for n in range(1, 30)]
    return "\n".join(["x0: &0 {a: hunter2}", *lines, "boom: *29", ""])


BOMBS = {
    "lists": grown(f"[{', '.join('*' * 9)}]"),
    "mappings": grown("{a: *, b: *, c: *}"),
    "merges": grown(f"{{<<: [{', '.join('*' * 9)}]}}"),
    "texts": f"x: &x {'hunter2' * 10_000}\nboom: [{', '.join(['*x'] * 1_000)}]\n",
    "a circle": "boom: &x [hunter2, *x]\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_aliases_that_grow_without_end_are_refused_at_once(tmp_path, bomb):
    file = write_sources(tmp_path, "prod", [GOOD]) / "models" / "more.yml"
    file.write_text(BOMBS[bomb])
    with pytest.raises(ConfigError, match=r"models/more.yml: its aliases hold one another") as told:
        read_tables(tmp_path)
    assert "hunter2" not in str(told.value)


def test_a_value_that_is_wrong_is_not_shown_to_its_end(tmp_path):
    write_sources(tmp_path, "prod", [{**GOOD, "primary_key": [1] * 1_000_000}])
    with pytest.raises(ConfigError, match=r"primary_key is \[1, 1, .* …") as told:
        read_tables(tmp_path)
    assert len(told.value.fact) < 11_000


def test_aliases_that_only_repeat_something_are_read(tmp_path):
    file = tmp_path / "models.yml"
    file.write_text("tests: &t [not_null, unique]\ncolumns: [" + "{tests: *t}, " * 2_000 + "]\n")
    assert len(yaml_file.read_yaml(file)["columns"]) == 2_000


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "models" / "more.yml").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"models/more.yml cannot be read: Is a directory\."):
        read_tables(tmp_path)


def test_a_file_that_is_not_yaml_is_named(tmp_path):
    write_sources(tmp_path, "prod", [GOOD])
    (tmp_path / "models" / "more.yml").write_text("models:\n  - name: @nps\n")
    with pytest.raises(ConfigError, match=r"models/more.yml, line 2: "):
        read_tables(tmp_path)


def test_a_folder_without_declarations_says_where_to_run(tmp_path):
    with pytest.raises(ConfigError, match="Run the loader in the dbt project's root"):
        read_tables(tmp_path)


def test_an_unknown_table_lists_the_known_ones(tmp_path):
    _, tables = read_tables(write_sources(tmp_path, "prod", [GOOD]))
    with pytest.raises(CommandLineError, match="Known tables: nps"):
        select_tables(tables, ("npss",))


def test_a_table_named_twice_is_loaded_once(tmp_path):
    _, tables = read_tables(write_sources(tmp_path, "prod", [GOOD]))
    assert [table.name for table in select_tables(tables, ("nps", "nps"))] == ["nps"]


@pytest.mark.parametrize(
    "name", [name for name, setting in SETTINGS.items() if setting.default is None]
)
def test_a_missing_setting_is_named_with_its_meaning(name):
    env = {key: value for key, value in SETTINGS_THAT_WORK.items() if key != name}
    with pytest.raises(ConfigError, match=name):
        load_settings(env, "redshift")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOADER_MYSQL_PORT", "no number"),
        ("LOADER_PART_MB", "0"),
        ("LOADER_MYSQL_TLS", "maybe"),
        ("LOADER_KEEP_PARTS", "sometimes"),
        ("LOADER_TIMEZONE", "Mars/Olympus"),
    ],
)
def test_a_setting_that_means_nothing_is_named(name, value):
    with pytest.raises(ConfigError, match=name):
        load_settings({**SETTINGS_THAT_WORK, name: value}, "redshift")


def test_tls_is_verified_unless_the_server_is_this_machine():
    assert load_settings(SETTINGS_THAT_WORK, "redshift").mysql.tls == "verify"
    here = {**SETTINGS_THAT_WORK, "LOADER_MYSQL_HOST": "127.0.0.1"}
    assert load_settings(here, "local").mysql.tls == "off"


def test_no_secret_is_in_what_settings_print():
    assert "hunter2" not in repr(load_settings(SETTINGS_THAT_WORK, "redshift"))


def test_the_embedded_services_win_over_the_callers_account_for_local_only(tmp_path, monkeypatch):
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "local.env").write_text("AWS_ACCESS_KEY_ID=local\nAWS_PROFILE=\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_PROFILE", "production")
    assert environment(tmp_path, "local")["AWS_ACCESS_KEY_ID"] == "local"
    assert "AWS_PROFILE" not in environment(tmp_path, "local")
    assert environment(tmp_path, "redshift")["AWS_ACCESS_KEY_ID"] == "AKIAREAL"
    assert environment(tmp_path, "redshift")["AWS_PROFILE"] == "production"
