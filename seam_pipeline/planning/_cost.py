"""Tokens, LLM calls and bytes of one artifact."""

from collections.abc import Callable

from ..experiment import Experiment, Lora, augmentation_methods
from ._cycles import cycle_cost
from ._preference import (
    judge_ratings,
    preference_answers,
    preference_responses,
    preference_rewards,
    preference_verdicts,
)
from ._size import DataSize, ModelSize, lora_bytes
from ._work import (
    TOKEN_BYTES,
    Cost,
    Rule,
    preference_data,
    question_answers,
    rl_data,
    seam_scores,
    sft_data,
    text_tokens,
)


def cost_of(name: str, e: Experiment, data: DataSize, size: ModelSize, pm: int, rm: int, runs: int = 0) -> Cost:
    """Cost of an artifact by its asset's name, RL's for so many runs; nothing for joins, selections and figures."""
    if name.endswith("_by_policy"):
        return Cost()
    if name.startswith("cycle"):
        return cycle_cost(name, e, data, size)
    for prefix, run_rule in RUN_RULES.items():
        if name.startswith(prefix):
            return run_rule(runs, e, data, size, pm)
    for prefix, rule in RULES.items():
        if name.startswith(prefix):
            return rule(e, data, size, pm, rm)
    return Cost()


def _base(e: Experiment, _d: DataSize, size: ModelSize, _pm: int, _rm: int) -> Cost:
    s = e.base.scratch
    return Cost(pretrained=s.steps * s.batch_size * s.block_size, disk=4 * size.parameters) if s else Cost()


def _policy(e: Experiment, d: DataSize, size: ModelSize, pm: int, _rm: int, more: float = 0) -> Cost:
    """`more`: rows added to the rank's."""
    sft, rank = e.policy.sft, e.policy.ranks[pm - 1]
    n = rank if sft.unit == "steps" else rank + more
    rows = (
        n * sft.batch_size if sft.unit == "steps" else max(n * sft.epochs, sft.min_steps * sft.batch_size if n else 0)
    )
    return Cost(trained=rows * text_tokens(d, sft.max_length), disk=_adapter(size, sft.lora, n), models=float(n > 0))


def _reward(e: Experiment, d: DataSize, size: ModelSize, _pm: int, rm: int, more: float = 0) -> Cost:
    training, n = e.reward.training, e.reward.ranks[rm - 1] + more
    rows = max(n * training.epochs, training.min_steps * training.batch_size if n else 0)
    disk = _adapter(size, training.lora, n) + _adapter(size, e.policy.sft.lora, 1)
    return Cost(trained=2 * rows * text_tokens(d, training.max_length), disk=disk, models=1)


def _reward_quality(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return Cost(scored=2 * d.preference_test * text_tokens(d))


def _quality(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return _judged(e, d, 1)


def _rlhf_quality(runs: int, e: Experiment, d: DataSize, _s: ModelSize, _pm: int) -> Cost:
    return _judged(e, d, runs)


def _judged(e: Experiment, d: DataSize, policies: int) -> Cost:
    return _answered(e, d, policies * min(e.evaluation.questions, d.rl_test))


def _answered(e: Experiment, d: DataSize, rows: float) -> Cost:
    text = d.prompt_tokens + d.response_tokens + e.evaluation.max_new_tokens
    cost = Cost(
        scored=rows * d.prompt_tokens, written=rows * e.evaluation.max_new_tokens, disk=rows * text * TOKEN_BYTES
    )
    if e.judge.kind != "openai":
        return cost
    asked = d.prompt_tokens + e.evaluation.max_new_tokens + 255
    return cost + Cost(llm_calls=rows, llm_input=rows * asked, llm_output=rows * 150)


def _policy_replicas(e: Experiment, d: DataSize, size: ModelSize, pm: int, rm: int) -> Cost:
    return _times(_further_seeds(e), _policy(e, d, size, pm, rm))


def _reward_replicas(e: Experiment, d: DataSize, size: ModelSize, pm: int, rm: int) -> Cost:
    return _times(_further_seeds(e), _reward(e, d, size, pm, rm))


def _policy_cross(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """All segments and seeds, but for the experiment's own policy on RL, which `policy_quality` has."""
    shares, limit = e.data.splits.segments, e.evaluation.questions
    tests = {segment: min(limit, d.questions * share * e.data.splits.test) for segment, share in shares.items()}
    seeds = _seeds(e)
    return _answered(e, d, sum(tests.values()) * len(seeds) - (tests["rl"] if e.seed in seeds else 0))


def _reward_cross(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """As `_policy_cross`; pairs as many per test question as in the preference data."""
    settings, shares = e.findings.cross_validation, e.data.splits.segments
    limit = (settings.pairs if settings else None) or float("inf")
    per_share = d.preference_test / shares["preference"]
    tests = {segment: min(limit, per_share * share) for segment, share in shares.items()}
    seeds = _seeds(e)
    pairs = sum(tests.values()) * len(seeds) - (tests["preference"] if e.seed in seeds else 0)
    return Cost(scored=2 * pairs * text_tokens(d), disk=pairs * 40)


def _seeds(e: Experiment) -> tuple[int, ...]:
    return e.findings.cross_validation.seeds if e.findings.cross_validation else ()


def _further_seeds(e: Experiment) -> int:
    return len(set(_seeds(e)) - {e.seed})


def _augmentation_data(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """The pool and the instructions through the encoder once, for all methods together."""
    augmentation = e.findings.augmentation
    share = d.questions * e.data.splits.segments["preference"] * (1 - e.data.splits.dev - e.data.splits.test)
    texts = (d.sft_train + share + d.rl_train) / len(augmentation_methods(e, augmentation)) if augmentation else 0
    return Cost(embedded=texts, disk=texts * 768 * 4)


def _samples_added(e: Experiment, d: DataSize, all_of_them: bool) -> float:
    """At most, where every instruction finds as many."""
    augmentation = e.findings.augmentation
    if augmentation is None:
        return 0
    return d.rl_train * augmentation.samples * (1 if all_of_them else augmentation.rate or e.selection.rate)


def _augmented(rule: Callable[..., Cost], all_of_them: bool) -> Rule:
    return lambda e, d, size, pm, rm: rule(e, d, size, pm, rm, _samples_added(e, d, all_of_them))


def _times(n: float, cost: Cost) -> Cost:
    return Cost(*(n * value for value in vars(cost).values()))


def _llm_candidates(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    settings = e.candidates.llm
    if settings is None or settings.generator != "openai":
        return Cost(disk=_candidates(e, d))
    longest = settings.calls * settings.endpoint.max_tokens if settings.endpoint else float("inf")
    return Cost(
        llm_calls=d.rl_train * settings.calls,
        llm_input=d.rl_train * settings.calls * (text_tokens(d) + 350),
        llm_output=d.rl_train * min(e.candidates.n * d.response_tokens, longest),
        disk=_candidates(e, d),
    )


def _candidates(e: Experiment, d: DataSize) -> float:
    return d.rl_train * e.candidates.n * d.response_tokens * TOKEN_BYTES


def _contrast(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """Pool and instructions through the encoder once; 768 float32 numbers of each are kept."""
    settings = e.candidates.contrast
    pool = d.sft_train + (d.rl_train if settings and settings.pool == "all" else 0)
    texts = min(pool, settings.max_pool or pool) + d.rl_train if settings else 0
    return Cost(embedded=texts, disk=_candidates(e, d) + texts * 768 * 4)


def _adversarial(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """An upper bound of the queries, golden responses and KATG's pool (two responses an instruction) included."""
    a = e.candidates.adversarial
    if a is None:
        return Cost(disk=_candidates(e, d))
    pool = 2 * min(a.resources.katg_pool, d.rl_train) if "katg" in a.recipes else 0
    queries = d.rl_train * (1 + a.max_queries * len(a.recipes)) + pool
    return Cost(queries=queries, disk=_candidates(e, d))


def _scores(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    """Packed: the prompt once, then every response. A table row takes 8 bytes, one of the row cache 150."""
    rows = d.rl_train
    length = min(d.response_tokens, e.scoring.max_response_tokens or d.response_tokens)
    return Cost(scored=rows * (d.prompt_tokens + e.candidates.n * length), disk=rows * e.candidates.n * (8 + 150))


def _perplexity(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return Cost(scored=d.rl_train * text_tokens(d))


def _samples(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    answers = d.rl_train * e.selection.samples
    tokens = e.evaluation.max_new_tokens
    return Cost(scored=answers * d.prompt_tokens, written=answers * tokens, disk=answers * tokens * TOKEN_BYTES)


def _sample_rewards(e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return Cost(scored=d.rl_train * (d.prompt_tokens + (e.selection.samples + 1) * d.response_tokens))


def _pairs(_e: Experiment, d: DataSize, _s: ModelSize, _pm: int, _rm: int) -> Cost:
    return Cost(scored=d.rl_train * (d.prompt_tokens + 2 * d.response_tokens))


def _dpo(e: Experiment, d: DataSize, size: ModelSize, pm: int, _rm: int) -> Cost:
    """Two texts per pair, each also under the reference."""
    dpo = e.rl.dpo
    if dpo is None:
        return Cost()
    texts = 2 * (dpo.pairs or d.preference_train) * dpo.epochs * text_tokens(d, dpo.max_length)
    disk = _adapter(size, dpo.lora, 1) + _adapter(size, e.policy.sft.lora, e.policy.ranks[pm - 1])
    return Cost(trained=texts, scored=texts, disk=disk, models=1)


def _rl(runs: int, e: Experiment, d: DataSize, size: ModelSize, pm: int) -> Cost:
    if e.rl.algorithm == "ppo":
        return _ppo(runs, e, d, size, pm)
    group = e.rl.group
    answers = runs * group.steps * group.batch_size
    text = min(d.prompt_tokens, group.max_prompt_tokens) + group.max_new_tokens
    return Cost(
        trained=answers * text,
        scored=answers / group.epochs * (3 * text + d.prompt_tokens),
        written=answers / group.epochs * group.max_new_tokens,
        rl_steps=runs * group.steps,
        models=runs,
        disk=runs * (_adapter(size, group.lora, 1) + _adapter(size, e.policy.sft.lora, e.policy.ranks[pm - 1])),
    )


def _ppo(runs: int, e: Experiment, d: DataSize, size: ModelSize, pm: int) -> Cost:
    ppo = e.rl.ppo
    episodes = runs * ppo.steps * ppo.batch_size
    length = (ppo.min_new_tokens + ppo.max_new_tokens) / 2
    text = min(d.prompt_tokens, ppo.max_prompt_tokens) + length
    return Cost(
        trained=episodes * ppo.epochs * text,
        scored=episodes * (3 * text + d.prompt_tokens),
        written=episodes * length,
        rl_steps=runs * ppo.steps,
        models=runs,
        disk=runs * (_adapter(size, ppo.lora, 1) + _adapter(size, e.policy.sft.lora, e.policy.ranks[pm - 1])),
    )


def _adapter(size: ModelSize, lora: Lora, n: float) -> float:
    return lora_bytes(size, lora) if n else 0


RULES: dict[str, Rule] = {
    "question_answers": question_answers,
    "sft_data": sft_data,
    "preference_data": preference_data,
    "rl_data": rl_data,
    "base_model": _base,
    "policy_model": _policy,
    "reward_model": _reward,
    "reward_quality": _reward_quality,
    "policy_quality": _quality,
    "policy_replicas": _policy_replicas,
    "reward_replicas": _reward_replicas,
    "policy_cross_quality": _policy_cross,
    "reward_cross_quality": _reward_cross,
    "contrast_candidates": _contrast,
    "llm_candidates": _llm_candidates,
    "adversarial_candidates": _adversarial,
    "candidate_likelihoods_": _scores,
    "candidate_rewards_": _scores,
    "seam_scores_": seam_scores,
    "base_perplexities": _perplexity,
    "policy_samples": _samples,
    "sample_rewards": _sample_rewards,
    "pair_rewards": _pairs,
    "pair_likelihoods": _pairs,
    "base_pair_likelihoods": _pairs,
    "dpo_policy": _dpo,
    "dpo_quality": _quality,
    "preference_responses": preference_responses,
    "preference_answers": preference_answers,
    "preference_rewards": preference_rewards,
    "preference_verdicts": preference_verdicts,
    "judge_ratings": judge_ratings,
    "augmentation_data_": _augmentation_data,
    "augmented_policy_quality_": _quality,
    "augmented_reward_quality_": _reward_quality,
    "augmented_policy_full_aug": _augmented(_policy, True),
    "augmented_reward_full_aug": _augmented(_reward, True),
    "augmented_policy_": _augmented(_policy, False),
    "augmented_reward_": _augmented(_reward, False),
}

RUN_RULES: dict[str, Callable[[int, Experiment, DataSize, ModelSize, int], Cost]] = {
    "rlhf_policy_": _rl,
    "rlhf_quality_": _rlhf_quality,
}
