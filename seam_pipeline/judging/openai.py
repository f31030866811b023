"""A language model as the judge: single answers, explanation first, `Rating: [[n]]` last (SPEC section 5)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..experiment import LLMEndpoint
from ..llm.client import ChatClient, Reply, user
from ..llm.template import fill, load_template
from ..progress import Progress, silent
from ._material import fence_for, set_apart
from ._rating import EMPTY, JudgedRow, Rating

_RATING = re.compile(r"\[\[\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*\]\]")


@dataclass(frozen=True)
class AskingJudge:
    """A judge behind any OpenAI-compatible server; replies are kept in `cache_path`."""

    endpoint: LLMEndpoint
    cache_path: Path
    template: str | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.endpoint.model

    def replies(self, prompts: Sequence[str], progress: Progress) -> Iterator[Reply]:
        """One reply per prompt, in their order."""
        asked = [user(prompt) for prompt in prompts]
        return iter(ChatClient(self.endpoint, self.cache_path, "judge").complete_many(asked, progress))


class OpenAIJudge(AskingJudge):
    """Rates single answers."""

    def rate(self, rows: Sequence[JudgedRow], progress: Progress = silent) -> list[Rating]:
        """One rating per row; null with the reason where the server failed or gave no rating from 1 to 10."""
        text = load_template(self.template, "seam_pipeline.judging", "single_answer.txt", ("instruction", "response"))
        replies = self.replies([judge_prompt(text, row) for row in rows if row.response.strip()], progress)
        return [read_rating(next(replies)) if row.response.strip() else EMPTY for row in rows]


def judge_prompt(template: str, row: JudgedRow) -> str:
    """The prompt of one answer; double brackets in the material are set apart, so that a quote is never a rating."""
    material = {"instruction": row.instruction, "response": row.response, "golden_response": row.golden_response}
    fence = fence_for(*material.values())
    return fill(template, fence=fence, **{name: set_apart(value) for name, value in material.items()})


def read_rating(reply: Reply) -> Rating:
    """The last `[[n]]` of the judge's own reply; null when it is missing, outside 1..10, or the reply was cut off."""
    if reply.text is None:
        return Rating(None, None, reply.reason)
    found = _RATING.findall(reply.text)
    if reply.truncated:
        return Rating(None, reply.text, "the judge's reply was cut off at max_tokens")
    if not found:
        return Rating(None, reply.text, "the judge's reply has no [[rating]]")
    if not 1 <= float(found[-1]) <= 10:
        return Rating(None, reply.text, f"the judge's rating {found[-1]} is outside 1 to 10")
    return Rating(float(found[-1]), reply.text)
