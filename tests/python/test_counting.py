"""A summary that adds up counts goes on from what it has published, and is a whole one's equal."""

import independent
import pytest

DAY = "2026-07-01"
NEXT = "2026-07-02"
NAMES = ("nps_summary", "nps_summary_monthly")
MARTS = ("run", "--select", *NAMES)
NEW = {"LOADER_CHECKS": "new"}
UNSEEN = "update analytics.nps set score = {} where response_id = 1"


@pytest.fixture(scope="module")
def counted(new_project):
    """A project whose summaries were published from a few answers, and may go on from there."""
    pipeline = new_project()
    replace_in(pipeline, "models/marts/_marts__models.yml", "{percent: 20}", "{percent: 1000000}")
    pipeline.start_anew()
    pipeline.mysql(
        "insert into nps (id, user_id, score, created_at, updated_at) select seq, 1, "
        f"mod(seq * 7, 11), '{DAY}' - interval mod(seq, 40) day, '{DAY}' from seq_1_to_99"
    )
    pipeline.load("--full-refresh")
    pipeline.build("run", "--select", "stg_prod__nps", "nps")
    pipeline.build(*MARTS)
    return pipeline


def replace_in(pipeline, file, old, new):
    path = pipeline.folder / file
    path.write_text(path.read_text().replace(old, new))


def assert_right(pipeline):
    """Compare both summaries with what MySQL says, computed elsewhere."""
    answered = independent.answers(pipeline)
    independent.assert_nps_equals(pipeline, answered, NAMES[0], "D")
    independent.assert_nps_equals(pipeline, answered, NAMES[1], "M")


def goes_on(pipeline, *options, **changes):
    """Build the summaries as `loader run` does, over a row that nobody has landed.

    Returns whether they went on from what was published, and so have not seen that row.
    """
    score = pipeline.value("select score from analytics.nps where response_id = 1")
    pipeline.query(UNSEEN.format(10 - score))
    pipeline.build(*MARTS, *options, **{**NEW, **changes})
    pipeline.query(UNSEEN.format(score))
    try:
        assert_right(pipeline)
    except AssertionError:
        pipeline.build(*MARTS)
        assert_right(pipeline)
        return False
    return True


def written(pipeline):
    """Each row of the summary with the transaction that wrote it."""
    return set(pipeline.query("select answered_on, cast(xmin as text) from analytics.nps_summary"))


ROUNDS = (
    (
        f"update nps set score = 0, updated_at = '{NEXT}' where id = 2",
        f"update nps set score = null, updated_at = '{NEXT}' where id in (3, 4)",
        f"update nps set created_at = '2026-05-01', updated_at = '{NEXT}' where id between 5 and 9",
        f"insert into nps values (500, 1, 9, '2020-01-01', '{NEXT}', 0)",  # alone on its day
    ),
    (
        f"update nps set is_deleted = 1, updated_at = '{NEXT} 01:00:00' where id = 500",
        f"insert into nps values (501, 1, 9, '2026-06-30', '{DAY}', 0)",
    ),
    (f"update nps set is_deleted = 0, updated_at = '{NEXT} 02:00:00' where id = 500",),
)


def test_what_came_and_went_is_added_and_taken_away_whatever_it_is(counted):
    for changes in ROUNDS:
        counted.mysql(*changes)
        before = written(counted)
        counted.load("--start-date", DAY, "--end-date", "2026-07-03")
        if changes is ROUNDS[0]:
            counted.build("run", "--select", "nps", "--vars", f"run_date: {NEXT}")
        counted.build("run", "--select", "nps")
        assert goes_on(counted), changes
        if changes is ROUNDS[1]:  # nothing else is written
            days = {str(day) for day, _ in before ^ written(counted)}
            assert days == {"2020-01-01", "2026-06-30"}
    counted.mysql("delete from nps where id in (500, 6)")
    counted.loader("verify", "--select", "nps", "--repair", "--yes")
    counted.build("run", "--select", "nps")
    assert goes_on(counted)
    counted.mysql("delete from nps where id in (501, 7)", "update nps set score = 5 where id = 8")
    counted.load("--full-refresh", "--select", "nps")
    counted.build("run", "--select", "nps")
    assert goes_on(counted)
    assert goes_on(counted)  # where nothing happened
    # What every summary has counted is not kept; one that has not counted it counts everything.
    assert counted.value("select count(*) from archive._changes_nps") < 20
    counted.query("update analytics._publications set counted_up_to = 0")
    counted.build(*MARTS, **NEW)
    assert_right(counted)


@pytest.mark.deep(because="it builds thirty times; a changed rule is tried always")
def test_everything_is_counted_where_it_may_be_another(counted):
    published = "analytics.nps_summary"
    assert goes_on(counted)
    assert not goes_on(counted, LOADER_CHECKS="all")
    assert not goes_on(counted, LOADER_CHECKS=None)
    assert not goes_on(counted, "--full-refresh")
    assert goes_on(counted)
    counted.query(f"update {published} set detractors = detractors + 1, passives = passives - 1")
    assert not goes_on(counted)
    counted.query(f"delete from {published} where responses < 3")
    counted.query(f"insert into {published} select * from {published} limit 2")
    assert not goes_on(counted)
    assert goes_on(counted)
    counted.build("run", "--select", "nps", "--full-refresh")
    assert not goes_on(counted)
    counted.query("drop table archive._changes_nps")
    assert not goes_on(counted)
    counted.build("run", "--select", "nps")
    assert not goes_on(counted)
    assert goes_on(counted)
    for file, *texts in (
        ("macros/nps.sql", "not is_deleted", "not is_deleted and current_date > '2020-01-01'"),
        (f"models/marts/{NAMES[0]}.sql", "* from scored", "*, cast(1 as float) as f from scored"),
    ):
        replace_in(counted, file, *texts)
        counted.build(*MARTS)
        assert not goes_on(counted), file
        replace_in(counted, file, *reversed(texts))
    counted.build(*MARTS)


def test_a_changed_rule_counts_for_every_row_and_for_none_that_is_held_meanwhile(counted):
    assert goes_on(counted)
    whole = "sum(case when band = 'promoter' then answer_count else 0 end)"
    half = f"cast(0.5 * {whole} as numeric(12, 1))"
    replace_in(counted, "macros/nps.sql", whole, half)
    promoters = "select sum(promoters) from analytics.nps_summary"
    published = counted.value(promoters)
    for _ in range(2):  # whole, then only what came and went
        counted.build(*MARTS, **NEW)
        assert counted.value(promoters) * 2 == published
    held = "{% do mysql_to_redshift.restore_published(model.name, hold=true) if not only_tag %}"
    replace_in(
        counted, "macros/run_checks.sql", "{{ return(failed) }}", held + "{{ return(failed) }}"
    )
    assert "nps_summary stays as it is: somebody holds it" in counted.build(*MARTS)
    assert counted.value(promoters) == published
    counted.query("delete from analytics._held_back")
    replace_in(counted, "macros/run_checks.sql", held, "")
    replace_in(counted, "macros/nps.sql", half, whole)
    assert not goes_on(counted)
