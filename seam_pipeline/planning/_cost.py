"""Tokens, LLM calls and bytes of one artifact."""

from collections.abc import Callable
from dataclasses import dataclass

from ..experiment import Experiment, Lora
from ._size import DataSize, ModelSize, lora_bytes


@dataclass(frozen=True)
class Cost:
    """What one artifact takes. Token counts are positions processed."""

    trained: float = 0
    """Forward and backward."""
    scored: float = 0
    """Forward only."""
    written: float = 0
    """Generated one by one."""
    llm_calls: float = 0
    llm_input: float = 0
    llm_output: float = 0
    disk: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def flops_per_parameter(self) -> float:
        """6 per trained token, 2 per scored or written one (Kaplan et al. 2020, section 2.1)."""
        return 6 * self.trained + 2 * (self.scored + self.written)


Rule = Callable[[Experiment, DataSize, ModelSize, int, int], Cost]
"""(experiment, data, model, policy rank, reward rank) to cost; ranks are 1 off their axis."""


def cost_of(name: str, e: Experiment, data: DataSize, size: ModelSize, pm: int, rm: int) -> Cost:
    """Cost of an artifact by its asset's name; nothing for joins, selections and figures."""
    if name.endswith("_by_policy"):
        return Cost()
    for prefix, method_rule in METHOD_RULES.items():
        if name.startswith(prefix):
            return method_rule(name.removeprefix(prefix), e, data, size, pm, rm)
    for prefix, rule in RULES.items():
        if name.startswith(prefix):
            return rule(e, data, size, pm, rm)
    return Cost()


def _base(e: Experiment, _d: DataSize, size: ModelSize, _pm: int, _rm: int) -> Cost:
    s = e.base.scratch
    return Cost(trained=s.steps * s.batch_size * s.block_size, disk=4 * size.parameters) if s else Cost()


def _policy(e: Experiment, d: DataSize, size: ModelSize, pm: int, _rm: int) -> Cost:
    sft, n = e.policy.sft, e.policy.ranks[pm - 1]
    rows = (
        n * sft.batch_size if sft.unit == "steps" else max(n * sft.epochs, sft.min_steps * sft.batch_size if n else 0)
    )
    return Cost(trained=rows * _text(d, sft.max_length), disk=_adapter(size, sft.lora, n))


def _reward(e: Experiment, d: DataSize, size: ModelSize, _pm: int, rm: int) -> Cost:
    training, n = e.reward.training, e.reward.ranks[rm - 1]
    rows = max(n * training.epochs, training.min_steps * training.batch_size if n else 0)
    disk = _adapter(size, training.lora, n) + _adapter(size, e.policy.sft.lora, 1)
    return Cost(trained=2 * rows * _text(d, training.max_length), disk=disk)


def _reward_quality(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return Cost(scored=2 * d.preference_test * _text(d))


def _quality(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return _judged(e, d, 1)


def _rlhf_quality(method: str, e: Experiment, d: DataSize, _s: ModelSize, pm: int, rm: int) -> Cost:
    return _judged(e, d, len(e.runs.get(method, {}).get((pm, rm), ())))


def _judged(e: Experiment, d: DataSize, policies: int) -> Cost:
    rows = policies * min(e.evaluation.questions, d.rl_test)
    cost = Cost(scored=rows * d.prompt_tokens, written=rows * e.evaluation.max_new_tokens)
    if e.judge.kind != "openai":
        return cost
    return cost + Cost(llm_calls=rows, llm_input=rows * (_text(d) + 200), llm_output=rows * 150)


def _llm_candidates(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    settings = e.candidates.llm
    if settings is None or settings.generator != "openai":
        return Cost()
    return Cost(
        llm_calls=d.rl_train * settings.calls,
        llm_input=d.rl_train * settings.calls * (_text(d) + 200),
        llm_output=d.rl_train * e.candidates.n * d.response_tokens,
    )


def _adversarial(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """An upper bound of the queries; the prompt is shared by an instruction's queries, half of the response is too."""
    a = e.candidates.adversarial
    per_instruction = d.prompt_tokens + a.max_queries * len(a.recipes) * d.response_tokens / 2 if a else 0
    return Cost(scored=d.rl_train * per_instruction)


def _scores(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """Packed: the prompt once, then every response."""
    rows = d.rl_train
    length = min(d.response_tokens, e.scoring.max_response_tokens or d.response_tokens)
    return Cost(scored=rows * (d.prompt_tokens + e.candidates.n * length), disk=rows * e.candidates.n * 24)


def _perplexity(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return Cost(scored=d.rl_train * _text(d))


def _samples(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    answers = d.rl_train * e.selection.samples
    return Cost(scored=answers * d.prompt_tokens, written=answers * e.evaluation.max_new_tokens)


def _sample_rewards(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return Cost(scored=d.rl_train * (d.prompt_tokens + (e.selection.samples + 1) * d.response_tokens))


def _pairs(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return Cost(scored=d.rl_train * (d.prompt_tokens + 2 * d.response_tokens))


def _dpo(e: Experiment, d: DataSize, size: ModelSize, pm: int, _rm: int) -> Cost:
    """Two texts per pair, each also under the reference."""
    dpo = e.rl.dpo
    if dpo is None:
        return Cost()
    texts = 2 * (dpo.pairs or d.preference_train) * dpo.epochs * _text(d, dpo.max_length)
    disk = _adapter(size, dpo.lora, 1) + _adapter(size, e.policy.sft.lora, e.policy.ranks[pm - 1])
    return Cost(trained=texts, scored=texts, disk=disk)


def _rl(method: str, e: Experiment, d: DataSize, size: ModelSize, pm: int, rm: int) -> Cost:
    if e.rl.algorithm == "ppo":
        return _ppo(method, e, d, size, pm, rm)
    seeds, group = len(e.runs.get(method, {}).get((pm, rm), ())), e.rl.group
    answers = seeds * group.steps * group.batch_size
    text = min(d.prompt_tokens, group.max_prompt_tokens) + group.max_new_tokens
    return Cost(
        trained=answers * text,
        scored=answers / group.epochs * (3 * text + d.prompt_tokens),
        written=answers / group.epochs * group.max_new_tokens,
        disk=seeds * (_adapter(size, group.lora, 1) + _adapter(size, e.policy.sft.lora, e.policy.ranks[pm - 1])),
    )


def _ppo(method: str, e: Experiment, d: DataSize, size: ModelSize, pm: int, rm: int) -> Cost:
    seeds, ppo = len(e.runs.get(method, {}).get((pm, rm), ())), e.rl.ppo
    episodes = seeds * ppo.steps * ppo.batch_size
    length = (ppo.min_new_tokens + ppo.max_new_tokens) / 2
    text = min(d.prompt_tokens, ppo.max_prompt_tokens) + length
    return Cost(
        trained=episodes * ppo.epochs * text,
        scored=episodes * (3 * text + d.prompt_tokens),
        written=episodes * length,
        disk=seeds * (_adapter(size, ppo.lora, 1) + _adapter(size, e.policy.sft.lora, e.policy.ranks[pm - 1])),
    )


def _text(d: DataSize, limit: float = float("inf")) -> float:
    return min(d.prompt_tokens + d.response_tokens, limit)


def _adapter(size: ModelSize, lora: Lora, n: int) -> float:
    return lora_bytes(size, lora) if n else 0


RULES: dict[str, Rule] = {
    "base_model": _base,
    "policy_model": _policy,
    "reward_model": _reward,
    "reward_quality": _reward_quality,
    "policy_quality": _quality,
    "llm_candidates": _llm_candidates,
    "adversarial_candidates": _adversarial,
    "candidate_likelihoods_": _scores,
    "candidate_rewards_": _scores,
    "base_perplexities": _perplexity,
    "policy_samples": _samples,
    "sample_rewards": _sample_rewards,
    "pair_rewards": _pairs,
    "pair_likelihoods": _pairs,
    "base_pair_likelihoods": _pairs,
    "dpo_policy": _dpo,
    "dpo_quality": _quality,
}

METHOD_RULES: dict[str, Callable[[str, Experiment, DataSize, ModelSize, int, int], Cost]] = {
    "rlhf_policy_": _rl,
    "rlhf_quality_": _rlhf_quality,
}
