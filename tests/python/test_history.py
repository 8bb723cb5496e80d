"""A snapshot looks at what has landed since the one before; its history is a whole one's."""

import re

import pytest
from history import assert_histories_equal, keep_whole_histories

pytestmark = pytest.mark.deep(because="the state machine keeps each history twice too")
BUILD = ("run", "--select", "staging", "core")
DAY = "2026-07-01"


@pytest.fixture(scope="module")
def kept(new_project):
    """A project that keeps each history twice: as it does, and by comparing whole tables."""
    pipeline = new_project()
    keep_whole_histories(pipeline.folder)
    pipeline.few_rows(DAY)
    pipeline.load("--full-refresh")
    pipeline.build(*BUILD)
    for _ in range(2):  # the first one makes the table, the second one notes what it has seen
        pipeline.build("snapshot")
    return pipeline


def versions(pipeline, key):
    return pipeline.query(
        "select score, cast(dbt_is_deleted as varchar), dbt_valid_to is null from "
        f"analytics.nps_history where response_id = {key} order by dbt_valid_from, dbt_valid_to"
    )


def snapshot(pipeline, *build):
    pipeline.build(*BUILD, *build)
    pipeline.build("snapshot")
    assert_histories_equal(pipeline)


def test_what_changed_ends_its_version_and_nothing_else_is_looked_at(kept):
    kept.mysql(
        "update nps set score = 9, updated_at = '2026-07-02' where id = 1",
        "update nps set is_deleted = 1, updated_at = '2026-07-02' where id = 2",
        "insert into nps (id, user_id, score, created_at, updated_at) "
        "values (10, 1, 5, '2026-07-02', '2026-07-02')",
    )
    kept.load("--run-date", "2026-07-02")
    snapshot(kept, "--vars", "run_date: 2026-07-02")
    assert versions(kept, 1) == [(5, "False", False), (9, "False", True)]
    assert len(versions(kept, 2)) == 2
    assert len(versions(kept, 10)) == 1

    kept.query("update analytics.nps set score = 0 where response_id = 5")  # landed by nobody
    kept.build("snapshot", "--select", "nps_history")
    assert versions(kept, 5) == [(5, "False", True)]
    kept.query("update analytics.nps set score = 5 where response_id = 5")


def test_a_deletion_that_a_repair_landed_ends_a_version_once(kept):
    kept.mysql("delete from nps where id = 3")
    done = kept.loader("verify", "--select", "nps", "--repair", "--yes")
    assert "repair" in done.stdout
    snapshot(kept, "--vars", f"run_date: {DAY}")  # a build of a window takes no row away
    assert len(versions(kept, 3)) == 1
    for _ in range(2):
        snapshot(kept)
        assert versions(kept, 3) == [(5, "False", False), (5, "True", True)]
    snapshot(kept, "--vars", f"run_date: {DAY}")  # nor does it bring one back
    assert len(versions(kept, 3)) == 2


def test_whole_landings_and_full_refreshes_are_looked_at_whole(kept):
    kept.mysql("delete from nps where id = 4", "update nps set score = 1 where id = 6")
    kept.load("--full-refresh", "--select", "nps")
    snapshot(kept)
    assert versions(kept, 4) == [(5, "False", False), (5, "True", True)]
    assert len(versions(kept, 6)) == 2
    kept.query("delete from raw_data.nps where id = 7")  # as one that has moved to another window
    snapshot(kept, "--full-refresh")
    assert versions(kept, 7) == [(5, "False", False), (5, "True", True)]
    kept.load("--run-date", DAY)
    snapshot(kept)
    assert versions(kept, 7)[-1] == (5, "False", True)


def test_what_a_comparison_brought_and_took_away_is_looked_at_and_nothing_else(kept):
    file = kept.folder / "models" / "sources" / "_raw_data__sources.yml"
    of_days = r"cursor: updated_at(\s+deleted: is_deleted)\s+lookback_days: 1"
    file.write_text(re.sub(of_days, r"mode: compare\1", file.read_text(), count=1))
    kept.load("--full-refresh", "--select", "nps")  # by what it is compared by from now on
    snapshot(kept)
    for statements in (
        ("update nps set score = 2 where id = 8", "delete from nps where id = 9"),
        ("insert into nps (id, user_id, score, created_at, updated_at) values "
         f"(9, 1, 5, '{DAY}', '{DAY}')", "delete from nps where id = 8"),
    ):  # fmt: skip
        kept.mysql(*statements)
        load = kept.load("--select", "nps")["nps"]
        assert (load["mode"], load["landed_rows"]) == ("compare", 2)
        snapshot(kept)
    assert versions(kept, 8) == [(5, "False", False), (2, "False", False), (2, "True", True)]
    assert versions(kept, 9)[-2:] == [(5, "True", False), (5, "False", True)]
    kept.query("update analytics.nps set score = 0 where response_id = 5")  # landed by nobody
    kept.build("snapshot", "--select", "nps_history")
    assert versions(kept, 5) == [(5, "False", True)]
