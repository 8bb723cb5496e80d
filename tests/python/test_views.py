"""A view has the key that its declaration says, if it is one; MySQL knows none."""

import pytest

TABLE = {"name": "v", "primary_key": ["a", "b"]}
BASE = (
    "create table base (n int primary key, a int, b varchar(9), v int, at datetime(6) not null)",
    "insert into base select seq, seq, concat('b', seq), seq, '2026-07-01' from seq_1_to_5",
    "create view v as select a, b, v, at from base",
)


@pytest.fixture(params=[None, "at"])
def pipeline(new_pipeline, request):
    return new_pipeline([TABLE | ({"cursor": request.param} if request.param else {})], *BASE)


def test_a_view_lands_is_compared_and_repaired_by_its_declared_key(pipeline):
    assert pipeline.load()["v"]["landed_rows"] == 5
    pipeline.mysql("delete from base where n = 2", "update base set v = 9 where n = 3")
    pipeline.loader("verify", "--values", "--repair", "--yes")
    assert "agree" in pipeline.loader("verify", "--values").stdout
    pipeline.loader("check")


def test_a_key_that_is_none_is_refused_with_one_that_shows_it(pipeline):
    pipeline.load()
    before = pipeline.raw("v")
    for statement, shown in (
        ("insert into base values (7, 1, 'b1', 0, '2026-07-02')", "(1, b1)"),
        ("update base set b = if(n = 2, null, b), a = n", "(2, NULL)"),
    ):
        pipeline.mysql(statement)
        for command in (("load", "--run-date", "2026-07-02"), ("verify",), ("check",)):
            done = pipeline.loader(*command)
            said = " ".join((done.stdout + done.stderr).split())
            assert done.returncode == 1, said
            assert "is a view, and its declared key (a, b) is no key" in said
            assert shown in said
    assert pipeline.raw("v") == before
