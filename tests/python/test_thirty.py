"""Thirty tables of every sort, declared by one command: core is what MySQL holds, day after day."""

from datetime import timedelta

import pytest
import yaml
from pipeline import DAYS

CHANGES = "changed datetime not null default current_timestamp on update current_timestamp"
SECONDS = "unix_timestamp('{day}') + 3600 * (id % 24)"
DIGITS = "date_format('{day}', '%Y%m%d%H%i%s') + id % 60"
PARTITIONS = "partition by hash (id) partitions 4"
# A table's columns; its key; what a change sets on a day, and what an addition sets instead.
TABLES = {
    "plain": ("id int, changed datetime not null, key (changed)", "id", "changed = '{day}'"),
    "touched": (f"id int, {CHANGES}, key (changed)", "id", "changed = '{day} 23:59:59'"),
    "stamped": ("id int, updated_at timestamp(6) not null, key (updated_at)", "id",
                "updated_at = '{day} 12:00:00.123456'"),
    "dated": ("id int, modified date not null, key (modified)", "id", "modified = '{day}'"),
    "listed": ("id int, date_changed datetime, date_created datetime not null, "
               "key (date_changed), key (date_created)", "id", "date_changed = '{day}'",
               "date_created = '{day}'"),
    "seconds": ("id int, timemodified int not null, key (timemodified)", "id",
                f"timemodified = {SECONDS}"),
    "milliseconds": ("id int, updated_at bigint not null, key (updated_at)", "id",
                     f"updated_at = ({SECONDS}) * 1000 + 7"),
    "microseconds": ("id int, updated_at bigint not null, key (updated_at)", "id",
                     f"updated_at = ({SECONDS}) * 1000000 + 7"),
    "digits": ("id int, page_touched binary(14) not null, key (page_touched)", "id",
               f"page_touched = {DIGITS}"),
    "digits_in_text": ("id int, touched char(14) not null, key (touched)", "id",
                       f"touched = {DIGITS}"),
    "unindexed": ("id int, updated_at datetime not null", "id", "updated_at = '{day}'"),
    "only_added": ("id int", "id", ""),
    "pair": ("id int, shop varchar(9) default 'a'", "shop, id", ""),
    "pair_by_day": ("id int, shop int default 7, changed datetime not null, key (changed)",
                    "id, shop", "changed = '{day}'"),
    "by_unique_key": ("id int not null, unique key (id)", "", ""),
    "by_code": ("id int, code char(9) not null, unique key (code)", "", "code = concat('k', id)"),
    "keyless": ("id int", "", ""),
    "empty": ("id int", "id", ""),
    "parted": ("id int, changed datetime not null, key (changed)", "id", "changed = '{day}'"),
    "generated": ("id int, twice int as (id * 2) virtual, thrice int as (id * 3) stored", "id",
                  ""),
    "hidden": ("id int, secret_no int invisible default 3", "id", ""),
    "Mixed Case": ("ID int, `From` int default 1, `a b` int default 2", "ID", ""),
    "select": ("id int, `order` int default 5, `group` int default 6", "id", ""),
    "zero_days": ("id int, paid_on date default '0000-00-00'", "id", ""),
    "choices": ("id int, size enum('s', 'm'), tags set('x', 'y') default 'x,y'", "id", "size = ''"),
    "wide": ("id int, " + ", ".join(f"c{number} int default {number}" for number in range(500)),
             "id", ""),
    "texts": ("id int, note text, doc json", "id",
              "note = 'tab\\there, back\\\\slash, Ünï', doc = '[1, {{\"a\": null}}]'"),
    "exact": ("id int, price decimal(30,10) default 12345678901234567890.0123456789, "
              "big bigint unsigned default 18446744073709551615", "id", ""),
    "moments": ("id int, at datetime(6) default '9999-12-31 23:59:59.999999', "
                "span time default '-838:59:59', y year default 2026", "id", ""),
    "n" * 40: ("id int", "id", ""),
}  # fmt: skip
INCREASING, VIEW = "only_added", "seen"
COMPARED = {"pair", "texts", "moments"}  # `loader declare` says so of large tables
EVERY = (*TABLES, VIEW)
DELETED = (2, 22)
DAY_1, DAY_2, DAY_3 = DAYS
LATER = "2026-07-04"


def quoted(name):
    return f"`{name}`"


def core_of(name):
    return "mixed_case" if name == "Mixed Case" else name


@pytest.fixture
def thirty(new_project):
    """The project, and a database of thirty tables beside its sample, none of them declared."""
    pipeline = new_project()
    pipeline.start_anew()
    for name, (columns, key, *_) in TABLES.items():
        primary = f", primary key ({key})" if key else ""
        pipeline.mysql(
            f"create table {quoted(name)} ({columns}, v varchar(9){primary}) "
            + (PARTITIONS if name == "parted" else "")
        )
    pipeline.mysql(f"create view {VIEW} as select id, shop, v from pair")
    return pipeline


def write(pipeline, day, first, last, changed=()):
    """Add the rows of some ids on a day, and change those of others."""
    for name, (_, _, change, *addition) in TABLES.items():
        added = ", ".join(filter(None, ["v = 'a'", (addition or [change])[0].format(day=day)]))
        rows = [f"insert into {quoted(name)} set id = {key}, {added}" for key in range(first, last)]
        if changed and name != INCREASING:
            set_to = ", ".join(filter(None, [f"v = '{day[-2:]}'", change.format(day=day)]))
            rows.append(f"update {quoted(name)} set {set_to} where id in ({changed})")
        if name != "empty":
            pipeline.mysql(*rows)


def decide(pipeline):
    """Decide what `loader declare` leaves to a person."""
    file = pipeline.folder / f"models/sources/_{pipeline.database}__sources.yml"
    declared = yaml.safe_load(file.read_text())
    for table in declared["sources"][0]["tables"]:
        loader = table["config"]["meta"]["loader"]
        if table["name"] == "zero_days":
            loader["on_unrepresentable"] = "null"
        if table["name"] == INCREASING:
            loader |= {"cursor": "id", "cursor_kind": "increasing"}
        if table["name"] in COMPARED:
            loader["mode"] = "compare"
        if table["name"] == VIEW:
            loader["primary_key"] = ["id", "shop"]
    file.write_text(yaml.safe_dump(declared, sort_keys=False))


def shown(value):
    """A value as both drivers' rows are compared by."""
    match value:
        case bytes() | memoryview():
            return f"\\x{bytes(value).hex()}"  # as the stand-in's varbyte is written
        case timedelta():
            hours, rest = divmod(abs(int(value.total_seconds())), 3600)
            return f"{'-' if value < timedelta() else ''}{hours:02}:{rest // 60:02}:{rest % 60:02}"
        case "0000-00-00":
            return None
    return value


def differing(pipeline):
    """The tables whose core is not what MySQL holds, row by row and column by column."""
    found = {}
    for name in EVERY:
        listed = pipeline.mysql(
            "select column_name from information_schema.columns where table_schema = database() "
            f"and table_name = '{name}' order by ordinal_position"
        )
        columns = [column for (column,) in listed]
        in_mysql = ", ".join(map(quoted, columns))
        in_core = ", ".join(f'"{column.lower()}"' for column in columns)
        source = pipeline.mysql(f"select {in_mysql} from {quoted(name)}")
        built = pipeline.query(f'select {in_core} from analytics."{core_of(name)}"')
        both = [sorted(([*map(shown, row)] for row in rows), key=str) for rows in (source, built)]
        if both[0] != both[1]:
            found[name] = [[row for row in a if row not in b] for a, b in (both, both[::-1])]
    return found


@pytest.mark.deep(because="it builds thirty models with their tests five times")
def test_core_is_what_mysql_holds_after_each_day_of_a_database_of_any_kind(thirty):
    write(thirty, DAY_1, 1, 21)
    thirty.loader("declare", f"{thirty.database}.*", f"{thirty.database}.{VIEW}", status=0)
    decide(thirty)
    names = [core_of(name) for name in EVERY]
    models = [each for name in names for each in (name, f"source:raw_data.{name}")]

    def day_is_over(*window):
        thirty.load("--select", *names, *window)
        thirty.build("build", "--select", *models)

    day_is_over("--run-date", DAY_1)
    assert differing(thirty) == {}
    write(thirty, DAY_2, 21, 26, "1, 3, 5")
    day_is_over("--run-date", DAY_2)
    assert differing(thirty) == {}
    write(thirty, DAY_3, 26, 28, "3, 4, 21, 25")
    day_is_over("--start-date", DAY_2, "--end-date", LATER)
    assert differing(thirty) == {}

    for name in TABLES:
        thirty.mysql(f"delete from {quoted(name)} where id in {DELETED}")
    day_is_over("--run-date", DAY_3)
    kept = {name: rows for name, rows in differing(thirty).items() if rows[0]}
    assert kept == {}  # nothing is missing; a deletion alone is not seen by a cursor
    thirty.loader("verify", "--select", *names, "--repair", "--yes", status=0)
    thirty.build("build", "--select", *models)
    assert differing(thirty) == {}
