"""The warehouse's types: how the loader writes them, and which hold all that another one holds."""

from math import inf

_SHORT_NAMES = {
    "character": "char",
    "character varying": "varchar",
    "binary varying": "varbyte",
    "timestamp without time zone": "timestamp",
}
_INTEGER_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}


def type_name(formatted: str) -> str:
    """Write a type of the catalog as the loader does."""
    name, bracket, sizes = formatted.partition("(")
    return _SHORT_NAMES.get(name, name) + bracket + sizes


def widens(old: str, new: str) -> bool:
    """Whether the warehouse's type `new` holds every value of `old`.

    >>> widens("integer", "bigint"), widens("bigint", "integer")
    (True, False)
    >>> widens("numeric(10,2)", "numeric(12,2)"), widens("numeric(10,2)", "numeric(10,4)")
    (True, False)
    >>> widens("numeric(4,0)", "smallint"), widens("numeric(5,0)", "smallint")
    (True, False)
    >>> widens("varchar(10)", "varchar"), widens("numeric", "numeric(38,10)")
    (True, False)
    """
    if old == new:
        return True
    (old_name, old_sizes), (new_name, new_sizes) = _parts(old), _parts(new)
    if new_name == "text":
        return old_name in ("text", "varchar")
    if old_name == new_name and len(old_sizes) == 1:
        return old_sizes <= (new_sizes or [inf])
    if {old_name, new_name} <= {*_INTEGER_DIGITS, "numeric"}:
        needed, had_scale = _digits(old_name, old_sizes)
        # An integer type holds every number of one digit less than its largest has.
        held, scale = _digits(new_name, new_sizes)
        held -= new_name in _INTEGER_DIGITS and old_name == "numeric"
        return needed <= held and had_scale <= scale
    return (old_name, new_name) in {("real", "double precision"), ("date", "timestamp")}


def _parts(kind: str) -> tuple[str, list[float]]:
    """Cut a type into its name and its sizes, of which PostgreSQL's may have none."""
    name, _, sizes = kind.partition("(")
    if not sizes.endswith(")"):  # such as timestamp(3) without time zone
        return kind, []
    return name, [int(size) for size in sizes[:-1].split(",")]


def _digits(name: str, sizes: list[float]) -> tuple[float, float]:
    """How many digits a number has before and after its point."""
    if name in _INTEGER_DIGITS:
        return _INTEGER_DIGITS[name], 0
    precision, scale = sizes or (inf, 0)
    return precision - scale, scale if sizes else inf
