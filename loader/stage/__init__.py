"""S3: parts and their manifest, reading them back, cleaning up."""
