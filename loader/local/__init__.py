"""A MySQL, a PostgreSQL and an S3 of one's own under `.local/`, and the sample they hold.

The rest of the loader does not import this package: it only reads the `local.env` written here.
"""
