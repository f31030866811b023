"""Judges that rate answers from 1 to 10: gold, an LLM, or similarity to the golden answer."""

from .judge import GOLD, REFERENCE, Judged, JudgedRow, JudgeFn, Rating, make_judge

__all__ = ["GOLD", "REFERENCE", "JudgeFn", "Judged", "JudgedRow", "Rating", "make_judge"]
