"""What becomes of older rows when new ones have been copied in, and the count that proves it."""

from loader.declared.tables import Table
from loader.warehouse.ledger import Load
from loader.warehouse.session import quote


def window_replaced(relation: str, table: Table, load: Load) -> list[str]:
    """Write what replaces a window, after COPY.

    COPY comes first, so that the rows of the window that are not among the new ones can be told:
    they moved to a later window, or were deleted; nobody can say which yet. Their last known
    version stays in the raw table outside any window (`_run_date` is NULL) until a landing of the
    whole table or a repair settles it. The rest of the old window is deleted. DELETE, not
    TRUNCATE, which commits by itself on Redshift and hides rows from older snapshots on
    PostgreSQL. [Redshift: TRUNCATE; PostgreSQL: TRUNCATE, Notes]
    """
    old = f"_load_id <> '{load.load_id}'"
    if load.window.is_whole:
        return [f"delete from {relation} where {old}", f"select count(*) from {relation}"]
    days = f"_run_date >= '{load.window_start}' and _run_date < '{load.window_end}'"
    return [
        f"update {relation} set _run_date = null "
        f"where {days} and {old} and not {_among_new(relation, table, load)}",
        f"delete from {relation} where {days} and {old}",
        f"select count(*) from {relation} where {days}",
    ]


def keys_replaced(relation: str, table: Table, load: Load) -> list[str]:
    """Write what replaces the versions of some keys, after COPY.

    The older ones stay, outside any window, so that no build of a window brings one back. Keys
    are counted, not rows: a repair that brings a row and its deletion is one too few.
    """
    key = ", ".join(quote(name.lower()) for name in table.primary_key)
    brought = f"select distinct {key} from {relation} where _load_id = '{load.load_id}'"
    return [
        f"update {relation} set _run_date = null where _run_date is not null "
        f"and _load_id <> '{load.load_id}' and {_among_new(relation, table, load)}",
        f"select count(*) from ({brought}) as brought",
    ]


def _among_new(relation: str, table: Table, load: Load) -> str:
    same_key = " and ".join(
        f"newer.{quote(name.lower())} = {relation}.{quote(name.lower())}"
        for name in table.primary_key
    )
    return (
        f"exists (select 1 from {relation} as newer "
        f"where newer._load_id = '{load.load_id}' and {same_key})"
    )
