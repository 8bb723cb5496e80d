"""What Redshift refuses although PostgreSQL takes it.

A parser alone is no check: it reads more than any database runs. Functions must be among those
that the Amazon Redshift Database Developer Guide documents; of the grammar, what its pages
"Unsupported PostgreSQL features", "Window functions" and "Leader node-only functions" exclude is
refused.
"""

import re
from functools import cache
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.tokens import TokenType


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS = _words(
    """
    abs acos add_months any_value approximate array array_concat array_flatten ascii asin atan
    atan2 avg bit_and bit_or bitcount bool_and bool_or bpcharcmp btrim cast cbrt ceil ceiling
    charindex char_length character_length checksum chr coalesce collate concat convert
    convert_timezone cos cot count crc32 cume_dist current_date date_cmp date_cmp_timestamp
    date_cmp_timestamptz date_diff date_part date_part_year date_trunc dateadd datediff decode
    degrees dense_rank dexp difference exp extract farmfingerprint64 first_value floor
    fnv_hash from_hex from_varbyte func_sha1 get_array_length getdate greatest hash h3_center
    initcap is_valid_json is_valid_json_array isnull json_array_length
    json_extract_array_element_text json_extract_path_text json_parse json_serialize
    json_serialize_to_varbyte json_typeof lag last_day last_value lead least left len length
    listagg ln log lower lpad ltrim mapjson max md5 median min mod months_between next_day
    nth_value ntile nullif nvl nvl2 octet_length octetindex object_transform percent_rank
    percentile_cont percentile_disc pi position power quote_ident quote_literal quotename
    radians random rank ratio_to_report regexp_count regexp_instr regexp_replace regexp_substr
    repeat replace replicate reverse right round row_number rpad rtrim sha sha1 sha2 sign sin
    size soundex split_part split_to_array sqrt st_ashexwkb st_makepoint stddev stddev_pop
    stddev_samp strpos strtol
    subarray substr substring sum sysdate tan text_to_int_alt text_to_numeric_alt textlen
    timeofday timestamp_cmp timestamp_cmp_date timestamptz_cmp timezone to_char to_date to_hex
    to_number to_timestamp to_varbyte translate trim trunc try_cast upper validate_json
    variance var_pop var_samp width_bucket
    pg_backend_pid pg_cancel_backend pg_terminate_backend
    pg_last_copy_count pg_last_copy_id pg_last_query_id current_database
    current_user session_user user version current_setting set_config
    """
)
LEADER_NODE = _words(
    """
    age current_schema current_schemas current_time current_timestamp current_user_id
    get_bit get_byte has_database_privilege has_schema_privilege has_table_privilege isfinite
    localtime localtimestamp now pg_get_cols set_bit set_byte to_ascii format_type
    """
)
_TYPES = _words(
    """
    smallint int2 integer int int4 bigint int8 decimal numeric real float4 double precision
    float8 float boolean bool char character nchar bpchar varchar nvarchar text date time timetz
    timestamp timestamptz super varbyte varbinary varying hllsketch geometry geography
    """
)
_BEFORE_PARENTHESIS = _words(
    """
    in values over and or not exists as by when then else on using from join union all any some
    distinct select where having case is between like ilike set to with group partition filter
    limit except intersect minus key distkey sortkey compound interleaved identity if similar
    interval cross inner lateral returning default check unique primary insert
    """
)
_UNKNOWN_TYPES = {
    exp.DataType.Type[name]
    for name in (
        "JSON", "JSONB", "UUID", "ARRAY", "MONEY", "SERIAL", "BIGSERIAL", "SMALLSERIAL", "INET",
        "HSTORE", "XML", "BIT", "NAME", "BINARY",
    )
}  # fmt: skip
_RANKING = ("row_number", "rank", "dense_rank", "ntile", "percent_rank", "cume_dist", "lag", "lead")
_FORBIDDEN: tuple[tuple[type[exp.Expression], str], ...] = (
    (exp.Filter, "FILTER (WHERE ...)"),
    (exp.Lateral, "LATERAL"),
    (exp.OnConflict, "ON CONFLICT"),
    (exp.Returning, "RETURNING"),
    (exp.NullSafeEQ, "IS NOT DISTINCT FROM"),
    (exp.NullSafeNEQ, "IS DISTINCT FROM"),
    (exp.Array, "ARRAY[...]"),
    (exp.Bracket, "a subscript"),
    (exp.JSONExtract, "the JSON operator ->"),
    (exp.JSONExtractScalar, "the JSON operator ->>"),
    (exp.Unnest, "UNNEST"),
    (exp.TableSample, "TABLESAMPLE"),
    (exp.Fetch, "FETCH FIRST"),
)
_VERBS = re.compile(
    r"""(?x) ^ (?:
        (?:begin|commit|rollback|end|abort|start\s+transaction) \b (?! .* isolation)
        | set \s | reset \s | show \s | lock \s | comment \s+ on \s | grant \s | revoke \s
        | alter \s+ default \s+ privileges \s | analyze \b | vacuum \b | truncate \s
        | create \s+ (?:schema|group) \s | drop \s+ schema \s | copy \s
        | fetch \s+ forward \s+ \d+ \s+ from \s | close \s
    )""",
    re.IGNORECASE | re.DOTALL,
)
_FORBIDDEN_VERBS = re.compile(
    r"^(?:(savepoint|release)\b|create\s+(?:unique\s+)?(index|sequence|extension|trigger|domain|"
    r"type)\b|(do)\s|(listen|notify|cluster|reindex)\b)",
    re.IGNORECASE,
)
_FETCH = re.compile(r"^fetch\s+(?:forward\s+)?(\d+|all)\s+from\s", re.IGNORECASE)
_FETCHED = 1_000  # of a cluster of one node
_DECLARE = re.compile(r"^declare\s+\w+\s+cursor\s+for\s+", re.IGNORECASE)
_PLACE = re.compile(r"(?<![\w$])\$\d+\b")  # a bound parameter
_CATALOG = re.compile(
    r"\b(?:from|join)\s+\(?\s*(?:pg_catalog\s*\.|information_schema\s*\.|\"information_schema\""
    r"|\"?[\w-]+\"?\s*\.\s*information_schema\s*\.|(?:pg|svv|svl|stv|stl|sys)_\w+)",
    re.IGNORECASE,
)


class RefusedByRedshiftError(Exception):
    """The statement does not run on Redshift."""


@cache
def check(statement: str) -> None:
    """Refuse what Redshift refuses; what only reads the catalog is not looked at.

    Raises:
        RefusedByRedshiftError: says what it met.
    """
    text = _PLACE.sub("null", _without_comments(statement)).strip().rstrip(";").strip()
    if not text:
        return
    text = _DECLARE.sub("", text)
    if found := _FORBIDDEN_VERBS.match(text):
        raise RefusedByRedshiftError(
            f"{next(filter(None, found.groups())).upper()} is not Redshift's"
        )
    fetched = _FETCH.match(text)
    if fetched and (fetched[1].lower() == "all" or int(fetched[1]) > _FETCHED):
        raise RefusedByRedshiftError(f"FETCH of more than {_FETCHED:,} rows from a single node")
    if _VERBS.match(text) or is_catalog_query(text):
        return
    try:
        trees = [tree for tree in sqlglot.parse(text, read="redshift") if tree is not None]
    except sqlglot.errors.SqlglotError as error:
        raise RefusedByRedshiftError(f"it cannot be parsed: {str(error).splitlines()[0]}") from None
    for tree in trees:
        if isinstance(tree, exp.Command):
            raise RefusedByRedshiftError(f"the stand-in does not know {text[:40]!r}")
        _check_grammar(tree)
    _check_functions(text, any(tree.find(exp.Table) for tree in trees))


def is_catalog_query(text: str) -> bool:
    """Whether a statement reads the system catalog, which the leader node answers."""
    return bool(_CATALOG.search(text)) and not re.match(
        r"(?i)\s*(create|insert|merge|update)", text
    )


def _without_comments(text: str) -> str:
    strings_and_comments = re.compile(
        r"('(?:[^'\\]|''|\\.)*'|\"[^\"]*\"|\$(\w*)\$.*?\$\2\$)|--[^\n]*|/\*.*?\*/", re.DOTALL
    )
    return strings_and_comments.sub(lambda found: found[1] or " ", text)


def _check_grammar(tree: exp.Expression) -> None:
    def refuse(what: str) -> None:
        raise RefusedByRedshiftError(f"{what} is not Redshift's")

    for kind, what in _FORBIDDEN:
        if tree.find(kind):
            refuse(what)
    for node in tree.walk():
        if isinstance(node, exp.Distinct) and node.args.get("on"):
            refuse("DISTINCT ON")
        elif isinstance(node, exp.Values) and not isinstance(node.parent, exp.Insert):
            refuse("VALUES as a table")
        elif isinstance(node, exp.Concat) and len(node.expressions) > 2:
            refuse("CONCAT of more than two values")
        elif isinstance(node, exp.Window):
            _check_window(node, refuse)
        elif isinstance(node, exp.SetOperation) and not node.args.get("distinct"):
            if not isinstance(node, exp.Union):
                refuse(f"{type(node).__name__.upper()} ALL")
        elif isinstance(node, exp.DataType) and node.this in _UNKNOWN_TYPES:
            refuse(f"the type {node.sql()}")
        elif isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.DECIMAL:
            if not node.to.expressions:
                refuse("a cast to numeric without its precision, which drops the fraction and")
        elif isinstance(node, exp.Group) and (
            node.args.get("grouping_sets") and node.args.get("rollup")
        ):
            refuse("GROUPING SETS together with ROLLUP")
    if isinstance(tree, (exp.Update, exp.Delete, exp.Merge)) and tree.args.get("with_"):
        refuse("WITH before UPDATE or DELETE or MERGE")


def _check_window(node: exp.Window, refuse) -> None:
    called, spec = node.this, node.args.get("spec")
    if isinstance(called, (exp.IgnoreNulls, exp.RespectNulls)):
        called = called.this
    name = called.name if isinstance(called, exp.Anonymous) else called.sql_name()
    if isinstance(called, exp.Count) and isinstance(called.this, exp.Distinct):
        refuse("COUNT(DISTINCT ...) OVER")
    if spec and str(spec.args.get("kind", "")).upper() != "ROWS":
        refuse("a RANGE or GROUPS frame")
    if node.args.get("order") and not spec and name.lower() not in _RANKING:
        refuse(f"{name.upper()} OVER with ORDER BY and no ROWS frame")


def _check_functions(text: str, reads_a_table: bool) -> None:
    tokens = sqlglot.tokenize(text, read="redshift")
    for n, token in enumerate(tokens):
        if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER, TokenType.NUMBER):
            continue
        name = token.text.lower()
        if name in ("current_timestamp", "localtimestamp", "current_time") and reads_a_table:
            raise RefusedByRedshiftError(f"{name} with a table (use getdate()) is not Redshift's")
        follows = tokens[n + 1].text if n + 1 < len(tokens) else ""
        if follows != "(" or not re.fullmatch(r"[a-z_]\w*", name):
            continue
        before = tokens[n - 1].text.lower() if n else ""
        if before in (".", "into", "table", "references", "with", "exists"):
            continue
        if name in LEADER_NODE:
            if reads_a_table:
                raise RefusedByRedshiftError(f"{name}() with a table: the leader node alone has it")
        elif name not in FUNCTIONS | _TYPES | _BEFORE_PARENTHESIS and not _is_cte(
            [each.text.lower() for each in tokens[n + 1 :]]
        ):
            raise RefusedByRedshiftError(f"the function {name}() is not Redshift's")


def _is_cte(following: list[str]) -> bool:
    """Whether a name's parenthesis lists a common table expression's columns."""
    depth = 0
    for n, text in enumerate(following):
        depth += (text == "(") - (text == ")")
        if depth == 0:
            return following[n + 1 : n + 3] == ["as", "("]
    return False


def main(folders: list[str]) -> int:
    """Check every compiled statement under some folders; returns how many are refused."""
    refused = 0
    for folder in folders:
        for file in sorted(Path(folder).rglob("*.sql")):
            try:
                check(file.read_text())
            except RefusedByRedshiftError as error:
                refused += 1
                print(f"{file}: {error}")
    return refused
