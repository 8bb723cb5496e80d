"""The names of types, as the catalog writes them and as the loader does."""

_SHORT = {
    "character": "char",
    "character varying": "varchar",
    "binary varying": "varbyte",
    "timestamp without time zone": "timestamp",
}


def type_name(formatted: str) -> str:
    """Write a type of the catalog as the loader does."""
    name, bracket, sizes = formatted.partition("(")
    return _SHORT.get(name, name) + bracket + sizes
