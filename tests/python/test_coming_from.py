"""What docs/from-*.md says of this project is so: the table that its peers were tried with."""

from datetime import date, datetime
from decimal import Decimal

from pipeline import write_sources

CREATE = """create table t (
    id int primary key, big bigint unsigned, note varchar(40), amount decimal(30,9), qty int,
    is_paid tinyint(1), paid_on date, updated_at datetime(6) not null, key (updated_at)
)"""
ROWS = """insert into t values
    (1, 18446744073709551615, 'a', 123456789012345678.123456789, null, 1, '2026-07-01',
        '2026-07-01 10:00:00'),
    (2, 2, '', 2.5, 5, 0, '2026-07-01', '2026-07-01 11:00:00'),
    (3, 3, null, 3.5, 7, null, '2026-07-01', '2026-07-01 12:00:00')"""
ZERO = """insert into t values
    (4, 4, 'line
break, "q"', 4, 4, 1, '0000-00-00', '2026-07-01 13:00:00')"""
LANDED = [
    (1, Decimal(18446744073709551615), "a", Decimal("123456789012345678.123456789"), None, 1,
     date(2026, 7, 1), datetime(2026, 7, 1, 10)),
    (2, Decimal(2), "", Decimal("2.5"), 5, 0, date(2026, 7, 1), datetime(2026, 7, 1, 11)),
    (3, Decimal(3), None, Decimal("3.5"), 7, None, date(2026, 7, 1), datetime(2026, 7, 1, 12)),
    (4, Decimal(4), 'line\nbreak, "q"', Decimal(4), 4, 1, None, datetime(2026, 7, 1, 13)),
]  # fmt: skip
TABLE = {"name": "t", "primary_key": ["id"], "cursor": "updated_at"}
POLICY = {"name": "paid_on", "config": {"meta": {"loader": {"on_unrepresentable": "null"}}}}


def test_a_zero_date_stops_the_load_by_name_and_declared_lets_every_value_land(new_pipeline):
    """The table that dlt, Sling and Airflow's operators were given."""
    pipeline = new_pipeline([TABLE])
    pipeline.mysql(CREATE, ROWS, ZERO)
    said = pipeline.fails("--full-refresh")
    assert all(told in said for told in ("paid_on", "0000-00-00", "id 4"))
    write_sources(pipeline.folder, pipeline.database, [{**TABLE, "columns": [POLICY]}])
    load = pipeline.load("--full-refresh")["t"]
    assert pipeline.raw("t", "id, big, note, amount, qty, is_paid, paid_on, updated_at") == LANDED
    assert load["changed_values"] == 1
