"""Lands MySQL tables in a warehouse through S3: one snapshot, one COPY, one transaction."""
