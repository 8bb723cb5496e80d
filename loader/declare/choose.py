"""What is declared of a table: its key, its cursor, and how the values of its columns land."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

import pymysql

from loader.declare.cursors import choose_cursor
from loader.declare.survey import Found, personal
from loader.declared.policies import Policy
from loader.declared.tables import Table
from loader.declared.windows import WHOLE, Zone
from loader.errors import SourceError
from loader.source import mysql
from loader.source.copytext import REFUSED
from loader.source.declaration import check_declaration
from loader.source.read_plan import LARGE, ReadPlan, days_of, plan_read
from loader.source.texts import DATES, TEXTS, as_bytes
from loader.source.types import Dialect, raw_column

COUNTED_MOST = 1_000_000
"""Rows, by MySQL's estimate, up to which a table's values are looked at."""
_FLAG, _FLAGS = re.compile(r"(is_?)?deleted"), {"tinyint", "bit"}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What is proposed for a table.

    Attributes:
        table: its declaration; None if it is left out.
        remarks: what a person should know of it, a sentence each; why it is left out.
    """

    found: Found
    table: Table | None
    remarks: tuple[str, ...] = ()

    @property
    def undecided(self) -> list[str]:
        """The columns that somebody has to decide about before the table lands."""
        policies = self.table.policies if self.table else {}
        return [name for name, policy in policies.items() if policy == Policy(pii=True)]


@dataclass(frozen=True, kw_only=True)
class Chooser:
    """Chooses by what MySQL says, and looks at rows where that is not enough.

    Attributes:
        source: a connection that the loader's own session settings hold for.
        dialect: what the warehouse's types hold.
        zone: that whose days windows are.
    """

    source: mysql.Source
    dialect: Dialect
    zone: Zone

    def proposals(
        self, found: Iterable[Found], declared: Iterable[Table], taken: Iterable[str]
    ) -> Iterator[Proposal]:
        """Choose what to declare of each table that is not declared.

        Args:
            taken: the names that other tables and models of the project have.

        Raises:
            SourceError: MySQL does not answer.
        """
        names = set(taken)
        there = {table.place for table in declared}
        for each in found:
            if each.place in there:
                continue
            try:
                proposal = self._propose(each, names)
            except pymysql.err.OperationalError as error:  # of one table; the others may be read
                why = f"MySQL refuses to read it: {error.args[-1]}"
                proposal = Proposal(found=each, table=None, remarks=(why,))
            names |= {proposal.table.name} if proposal.table else set()
            yield proposal

    def _propose(self, found: Found, taken: Collection[str]) -> Proposal:
        if "." in found.database or "{" in found.place or not found.place.isprintable():
            why = "a declaration cannot write its name; copy a view of it that has another"
            return Proposal(found=found, table=None, remarks=(why,))
        policies, remarks = self._policies(found)
        table = Table(
            name=raw_name(found, self.dialect, taken),
            database=found.database,
            source=found.name,
            primary_key=found.key,
            policies=policies,
        )
        if why := self._why_not(table, found):
            return Proposal(found=found, table=None, remarks=(why,))
        if found.key:
            plan = partial(self._plan, found=found)
            cursor, notes = choose_cursor(self.source, table, found, plan, COUNTED_MOST)
            remarks += notes
            if cursor:
                table = replace(table, cursor=cursor, lookback_days=1)
            elif found.description.rows >= LARGE:
                compared = replace(table, is_compared=True)
                if why := self._why_not(compared, found):
                    remarks.append(why)
                else:
                    table = compared
                    remarks.append("a load reads all of it on both sides, and lands what differs")
        flags = (each for each in found.description.columns if each.data_type in _FLAGS)
        deleted = next((each.name for each in flags if _FLAG.fullmatch(each.name.lower())), None)
        table = replace(table, deleted=deleted)
        remarks += self._refused_values(table, found)
        return Proposal(found=found, table=table, remarks=tuple(remarks))

    def _why_not(self, table: Table, found: Found) -> str:
        """Say why a table cannot be declared so, once somebody has decided what is personal."""
        policies = {name: replace(policy, pii=False) for name, policy in table.policies.items()}
        decided = replace(table, policies=policies)
        try:
            check_declaration(decided, found.description, self.dialect, lambda _: ())
        except SourceError as error:
            return error.fact.removeprefix(f"{found.place}: ").rstrip(".")
        return ""

    def _policies(self, found: Found) -> tuple[dict[str, Policy], list[str]]:
        """Say of every column that cannot land as it is how it lands, and why."""
        policies, remarks = dict[str, Policy](), list[str]()
        for column in found.description.columns:
            name, policy = column.name.lower(), personal(column, found.name)
            if policy.pii:
                policies[name] = replace(policy, mask="") if name in found.key else policy
            try:
                raw_column(column, self.dialect)
            except SourceError:
                if policy.mask != "drop":
                    policies[name] = Policy(on_unrepresentable="text", pii=policy.pii)
                    remarks.append(f"{column.name} is {column.column_type} and lands as text")
        return policies, remarks

    def _plan(self, table: Table, found: Found) -> ReadPlan:
        days = days_of(table, found.description, self.zone)
        return plan_read(table, found.description, WHOLE, days, self.dialect)

    def _refused_values(self, table: Table, found: Found) -> list[str]:
        """Count the values that the warehouse cannot hold, and name the policy that helps."""
        if found.description.rows > COUNTED_MOST or found.description.is_view:
            return ["what its values hold was not looked at, because it is large or a view"]
        read = self._plan(table, found)
        sums = list[str]()
        for each in read.columns:
            nul = f"sum(locate(0x00, {as_bytes(each.value)}) > 0)"
            sums += [
                f"sum(locate(0x{REFUSED.hex()}, {as_bytes(each.text)}) = 1)",
                nul if each.column.data_type in TEXTS else "0",
            ]
        (row,) = mysql.fetch(self.source, read.select(", ".join(sums)))
        counts, remarks = (int(number or 0) for number in row), list[str]()
        for lands, refused, nuls in zip(read.columns, counts, counts, strict=True):
            if refused + nuls:
                is_date = lands.column.data_type in DATES
                policy = '"null" or text' if is_date else "strip" if nuls else "truncate"
                remarks.append(
                    f"{lands.name} holds what the warehouse cannot, {refused + nuls:,} times: mend "
                    f"it, or declare on_unrepresentable: {policy}"
                )
        return remarks


def raw_name(found: Found, dialect: Dialect, taken: Collection[str]) -> str:
    """Name the raw table and its model: as MySQL does, where the project has no such name yet.

    Args:
        taken: the names that there are.
    """
    plain, longer = (
        re.sub(r"\W+", "_", text.lower()).strip("_")
        for text in (found.name, f"{found.database}__{found.name}")
    )
    name = plain if plain and plain not in taken else longer
    ends = ("" if number == 1 else f"_{number}" for number in count(1))
    shortened = (
        name.encode()[: dialect.name_bytes - len(end)].decode(errors="ignore") + end for end in ends
    )
    return next(each for each in shortened if each not in taken)
