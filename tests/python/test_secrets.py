"""Law 8: no secret in SQL, logs, errors, arguments, S3 keys, files or the ledger."""

import re

import pytest

TABLE = {"name": "t", "primary_key": ["id"]}


@pytest.fixture
def secrets(endpoints):
    """Every password of the embedded services."""
    written = (endpoints.folder / "secrets").read_text().splitlines()
    return [line.split("=")[1] for line in written]


def test_no_secret_is_in_anything_that_a_load_leaves(new_pipeline, secrets, monkeypatch):
    pipeline = new_pipeline([TABLE])
    pipeline.mysql("create table t (id int primary key)", "insert into t values (1)")
    statements = []
    execute = pipeline.adapter.execute

    def noted(self, statement, parameters=()):
        statements.append(f"{statement} {parameters}")
        return execute(self, statement, parameters)

    monkeypatch.setattr(pipeline.adapter, "execute", noted)
    pipeline.load(LOADER_KEEP_PARTS="always")
    said = [
        pipeline.loader(*command).stdout
        for command in (
            ["plan"],
            ["plan", "--json"],
            ["load", "--json"],
            ["status", "--json"],
            ["check"],
        )
    ]
    said += [
        pipeline.loader("load", **change).stderr
        for change in (
            {"LOADER_MYSQL_PORT": "1"},
            {"LOADER_S3_BUCKET": "nowhere"},
            {pipeline.setting("PORT"): "1"},
            {"LOADER_S3_BUCKET": None},
            {"LOADER_SLACK_WEBHOOK": secrets[0]},
        )
    ]
    said += [
        pipeline.loader("tell", LOADER_SLACK_WEBHOOK=f"http://localhost:1/{secrets[0]}").stdout
    ]
    said += [str(path) for path in pipeline.staged()]
    said += [path.read_text() for path in pipeline.staged() if path.name == "manifest.json"]
    said += [str(row) for row in pipeline.query("select * from raw_data._loads")]
    everything = "\n".join([*said, *statements])
    assert len(statements) > 5
    for secret in secrets:
        assert secret not in everything


def test_a_password_in_the_profile_is_not_shown_when_its_jinja_is_wrong(new_pipeline):
    pipeline = new_pipeline([TABLE])
    profile = pipeline.target_folder / "profiles.yml"
    profile.write_text(
        re.sub(r"password: \"{{.*}}\"", 'password: "hunter2{{ oh }"', profile.read_text())
    )
    done = pipeline.loader("load")
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr
    assert "The Jinja of `password` cannot be rendered." in done.stderr
