"""What the project brings up to date narrowly, kept a second time by looking at whole tables."""

import re
from pathlib import Path

from independent import MARTS
from pipeline import Pipeline

HISTORIES = {
    # core table: its key, what a version consists of, what becomes of deleted rows
    "nps": ("response_id", "user_id, score, is_deleted, answered_at, updated_at", "new_record"),
    "session_transaction": ("session_id", "amount, is_refunded, updated_at", "invalidate"),
    "channel": ("channel_name", "channel_name", "new_record"),
}
_CONFIG = "{{unique_key: {}, strategy: check, check_cols: [{}], updated_at: {}, hard_deletes: {}}}"


def keep_whole_histories(folder: Path) -> None:
    """Add a snapshot beside each one of the project that asks otherwise, and so for all."""
    declared = ["snapshots:"]
    for table, (key, columns, deletes) in HISTORIES.items():
        updated_at = "null" if table == "channel" else "_loaded_at"
        config = _CONFIG.format(key, columns, updated_at, deletes)
        declared.append(f"  - {{name: {table}_whole, config: {config}}}")
        if not any(table in file.read_text() for file in (folder / "snapshots").glob("_*.yml")):
            declared.append(
                f"  - {{name: {table}_history, relation: ref('{table}'), config: {config}}}"
            )
        (folder / "snapshots" / f"{table}_whole.sql").write_text(
            f"{{% snapshot {table}_whole %}}\n"
            f"select * from {{{{ ref('{table}') }}}} where 1 = 1\n{{% endsnapshot %}}\n"
        )
    (folder / "snapshots" / "whole.yml").write_text("\n".join(declared))


def assert_histories_equal(pipeline: Pipeline) -> None:
    """Compare each with its whole one; a deletion's time is when each was taken."""
    for table, (key, columns, deletes) in HISTORIES.items():
        if not pipeline.value(f"select to_regclass('analytics.{table}_history')"):
            continue
        deleted = "dbt_is_deleted" if deletes == "new_record" else "'False'"
        dated = "null" if table == "channel" else "dbt_valid_from"
        read = (
            f"select {key}, {columns}, {deleted}, dbt_valid_to is null, "
            f"case when {deleted} = 'False' then {dated} end from analytics.{table}_{{}} "
            "order by {key}, dbt_valid_from, dbt_valid_to, 1"
        )
        read = read.replace("{key}", key)
        assert pipeline.query(read.format("history")) == pipeline.query(read.format("whole")), table


SUMMARIES = tuple(MARTS)


def keep_whole_summaries(folder: Path) -> None:
    """Add a view beside each summary, which counts everything."""
    for name in SUMMARIES:
        text = (folder / "models" / "marts" / f"{name}.sql").read_text()
        view = "{{ config(materialized='kept_view', bind=false) }}"
        all_rows = r"(select *, 1 as copies from {{ \1 }}) as all_rows"
        whole = re.sub(r"(?s)\{\{ rows_to_count\(\s*(ref\('\w+'\)).*?\) \}\}", all_rows, text)
        assert whole != text
        (folder / "models" / "marts" / f"{name}_whole.sql").write_text(
            re.sub(r"\{\{ config\(.*\) \}\}", view, whole)
        )


def assert_summaries_equal(pipeline: Pipeline) -> None:
    """Compare each with its whole one, after both have been built from the same rows."""
    for name in SUMMARIES:
        rows = f"(select * from analytics.{name}{{}} except select * from analytics.{name}{{}})"
        differing = f"{rows.format('', '_whole')} union all {rows.format('_whole', '')}"
        assert pipeline.query(differing) == [], name
