"""A stand-in for Redshift: the real driver and dbt adapter talk to a relay before PostgreSQL.

* `strict` refuses SQL that Redshift refuses.
* `dialect` rewrites what PostgreSQL spells or does otherwise.
* `copying` is COPY from a manifest.
* `relay` is the server, with its log of statements and the faults that a test asks for.
* `catalog.pgsql` holds the functions and system views that PostgreSQL does not have.

It shows neither the isolation of a real cluster, nor its IAM and S3 permissions, workload
management, speed or skew, late binding of views, nor the corner rules of COPY.
"""
