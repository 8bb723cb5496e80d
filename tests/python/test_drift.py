"""What happens when a table changes in MySQL; docs/adding-a-table.md tells the same."""

from dataclasses import replace

import pytest
from pipeline import copy_project

DAY_1, DAY_2 = "2026-07-01", "2026-07-02"


@pytest.fixture
def changing(project, tmp_path):
    """The project in a folder of its own, whose models a test may change, landed and built."""
    folder = copy_project(tmp_path, project.database)
    made = replace(project, folder=folder, target_folder=project.target_folder)
    made.mysql(
        "insert into user_session_channel values (1, repeat('a', 32), 'Google', '2026-07-01')",
        "insert into session_transaction values (repeat('a', 32), 0, 9.5, '2026-07-01')",
        "insert into session_timestamp values (repeat('a', 32), '2026-07-01')",
    )
    made.load("--full-refresh")
    made.build("run", "--select", "staging", "core")
    return made


def edit(pipeline, file, **changes):
    path = pipeline.folder / "models" / file
    text = path.read_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def test_experiment(changing):
    changing.mysql(
        "alter table user_session_channel modify channel varchar(64) not null",
        "insert into user_session_channel values (1, repeat('b', 32), repeat('é', 60), '2026-07-02')",
        "alter table session_transaction modify amount decimal(14,4)",
        "insert into session_transaction values (repeat('b', 32), 0, 9.1234, '2026-07-02')",
    )
    done = changing.loader("load", "--run-date", DAY_2)
    print(done.stdout, done.stderr)
    print(changing._dbt(("run", "--select", "staging", "core"))[1])
    print(changing.query("select * from analytics.session_transaction"))
    print(changing.query("select * from analytics.user_session_channel"))
    print(changing.query("select * from analytics.sessions"))
    assert 0
