"""What is asked of a view, of which MySQL knows no key."""

from collections.abc import Sequence

from loader.declared.tables import Table
from loader.source.days import where
from loader.source.types import RawColumn, quote_mysql


def repeated_key(table: Table, columns: Sequence[RawColumn], source: str, kept: str) -> str:
    """Write the statement that shows a key which is not one; a hash of a value is not shown."""
    if not table.primary_key:
        return ""
    texts = {each.name: f"coalesce(min({each.text}), 'NULL')" for each in columns}
    texts |= {name: "'(hashed)'" for name in texts if table.policy(name).is_hashed}
    shown = ", ', ', ".join(texts[name.lower()] for name in table.primary_key)
    names = [quote_mysql(name) for name in table.primary_key]
    is_wrong = " or ".join(["count(*) > 1", *(f"{name} is null" for name in names)])
    return (
        f"select convert(concat('(', {shown}, ')') using utf8mb4) from {source}{where(kept)} "
        f"group by {', '.join(names)} having {is_wrong} limit 1"
    )
