"""Which of two answers is better: a judge LLM asked in both orders, or the ratings of a single-answer judge."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from .. import tables
from ..experiment import Judge as JudgeSettings
from ..llm.client import Reply
from ..llm.template import fill, load_template
from ..llm.usage import Usage
from ..progress import Progress, silent
from ._material import fence_for, set_apart
from ._rating import Judge, JudgedRow, Rating
from ._verdict import Pair, PairJudge, Preference, Verdict, plain_verdict
from .judge import make_judge
from .openai import AskingJudge

DISAGREE = "the orders disagree"
"""How the reason of a tie begins that is the judge's inconsistency, not its verdict."""
_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_NEEDED = ("instruction", "response_a", "response_b")
SHIPPED = ("seam_pipeline.judging", "pair.txt")
"""Where the shipped prompt is, for llm.template."""


def make_pair_judge(
    settings: JudgeSettings,
    *,
    rate: Callable[[str, str], float] | None = None,
    cache_path: Path | None = None,
    template: str | None = None,
    device: str = "cpu",
    used: Callable[[Usage], None] = lambda usage: None,
) -> PairJudge:
    """The pair judge of an experiment, `template` its prompt file; other arguments and errors as in `make_judge`."""
    if settings.kind == "openai" and settings.endpoint is not None and cache_path is not None:
        return OpenAIPairJudge(settings.endpoint, cache_path, template, used)
    return RatingPairJudge(make_judge(settings, rate=rate, cache_path=cache_path, device=device, used=used))


def verdicts(answers: pa.Table, golden: dict[str, str], judge: PairJudge, progress: Progress = silent) -> pa.Table:
    """VERDICTS of PREFERENCE_ANSWERS; `golden` has the golden response by id (read by the reference judge)."""
    rows = answers.to_pylist()
    pairs = [
        Pair(row["id"], row["instruction"], golden[row["id"]], row["response_1"], row["response_2"]) for row in rows
    ]
    found = judge.decide(pairs, progress)
    columns = {
        "id": [pair.id for pair in pairs],
        "judge": [judge.name] * len(pairs),
        "preference": [verdict.preference for verdict in found],
        "reason": [verdict.reason for verdict in found],
        "explanation": [verdict.explanation for verdict in found],
    }
    return pa.table(columns, schema=tables.VERDICTS)


@dataclass(frozen=True)
class RatingPairJudge:
    """Prefers the answer that a single-answer judge rates higher; equal ratings tie."""

    judge: Judge

    @property
    def name(self) -> str:
        """The single-answer judge's."""
        return self.judge.name

    def decide(self, pairs: Sequence[Pair], progress: Progress = silent) -> list[Verdict]:
        """One verdict per pair; null where a rating is missing."""
        plain = [plain_verdict(pair) for pair in pairs]
        asked = [pair for pair, known in zip(pairs, plain, strict=True) if known is None]
        rows = [
            JudgedRow(pair.id, pair.instruction, pair.golden_response, response)
            for pair in asked
            for response in (pair.response_1, pair.response_2)
        ]
        ratings = iter(self.judge.rate(rows, progress))
        return [known or _by_ratings(next(ratings), next(ratings)) for known in plain]


def _by_ratings(first: Rating, second: Rating) -> Verdict:
    if first.rating is None or second.rating is None:
        return Verdict(None, first.reason or second.reason, first.explanation or second.explanation)
    text = f"rated {first.rating:.4g} and {second.rating:.4g}"
    if first.rating == second.rating:
        return Verdict("tie", None, text)
    return Verdict("1" if first.rating > second.rating else "2", None, text)


class OpenAIPairJudge(AskingJudge):
    """Compares two answers, asked twice, each answer once as A."""

    def decide(self, pairs: Sequence[Pair], progress: Progress = silent) -> list[Verdict]:
        """One verdict per pair: the one that both orders give, else a tie (see `in_both_orders`)."""
        text = read_template(self.template)
        plain = [plain_verdict(pair) for pair in pairs]
        asked = [
            pair_prompt(text, pair, swapped=swapped)
            for pair, known in zip(pairs, plain, strict=True)
            if known is None
            for swapped in (False, True)
        ]
        replies = self.replies(asked, progress)
        return [known or in_both_orders(next(replies), next(replies)) for known in plain]


def read_template(path: str | None) -> str:
    """The user's prompt template for pairs, or the shipped one. Raises SeamError for one that can't be used."""
    return load_template(path, *SHIPPED, _NEEDED)


def pair_prompt(template: str, pair: Pair, *, swapped: bool) -> str:
    """The prompt with response_1 as A, or as B when `swapped`; double brackets in the material are set apart."""
    a, b = (pair.response_2, pair.response_1) if swapped else (pair.response_1, pair.response_2)
    material = {"instruction": pair.instruction, "response_a": a, "response_b": b,
                "golden_response": pair.golden_response}  # fmt: skip
    fence = fence_for(*material.values())
    return fill(template, fence=fence, **{name: set_apart(value) for name, value in material.items()})


def in_both_orders(straight: Reply, swapped: Reply) -> Verdict:
    """One verdict of the replies with response_1 as A and as B.

    Two different verdicts are a tie whose reason begins with DISAGREE and says which place won; null when a reply is
    missing, cut off or without a verdict. Both replies are kept.
    """
    explanation = "\n\n".join(_told(straight, swapped)) or None
    found: list[Preference] = []
    for reply, first, second in ((straight, "1", "2"), (swapped, "2", "1")):
        letter, why = read_letter(reply)
        if letter is None:
            return Verdict(None, why, explanation)
        found.append({"A": first, "B": second, "C": "tie"}[letter])  # type: ignore[arg-type]
    if found[0] == found[1]:
        return Verdict(found[0], None, explanation)
    place = {("1", "2"): "the answer shown first won both times", ("2", "1"): "the answer shown last won both times"}
    return Verdict("tie", f"{DISAGREE}: {place.get((found[0], found[1]), 'one of them is a tie')}", explanation)


def read_letter(reply: Reply) -> tuple[str | None, str | None]:
    """The last `[[A]]`, `[[B]]` or `[[C]]` of the judge's own reply, or why there is none."""
    if reply.text is None:
        return None, reply.reason
    if reply.truncated:
        return None, "the judge's reply was cut off at max_tokens"
    found = _VERDICT.findall(reply.text)
    return (found[-1], None) if found else (None, "the judge's reply has no [[verdict]]")


def _told(straight: Reply, swapped: Reply) -> Iterator[str]:
    for order, reply in (("Answer 1 as A", straight), ("Answer 2 as A", swapped)):
        if reply.text is not None:
            yield f"{order}: {reply.text}"
