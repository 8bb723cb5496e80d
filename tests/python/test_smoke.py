"""`make smoke-redshift` on the stand-in: it passes or fails as it must, and leaves nothing."""

import re
import signal
import subprocess
import sys

import pytest
import smoke
from pipeline import ROOT, administer, mysql_administrator
from project import your_own
from standin.relay import Fault

from loader.local.s3 import BUCKET

pytestmark = [
    pytest.mark.only("redshift", because="it is for those who have a cluster"),
    pytest.mark.deep(because="each step is the same as a test's of its own"),
]
ASKED = re.compile("(REDSHIFT|AWS)_|LOADER_(IAM_ROLE|S3_BUCKET|S3_PREFIX)|PATH|HOME|NO_PROXY")
PASSWORD = "a-password-0fits-Redshift"
AS_GRANTED = {"REDSHIFT_USER": "pipeline", "REDSHIFT_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def own(module_pipeline, endpoints):
    """A database of the stand-in's, and a user who has what docs/your-own.md grants."""
    pipeline = module_pipeline([])
    _, redshift = your_own("sql")
    group, user, grant = redshift.strip().split("\n")
    assert group == "create group analytics_users;"  # which PostgreSQL's has already
    grant = grant.replace("database warehouse", f"database {pipeline.warehouse}")
    administer(endpoints, user.replace("…", PASSWORD), grant)
    yield pipeline
    administer(endpoints, f"drop database {pipeline.warehouse} with (force)", "drop role pipeline")


def nothing_is_left(own, endpoints):
    assert own.staged() == []
    assert own.query("select nspname from pg_namespace where nspname like 'smoke%'") == []
    with mysql_administrator(endpoints) as cursor:
        cursor.execute("show databases like 'smoke%'")
        assert cursor.fetchall() == ()
    assert not [*(endpoints.folder / "smoke").iterdir()]


@pytest.fixture
def start(own, redshift, endpoints):
    """Start the command with the settings that its documentation asks for; nothing is left."""
    asked = {name: value for name, value in own.env.items() if ASKED.match(name)}

    def start():
        return subprocess.Popen(
            [sys.executable, "-um", "smoke", str(endpoints.folder)],
            cwd=ROOT, env={**asked, **AS_GRANTED, "PYTHONPATH": "tests/python"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    yield start
    nothing_is_left(own, endpoints)


def end_of(trial):
    """What it said, and by each step's name what became of it."""
    said, _ = trial.communicate(timeout=800)
    lines = [line.split(maxsplit=3) for line in re.findall(r"^(?:pass|FAIL) .*", said, re.M)]
    return said, {words[3].split("  ")[0]: words[0] for words in lines}


def test_every_step_passes(start):
    with start() as trial:
        said, steps = end_of(trial)
    assert trial.returncode == 0, said
    assert set(steps.values()) == {"pass"}
    assert len(steps) == 20
    assert re.search(r"\nAll steps passed in \d+ s\n", said)
    compared = f"{len(smoke.TRIPS)} columns equal"
    for found in ("1,057 rows of 5 tables", compared, "bigint", " copied"):
        assert found in said


@pytest.mark.parametrize(
    ("at", "number", "last"),
    [
        ("^copy", signal.SIGINT, "Interrupted"),
        ("insert into .*channel_group", signal.SIGTERM, "Interrupted"),
        ("^copy", None, "Failed"),
    ],
)
def test_a_trial_that_ends_early_says_why_and_drops_everything(start, redshift, at, number, last):
    with start() as trial:
        fault = Fault(at, code="XX000", text="S3ServiceException: Access Denied")
        if number:
            fault = Fault(at, action=lambda: trial.send_signal(number))
        redshift.faults.append(fault)
        said, steps = end_of(trial)
    assert trial.returncode == (130 if number else 1), said
    assert said.endswith(f"\n{last}\n")
    assert list(steps)[-1] == smoke.DROPPED
    assert steps[smoke.DROPPED] == "pass"
    assert "dbt build" not in steps
    if not number:
        assert steps["loader load --full-refresh"] == "FAIL"
        assert "S3ServiceException: Access Denied" in said


def test_what_is_missing_is_told_in_one_sentence(tmp_path):
    done = subprocess.run(
        # Whatever the requirements' dates, nothing is installed here.
        ["make", "--old-file", ".venv/installed-dev", "smoke-redshift"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
    )  # fmt: skip
    assert done.returncode == 2  # make's, for whatever its command fails with
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith(
        "Error: Missing in the environment: REDSHIFT_HOST, REDSHIFT_DATABASE, REDSHIFT_USER, "
        "REDSHIFT_PASSWORD, LOADER_IAM_ROLE, LOADER_S3_BUCKET, AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE. Nothing was touched.\n\n"
    )


@pytest.fixture(scope="module")
def place(own, endpoints):
    """A place where everything has been landed."""
    with own.inside(**AS_GRANTED), smoke.new_place(endpoints.folder) as place:
        place.load("--full-refresh")
        yield place
        place.drop()
    nothing_is_left(own, endpoints)


def test_what_cannot_be_dropped_is_told_and_the_rest_is(place, redshift):
    key = f"{place.own['LOADER_S3_PREFIX']}/left.zst"
    redshift.stage.put_object(Bucket=BUCKET, Key=key, Body=b"")
    redshift.faults.append(Fault("^drop schema", code="55006", text="it is in use"))
    with pytest.raises(AssertionError, match=r"in use(.|\n)*whose names begin with smoke_"):
        place.drop()
    assert place.files() == []
    assert place.schemas() != []
