"""What a load would do, said without doing it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loader.declared.settings import Settings
from loader.errors import LoaderError
from loader.load.job import Job, Outcome
from loader.load.window import new_load, plan_load
from loader.source import mysql
from loader.source.read_plan import Description
from loader.warehouse import Warehouse


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a job would do.

    Attributes:
        source_rows: the rows that the window holds now.
        files: how many staged files, estimated from the engine's average row.
        changes: what would change of the raw table's columns.
        statements: the SQL, in order: MySQL's first, then the warehouse's.
    """

    job: Job
    source_rows: int
    files: int
    changes: list[str]
    statements: list[str]

    def as_json(self) -> dict[str, Any]:
        """What the job would do, its days as ISO text."""
        return {
            **self.job.as_json(),
            "source_rows": self.source_rows,
            "files": self.files,
            "changes": self.changes,
            "statements": self.statements,
        }


def previews(
    jobs: Sequence[Job], settings: Settings, warehouse: Warehouse
) -> Iterator[Preview | Outcome]:
    """Say of every job what it would do, or what would stop it; touch nothing."""
    for job in jobs:
        try:
            yield preview(job, settings, warehouse)
        except LoaderError as error:
            warehouse.release()
            yield Outcome(job=job, load=None, error=error)


def preview(job: Job, settings: Settings, warehouse: Warehouse) -> Preview:
    """Say what landing a window would do, and touch nothing.

    Raises:
        ConfigError, SourceError, LandingError: what would stop the load before it reads.
    """
    table = job.table
    with mysql.connect(settings.mysql) as source, mysql.snapshot(source, table):
        plan = plan_load(job, new_load(job, "<load_id>"), source, warehouse, settings)
        rows = mysql.count_window(source, table, plan.read)
    return Preview(
        job=job,
        source_rows=rows,
        files=_estimated_files(rows, plan.description, settings),
        changes=[sentence for sentence, _ in plan.landing.changes],
        statements=[
            *filter(None, (plan.read.count_without_cursor, plan.read.count, plan.read.rows)),
            *(statement for _, statements in plan.landing.changes for statement in statements),
            *warehouse.landing_statements(plan.landing),
        ],
    )


def _estimated_files(rows: int, description: Description, settings: Settings) -> int:
    """How many parts the rows fill, at the fifth of their size that most text shrinks to."""
    compressed = rows * description.row_bytes // 5
    return max(1, -(-compressed // settings.stage.part_bytes))
