"""What a load would do, said without doing it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loader.declared.settings import Settings
from loader.errors import LoaderError
from loader.load.job import Job, Outcome, now
from loader.source import mysql
from loader.source.masking import check_salt, masking, salt_id
from loader.source.read_plan import Description, check_declaration, plan_read
from loader.stage import s3
from loader.warehouse import Landing, Warehouse
from loader.warehouse.ledger import Load


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
    """Say what `land` would do, and touch nothing.

    Raises:
        ConfigError, SourceError, LandingError: what would stop the load before it reads.
    """
    table = job.table
    with mysql.connect(settings.mysql) as source, mysql.snapshot(source, table):
        description = mysql.describe(source, table)
        check_declaration(table, description, warehouse.dialect, warehouse.raw_columns)
        read = plan_read(table, description, job.window, settings.zone, warehouse.dialect)
        masking(table, read, settings.mask_salt)
        rows = mysql.count_window(source, table, read)
    load = Load(
        load_id="<load_id>",
        table_name=table.name,
        mode=job.mode,
        window_start=job.window.start,
        window_end=job.window.end,
        started_at=now(),
        salt_id=salt_id(read, settings.mask_salt),
        manifest=f"s3://{settings.stage.bucket}/"
        f"{s3.folder_of(settings.stage, table.name, '<load_id>')}/manifest.json",
    )
    check_salt(load, warehouse.loads(table.name) if load.salt_id else [])
    line = warehouse.line(table, read.fields)
    form = warehouse.form(read.columns, load.load_id)
    landing = Landing(table=table, load=load, columns=read.columns, line=line, form=form)
    changes = warehouse.column_changes(table, read.columns, is_whole=job.window.is_whole)
    return Preview(
        job=job,
        source_rows=rows,
        files=_estimated_files(rows, description, settings),
        changes=[sentence for sentence, _ in changes],
        statements=[
            *filter(None, (read.count_without_cursor, read.count, read.rows)),
            *(statement for _, statements in changes for statement in statements),
            *warehouse.landing_statements(landing),
        ],
    )


def _estimated_files(rows: int, description: Description, settings: Settings) -> int:
    """How many parts the rows fill, at the fifth of their size that most text shrinks to."""
    compressed = rows * description.row_bytes // 5
    return max(1, -(-compressed // settings.stage.part_bytes))
