"""Law 8: no secret in SQL, logs, errors, arguments, S3 keys, files or the ledger."""

import gc

import pytest
from pipeline import administer, mysql_administrator
from standin import copying

from loader.cli.session import open_session

KEEPER = "s3cret-of-keeper"
OTHERS = ("s3cret-of-slack", "s3cret-of-mail", "s3cret-of-masking")
TOLD = {
    "LOADER_NOTIFY": f"jsons://127.0.0.1:1/services/{OTHERS[0]} "
    f"mailtos://loader:{OTHERS[1]}@127.0.0.1:1?to=ada@example.com",
    "LOADER_MASK_SALT": OTHERS[2],
}  # fmt: skip


@pytest.fixture
def logged(project, superuser, tmp_path):
    """The project as a user whose password is met nowhere else, with every log there is."""
    superuser(
        f"create role keeper login password '{KEEPER}' in role warehouse",
        "alter role keeper set log_statement = 'all'",
    )
    with mysql_administrator(project.endpoints) as cursor:
        cursor.execute(f"set global general_log_file = '{tmp_path}/mysql.log'")
        cursor.execute("set global general_log = 1")
        yield project
        cursor.execute("set global general_log = 0")
    administer(project.endpoints, "drop owned by keeper cascade", on=project.warehouse)
    superuser("drop role keeper")


def everything_in(folder):
    """The content of every file, decompressed."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path).encode()
            content = path.read_bytes()
            yield copying.decompressed(content) if path.suffix == ".zst" else content


def log_of(pipeline):
    return pipeline.standin.log if pipeline.standin else []


def test_no_secret_is_in_anything_that_a_full_run_leaves(logged, tmp_path):
    pipeline, endpoints = logged, logged.endpoints
    server_log = endpoints.folder / "postgres" / "log"
    before = server_log.stat().st_size
    statements = len(log_of(pipeline))
    as_keeper = {pipeline.setting("USER"): "keeper", pipeline.setting("PASSWORD"): KEEPER}
    pipeline.mysql(
        "insert into nps (id, user_id, score, created_at, updated_at) "
        "values (1, 1, 9, '2026-07-01', '2026-07-01')"
    )
    done = [
        pipeline.loader(*command, **as_keeper, LOADER_KEEP_PARTS="always", **changes)
        for command, changes in (
            (["load"], {}),
            (["load", "--json", "--full-refresh"], {}),
            (["plan"], {}),
            (["plan", "--json"], {}),
            (["status", "--json"], {}),
            (["check"], {}),
            (["load"], {"LOADER_MYSQL_PORT": "1"}),
            (["load"], {"LOADER_MYSQL_USER": "nobody"}),
            (["load"], {"LOADER_S3_BUCKET": "nowhere"}),
            (["load"], {"AWS_ACCESS_KEY_ID": "nobody"}),
            (["load"], {pipeline.setting("PORT"): "1"}),
            (["load"], {pipeline.setting("DATABASE"): "nowhere"}),
            (["load"], {"LOADER_S3_BUCKET": None}),
        )
    ]
    assert [each.returncode for each in done] == [0] * 6 + [1] * 7
    gc.collect()
    ran = pipeline.run(
        "loader", "run", "--full-refresh", "--select", "nps", **as_keeper, **TOLD,
        LOADER_RETRIES="0", LOADER_REPORTS=str(tmp_path / "runs"), DBT_LOG_LEVEL_FILE="debug",
        DBT_LOG_PATH=str(tmp_path / "logs"), DBT_TARGET_PATH=str(tmp_path / "target"),
    )  # fmt: skip
    assert ran.returncode == 1, ran.stdout  # one answer is too few for the summaries
    kept = [
        file
        for folder in ("runs", "logs", "target")
        for file in (tmp_path / folder).rglob("*")
        if file.is_file()
    ]
    assert {file.suffix for file in kept} >= {".json", ".log", ".sql"}
    assert [file for file in kept if file.stat().st_mode & 0o077] == []
    with pipeline.inside(**as_keeper):
        shown = repr(open_session(None))
    with server_log.open("rb") as log:
        log.seek(before)
        from_server = log.read()
    left = {
        "said": "".join(each.stdout + each.stderr for each in [*done, ran]).encode(),
        "objects": shown.encode(),
        "ledger": str(pipeline.query("select * from raw_data._loads")).encode(),
        "S3": b"".join(everything_in(pipeline.bucket / pipeline.warehouse)),
        "files": b"".join(everything_in(tmp_path)),
        "PostgreSQL": from_server,
        "Redshift": "".join(each.text for each in log_of(pipeline)[statements:]).encode(),
    }
    for met, where in (
        ("insert into", "PostgreSQL"), ("START TRANSACTION", "files"),
        ("concat(", "files"), ("merge into", "files"), ("manifest.json", "S3"),
        ("Cannot connect", "said"), ("was not notified of the run", "said"), ('"run_id"', "files"),
    ):  # fmt: skip
        assert met.lower().encode() in left[where].lower(), met
    assert not pipeline.standin or b"iam_role" in left["Redshift"]
    written = (endpoints.folder / "secrets").read_text().splitlines()
    secrets = [KEEPER, *OTHERS, *(line.split("=")[1] for line in written)]
    for secret in secrets:
        assert [where for where, text in left.items() if secret.encode() in text] == []
