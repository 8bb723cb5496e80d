"""Lands MySQL tables in a warehouse through S3: one snapshot, one COPY, one transaction.

The rooms in the order of a row's way; each may use those above it and none below.

* declared   what a person has written: source YAML, settings, dbt profile, windows, policies
* source     MySQL: describe, plan the read, types and their exact text, rows, masking
* declare    declaring tables of MySQL that nobody has declared yet
* stage      S3: parts and manifest, cleaning up
* warehouse  raw tables, landing a window in one transaction, the ledger; a class per adapter
* load       one window of one table end to end; several tables, catch-up and ranges
* verify     comparing both sides, and landing what differs
* run        the daily job: lease, land, `dbt build`, verify, report, notify
* cli        the command line: parse, call, show, exit status
* local      the embedded services and the sample; no other room imports it

`errors` and `lines` (connections that another thread may end) serve all of them.
"""
