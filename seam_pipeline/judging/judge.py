"""Choosing the judge of an experiment."""

from collections.abc import Callable
from pathlib import Path

from ..errors import SeamError
from ..experiment import Judge as JudgeSettings
from ..llm.usage import Usage
from ._rating import Judge


def make_judge(
    settings: JudgeSettings,
    *,
    rate: Callable[[str, str], float] | None = None,
    cache_path: Path | None = None,
    device: str = "cpu",
    used: Callable[[Usage], None] = lambda usage: None,
) -> Judge:
    """The judge of an experiment.

    rate: the testbed's true rating of (instruction, response), for `gold`. cache_path: reply cache, for `openai`;
    used: told what that judge's requests did and cost, all of them so far.
    Raises SeamError when the judge lacks what it needs.
    """
    if settings.kind == "gold":
        if rate is None:
            raise SeamError("judge.kind: gold exists only on the testbed; use openai or reference.")
        from .gold import GoldJudge

        return GoldJudge(rate)
    if settings.kind == "reference":
        from .reference import ReferenceJudge

        return ReferenceJudge(device=device)
    if settings.endpoint is None or cache_path is None:
        raise SeamError("judge.kind: openai needs judge.endpoint and a place for its reply cache.")
    from .openai import OpenAIJudge

    return OpenAIJudge(settings.endpoint, cache_path, settings.template, used)
