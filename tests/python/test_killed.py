"""A load killed between any two of its steps leaves the old rows or the new; the next completes."""

import signal

import pytest
from pipeline import Forked

DAY = "2026-07-01"


@pytest.mark.deep(because="the state machine kills loads too")
@pytest.mark.only(
    "postgres", because="test_redshift drops the connection before and after each statement"
)
def test_killed_before_each_step(new_pipeline):
    pipeline = new_pipeline([{"name": "t", "primary_key": ["id"], "cursor": "day"}])
    pipeline.mysql(
        "create table t (id int primary key, v int, day datetime not null, key (day))",
        f"insert into t values (0, 0, '{DAY}'), (1, 1, '{DAY}'), (999, 1, '2026-07-02')",
    )
    pipeline.load("--start-date", DAY, "--end-date", "2026-07-03")

    def state():
        window = pipeline.raw("t where _run_date = '2026-07-01'", "id, v")
        return window, pipeline.value("select count(*) from raw_data._loads")

    outcomes = []
    with Forked(pipeline) as forked:
        for step in range(1000):
            # A row changes, one goes, one comes: old and new windows differ in every way.
            pipeline.mysql(
                f"update t set v = v + 1 where id = 0 or id = {step + 1}",
                f"delete from t where id = {step}" if step else "select 1",
                f"insert into t values ({step + 2}, {step}, '{DAY}')",
            )
            source = pipeline.mysql(f"select id, v from t where day = '{DAY}' order by id")
            old_rows, old_loads = state()
            ended = forked.run("loader", "load", "--run-date", DAY, die_before=step)
            rows, loads = state()
            if ended == 0:
                break
            assert ended == -signal.SIGKILL
            # Rows and ledger row together, or neither.
            assert (rows, loads) in [(old_rows, old_loads), (source, old_loads + 1)]
            outcomes.append("old" if loads == old_loads else "new")
            pipeline.load("--run-date", DAY)
            assert state()[0] == source
            assert pipeline.staged() == []
    assert rows == source
    assert outcomes.count("old") > 10
    assert outcomes[-1] == "new"  # killed after COMMIT, while it cleaned up
