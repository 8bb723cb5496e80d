"""What the bench found, as one table: on the terminal, and in docs/speed.md."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from rich.table import Table as Grid

from bench.place import ROOT

Record: TypeAlias = dict[str, Any]
"""What is kept of a bench: the machine, the tables, and of every way its runs."""
DOCS = ROOT / "docs" / "speed.md"
KEPT = ROOT / "docs" / "speed.json"
BEGIN, END = "<!-- the bench writes from here -->", "<!-- to here -->"
HEADINGS = (
    "way", "seconds", "× raw pipe", "its CPU, s", "MySQL's CPU, s", "peak memory", "staged",
    "rows/s", "MB/s",
)  # fmt: skip
_MEGABYTE = 1_000_000


def lines(record: Record) -> list[list[str]]:
    """The table's rows, as text: medians, and of the seconds the smallest and the largest."""
    raw = next((way for way in record["ways"] if way["name"] == "raw" and way["runs"]), None)
    base = _median(raw, "seconds") if raw else None
    return [_line(record, way, base) for way in record["ways"] if not way.get("missing")]


def _line(record: Record, way: Mapping[str, Any], base: float | None) -> list[str]:
    if way.get("wrong"):
        return [way["about"], f"wrong: {', '.join(way['wrong'])}", *[""] * (len(HEADINGS) - 2)]
    if way.get("failed"):
        return [way["about"], f"failed: {way['failed']}", *[""] * (len(HEADINGS) - 2)]
    seconds = [run["seconds"] for run in way["runs"]]
    middle = median(seconds)
    spread = f" ({min(seconds):.1f}–{max(seconds):.1f})" if len(seconds) > 1 else " (once)"
    staged = _median(way, "staged_bytes") / _MEGABYTE
    return [
        way["about"],
        f"{middle:.1f}{spread}",
        f"{middle / base:.2f}" if base else "",
        f"{_median(way, 'cpu'):.1f}",
        f"{_median(way, 'mysql_cpu'):.1f}",
        f"{_median(way, 'peak_bytes') / _MEGABYTE:,.0f} MB",
        f"{staged:,.0f} MB" if staged else "–",
        f"{sum(record['rows'].values()) / middle:,.0f}",
        f"{record['bytes'] / middle / _MEGABYTE:,.0f}",
    ]


def _median(way: Mapping[str, Any], name: str) -> float:
    return float(median(run[name] for run in way["runs"]))


def grid(record: Record) -> Grid:
    """The table for a terminal."""
    made = Grid(*HEADINGS, title=caption(record), title_justify="left", box=None)
    for column in made.columns[1:]:
        column.justify = "right"
    for line in lines(record):
        made.add_row(line[0].replace("*", "").replace("`", ""), *line[1:])
    return made


def caption(record: Record) -> str:
    """What was measured, where."""
    tables = " and ".join(f"{rows:,} rows of {name}" for name, rows in record["rows"].items())
    machine = record["machine"]
    return (
        f"{tables}, {record['bytes'] / _MEGABYTE:.0f} MB on the wire; {machine['cores']} cores, "
        f"{machine['mysql']}, PostgreSQL {machine['postgres']}, Python {machine['python']}, "
        f"{record['day']}."
    )


def markdown(record: Record) -> str:
    """The table for the docs."""
    table = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *lines(record)]
    skipped = [f"{way['name']} ({way['missing']})" for way in record["ways"] if way.get("missing")]
    return "\n".join(
        [
            caption(record),
            "",
            *(f"| {' | '.join(row)} |" for row in table),
            *(["", f"Not here: {', '.join(skipped)}."] if skipped else []),
        ]
    )


def keep(record: Record, file: Path) -> None:
    """Write the record; the docs' table is made anew with the docs' record."""
    file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    if file.resolve() == KEPT:
        DOCS.write_text(with_table(DOCS.read_text(), record))


def with_table(text: str, record: Record) -> str:
    """Put the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown(record)}\n{END}{after}"


def shares(record: Record, names: Sequence[str]) -> dict[str, float]:
    """How long some ways take, in times of the raw pipe."""
    by_name = {way["name"]: way for way in record["ways"] if way["runs"]}
    return {
        name: _median(by_name[name], "seconds") / _median(by_name["raw"], "seconds")
        for name in names
        if name in by_name
    }
