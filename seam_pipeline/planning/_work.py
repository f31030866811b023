"""What an artifact takes: the unit of the plan, and the rules of what only fills the disk."""

from collections.abc import Callable
from dataclasses import dataclass

from ..experiment import Experiment
from ._size import DataSize, ModelSize


@dataclass(frozen=True)
class Cost:
    """What one artifact takes. Token counts are positions processed."""

    pretrained: float = 0
    """Forward and backward, all weights."""
    trained: float = 0
    """Forward and backward, an adapter on frozen weights."""
    scored: float = 0
    """Forward only."""
    written: float = 0
    """Generated one by one."""
    rl_steps: float = 0
    """Steps of RL; their tokens are counted above too."""
    queries: float = 0
    """Reward queries of the attacks."""
    embedded: float = 0
    """Texts through the sentence encoder."""
    llm_calls: float = 0
    llm_input: float = 0
    llm_output: float = 0
    disk: float = 0
    models: float = 0
    """Adapters, each of which a merged copy would be saved for."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


TOKEN_BYTES = 1.6
"""A token's text, 4 characters, in zstd Parquet: 25 to 60% of the characters on three small Stack Exchange sites."""

Rule = Callable[[Experiment, DataSize, ModelSize, int, int], Cost]
"""(experiment, data, model, policy rank, reward rank) to cost; ranks are 1 off their axis."""


def text_tokens(d: DataSize, limit: float = float("inf")) -> float:
    """Of a prompt and its golden response."""
    return min(d.prompt_tokens + d.response_tokens, limit)


def seam_scores(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """A row per instruction and one per candidate."""
    return Cost(disk=d.rl_train * (45 + 18 * e.candidates.n))


def question_answers(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """Every answer, the question beside it."""
    return Cost(disk=d.questions * (d.prompt_tokens + d.answers * d.response_tokens) * TOKEN_BYTES)


def sft_data(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """A row per train question; the others are few."""
    return Cost(disk=d.sft_train * text_tokens(d) * TOKEN_BYTES)


def preference_data(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """A row per pair."""
    pairs = d.preference_train + d.preference_test
    return Cost(disk=pairs * (d.prompt_tokens + 2 * d.response_tokens) * TOKEN_BYTES)


def rl_data(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """A row per question with its best and its worst answer."""
    return Cost(disk=(d.rl_train + d.rl_test) * (d.prompt_tokens + 2 * d.response_tokens) * TOKEN_BYTES)
