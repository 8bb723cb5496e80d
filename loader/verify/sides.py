"""A table on both sides: the rows that are compared, as subqueries with the same columns."""

from dataclasses import dataclass
from datetime import date

from loader.declared.tables import Table
from loader.declared.windows import Window
from loader.source import mysql, wire
from loader.source.copytext import SEPARATOR
from loader.source.days import where
from loader.source.keys import Key, key_of, key_text
from loader.source.read_plan import DELETED_AT, LOAD_ID, RUN_DATE, ReadPlan
from loader.source.types import RawColumn
from loader.verify.digest import DIALECTS, MYSQL, Dialect, digested, kind_of, landed_version
from loader.warehouse import Warehouse
from loader.warehouse.session import quote

_PENDING = "_pending"


@dataclass(frozen=True, kw_only=True)
class Sides:
    """A table on both sides, each within its snapshot.

    Attributes:
        values: the columns whose values are compared as well as keys and versions.
        due: the days that are compared.
    """

    source: mysql.Source
    warehouse: Warehouse
    table: Table
    read: ReadPlan
    values: tuple[RawColumn, ...]
    due: Window

    @property
    def dialect(self) -> Dialect:
        """How the warehouse writes what is compared."""
        return DIALECTS[self.warehouse.dialect.name]

    @property
    def version(self) -> str:
        """Write the expression of a landed row's version; empty without a cursor."""
        if not (days := self.read.days):
            return ""
        landed = {each.name: each for each in self.read.columns}
        columns = [landed[each.name.lower()] for each in days.columns]
        return landed_version(self.dialect, days, columns)

    def day(self, version: int) -> date | None:
        """The day of a version, in the declared time zone; None without a cursor."""
        return self.read.days.day_at(version) if self.read.days else None

    def source_rows(self) -> str:
        """Write the query for MySQL's rows of the days that are due."""
        days = self.read.days
        day = f"to_days({days.day}) - 719528" if days else "0"
        row = digested(MYSQL, self.read.key, days.version if days else "", self.values)
        due = days.within(self.due) if days else ""
        return self.read.select(f"{row}, {day} as day_number", due)

    def warehouse_rows(self, pending: str = "") -> str:
        """Write the query for the newest version of every key in the raw table.

        Unless some days were asked for, all that the warehouse holds is compared: what the source
        has of it is either due or set aside, and anything else is a difference.

        Args:
            pending: `not exists` without the keys that were set aside, `exists` for these alone.
        """
        relation = self.warehouse.relation(self.table.name)
        due = self._in_warehouse() if self.read.days and self.due.start else ""
        conditions = [due, self._is_newest(relation, due) if self.read.key else ""]
        if pending:
            same = self._same_key("pending")
            conditions.append(f"{pending} (select 1 from {_PENDING} as pending where {same})")
        if DELETED_AT in self.warehouse.raw_columns(self.table.name):
            conditions.append(f"landed.{DELETED_AT} is null")
        day = "0"
        if self.read.days:
            # A row that is no longer in its window counts on its version's day in UTC, which may be
            # another one: then both days differ, and its row is listed for both sides.
            own = (
                "0" if self.read.days.is_increasing else f"floor(({self.version}) / 86400000000.0)"
            )
            day = f"cast(coalesce(landed.{RUN_DATE} - date '1970-01-01', {own}) as bigint)"
        return (
            f"select {digested(self.dialect, self.read.key, self.version, self.values)}, "
            f"{day} as day_number "
            f"from {relation} as landed{where(*conditions)}"
        )

    def pending_here(self) -> int:
        """Count the rows of the days that are due whose keys were set aside."""
        rows = self.warehouse_rows("exists")
        return int(self.warehouse.execute(f"select count(*) from ({rows}) as pending")[0][0])

    def _in_warehouse(self) -> str:
        """Write that a row is in its window, or would be if it had not been landed without it."""
        edges = self.read.days.edges(self.due) if self.read.days else ()
        own = "".join(f" and {self.version} {compares} {edge}" for compares, edge in edges)
        days = [(">=", self.due.start), ("<", self.due.end)]
        day = " and ".join(f"landed.{RUN_DATE} {how} '{each}'" for how, each in days if each)
        return f"({day} or (landed.{RUN_DATE} is null{own}))"

    def _is_newest(self, relation: str, due: str) -> str:
        """Write that no later load has a row's key; nothing if there is none.

        The keys of one load are unique, so only loads after the oldest of the rows compared have
        to be looked at: usually few rows, often none.
        """
        oldest = f"select min(landed.{LOAD_ID}) from {relation} as landed{where(due)}"
        ((load_id,),) = self.warehouse.execute(oldest)
        later = f"{LOAD_ID} > {self.warehouse.literal(load_id or '')}"
        if not self.warehouse.execute(f"select 1 from {relation} where {later} limit 1"):
            return ""
        return (
            f"not exists (select 1 from {relation} as newer where newer.{later} "
            f"and newer.{LOAD_ID} > landed.{LOAD_ID} and {self._same_key('newer')})"
        )

    def _same_key(self, other: str) -> str:
        names = [quote(column.name) for column in self.read.key]
        return " and ".join(f"{other}.{name} = landed.{name}" for name in names)

    def set_aside(self, landed_before: date) -> int:
        """Give the warehouse the keys that have changed on days which are not landed yet.

        It keeps them until its transaction ends.

        Returns:
            How many there are.
        """
        if self.read.days is None:
            return 0
        later = self.read.days.within(Window(landed_before))
        names = ", ".join(quote(column.name) for column in self.read.key)
        relation, count = self.warehouse.relation(self.table.name), 0
        for batch in wire.joined_rows(self.source, self.read.select(key_text(self.read), later)):
            if not count:
                empty = f"select {names} from {relation} where 1 = 0"
                self.warehouse.execute(f"create temporary table {_PENDING} as {empty}")
            keys = (self._literals(key_of(self.read, row.split(SEPARATOR))) for row in batch)
            self.warehouse.execute(f"insert into {_PENDING} values {', '.join(keys)}")
            count += len(batch)
        return count

    def _literals(self, key: Key) -> str:
        unhexed = self.dialect.bytes_of
        values = [
            unhexed.format(text) if kind_of(column) == "bytes" else f"cast({text} as {column.type})"
            for column, text in zip(self.read.key, map(self.warehouse.literal, key), strict=True)
        ]
        return f"({', '.join(values)})"
