"""Many tables: declaring them with one command, looking at them, and the daily job of all."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.growth import Field, Line
from bench.place import Place, without_sample
from bench.tables import DATABASE, connection

MANY = "Many tables of a few columns and rows"
COUNTS = (12, 60, 300)
_LINES = 35
_DAY = "2026-08-01"
_TABLE = """(
    id int primary key, name varchar(80) not null, email_id int, status tinyint not null,
    amount decimal(12, 2), note text, created_at datetime not null,
    updated_at datetime not null, key (updated_at)
)"""


def measure(place: Place, counts: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """Declare, check, land and build so many tables, and so many."""
    lines = [vars(line) for count in counts for line in _with(place, count, say)]
    place.drop_schemas("analytics", "raw_data")
    return {MANY: lines}


def _with(place: Place, count: int, say: Callable[[str], None]) -> Iterator[Line]:
    place = without_sample(place, place.folder / "many")
    models = place.project / "models"
    before = _written(models)
    place.drop_schemas("analytics", "raw_data")
    here = Field(place=place, rows=0, runs=1, say=say)
    _fill(place, count)
    yield here.line(
        f"`loader declare PATTERN` of {count} tables",
        lambda: here.loader("declare", f"{DATABASE}.many_*"),
        "10 s",
    )
    written = (_written(models) - before) / count
    yield Line(
        what=f"… lines of YAML and SQL a table, of {count}",
        found=f"{written:.1f}",
        limit=f"{_LINES}",
    )
    for what, command in (
        ("`loader check`", ("check",)),
        ("`loader load --full-refresh`", ("load", "--full-refresh")),
        ("`loader run`, the first", ("run",)),
        ("`loader run`, nothing new", ("run",)),
        ("`loader run --run-date DATE`, of which each has three rows", ("run", "--run-date", _DAY)),
    ):
        yield here.line(f"{what} of {count} tables", lambda command=command: here.loader(*command))


def _written(models: Path) -> int:
    """How many lines the YAML and SQL of a project's models have."""
    files = [*models.rglob("*.yml"), *models.rglob("*.sql")]
    return sum(len(file.read_text().splitlines()) for file in files)


def _fill(place: Place, count: int) -> None:
    with connection(place.endpoints) as source, source.cursor() as cursor:
        for number in range(max(COUNTS)):
            cursor.execute(f"drop table if exists {DATABASE}.many_{number}")
        for number in range(count):
            name = f"{DATABASE}.many_{number}"
            cursor.execute(f"create table {name} {_TABLE}")
            cursor.execute(
                f"insert into {name} select d, 'x', d, 1, d, 'note', '2026-07-01', '{_DAY}' "
                "from (select 1 as d union select 2 union select 3) as rows_of_it"
            )
