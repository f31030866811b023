"""What Fig. 4 and the judges' agreement take."""

from ..experiment import Experiment
from ._size import DataSize, ModelSize
from ._work import TOKEN_BYTES, Cost

_PAIR_PROMPT = 312
"""Tokens of the shipped judging/templates/pair.txt, at 4 characters each."""
_PAIR_REPLY = 150


def preference_responses(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """One answer per instruction that is compared."""
    rows, new = _pairs(e, d), e.evaluation.max_new_tokens
    return Cost(scored=rows * d.prompt_tokens, written=rows * new, disk=rows * new * TOKEN_BYTES)


def preference_answers(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """A copy of both."""
    return Cost(disk=_pairs(e, d) * (d.prompt_tokens + 2 * e.evaluation.max_new_tokens) * TOKEN_BYTES)


def preference_rewards(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """Packed: the prompt once, then both answers."""
    rows = _pairs(e, d)
    return Cost(scored=rows * (d.prompt_tokens + 2 * e.evaluation.max_new_tokens), disk=rows * 40)


def preference_verdicts(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """A judge LLM reads both answers in both orders; the reference judge embeds them and the golden answer."""
    settings, rows = e.findings.preference, _pairs(e, d)
    if settings is None or settings.source != "judge" or e.judge.kind == "gold":
        return Cost(disk=rows * 30)
    if e.judge.kind == "reference":
        return Cost(embedded=3 * rows, disk=rows * 30)
    asked = d.prompt_tokens + 2 * e.evaluation.max_new_tokens + _PAIR_PROMPT
    calls = 2 * rows
    disk = calls * _PAIR_REPLY * TOKEN_BYTES
    return Cost(llm_calls=calls, llm_input=calls * asked, llm_output=calls * _PAIR_REPLY, disk=disk)


def judge_ratings(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """Every policy's answers through the sentence encoder, and the golden ones once."""
    rows = min(e.evaluation.questions, d.rl_test)
    return Cost(embedded=rows * (len(e.policy.ranks) + 1), disk=rows * len(e.policy.ranks) * 60)


def _pairs(e: Experiment, d: DataSize) -> float:
    settings = e.findings.preference
    return min(settings.questions, d.rl_train) if settings else 0
