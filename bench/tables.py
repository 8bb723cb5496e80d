r"""The two tables that every way copies, the same on every machine.

`nps` is long and narrow. `orders` is wide and holds what text formats stumble over: decimals,
doubles, microseconds, emoji, quotes, newlines, tabs, backslashes, and NULL beside empty strings.
Left out is what the raw pipe stumbles over: the word NULL and carriage returns.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pymysql

from loader.local.services import Endpoints

DATABASE = "bench"
_NOTE = (
    "concat_ws('', 'line ', n, char(10), 'tab', char(9), 'back\\\\slash \"quoted\" it''s, ', "
    "repeat('lorem ipsum ', mod(n, 9)), convert(0xf09f9880 using utf8mb4), ' é漢')"
)

_DIGITS = " union all ".join(f"select {digit} as d" for digit in range(10))


def _numbered(digits: int, name: str, first: int = 0) -> str:
    """Write a derived table of 10 ** digits numbers, from the first one on."""
    tables = " cross join ".join(f"({_DIGITS}) as t{place}" for place in range(digits))
    number = " + ".join(f"t{place}.d * {10**place}" for place in range(digits))
    return f"(select {first} + {number} as {name} from {tables}) as numbers"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        ddl: its type in MySQL.
        value: the expression of `n` that fills it.
        kind: what it is compared as: `text`, `number`, `double`, `date`, `time` or `json`.
        postgres: its type for ways that do not make the table themselves.
    """

    name: str
    ddl: str
    value: str
    kind: str = "text"
    postgres: str = "text"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table, its key first.

    Attributes:
        rows: how many it has unless told otherwise.
        indexes: what follows the columns in its definition.
        changes: what an update sets, beside the time of the change.
    """

    name: str
    rows: int
    columns: tuple[Column, ...]
    indexes: str = ""
    changes: str = ""

    @property
    def names(self) -> str:
        """The columns, as SQL lists them."""
        return ", ".join(column.name for column in self.columns)

    def postgres_ddl(self, relation: str) -> str:
        """The statement that makes a plain table of that name in PostgreSQL."""
        listed = ", ".join(f"{column.name} {column.postgres}" for column in self.columns)
        return f"create table {relation} ({listed})"


_UPDATED_AT = Column(
    name="updated_at",
    ddl="datetime(6) not null",
    value="date_add('2024-08-01', interval mod(n * 7919, 63072000000) * 1000 microsecond)",
    kind="time",
    postgres="timestamp",
)

NPS = Table(
    name="nps",
    rows=2_000_000,
    columns=(
        Column(name="id", ddl="int unsigned not null primary key", value="n", kind="number",
               postgres="bigint"),
        Column(name="user_id", ddl="int unsigned not null", value="mod(n * 31, 400009)",
               kind="number", postgres="bigint"),
        Column(name="score", ddl="tinyint", value="if(mod(n, 97) = 0, null, mod(n * 7, 11))",
               kind="number", postgres="smallint"),
        _UPDATED_AT,
    ),
    indexes="key updated_at (updated_at)",
    changes="score = mod(coalesce(score, 0) + 1, 11)",
)  # fmt: skip

ORDERS = Table(
    name="orders",
    rows=500_000,
    columns=(
        Column(name="id", ddl="bigint not null primary key", value="n", kind="number",
               postgres="bigint"),
        Column(name="customer_id", ddl="int unsigned not null", value="mod(n * 17, 50021)",
               kind="number", postgres="bigint"),
        Column(name="reference", ddl="char(36) not null",
               value="insert(insert(left(sha2(n, 256), 32), 9, 0, '-'), 14, 0, 'beef')"),
        Column(name="status", ddl="varchar(16) not null",
               value="elt(1 + mod(n, 5), 'new', 'paid', 'sent', 'returned', '')"),
        Column(name="quantity", ddl="smallint", value="if(mod(n, 13) = 0, null, mod(n, 500) - 9)",
               kind="number", postgres="smallint"),
        Column(name="amount", ddl="decimal(12,2) not null", value="mod(n * 7919, 99999999) / 100",
               kind="number", postgres="numeric(12,2)"),
        Column(name="tax", ddl="decimal(18,6)",
               value="if(mod(n, 11) = 0, null, mod(n * 104729, 9999999) / 1000000 - 3)",
               kind="number", postgres="numeric(18,6)"),
        Column(name="weight", ddl="double", kind="double", postgres="double precision",
               value="if(mod(n, 19) = 0, null, mod(n * 6151, 1000003) / 7e0 * pow(10, mod(n, 9)))"),
        Column(name="is_gift", ddl="tinyint not null", value="mod(n, 2)", kind="number",
               postgres="smallint"),
        Column(name="ordered_on", ddl="date not null", kind="date", postgres="date",
               value="date_add('2020-01-01', interval mod(n, 2400) day)"),
        Column(name="ordered_at", ddl="datetime(6) not null", kind="time", postgres="timestamp",
               value="date_add('2020-01-01', interval mod(n * 86028157, 189216000000000)"
               " microsecond)"),
        Column(name="customer", ddl="varchar(100) not null",
               value="if(mod(n, 10) = 0, '', concat(elt(1 + mod(n, 3), 'Zoë \"Z\" ', 'O''Neil ', "
               "'漢字 '), mod(n, 50021), ' ', convert(0xf09f8e81 using utf8mb4)))"),
        Column(name="note", ddl="varchar(500)",
               value=f"case mod(n, 4) when 0 then null when 1 then '' else {_NOTE} end"),
        Column(name="address", ddl="text",
               value="if(mod(n, 23) = 0, null, concat(mod(n, 999), ' Main Street', char(10), "
               "'Springfield, ', char(9), repeat('x', mod(n, 60)), '; \"left\"'))"),
        Column(name="tags", ddl="json", kind="json", postgres="json",
               value="if(mod(n, 6) = 0, null, concat('{\"a\": ', n, ', \"b\": [', mod(n, 7), "
               "', null, \"é\"]}'))"),
        _UPDATED_AT,
    ),
    indexes="key updated_at (updated_at)",
    changes="status = 'paid', amount = amount + 1, note = concat(coalesce(note, ''), ' ✓')",
)  # fmt: skip
HEAVY = Table(
    name="heavy",
    rows=20,
    columns=(
        Column(name="id", ddl="int unsigned not null primary key", value="n"),
        # 10 MB, of which half is left once it is compressed: hexadecimal digits, and what is
        # repeated of them lies too far back to be found.
        Column(
            name="body",
            ddl="longtext",
            value="repeat((select group_concat(sha2(concat(n, ' ', m), 512) order by m "
            f"separator '') from {_numbered(4, 'm')}), 8)",
        ),
        _UPDATED_AT,
    ),
    indexes="key updated_at (updated_at)",
)
TABLES = (NPS, ORDERS)


_CHUNK_DIGITS = 5
_FILLED_BEFORE = datetime(2026, 8, 1)


@contextmanager
def connection(endpoints: Endpoints) -> Iterator[Any]:
    """Connect to the embedded MySQL as the user who writes."""
    opened = pymysql.connect(
        host="127.0.0.1", port=endpoints.mysql_port, user="sample",
        password=endpoints.admin_password, charset="utf8mb4", autocommit=True,
        # The body of a heavy row is put together from more than a megabyte.
        init_command="set time_zone = '+00:00', sql_mode = '', group_concat_max_len = 2000000",
    )  # fmt: skip
    try:
        yield opened
    finally:
        opened.close()


def fill(source: Any, table: Table) -> None:
    """Make a table in MySQL and fill it; kept if it has as many rows already, as they were."""
    with source.cursor() as cursor:
        cursor.execute(f"create database if not exists {DATABASE} character set utf8mb4")
        cursor.execute(f"grant select on {DATABASE}.* to 'loader'@'%'")
        cursor.execute(f"use {DATABASE}")
        definition = [*(f"{each.name} {each.ddl}" for each in table.columns), table.indexes]
        values = ", ".join(column.value for column in table.columns)
        digest = hashlib.sha256(values.encode()).hexdigest()
        made = (
            f"create table if not exists {table.name} ({', '.join(definition)}) engine=InnoDB "
            f"comment='{digest}'"
        )
        cursor.execute(made)
        cursor.execute(f"show table status like '{table.name}'")
        *_, comment = cursor.fetchone()
        cursor.execute(f"select count(*), max(id), max(updated_at) from {table.name}")
        rows, last, changed = cursor.fetchone()
        if comment == digest and rows == last == table.rows and changed < _FILLED_BEFORE:
            return
        cursor.execute(f"drop table {table.name}")
        cursor.execute(made)
        for chunk in numbers(table.rows):
            cursor.execute(f"insert into {table.name} select {values} from {chunk}")
        cursor.execute(f"analyze table {table.name}")


def numbers(rows: int) -> Iterator[str]:
    """Write what yields the numbers `n` from 1 on, some at a time."""
    for start in range(0, rows, 10**_CHUNK_DIGITS):
        chunk = _numbered(_CHUNK_DIGITS, "n", start + 1)
        yield f"{chunk} where n <= {rows} order by n"
