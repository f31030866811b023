"""Pairs and judgements for tests."""

from seam_pipeline.annotation._judgement import Choice, Judgement
from seam_pipeline.annotation.pairs import Pair


def pairs(n: int = 6) -> list[Pair]:
    return [Pair(f"q{i}", f"Question {i}?", f"good {i}", f"bad {i}", {"source_1": "GPT", "rank": i}) for i in range(n)]


def judged(pair: Pair, annotator: str, choice: Choice, at: int = 0, comment: str | None = None) -> Judgement:
    time = f"2026-01-01T00:00:{at:02d}.000000Z"
    return Judgement(pair.id, annotator, choice, "1", 2.5, comment, time, pair.key)
