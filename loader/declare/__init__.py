"""Declaring tables that nobody has declared yet: what is there, what is chosen, what is written."""
