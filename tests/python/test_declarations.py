"""A wrong declaration must be refused before anything is touched, by file, table and key."""

import re

import pytest
from click.testing import CliRunner
from pipeline import ROOT, column, write_sources

from loader.cli import loader
from loader.declared import yaml_file
from loader.declared.settings import SETTINGS, environment, load_settings
from loader.declared.tables import read_tables, select_tables
from loader.errors import CommandLineError, ConfigError

GOOD = {"name": "nps", "primary_key": ["id"], "cursor": "updated_at", "deleted": "is_deleted"}
SETTINGS_THAT_WORK = {
    "LOADER_MYSQL_HOST": "db.example.com",
    "LOADER_MYSQL_USER": "loader",
    "LOADER_MYSQL_PASSWORD": "hunter2",
    "LOADER_S3_BUCKET": "landing",
}


COMPARED = "`mode: compare` is for a table that has a key and no cursor."
WRONG_COLUMNS = [
    ([column("v", maks="hash")], "column v: meta.loader has no key maks"),
    ([column("v", mask="sha1")], "column v: mask is 'sha1'"),
    ([column("v", mask=None)], "column v: mask is None"),
    ([column("v", mask=["hash"])], "column v: mask is \\['hash'\\]"),
    ([column("v", exclude="yes")], "column v: exclude is 'yes'"),
    ([column("v", pii="yes")], "column v: pii is 'yes'"),
    ([column("v", mask="hash", exclude=True)], "column v declares hash and exclude"),
    ([column("v", mask="drop", on_unrepresentable="null")], "column v declares null and drop"),
    ([{"name": "v", "meta": {"loader": "hash"}}], "column v: meta.loader has no key hash"),
    ([column("v", mask="hash"), column("V")], "column v is declared twice"),
    *(
        ([column(name, **policy)], f"column {name.lower()} is the table's {role}, .*{change}")
        for name, role, policy, change in (
            ("Updated_At", "cursor", {"mask": "hash"}, "hash"),
            ("updated_at", "cursor", {"exclude": True}, "exclude"),
            ("updated_at", "cursor", {"on_unrepresentable": "text"}, "text"),
            ("is_deleted", "deleted", {"mask": "drop"}, "drop"),
            ("is_deleted", "deleted", {"mask": "hash"}, "hash"),
            ("ID", "primary_key", {"mask": "drop"}, "drop"),
            # Two keys could become one.
            ("id", "primary_key", {"on_unrepresentable": "strip"}, "strip"),
        )
    ),
]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"columns": columns}, f"nps, {message}") for columns, message in WRONG_COLUMNS),
        ({"mode": "compare"}, COMPARED),
        ({"mode": "compare", "primary_key": [], "cursor": None}, COMPARED),
        ({"primary_key": []}, r"nps: primary_key is \[\], and a cursor needs a key"),
        ({"primary_key": "id"}, "table nps: primary_key is 'id'"),
        ({"primary_key": [1] * 10_000}, r"primary_key is \[1, 1, .*\.\.\.\]"),
        ({"source": "nps"}, "table nps: source is 'nps'"),
        ({"cursor": 1}, "table nps: cursor is 1"),
        ({"lookback_days": -1}, "table nps: lookback_days is -1"),
        ({"every": "0d"}, "table nps: every is '0d'.\n\nWrite a number of days, such as 7d."),
        ({"lookback_days": "one"}, "table nps: lookback_days is 'one'"),
        *(({"exclude_rows": no}, "nps: exclude_rows is ") for no in ("", "  ", None, True, ["a"])),
        ({"cursr": "updated_at"}, r"has no key cursr\.\n\nDid you mean cursor\? Known"),
    ],
)
def test_a_wrong_declaration_is_named(tmp_path, change, message):
    write_sources(tmp_path, "prod", [{**GOOD, **change}])
    with pytest.raises(ConfigError, match=message) as refused:
        read_tables(tmp_path)
    assert refused.value.fact.startswith("models/sources.yml, table nps")
    assert len(refused.value.fact) < 300


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("@hunter2", "line 2: while scanning for the next token, found character"),
        ("!hun't'er2", "line 2: could not determine a constructor for the tag …"),
        ("*hunter2", "line 2: found undefined alias"),
        ("hunter2: hunter2", "line 2: mapping values are not allowed"),
        ("2026-02-30 # hunter2", "such as a day, that is none"),
        ("hunter2 \udcff", "such as a day, that is none"),
    ],
)
def test_what_is_not_yaml_is_named_without_its_text(tmp_path, written, message):
    """It may be a profile's password."""
    file = tmp_path / "profiles.yml"
    file.write_text(f"outputs:\n  password: {written}\n", "utf-8", "surrogateescape")
    with pytest.raises(ConfigError) as refusal:
        yaml_file.read_yaml(file)
    assert message in str(refusal.value)
    assert not {"hunter2", "er2"} & set(re.findall(r"\w+", str(refusal.value)))


def test_aliases_that_hold_one_another_without_end_are_not_written_out(tmp_path):
    nested = "\n".join(f"x{n}: &{n} [{', '.join([f'*{n - 1}'] * 9)}]" for n in range(1, 30))
    table = "{name: nps, config: {meta: {loader: {primary_key: [id], source: *29}}}}"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sources.yml").write_text(
        f"x0: &0 [hunter2]\n{nested}\nsources: [{{name: raw_data, tables: [{table}]}}]\n"
    )
    with pytest.raises(ConfigError, match="table nps: source is ") as refused:
        read_tables(tmp_path)
    assert "hunter2" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "models" / "more.yml").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"models/more.yml cannot be read: Is a directory\."):
        read_tables(tmp_path)


def test_a_folder_without_declarations_says_where_to_run(tmp_path):
    with pytest.raises(ConfigError, match="Run the loader in the dbt project's root"):
        select_tables(read_tables(tmp_path)[1], ())


def test_tables_are_selected_by_name(tmp_path):
    _, tables = read_tables(write_sources(tmp_path, "prod", [GOOD]))
    assert [table.name for table in select_tables(tables, ("nps", "nps"))] == ["nps"]
    with pytest.raises(CommandLineError, match="Known tables: nps"):
        select_tables(tables, ("npss",))


def test_settings_that_are_missing_are_all_named_with_their_meaning():
    needed = [name for name, setting in SETTINGS.items() if setting.default is None]
    assert needed == list(SETTINGS_THAT_WORK)
    with pytest.raises(ConfigError) as refused:
        load_settings(dict.fromkeys(needed, ""), "redshift")
    for name in needed:
        assert f"{name} ({SETTINGS[name].meaning})" in refused.value.fact


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("LOADER_MYSQL_PORT", "no number", "a whole number, 1 or more"),
        ("LOADER_PART_MB", "0", "a whole number, 1 or more"),
        ("LOADER_RETRIES", "-1", "a whole number, 0 or more"),
        ("LOADER_MYSQL_TLS", "maybe", "one of: auto, verify, verify-ca, off"),
        ("LOADER_KEEP_PARTS", "sometimes", "one of: never, on_failure, always"),
        ("LOADER_TIMEZONE", "Mars/Olympus", "UTC or Asia/Seoul"),
        ("LOADER_MASK_SALT", "hunter2", "16 random ones"),
    ],
)
def test_a_setting_that_means_nothing_is_named(name, value, remedy):
    with pytest.raises(ConfigError, match=name) as refused:
        load_settings({**SETTINGS_THAT_WORK, name: value}, "redshift")
    assert remedy in refused.value.remedy
    assert "hunter2" not in str(refused.value)


def test_the_docs_and_the_help_list_every_setting():
    rows = [
        f"| `{name}` | {setting.meaning} | {f'`{setting.default}`' if setting.default else ''} |"
        for name, setting in SETTINGS.items()
    ]
    table = "\n".join(("| Variable | Meaning | Default |", "|---|---|---|", *rows))
    assert table in (ROOT / "docs" / "your-own.md").read_text(), f"paste there:\n{table}"
    shown = CliRunner().invoke(loader, ["check", "--help"]).output
    for name, setting in SETTINGS.items():
        assert f"{name} " in shown
        assert setting.meaning in shown


def test_tls_is_verified_unless_the_server_is_this_machine_and_no_secret_is_printed():
    settings = load_settings(SETTINGS_THAT_WORK, "redshift")
    assert settings.mysql.tls == "verify"
    assert "hunter2" not in repr(settings)
    here = {**SETTINGS_THAT_WORK, "LOADER_MYSQL_HOST": "127.0.0.1"}
    assert load_settings(here, "local").mysql.tls == "off"


def test_the_embedded_services_win_over_the_callers_account_for_local_only(tmp_path, monkeypatch):
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "local.env").write_text(
        "AWS_ACCESS_KEY_ID=local\nAWS_PROFILE=\nLOADER_MYSQL_URL=\nLOADER_MYSQL_HOST=127.0.0.1\n"
    )
    monkeypatch.setattr("loader.declared.settings.SAMPLE", tmp_path)
    monkeypatch.setenv("LOADER_MYSQL_URL", "mysql://own")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_PROFILE", "production")
    assert environment(tmp_path, "local")["AWS_ACCESS_KEY_ID"] == "local"
    assert "AWS_PROFILE" not in environment(tmp_path, "local")
    assert environment(tmp_path, "redshift")["AWS_ACCESS_KEY_ID"] == "AKIAREAL"
    assert environment(tmp_path, "redshift")["AWS_PROFILE"] == "production"
    assert "LOADER_MYSQL_URL" not in environment(tmp_path, "local")
    monkeypatch.setattr("loader.declared.settings.SAMPLE", tmp_path / "taken out")
    assert environment(tmp_path, "local")["LOADER_MYSQL_URL"] == "mysql://own"
    assert "LOADER_MYSQL_HOST" not in environment(tmp_path, "local")
