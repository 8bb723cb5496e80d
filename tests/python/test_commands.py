"""The commands of the README as a person types them, after the demo, in the project's root."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from ending import ends_servers
from pipeline import BIN, COMPILED, DBT_FILES, ROOT, must_end, mysql_administrator

from loader.errors import ConfigError
from loader.local import mysql, processes, services

COMMANDS = (
    "dbt build --vars 'run_date: 2026-07-01'",
    "loader load",
    "loader load --run-date 2026-07-01",
    "loader load --start-date 2026-07-01 --end-date 2026-07-03 --select nps channel",
    "loader load --full-refresh --select channel",
    "loader plan --run-date 2026-07-01 --sql",
    "loader status",
    "loader verify",
    "loader check",
    "python -m loader status",
    "dbt debug",
    "dbt docs generate",
    "dbt source freshness",
    "dbt build",
    "dbt build --full-refresh",
    "dbt build --full-refresh --select nps",
    "dbt build --vars 'minimum_rows_scale: 0.01'",
    "dbt build --vars 'allow_row_change: true' --select nps_summary",
    "dbt run",
    "dbt run --full-refresh",
    "dbt run --full-refresh --select nps+",
    "dbt run-operation list_published",
    "dbt run-operation list_published --args '{model: nps_summary}'",
    "dbt run-operation lift_hold --args '{model: nps_summary}'",
    "dbt run-operation prune_raw_data --args '{days: 90, dry_run: false}'",
    "dbt test",
    "dbt snapshot",
    "dbt seed",
    "loader report",
    "python -m loader.local mysql 'select count(*) from nps'",
    "python -m loader.local postgres 'select * from analytics.nps_summary_monthly'",
    "loader run --wait 3600",
    "loader run --start-date 2026-07-01 --end-date 2026-07-03 --step day --resume "
    "--parallel 4 --select nps",
)
DEMO_FILES = (*DBT_FILES, "loader", "profiles.yml.example")
DEMO = pytest.mark.deep(because="`make demo` is a step of CI's by itself")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A folder like a fresh clone, with the demo run in it under the least environment."""
    folder = tmp_path_factory.mktemp("clone")
    for name in DEMO_FILES:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    with ends_servers(folder / ".local"):
        yield folder, type_in(folder, "python", "-m", "loader.local", "demo", status=0).stdout


def type_in(folder, *words, status=None, **changes):
    env = {"PATH": f"{BIN}:/usr/bin:/bin:/usr/sbin", "HOME": str(folder), **COMPILED, **changes}
    env |= {mysql.GIVEN: os.environ[mysql.GIVEN]} if mysql.GIVEN in os.environ else {}
    done = subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=800,
    )  # fmt: skip
    return must_end(status, done)


@DEMO
def test_the_demo_ends_on_its_screen(demo):
    _, screen = demo
    assert re.search(r"nps +161,896 +161,896 +161,896", screen)
    months = re.findall(r"^ (20\d\d-\d\d) +[\d,]+ +-?\d+\.\d +\d+\.\d +█", screen, re.M)
    assert len(months) == 24
    assert "first \\ last" in screen
    for command in ("make play", "loader status", "make docs"):
        assert command in screen


@DEMO
def test_a_second_demo_reuses_everything(demo):
    """And stays on this machine, whatever warehouse the caller's environment points at."""
    folder, _ = demo
    # Of a table that is neither declared nor in MySQL any more.
    load = "'1', 'of_old', 'catch_up', '2026-07-01', '2026-07-01', 'landed', 0, 0, 0, 0"
    written = (
        "insert into raw_data._loads (load_id, table_name, mode, started_at, ended_at, outcome, "
        f"source_rows, staged_rows, copied_rows, landed_rows) values ({load})"
    )
    type_in(folder, "python", "-m", "loader.local", "postgres", written, status=0)
    began = time.monotonic()
    elsewhere = {"DBT_TARGET": "postgres", "PGHOST": "127.0.0.1", "PGPORT": "1"}
    done = type_in(folder, "python", "-m", "loader.local", "demo", status=0, **elsewhere)
    assert "Filling MySQL" not in done.stdout
    assert "$ loader load" not in done.stdout
    assert time.monotonic() - began < 60


@DEMO
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works_as_typed(demo, command):
    folder, _ = demo
    words = [word.replace("'", "") for word in re.findall(r"'[^']*'|\S+", command)]
    done = type_in(folder, *words, status=0)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert not re.search(r"\bWARN(ING)?\b(?!=0)", said), said
    assert "eprecat" not in said


@DEMO
def test_everything_that_was_left_behind_lies_in_one_folder(demo):
    folder, _ = demo
    made = {path.name for path in folder.iterdir()} - {Path(name).name for name in DEMO_FILES}
    assert made == {".local", "profiles.yml", "target", "logs"}
    for name in ("target", "logs"):
        assert (folder / name).resolve().is_relative_to(folder / ".local")
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"/.local/", "/profiles.yml", "/target", "/logs"} <= set(ignored)


@DEMO
def test_the_services_of_the_demo_stop_and_start_again_and_leave_nothing(demo):
    """Last in this file: down ends what up started, clean leaves nothing."""
    folder, _ = demo
    state = json.loads((folder / ".local" / "services.json").read_text())
    assert set(state) == {"mysql", "postgres", "s3"}
    down = type_in(folder, "python", "-m", "loader.local", "down")
    assert "Stopped s3, postgres, mysql" in down.stdout
    # A process that has ended has no command line, even before init takes note of it.
    commands = [Path(f"/proc/{entry['pid']}/cmdline") for entry in state.values()]
    assert not any(command.exists() and command.read_bytes() for command in commands)
    assert "Nothing was running" in type_in(folder, "python", "-m", "loader.local", "down").stdout
    done = type_in(folder, "loader", "status", status=1)
    assert "Run `make up` to start the embedded services." in done.stderr
    type_in(folder, "python", "-m", "loader.local", "up", status=0)
    type_in(folder, "loader", "status", status=0)
    written = (profiles := folder / "profiles.yml").read_text()
    profiles.write_text(written.replace("password: local", "password: guessed"))
    assert "Check the target in profiles.yml" in type_in(folder, "loader", "status").stderr
    profiles.write_text(written)
    # A row that is mended today, as the docs try it, moves no day.
    mended = "update nps set updated_at = now() where id = 1"
    type_in(folder, "python", "-m", "loader.local", "mysql", mended)
    played = type_in(folder, "python", "-m", "loader.local", "play").stdout
    assert "2026-08-01: " in played
    assert "loader run --start-date 2026-07-31 --end-date 2026-08-02" in played
    type_in(folder, "python", "-m", "loader.local", "clean", status=0)
    assert {path.name for path in folder.iterdir()} == {Path(name).name for name in DEMO_FILES}


# -- the embedded services -----------------------------------------------------------------------


def test_a_port_that_somebody_has_is_left_alone(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert processes.free_port(port) != port


def test_profiles_yml_follows_the_port_and_keeps_what_else_was_written(tmp_path):
    shutil.copy(ROOT / "profiles.yml.example", tmp_path)
    services.prepare_project(tmp_path, 54330)
    profile = tmp_path / "profiles.yml"
    assert "env_var('LOCAL_PG_PORT', '54330')" in profile.read_text()
    assert services.profile_is_ours(tmp_path)
    profile.write_text(profile.read_text() + "# my own line\n")
    services.prepare_project(tmp_path, 54331)
    assert "env_var('LOCAL_PG_PORT', '54331')" in profile.read_text()
    assert profile.read_text().endswith("# my own line\n")
    assert not services.profile_is_ours(tmp_path)


def test_a_process_that_got_the_same_number_is_not_ended(tmp_path):
    registry = processes.Registry(tmp_path)
    with subprocess.Popen(["sleep", "60"]) as other:
        registry.remember("mysql", other.pid, 1)
        file = tmp_path / "services.json"
        entries = json.loads(file.read_text())
        entries["mysql"]["started"] -= 1000
        file.write_text(json.dumps(entries))
        assert not registry.stop("mysql")
        assert other.poll() is None
        other.terminate()


def test_a_mysql_that_somebody_else_runs_can_be_used(endpoints, tmp_path, monkeypatch):
    """What SAMPLE_MYSQL is for; the server of the tests stands for compose.yaml's."""
    with mysql_administrator(endpoints) as cursor:
        cursor.execute("drop user if exists root@'127.0.0.1'")
        cursor.execute("create user root@'127.0.0.1' identified by 'local'")
        cursor.execute("grant all privileges on *.* to root@'127.0.0.1' with grant option")
        try:
            monkeypatch.setenv("SAMPLE_MYSQL", "127.0.0.1:1")
            with pytest.raises(ConfigError, match="Cannot use the MySQL"):
                services.up(tmp_path, print)
            monkeypatch.setenv("SAMPLE_MYSQL", f"127.0.0.1:{endpoints.mysql_port}")
            found = services.up(tmp_path, print)
            assert found.mysql_port == endpoints.mysql_port
            assert services.down(tmp_path) == ["s3", "postgres"]
        finally:
            cursor.execute("drop user root@'127.0.0.1'")
            for user, secret in (
                ("loader", endpoints.env["LOADER_MYSQL_PASSWORD"]),
                ("sample", endpoints.admin_password),
            ):
                cursor.execute(f"alter user '{user}'@'%' identified by '{secret}'")


def test_without_a_mysql_server_one_sentence_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.delenv(mysql.GIVEN, raising=False)
    monkeypatch.setattr(mysql.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ConfigError, match="No MySQL server is installed") as refusal:
        mysql.find_server(tmp_path / "log", print)
    for way in ("apt-get install", "brew install", "docker compose up", "LOADER_TEST_MYSQLD="):
        assert way in refusal.value.remedy
    monkeypatch.setenv(mysql.GIVEN, "/nowhere/mysqld")
    with pytest.raises(ConfigError, match="LOADER_TEST_MYSQLD=/nowhere/mysqld is no program"):
        mysql.find_server(tmp_path / "log", print)


def test_a_server_is_given_by_its_path_and_opens_no_other_ones_data(tmp_path, monkeypatch):
    """It is the only one here: a program that ends well, and says that it is MySQL."""
    given, home = tmp_path / "mysqld", tmp_path / "mysql"
    given.write_text("#!/bin/sh\necho 'Ver 9.7.0 for Linux (MySQL Community Server)'\n")
    given.chmod(0o755)
    monkeypatch.setenv(mysql.GIVEN, str(given))
    assert mysql.find_server(tmp_path / "log", print) == str(given)
    command = mysql.install(str(given), home / "data")
    assert "--initialize-insecure" in command
    assert ("--user=root" in command) == (os.geteuid() == 0)
    (home / "data" / "mysql").mkdir(parents=True)
    (home / "data" / "aria_log_control").touch()
    with pytest.raises(ConfigError, match="read only their own data") as refusal:
        mysql.start(home.parent, processes.Registry(tmp_path), {}, print, 64)
    assert "make clean" in refusal.value.remedy


def test_passwords_are_readable_by_their_owner_alone(endpoints):
    for name in ("secrets", "local.env", "mysql/init.sql"):
        assert (endpoints.folder / name).stat().st_mode & 0o077 == 0


def test_no_password_is_an_argument_of_a_process(endpoints):
    entries = json.loads((endpoints.folder / "services.json").read_text())
    secrets = dict(line.split("=") for line in (endpoints.folder / "secrets").read_text().split())
    for entry in entries.values():
        arguments = Path(f"/proc/{entry['pid']}/cmdline").read_bytes().decode()
        assert not any(secret in arguments for secret in secrets.values())


def test_the_warehouses_owner_is_no_superuser(new_pipeline):
    is_superuser = "select rolsuper from pg_roles where rolname = 'warehouse'"
    assert new_pipeline([]).value(is_superuser) is False
