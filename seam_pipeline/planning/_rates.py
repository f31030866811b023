"""How fast a device works: given by the user, measured in the store's records, else assumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

from ..experiment import Experiment, LLMEndpoint, Throughput
from ._size import DataSize, ModelSize
from ._work import Cost

FIELDS = {
    "train": ("train_tokens_per_second", 1.0),
    "score": ("score_tokens_per_second", 1.0),
    "generate": ("generate_tokens_per_second", 1.0),
    "rl": ("rl_steps_per_minute", 60.0),
    "attack": ("attack_queries_per_second", 1.0),
    "embed": ("embed_texts_per_second", 1.0),
    "llm": ("llm_calls_per_minute", 60.0),
}
"""Kinds of work by the key that gives their speed, and the seconds of its unit."""
UNITS = {"rl": "steps", "attack": "queries", "embed": "texts", "llm": "calls"}
"""Tokens elsewhere."""
SCALED = ("pretrain", "train", "score", "generate", "rl", "attack")
"""Kinds that take as long as the model is large."""

TFLOPS = {"cuda": 120.0, "cpu": 0.01}
"""One A100-class GPU at 40% of its bf16 peak; a small model on one of two cores, from the testbed's own runs."""
LAYER_SECONDS = {"cuda": 1e-3, "cpu": 2e-3}
"""Of one layer per step of generation, where the work is small: starting the kernels."""
BANDWIDTH = {"cuda": 1.5e12, "cpu": 1e10}
"""Bytes of weights per second: a step of generation reads all of them, 2 bytes per parameter."""
ENCODER = {"minilm": 22e6}
"""Parameters of the sentence encoder; 110 M, a BERT-base, otherwise."""
ENCODER_TFLOPS = {"cuda": 60.0, "cpu": 0.05}
"""Of a sentence encoder, larger than the testbed's models."""
QUERY_SECONDS = 2e-3
"""Of an attack's query outside of the model: words, constraints (0.6 to 1.7 ms measured on TextAttack's part)."""
LLM_CALL_SECONDS, LLM_TOKENS_PER_SECOND = 1.0, 50.0
"""Of one request: until the first token, and after it."""


@dataclass(frozen=True)
class Rate:
    """Amount of one kind of work per second on one device."""

    per_second: float
    source: str
    """`given`, `measured` or `assumed`."""
    words: str
    """Where it comes from."""


Rates = Mapping[str, Rate]
"""By kind of work; `rl` and `llm` only where they are known."""


def amounts(cost: Cost, rates: Rates) -> dict[str, float]:
    """Work of an artifact on its device by kind: RL in steps where their speed is known, else in tokens."""
    own = {"attack": cost.queries, "embed": cost.embedded}
    if cost.rl_steps and "rl" in rates:
        return own | {"rl": cost.rl_steps}
    tokens = {"pretrain": cost.pretrained, "train": cost.trained, "score": cost.scored, "generate": cost.written}
    return own | tokens


def device_seconds(cost: Cost, rates: Rates) -> float:
    """Time of one device."""
    return sum(amount / rates[kind].per_second for kind, amount in amounts(cost, rates).items() if amount)


def llm_seconds(cost: Cost, rates: Rates, endpoint: LLMEndpoint | None) -> float:
    """Time of waiting for an LLM; 0 in batch mode, where a batch may take a day whatever its size."""
    if not cost.llm_calls or endpoint is None or endpoint.mode == "batch":
        return 0.0
    if "llm" in rates:
        return cost.llm_calls / rates["llm"].per_second
    return (cost.llm_calls * LLM_CALL_SECONDS + cost.llm_output / LLM_TOKENS_PER_SECOND) / endpoint.concurrency


def given_rates(entries: Sequence[Throughput], size: ModelSize, where: str) -> dict[str, Rate]:
    """Of each kind the entry measured on the model nearest in size, scaled to this one."""
    found: dict[str, Rate] = {}
    for kind, (field, unit) in FIELDS.items():
        known = [entry for entry in entries if getattr(entry, field) is not None]
        if not known:
            continue
        entry = min(known, key=lambda entry: abs(log((entry.parameters or size.parameters) / size.parameters)))
        scale = (entry.parameters or size.parameters) / size.parameters if kind in SCALED else 1.0
        how = f"{entry.device or where}{'' if scale == 1 else f', from {_billions(entry.parameters or 0)} parameters'}"
        found[kind] = Rate(getattr(entry, field) / unit * scale, "given", how)
    return found


def assumed_rates(e: Experiment, size: ModelSize, data: DataSize, tflops: float | None = None) -> dict[str, Rate]:
    """From a sustained rate of arithmetic: 6 operations per parameter and trained token, 4 when the weights are frozen,
    2 forward (Kaplan et al. 2020, section 2.1). A step of generation starts every layer and reads every weight.
    """
    on = "cuda" if e.compute.device.startswith("cuda") else "cpu"
    speed, source = (tflops or TFLOPS[on]) * 1e12, "assumed" if tflops is None else "given"
    said = f"{tflops or TFLOPS[on]:g} TFLOP/s"
    per = {"pretrain": 6.0, "train": 4.0, "score": 2.0}
    found = {
        kind: Rate(speed / (n * size.parameters), source, f"{said}, {n:g} per parameter") for kind, n in per.items()
    }
    batch, forward = e.evaluation.batch_size, 2 * size.parameters / speed
    step = max(LAYER_SECONDS[on] * size.layers, 2 * size.parameters / BANDWIDTH[on], batch * forward)
    found["generate"] = Rate(batch / step, "assumed", f"{batch} answers at once, {step * 1e3:.3g} ms per token of each")
    contrast = e.candidates.contrast
    parameters = ENCODER.get(contrast.embedding if contrast else "", 110e6)
    text = 2 * parameters * data.prompt_tokens / (ENCODER_TFLOPS[on] * 1e12)
    said = f"{ENCODER_TFLOPS[on]:g} TFLOP/s, an encoder of {parameters / 1e6:.0f} M parameters"
    found["embed"] = Rate(1 / text, "assumed", said)
    return found


def attack_rate(score: Rate, data: DataSize) -> Rate:
    """Of attacks, where only scoring's speed is known: a query computes half of a response, since the prompt and what
    is before the change are kept.
    """
    tokens = data.response_tokens / 2
    words = f"{tokens:.0f} tokens at the speed of scoring and {QUERY_SECONDS * 1e3:g} ms per query"
    return Rate(1 / (QUERY_SECONDS + tokens / score.per_second), "assumed", words)


def _billions(parameters: float) -> str:
    return f"{parameters / 1e9:.3g} G" if parameters >= 1e9 else f"{parameters / 1e6:.3g} M"
