"""One module per figure or table of the study: pure functions from tables to a Finding."""

from ._finding import Excerpt, Finding, Table

__all__ = ["Excerpt", "Finding", "Table"]
