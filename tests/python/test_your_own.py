"""What docs/your-own.md tells people to paste is enough, and no more than is needed."""

import json
import re

import pytest
from pipeline import ROOT, mysql_administrator
from project import your_own

from loader.declared.settings import SETTINGS
from loader.declared.tables import read_tables

ACTIONS = {
    "put_object": {"s3:PutObject"},
    "get_object": {"s3:GetObject"},
    "delete_objects": {"s3:DeleteObject"},
    "list_objects_v2": {"s3:ListBucket"},
}
"""What S3 asks of who calls boto3's methods. [AWS: Service Authorization Reference, Amazon S3]."""


def policies():
    return [json.loads(block)["Statement"] for block in your_own("json")]


def actions_of(statement):
    actions = statement["Action"]
    return {actions} if isinstance(actions, str) else set(actions)


def test_the_loaders_policy_has_what_its_calls_need_and_no_more():
    code = "".join(path.read_text() for path in (ROOT / "loader" / "stage").glob("*.py"))
    client = r"client(?:\(\))?\."
    called = set(re.findall(rf"{client}(?!get_paginator)(\w+)\(|get_paginator\(\"(\w+)", code))
    assert {one or other for one, other in called} == set(ACTIONS)
    statements = policies()[0]
    assert set.union(*map(actions_of, statements)) == set.union(*ACTIONS.values())
    folder = f"{SETTINGS['LOADER_S3_PREFIX'].default}/*"
    for statement in statements:
        arn = "arn:aws:s3:::BUCKET"
        if "s3:ListBucket" in actions_of(statement):
            assert statement["Condition"] == {"StringLike": {"s3:prefix": folder}}
        else:
            # s3:prefix is a condition key of ListBucket alone.
            assert "Condition" not in statement
        if "s3:PutObject" in actions_of(statement):
            arn += f"/{folder}"
        assert statement["Resource"] == arn


def test_the_clusters_role_may_only_read():
    assert set.union(*map(actions_of, policies()[1])) == {"s3:GetObject", "s3:ListBucket"}


@pytest.mark.only("postgres", because="only MySQL's grants are tried")
def test_mysqls_grants_are_enough(project, endpoints):
    grants, _ = your_own("sql")
    _, tables = read_tables(ROOT)
    assert set(re.findall(r"grant select on (\S+) ", grants)) == {
        f"{table.database}.{table.source}" for table in tables.values()
    }
    granted = (
        grants.replace("'loader'@'10.0.%'", "'pasted'@'127.0.0.1'")
        .replace(" require ssl", "")  # the embedded server has no certificate
        .replace("on prod.", f"on {project.database}.")
    )
    with mysql_administrator(endpoints) as cursor:
        try:
            for statement in granted.strip().split(";")[:-1]:
                cursor.execute(statement)
            user = {"LOADER_MYSQL_USER": "pasted", "LOADER_MYSQL_PASSWORD": "…"}
            project.loader("check", **user, status=0)
            project.loader("load", **user, status=0)
        finally:
            cursor.execute("drop user 'pasted'@'127.0.0.1'")
