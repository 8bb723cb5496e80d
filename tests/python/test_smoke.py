"""`make smoke-redshift` on the stand-in: it passes or fails as it must, and leaves nothing."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline import ROOT, administer, mysql_administrator
from project import your_own
from smoke import steps
from smoke.making import new_place
from smoke.place import SmokeError
from standin.relay import Fault, conflict

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


@pytest.fixture
def start(own, redshift, endpoints):
    """Start the command with the settings that its documentation asks for; nothing is left."""
    asked = {name: value for name, value in own.env.items() if ASKED.match(name)}

    def start():
        return subprocess.Popen(
            [sys.executable, "-m", "smoke", "--home", str(endpoints.folder)],
            cwd=ROOT, env={**asked, **AS_GRANTED, "PYTHONPATH": "tests/python"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    yield start
    nothing_is_left(own, endpoints)


def nothing_is_left(own, endpoints):
    assert own.staged() == []
    assert own.query("select nspname from pg_namespace where nspname like 'smoke%'") == []
    with mysql_administrator(endpoints) as cursor:
        cursor.execute("show databases like 'smoke%'")
        assert cursor.fetchall() == ()
    assert not [path for path in (endpoints.folder / "smoke").iterdir() if path.is_dir()]


def end_of(smoke):
    said, _ = smoke.communicate(timeout=230)
    lines = [line.split(maxsplit=3) for line in re.findall(r"^(?:pass|FAIL) .*", said, re.M)]
    return said, {words[3].split("  ")[0]: words[0] for words in lines}


DROPPED = "everything is dropped, nothing is left"


def test_every_step_passes(start, endpoints):
    with start() as smoke:
        said, steps_taken = end_of(smoke)
    assert smoke.returncode == 0, said
    assert list(steps_taken) == [*(name for name, _ in steps.STEPS), DROPPED]
    assert set(steps_taken.values()) == {"pass"}
    assert re.search(r"\nAll 19 steps passed in \d+ s\n", said)
    assert not list((endpoints.folder / "smoke").glob("*.log"))
    for found in ("1,057 rows of 5 tables", "51 columns equal", "1 row archived", "bigint"):
        assert found in said


def test_a_step_that_fails_is_told_and_everything_is_dropped(start, redshift):
    redshift.faults.append(Fault("^copy", code="XX000", text="S3ServiceException: Access Denied"))
    with start() as smoke:
        said, steps_taken = end_of(smoke)
    assert smoke.returncode == 1, said
    assert steps_taken["loader load --full-refresh"] == "FAIL"
    assert list(steps_taken)[-1] == DROPPED
    assert steps_taken[DROPPED] == "pass"
    assert "S3ServiceException: Access Denied" in said
    assert "dbt seed" not in said
    (log,) = re.findall(r"\nFailed; what every command said: (.*)", said)
    assert "$ loader load --json --full-refresh" in Path(log).read_text()


@pytest.mark.parametrize(
    ("number", "at"), [(signal.SIGINT, "^copy"), (signal.SIGTERM, "insert into .*channel_group")]
)
def test_ctrl_c_drops_everything(start, redshift, number, at):
    with start() as smoke:
        redshift.faults.append(Fault(at, action=lambda: smoke.send_signal(number)))
        said, steps_taken = end_of(smoke)
    assert smoke.returncode == 130, said
    assert "\nInterrupted; what every command said: " in said
    assert steps_taken[DROPPED] == "pass"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (
            {},
            "REDSHIFT_HOST, REDSHIFT_DATABASE, REDSHIFT_USER, REDSHIFT_PASSWORD, "
            "LOADER_IAM_ROLE (role that Redshift's COPY reads the bucket with), "
            "LOADER_S3_BUCKET (bucket that the files are staged in), "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        ),
        (
            {
                "REDSHIFT_METHOD": "iam", "REDSHIFT_HOST": "h", "REDSHIFT_DATABASE": "d",
                "LOADER_IAM_ROLE": "default", "LOADER_S3_BUCKET": "b",
                "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
            },
            "REDSHIFT_USER",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_in_one_sentence(tmp_path, given, missing):
    done = subprocess.run(
        # Whatever the requirements' dates, nothing is installed here.
        ["make", "--old-file", ".venv/installed", "smoke-redshift"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true",
             **given},
    )  # fmt: skip
    assert done.stdout == ""
    assert done.stderr.startswith(
        f"Error: Missing in the environment: {missing}. Nothing was touched.\n\n"
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 2  # make's, for whatever its command fails with


# -- a step must notice --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(own, endpoints):
    """A place where everything has been landed."""
    with own.inside(**AS_GRANTED), new_place(endpoints.folder, print) as place:
        steps.land_everything(place)
        yield place
        place.drop()
    nothing_is_left(own, endpoints)


DUPLICATE = "insert into {0} select * from {0} where _run_date = '2026-07-31' limit 1"
RESCORE = "update {} set score = -1 where _run_date = '2026-07-31'"


@pytest.mark.parametrize(
    ("step", "behind_its_back", "complaint"),
    [
        # When it looks: a row that came earlier would be replaced, or counted with the new ones.
        (steps.land_twice, ("^select id", DUPLICATE), "is not what MySQL has"),
        # While the day lands.
        (steps.watch_landing, ("^copy", RESCORE), "Another session saw"),
        (steps.refuse_bad_row, ("^copy", RESCORE), "are not what they were"),
        (steps.roll_back, ("^copy", RESCORE), "are not what they were"),
    ],
)
def test_a_step_notices_what_is_not_so(place, redshift, step, behind_its_back, complaint):
    at, change = behind_its_back
    change = change.format(f"{place.schema('raw_data')}.nps")
    redshift.faults.append(Fault(at, action=lambda: place.ask(change)))
    with pytest.raises(SmokeError, match=complaint):
        step(place)
    place.load("--full-refresh", "--select", "nps")


def test_a_type_that_arrives_otherwise_is_named(place, redshift):
    table = f"{place.schema('raw_data')}.{steps.EDGES}"
    change = f"update {table} set c0 = 1 where id = 0"
    redshift.faults.append(Fault("^select c0", action=lambda: place.ask(change)))
    with pytest.raises(SmokeError, match=r"tinyint: \[-128, 127\] arrived as \[1, 127, None"):
        steps.compare_types(place)


def test_a_type_that_is_refused_is_named(place, monkeypatch):
    monkeypatch.setattr(steps, "EDGES", "others")
    monkeypatch.setattr(steps, "TRIPS", [("int", ["1"], [1]), ("geometry", ["null"], [None])])
    with pytest.raises(SmokeError, match=r"geometry: .*column c1 is geometry"):
        steps.compare_types(place)


def test_a_conflict_that_was_met_is_counted(place, redshift):
    redshift.faults.append(conflict("^delete from .*nps"))
    assert steps.land_in_conflict(place) == "a conflict, tried again 1 x"


def test_a_file_that_stays_is_noticed_and_removed(place, redshift):
    settings = place.session.settings.stage
    key = f"{settings.prefix}/left.zst"
    redshift.stage.put_object(Bucket=settings.bucket, Key=key, Body=b"")
    with pytest.raises(SmokeError, match=r"Still in the bucket: .*left\.zst"):
        steps.clean_stage(place)


def test_what_cannot_be_dropped_is_told_and_the_rest_is(place, redshift):
    settings = place.session.settings.stage
    redshift.stage.put_object(Bucket=settings.bucket, Key=f"{settings.prefix}/left.zst", Body=b"")
    redshift.faults.append(Fault("^drop schema", code="55006", text="it is in use"))
    with pytest.raises(SmokeError, match="in use") as refusal:
        place.drop()
    assert f"whose names begin with {place.name}" in refusal.value.remedy
    assert place.staged() == []
    assert place.schemas() != []
