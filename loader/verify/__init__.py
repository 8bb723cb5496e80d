"""Comparing source and warehouse, and what a repair has to land."""
