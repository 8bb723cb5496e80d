"""What the bench found, as one table: on the terminal, and in docs/speed.md."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

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
SECTION_HEADINGS = ("what", "seconds", "peak memory", "to stay below")
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
        why = way["failed"].partition(" | ")[0]  # a bar would end the cell
        return [way["about"], f"failed: {why}", *[""] * (len(HEADINGS) - 2)]
    seconds = [run["seconds"] for run in way["runs"]]
    middle = median(seconds)
    staged = _median(way, "staged_bytes") / _MEGABYTE
    return [
        way["about"],
        _spread(seconds),
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


def text(record: Record) -> str:
    """All of it for a terminal."""
    tables = [(HEADINGS, lines(record))] if record.get("ways") else []
    written = [caption(record), *(_aligned(headings, rows) for headings, rows in tables)]
    for name, section in record.get("sections", {}).items():
        written += [name, _aligned(SECTION_HEADINGS, section_lines(section))]
    return "\n\n".join(written)


def _aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write columns below each other, the first to the left and the others to the right."""
    plain = [[cell.replace("*", "").replace("`", "") for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in plain
    )


def section_lines(lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A further section's rows, as text."""
    return [
        [
            line["what"],
            ", ".join(filter(None, [line["seconds"] and _spread(line["seconds"]), line["found"]])),
            f"{max(line['peak_bytes']) / _MEGABYTE:,.0f} MB" if line["peak_bytes"] else "",
            line["limit"],
        ]
        for line in lines
    ]


def _spread(seconds: Sequence[float]) -> str:
    """The median, and the smallest and the largest."""
    digits = 2 if median(seconds) < 1 else 1
    spread = f" ({min(seconds):.{digits}f}–{max(seconds):.{digits}f})"
    return f"{median(seconds):.{digits}f}{spread if len(seconds) > 1 else ' (once)'}"


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
    skipped = [f"{way['name']} ({way['missing']})" for way in record["ways"] if way.get("missing")]
    return "\n".join(
        [
            caption(record),
            "",
            _table(HEADINGS, lines(record)),
            *(["", f"Not here: {', '.join(skipped)}."] if skipped else []),
            *(
                f"\n### {name}\n\n{_table(SECTION_HEADINGS, section_lines(section))}"
                for name, section in record.get("sections", {}).items()
            ),
        ]
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruled = [headings, ("---", *["---:"] * (len(headings) - 1)), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in ruled)


def keep(record: Record, file: Path) -> None:
    """Write the record; the docs' tables are made anew with the docs' record.

    What this run has not measured stays as it was; day and machine are those of the ways.
    """
    if file.exists():
        kept = json.loads(file.read_text())
        sections = {**kept.get("sections", {}), **record.get("sections", {})}
        header = kept if "ways" not in record else {}
        record = {**kept, **record, **header, "sections": sections}
    file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    if file.resolve() == KEPT:
        DOCS.write_text(with_table(DOCS.read_text(), record))


def with_table(text: str, record: Record) -> str:
    """Put the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown(record)}\n{END}{after}"
