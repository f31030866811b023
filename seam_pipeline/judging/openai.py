"""A language model as the judge: single answers, explanation first, `Rating: [[n]]` last (SPEC section 5)."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..experiment import LLMEndpoint
from ..llm.client import ChatClient, Reply, user
from ..llm.template import fill, load_template
from ..llm.usage import Usage
from ..progress import Progress, silent
from ._material import fence_for, set_apart
from ._rating import EMPTY, JudgedRow, Rating

PURPOSE = "judge"
"""The account that judges' requests are booked to."""
_RATING = re.compile(r"\[\[\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*\]\]")


@dataclass(frozen=True)
class AskingJudge:
    """A judge behind any OpenAI-compatible server; replies are kept in `cache_path`.

    `used` is told after each call, and where one fails, what all calls so far did and cost.
    """

    endpoint: LLMEndpoint
    cache_path: Path
    template: str | None = None
    used: Callable[[Usage], None] = lambda usage: None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.endpoint.model

    def replies(self, prompts: Sequence[str], progress: Progress) -> Iterator[Reply]:
        """One reply per prompt, in their order."""
        try:
            return iter(self._client.complete_many([user(prompt) for prompt in prompts], progress))
        finally:
            self.used(self._client.usage)

    @cached_property
    def _client(self) -> ChatClient:
        return ChatClient(self.endpoint, self.cache_path, PURPOSE)


class OpenAIJudge(AskingJudge):
    """Rates single answers."""

    def rate(self, rows: Sequence[JudgedRow], progress: Progress = silent) -> list[Rating]:
        """One rating per row; null with the reason where the server failed or gave no rating from 1 to 10."""
        text = read_template(self.template)
        replies = self.replies([judge_prompt(text, row) for row in rows if row.response.strip()], progress)
        return [read_rating(next(replies)) if row.response.strip() else EMPTY for row in rows]


def read_template(path: str | None) -> str:
    """The user's prompt template, or the shipped one. Raises SeamError for one that can't be used."""
    return load_template(path, "seam_pipeline.judging", "single_answer.txt", ("instruction", "response"))


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
