r"""The way of Airflow's operators: `SqlToS3Operator`, then COPY as `S3ToRedshiftOperator` runs it.

The whole result becomes a pandas frame, whole numbers with gaps become nullable integers, the frame
becomes one CSV file, and the file one object. NULL is written as `\N` (`pd_kwargs`), because with
the default it arrives as an empty string, and every empty string as NULL. COPY into PostgreSQL
stands for COPY into Redshift. With a day only its rows are read, and take the place of those with
the same keys, as the operator's method UPSERT does it.

`python -m bench.airflow [--day DATE] TABLE ...`
[apache-airflow-providers-amazon: transfers/sql_to_s3.py]
"""

import json
import os
import sys
import tempfile
import warnings
from contextlib import closing
from typing import Any

import boto3
import pandas as pd
import psycopg2
import pymysql

from bench.tables import DATABASE
from loader.local.postgres import WAREHOUSE, WAREHOUSE_PASSWORD
from loader.local.s3 import BUCKET

_NULL = "\\N"


def main() -> None:
    """Bring tables over, one after the other."""
    stage, staged, tables, day = boto3.client("s3"), 0, sys.argv[1:], ""
    if tables[0] == "--day":
        _, day, *tables = tables
    for table in tables:
        key = f"airflow/{table}.csv"
        staged += _sql_to_s3(stage, table, key, day)
        _s3_to_warehouse(stage, table, key, upsert=bool(day))
    print(json.dumps({"staged_bytes": staged}))


def _sql_to_s3(stage: Any, table: str, key: str, day: str) -> int:
    days = f" where updated_at >= '{day}' and updated_at < '{day}' + interval 1 day"
    with closing(
        pymysql.connect(
            host="127.0.0.1",
            port=int(os.environ["LOADER_MYSQL_PORT"]),
            user=os.environ["LOADER_MYSQL_USER"],
            password=os.environ["LOADER_MYSQL_PASSWORD"],
            charset="utf8mb4",
            init_command="set time_zone = '+00:00'",
        )
    ) as connection:
        warnings.simplefilter("ignore", UserWarning)  # pandas prefers SQLAlchemy
        select = f"select * from {DATABASE}.{table}{days if day else ''}"
        frame = pd.read_sql(select, connection)
    _fix_int_dtypes(frame)
    with tempfile.NamedTemporaryFile(mode="r+", suffix=".csv") as file:
        frame.to_csv(file.name, index=False, header=False, na_rep=_NULL)
        stage.upload_file(file.name, BUCKET, key)
        return os.path.getsize(file.name)  # noqa: PTH202


def _fix_int_dtypes(frame: "pd.DataFrame") -> None:
    """Take columns of whole numbers with gaps, which pandas reads as floats, for what they are."""
    for name in frame:
        column = frame[name]
        if column.dtype.name.startswith("float") and (column.dropna() % 1 == 0).all():
            frame[name] = column.astype("Int64")


def _s3_to_warehouse(stage: Any, table: str, key: str, *, upsert: bool) -> None:
    with (
        closing(
            psycopg2.connect(
                host="127.0.0.1",
                port=os.environ["LOCAL_PG_PORT"],
                user=WAREHOUSE,
                password=WAREHOUSE_PASSWORD,
                dbname=WAREHOUSE,
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        body = stage.get_object(Bucket=BUCKET, Key=key)["Body"]
        target, into = f"airflow.{table}", f"new_{table}" if upsert else f"airflow.{table}"
        if upsert:
            cursor.execute(f"create temporary table {into} (like {target})")
        copy = f"copy {into} from stdin with (format csv, null '{_NULL}')"
        cursor.copy_expert(copy, body, size=1 << 18)
        if upsert:
            cursor.execute(f"delete from {target} using {into} where {target}.id = {into}.id")
            cursor.execute(f"insert into {target} select * from {into}")
        connection.commit()


if __name__ == "__main__":
    main()
