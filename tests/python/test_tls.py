"""Law 8: a password goes to the server that it is meant for: TLS is verified by default."""

import gc
import os
import re
import subprocess
from contextlib import contextmanager

import pytest
from certificates import make_certificate
from ending import ends_servers

from loader.declared.profile import load_profile
from loader.errors import ConfigError
from loader.local import mysql
from loader.local.processes import Registry, free_port, is_listening, wait_until

TABLE = {"name": "t", "primary_key": ["id"]}
ONLY_MYSQL = pytest.mark.only("postgres", because="it ends before the warehouse")


@pytest.fixture(scope="module")
def encrypted_mysql(certificate, tmp_path_factory):
    """The port of a MySQL or MariaDB that speaks nothing but TLS."""
    own = [f"--ssl-cert={certificate[0]}", f"--ssl-key={certificate[1]}"]
    with serving(tmp_path_factory.mktemp("mysql"), *own) as port:
        yield port


@contextmanager
def serving(folder, *options):
    server, data = mysql.find_server(folder / "apt.log", print), folder / "data"
    subprocess.run(mysql.install(server, data), check=True, capture_output=True)
    init, port = folder / "init.sql", free_port()
    init.write_text(
        "create database d; create user loader@'%' identified by 'hunter2'; "
        "grant select on d.* to loader@'%'; create table d.t (id int primary key); "
        "insert into d.t values (1);\n".replace("; ", ";\n")
    )
    with (folder / "log").open("w") as log, subprocess.Popen(
        [
            server, "--no-defaults", f"--datadir={data}", f"--port={port}",
            "--bind-address=127.0.0.1", "--socket=mysql.sock", f"--init-file={init}",
            "--skip-name-resolve", "--skip-log-bin", "--require-secure-transport=1",
            "--loose-mysqlx=0", *options, *(["--user=root"] if os.geteuid() == 0 else []),
        ],
        stdout=subprocess.DEVNULL, stderr=log,
    ) as process:  # fmt: skip
        Registry(folder).remember("mysql", process.pid, port)
        with ends_servers(folder):
            wait_until(lambda: is_listening(port), "mysql", folder / "log")
            yield port


def to(port, **changes):
    return {
        "LOADER_MYSQL_HOST": "localhost", "LOADER_MYSQL_PORT": str(port),
        "LOADER_MYSQL_PASSWORD": "hunter2", "LOADER_MYSQL_TLS": "verify", **changes,
    }  # fmt: skip


@ONLY_MYSQL
def test_mysql_must_show_a_certificate_of_the_authority_for_the_host_or_of_the_authority_alone(
    new_pipeline, encrypted_mysql, certificate, tmp_path
):
    pipeline = new_pipeline([{**TABLE, "source": "d.t"}])
    ours = {"LOADER_MYSQL_TLS_CA": str(certificate[0])}
    other = {"LOADER_MYSQL_TLS_CA": str(make_certificate(tmp_path)[0])}
    there = {"LOADER_MYSQL_HOST": "127.0.0.1"}
    alone = {**there, "LOADER_MYSQL_TLS": "verify-ca"}
    for changes in (ours, ours | alone):
        assert pipeline.load(**to(encrypted_mysql, **changes))["t"]["landed_rows"] == 1
    for changes, *says in (
        ({}, "CERTIFICATE_VERIFY_FAILED", "Set LOADER_MYSQL_TLS_CA to the authority"),
        (ours | there, "IP address mismatch", "LOADER_MYSQL_TLS to verify-ca, if it names no host"),
        (other | alone, "CERTIFICATE_VERIFY_FAILED"),
        (
            {"LOADER_MYSQL_TLS": "off"},
            "insecure transport are prohibited|Access denied",
            "[Ss]et LOADER_MYSQL_TLS to verify",
            "verify-ca and its _TLS_CA|verify-ca, if it names no host",
        ),
    ):
        said = pipeline.fails(**to(encrypted_mysql, **changes))
        assert [each for each in says if not re.search(each, said)] == [], said
        assert "hunter2" not in said
    done = pipeline.loader("load", **to(encrypted_mysql, **alone), status=1)
    assert "verify-ca without LOADER_MYSQL_TLS_CA" in done.stderr


@ONLY_MYSQL
@pytest.mark.reads("mysql", because="MariaDB 10.11 makes no certificate by itself")
def test_the_certificate_that_mysql_makes_by_itself_is_verified(new_pipeline, tmp_path):
    pipeline = new_pipeline([{**TABLE, "source": "d.t"}])
    with serving(tmp_path) as port:
        asked = to(port, LOADER_MYSQL_TLS_CA=str(tmp_path / "data" / "ca.pem"))
        assert "verify-ca, if it names no host" in pipeline.fails(**asked)
        landed = pipeline.load(**{**asked, "LOADER_MYSQL_TLS": "verify-ca"})
    assert landed["t"]["landed_rows"] == 1


@ONLY_MYSQL
def test_a_mysql_without_tls_is_told_no_password(new_pipeline):
    """Whoever is on the wire could take TLS out of the server's greeting."""
    pipeline = new_pipeline([TABLE], "create table t (id int primary key)")
    refused = "SSL is required but the server doesn't support it.*LOADER_MYSQL_TLS"
    assert re.search(refused, pipeline.fails(LOADER_MYSQL_TLS="verify"), re.DOTALL)


@ONLY_MYSQL
@pytest.mark.parametrize(
    "elsewhere",
    [
        {"AWS_ENDPOINT_URL_S3": "http://s3.invalid:9000"},
        {"AWS_ENDPOINT_URL_S3": "", "AWS_ENDPOINT_URL": "http://127.0.0.1.s3.invalid"},
        {"AWS_ENDPOINT_URL_S3": "", "AWS_CONFIG_FILE": "config"},
    ],
    ids=lambda changes: list(changes)[-1],
)
def test_no_row_goes_to_another_machines_s3_in_clear(new_pipeline, tmp_path, elsewhere):
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint_url = http://s3.invalid\n")
    changes = {**elsewhere, "AWS_MAX_ATTEMPTS": "1"}
    if "AWS_CONFIG_FILE" in changes:
        changes["AWS_CONFIG_FILE"] = str(config)
    pipeline = new_pipeline([TABLE])
    pipeline.mysql("create table t (id int primary key)", "insert into t values (1)")
    for said in (pipeline.fails(**changes), pipeline.loader("check", **changes).stdout):
        assert re.search(r"S3 at [\w.]*s3.invalid is reached by http", " ".join(said.split()))
        assert "LOADER_S3_TLS" in said
    assert "Could not connect" in pipeline.fails(**changes, LOADER_S3_TLS="off")
    assert "S3 at 127.0.0.1 is reached by http" in pipeline.fails(LOADER_S3_TLS="verify")


def test_a_warehouse_without_tls_is_refused_by_default(new_pipeline):
    pipeline = new_pipeline([TABLE])
    done = pipeline.loader("load", **{pipeline.setting("SSLMODE"): None}, status=1)
    assert "Cannot connect to the warehouse" in done.stderr
    assert re.search("does not support SSL|Server refuses SSL", done.stderr), done.stderr
    assert "The target's sslmode is verify-full; PGSSLMODE" in done.stderr
    wrong = pipeline.loader("load", **{pipeline.setting("SSLMODE"): "verify-ful"}).stderr
    assert re.search("Did you mean verify-full[?]|sslmode .enum", wrong), wrong
    gc.collect()


@pytest.mark.parametrize(
    ("host", "mode", "refused"),
    [
        ("db.example.com", None, True), ("db.example.com", "verify-full", False),
        ("db.example.com", "disable", False), ("127.0.0.1", None, False),
    ],
)  # fmt: skip
def test_a_profile_that_would_verify_nothing_is_refused(tmp_path, monkeypatch, host, mode, refused):
    monkeypatch.delenv("DBT_PROFILES_DIR", raising=False)
    (tmp_path / "dbt_project.yml").write_text("profile: p\n")
    line = f"sslmode: {mode}" if mode else "threads: 4"
    (tmp_path / "profiles.yml").write_text(
        f"p: {{outputs: {{prod: {{type: postgres, host: {host}, {line}}}}}}}\n"
    )
    if not refused:
        assert load_profile(tmp_path, "prod", {}).output["host"] == host
        return
    with pytest.raises(ConfigError, match="sets no sslmode"):
        load_profile(tmp_path, "prod", {})
