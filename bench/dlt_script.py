"""What a user of dlt writes; run by dlt's own Python.

`python dlt_script.py replace|merge SOURCE-URL WAREHOUSE-URL TABLE ...`
"""

import sys

import dlt
from dlt.sources.sql_database import sql_database


def main() -> None:
    """Load tables whole, each replaced; or what is new in them, merged."""
    disposition, source_url, warehouse_url, *tables = sys.argv[1:]
    pipeline = dlt.pipeline(
        f"bench_{disposition}",
        pipelines_dir=".local/dlt",
        destination=dlt.destinations.postgres(warehouse_url),
        dataset_name="peer_dlt",
    )
    source = sql_database(
        source_url, table_names=tables, backend="pyarrow", reflection_level="full_with_precision"
    )
    if disposition == "merge":
        for table in tables:
            source.resources[table].apply_hints(
                primary_key="id", incremental=dlt.sources.incremental("updated_at")
            )
    pipeline.run(source, write_disposition=disposition)


if __name__ == "__main__":
    main()
