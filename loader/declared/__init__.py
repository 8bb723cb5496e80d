"""What a person has declared: sources, settings, the dbt profile, windows, policies."""
