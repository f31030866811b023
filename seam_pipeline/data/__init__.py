"""Posts become questions and answers, and these become the SFT, preference and RL data sets.

The public names are imported on first use, so that importing the package stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._ingest import Sources, ingest, read_sources
    from ._markdown import to_markdown
    from ._score import answer_score
    from ._sniff import Kind, kind_of
    from ._sources import site_of
    from ._splits import Datasets, HeldOut, Place, held_out, place, split_questions

_HOMES = {
    "Datasets": "_splits",
    "HeldOut": "_splits",
    "Kind": "_sniff",
    "Place": "_splits",
    "Sources": "_ingest",
    "answer_score": "_score",
    "held_out": "_splits",
    "ingest": "_ingest",
    "kind_of": "_sniff",
    "place": "_splits",
    "read_sources": "_ingest",
    "site_of": "_sources",
    "split_questions": "_splits",
    "to_markdown": "_markdown",
}

__all__ = [
    "Datasets",
    "HeldOut",
    "Kind",
    "Place",
    "Sources",
    "answer_score",
    "held_out",
    "ingest",
    "kind_of",
    "place",
    "read_sources",
    "site_of",
    "split_questions",
    "to_markdown",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
