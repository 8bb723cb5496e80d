"""Draws the pictures of the docs site's landing page from what the YAML files declare.

`python docs/pictures.py` writes them into models/overview.md as data: URIs, because dbt's static
page carries no files. A test fails when they are older than the declarations.
"""

import base64
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "models" / "overview.md"
_PROJECT = "mysql_to_redshift"
_SOURCES, _EXPOSURES = "#5fb825", "#ff694a"  # dbt's own colours for them
_ROW, _WIDE, _GAP = 19, 190, 56
_STYLE = (
    "text{font:13px Helvetica,Arial,sans-serif;fill:#333}.w{fill:#fff;font-weight:bold}"
    ".s{font-size:11.5px;fill:#5a6472}.k{font-weight:bold}.m{text-anchor:middle}.e{text-anchor:end}"
    "path{fill:none;stroke:#7b8794;stroke-width:1.5;marker-end:url(#a)}"
)
_ARROW = (
    '<marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#7b8794;stroke:none"/></marker>'
)


def way_of_a_row() -> str:
    """The stages that a row passes, in the colours of the lineage."""
    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text())
    folders = project["models"][_PROJECT]
    colour = {name: folders[name]["+docs"]["node_color"] for name in ("staging", "core", "marts")}
    for kind in ("seeds", "snapshots"):
        colour[kind] = project[kind][_PROJECT]["+docs"]["node_color"]
    stages = [
        ("MySQL", "production", "#6b7785"),
        ("S3", "parts and manifest", "#6b7785"),
        ("raw_data", "every landed version", _SOURCES),
        ("staging", "renamed and cast", colour["staging"]),
        ("core", "the newest version", colour["core"]),
        ("marts", "checked summaries", colour["marts"]),
        ("exposures", "who reads them", _EXPOSURES),
    ]
    step, parts = 146, []
    for place, (name, meaning, fill) in enumerate(stages):
        parts.append(_stage(place * step, 16, name, meaning, fill))
        if place:
            parts.append(f'<path d="M{place * step - 42} 32H{place * step - 2}"/>')
    for place, said in ((1, "loader"), (2, "COPY"), (3, "dbt")):
        parts.append(f'<text class="s m" x="{place * step - 22}" y="25">{said}</text>')
    parts += [
        _stage(4 * step, 92, "snapshots", "kept history", colour["snapshots"]),
        f'<path d="M{4 * step + 52} 66V90"/>',
        _stage(5 * step, 92, "seeds", "kept by hand", colour["seeds"]),
        f'<path d="M{5 * step + 52} 92V68"/>',
    ]
    return _svg(6 * step + 106, 144, parts)


def _stage(x: int, y: int, name: str, meaning: str, fill: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="104" height="32" rx="4" fill="{fill}"/>'
        f'<text class="w m" x="{x + 52}" y="{y + 21}">{name}</text>'
        f'<text class="s m" x="{x + 52}" y="{y + 46}">{meaning}</text>'
    )


def entities() -> str:
    """The core tables with their keys, and what the relationship tests say of them."""
    tables, relations = declared()
    related = {name for child, _, parent, _ in relations for name in (child, parent)}
    depth = {
        name: _depth(name, relations) for name in sorted(tables, key=related.__contains__)[::-1]
    }
    parts, corner, lowest = [], dict[str, tuple[int, int]](), 0
    for level in range(max(depth.values()) + 1):
        y = 4
        x = (max(depth.values()) - level) * (_WIDE + _GAP)
        for name in (name for name in depth if depth[name] == level):
            corner[name] = (x, y)
            parts.append(_entity(x, y, name, tables[name]))
            y += _ROW * (len(tables[name]) + 1) + 30
        lowest = max(lowest, y)
    for child, column, parent, field in relations:
        here, there = corner[child], corner[parent]
        start = here[1] + _ROW * (1.5 + list(tables[child]).index(column)) + 4
        end = there[1] + _ROW * (1.5 + list(tables[parent]).index(field)) + 4
        x, middle = here[0] + _WIDE, here[0] + _WIDE + _GAP / 2
        parts.append(
            f'<path d="M{x} {start}C{middle} {start} {middle} {end} {there[0] - 2} {end}"/>'
        )
        many = "0..1" if tables[child][column] else "many"
        side = -5 if end >= start else 14  # off the curve
        parts.append(f'<text class="s" x="{x + 4}" y="{start + side}">{many}</text>')
        parts.append(f'<text class="s e" x="{there[0] - 9}" y="{end - 6}">1</text>')
    return _svg((max(depth.values()) + 1) * (_WIDE + _GAP) - _GAP + 2, lowest - 20, parts)


def _entity(x: int, y: int, name: str, columns: dict[str, bool]) -> str:
    height = _ROW * (len(columns) + 1) + 8
    box = f'<rect x="{x + 1}" y="{y}" width="{_WIDE - 2}" rx="4"'
    lines = [
        f'{box} height="{height}" fill="#fff" stroke="#13315c"/>',
        f'{box} height="{_ROW + 3}" fill="#13315c"/>',
        f'<text class="w" x="{x + 9}" y="{y + 16}">{name}</text>',
    ]
    for place, (column, is_key) in enumerate(columns.items(), start=1):
        at = y + _ROW * place + 18
        lines.append(
            f'<text class="{"k" if is_key else ""}" x="{x + 9}" y="{at}">{column}</text>'
            + (f'<text class="s e" x="{x + _WIDE - 9}" y="{at}">key</text>' if is_key else "")
        )
    return "".join(lines)


Relation = tuple[str, str, str, str]


def declared() -> tuple[dict[str, dict[str, bool]], list[Relation]]:
    """What the YAML of core and seeds declares.

    Returns:
        Columns by table, and whether each is a key; and the relationship tests as child, column,
        parent and its column. Tables that no test relates to another come with the rest.
    """
    tables, relations = dict[str, dict[str, bool]](), list[Relation]()
    core = yaml.safe_load((ROOT / "models/core/_core__models.yml").read_text())["models"]
    seeds = yaml.safe_load((ROOT / "seeds/_seeds.yml").read_text())["seeds"]
    for table in (*core, *seeds):
        name = table["name"]
        if name == "sessions":  # a view that joins the others
            continue
        tables[name] = {}
        has_key = "primary_key" in dict(_test(each) for each in table.get("data_tests", []))
        for column in table["columns"]:
            if column["name"].startswith("_"):
                continue
            tests = dict(_test(each) for each in column.get("data_tests", []))
            is_first = has_key and not tables[name]  # as newest_rows has it
            tables[name][column["name"]] = is_first or "primary_key" in tests
            if found := tests.get("relationships"):
                parent = re.findall(r"'(.*)'", found["arguments"]["to"])[0]
                relations.append((name, column["name"], parent, found["arguments"]["field"]))
    return tables, relations


def _test(declared: str | dict[str, Any]) -> tuple[str, Any]:
    return (declared, {}) if isinstance(declared, str) else next(iter(declared.items()))


def _depth(name: str, relations: list[Relation]) -> int:
    """How many relations lead from a table to one that refers to none."""
    parents = [parent for child, _, parent, _ in relations if child == name]
    return 1 + max(_depth(each, relations) for each in parents) if parents else 0


def _svg(width: float, height: float, parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}"><style>{_STYLE}</style>{_ARROW}'
        f"{''.join(parts)}</svg>"
    )


def with_pictures(text: str) -> str:
    """Put the pictures of this moment into the page's text, in place of those it has."""
    for alt, draw in (("The way of a row", way_of_a_row), ("Entities", entities)):
        uri = f"data:image/svg+xml;base64,{base64.b64encode(draw().encode()).decode()}"
        text = re.sub(rf"!\[{alt}[^\]]*\]\(\S*?\)", lambda found, uri=uri: (
            f"{found[0].split('](')[0]}]({uri})"
        ), text)  # fmt: skip
    return text


if __name__ == "__main__":
    PAGE.write_text(with_pictures(PAGE.read_text()))
