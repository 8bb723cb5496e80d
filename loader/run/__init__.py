"""The daily job: lease, land, `dbt build`, verify, report, notify."""
