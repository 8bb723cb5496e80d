"""Rewrite a statement of Redshift's into what PostgreSQL runs to the same end."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_PIECES = re.compile(
    r"(?P<string>'(?:[^'\\]|''|\\.)*')|(?P<name>\"(?:[^\"]|\"\")*\")"
    r"|(?P<dollar>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|(?P<comment>--[^\n]*|/\*.*?\*/)",
    re.DOTALL,
)
NAME = r"(?:\"(?:[^\"]|\"\")+\"|[\w$]+)"
RELATION = rf"{NAME}(?:\s*\.\s*{NAME}){{0,2}}"
_CREATE_TABLE = re.compile(
    rf"(?is)create\s+(?:(?:local\s+)?temp\w*\s+)?table\s+(?:if\s+not\s+exists\s+)?"
    rf"(?P<relation>{RELATION})"
)
_ADD_COLUMN = re.compile(rf"(?is)alter\s+table\s+(?P<relation>{RELATION})\s+add\s+column\b")
_DROP_COLUMN = re.compile(
    rf"(?is)alter\s+table\s+(?P<relation>{RELATION})\s+drop\s+column\s+(?P<column>{NAME})"
    r"\s*(?P<rest>cascade|restrict)?\s*;?\s*$"
)
_RENAME_COLUMN = re.compile(r"(?is)alter\s+table\s.*\srename\s+column\s")
_LATE_VIEW = re.compile(
    rf"(?is)create\s+(?:or\s+replace\s+)?view\s+(?P<relation>{RELATION})"
    r".*\bwith\s+no\s+schema\s+binding\s*;?\s*$"
)
_QUERY = re.compile(r"(?is)\bas\s*\(|\bas\s+(?=select\b|with\b)")
_ALTERS_NOTHING = re.compile(r"(?i)\s*(?:(?:re)?set\s+query_group|analyze|vacuum)\b")
_WORDS: tuple[tuple[str, str], ...] = (
    (r"\bwith\s+no\s+schema\s+binding\b", ""),
    (r"\bsysdate\b", "pg_catalog.getdate()"),
    (r"\bnvl\s*\(", "coalesce("),
    (r"\b(dateadd|datediff|date_diff)\s*\(\s*([a-z_]+)\s*,", r"\1('\2',"),
)
# What a table is declared with that PostgreSQL does not know, or that Redshift does not enforce.
_DESIGN = (
    r"\bdiststyle\s+(?:key|even|all|auto)\b",
    r"\bdistkey\b(?:\s*\([^)]*\))?",
    r"\b(?:(?:compound|interleaved)\s+)?sortkey\b(?:\s*\([^)]*\)|\s+auto\b)?",
    r",\s*(?:constraint\s+\S+\s+)?(?:primary\s+key|unique)\s*\([^)]*\)",
    r"(?<!\")\bprimary\s+key\b",
    r"(?<!\")\bunique\b(?!\")",
)
_TYPES: tuple[tuple[str, str], ...] = (
    (r"\bvarchar\s*\(\s*max\s*\)", "varchar(65535)"),
    (r"(?<!\")\b(?:character\s+varying|varchar|nvarchar|text)\b(?!\s*\(|\")", "varchar(256)"),
    (r"(?<!\")\b(?:numeric|decimal)\b(?!\s*\(|\")", "numeric(18,0)"),
)  # fmt: skip


@dataclass(frozen=True)
class Rewritten:
    """What PostgreSQL is sent, and what is to be done after it.

    Attributes:
        text: the statement for PostgreSQL.
        after: statements that follow it in the same transaction.
        commits: whether it ends the transaction, as TRUNCATE does.
    """

    text: str
    after: tuple[str, ...] = field(default=())
    commits: bool = False


def rewrite(statement: str) -> Rewritten:
    """Rewrite one statement, which `strict` has passed."""
    text = _outside_strings(statement, lambda code: _substitute(_WORDS, code)).strip()
    if _ALTERS_NOTHING.match(text):
        return Rewritten("set application_name = 'standin'")  # sends no rows
    if late := _LATE_VIEW.match(_outside_strings(statement, str).strip()):
        return Rewritten(text, (f"call pg_catalog.keep_late_view({_literal(late['relation'])})",))
    if dropped := _DROP_COLUMN.match(text):
        words = (_literal(dropped[name] or "") for name in ("relation", "column", "rest"))
        return Rewritten(f"call pg_catalog.drop_column({', '.join(words)})")
    if _RENAME_COLUMN.match(text):
        return Rewritten(text, ("call pg_catalog.bind_late_views()",))
    if re.match(r"(?i)truncate\b", text):
        return Rewritten(text, commits=True)
    if created := _CREATE_TABLE.match(text):
        return _create_table(text, created["relation"])
    if added := _ADD_COLUMN.match(text):
        limit = f"call pg_catalog.limit_bytes({_literal(added['relation'])})"
        return Rewritten(_substitute(_TYPES, text), (limit,))
    if re.match(r"(?i)(grant|revoke|alter\s+default)\b", text):
        return Rewritten(re.sub(r"(?i)\b(to|from)\s+group\s+", r"\1 ", text))
    if found := re.match(r"(?i)create\s+group\s+(.*)", text):
        return Rewritten(f"create role {found[1]}")
    return Rewritten(text)


def _create_table(text: str, relation: str) -> Rewritten:
    query = _QUERY.search(text)
    head, rest = (text[: query.start()], text[query.start() :]) if query else (text, "")
    key = re.search(r"(?i)\bdistkey\s*\(\s*([^)]+?)\s*\)", head)
    style = re.search(r"(?i)\bdiststyle\s+(\w+)", head)
    sort = re.search(r"(?i)\bsortkey\s*\(\s*([^)]+?)\s*\)", head)
    spread = f"KEY({key[1]})" if key else (style[1].upper() if style else "AUTO(ALL)")
    head = _substitute(_TYPES, _substitute([(pattern, " ") for pattern in _DESIGN], head))
    return Rewritten(
        f"{head}{rest}",
        (
            f"call pg_catalog.limit_bytes({_literal(relation)})",
            f"call pg_catalog.record_design({_literal(relation)}, "
            f"'{spread.replace(chr(34), '')}', '{sort[1].replace(chr(34), '') if sort else ''}')",
        ),
    )


def _substitute(rules: object, code: str) -> str:
    for pattern, replacement in rules:
        code = re.sub(pattern, replacement, code, flags=re.IGNORECASE)
    return code


def _outside_strings(text: str, change: Callable[[str], str]) -> str:
    """Change what is code and drop comments; quoted names become lower-case, as Redshift folds."""
    parts, at = [], 0
    for found in _PIECES.finditer(text):
        parts.append(change(text[at : found.start()]))
        if found["name"]:
            parts.append(found[0].lower())
        else:
            parts.append(" " if found["comment"] else found[0])
        at = found.end()
    parts.append(change(text[at:]))
    return "".join(parts)


def _literal(text: str) -> str:
    return "'" + text.lower().replace("\\", "\\\\").replace("'", "''") + "'"
