"""Judges that rate answers from 1 to 10: the testbed's truth, an LLM, or similarity to the golden answer."""

from ._rating import Judge, JudgedRow, Rating
from .judge import make_judge

__all__ = ["Judge", "JudgedRow", "Rating", "make_judge"]
