"""S3: parts and their manifest, cleaning up."""
