"""Dagster only: what depends on what. The computing is done by the core packages."""
