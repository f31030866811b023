"""The ways to run a packed batch: FlexAttention and blocks, a narrowed last layer, half precision."""

import logging
import shutil
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    AutoModelForSequenceClassification,
    GemmaConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MixtralConfig,
    Qwen2Config,
)

from seam_pipeline.errors import SeamError
from seam_pipeline.models._compat import trunk_of
from seam_pipeline.models._tiles import TILE
from seam_pipeline.scoring import _flex, _logprobs
from seam_pipeline.scoring._engine import KERNELS, Engine
from seam_pipeline.scoring._forward import evaluating, hidden_states, packed, padded
from seam_pipeline.scoring._logprobs import Scored, log_likelihoods
from seam_pipeline.scoring._tree import Ids

from ..same_bits import needs_same_bits

CPU = torch.device("cpu")
SIZE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
IDS = {"vocab_size": 300, "pad_token_id": 0, "initializer_range": 0.2, "max_position_embeddings": 512}
CONFIGS: dict[str, Any] = {
    "mha": LlamaConfig(**SIZE, **IDS, num_key_value_heads=4),
    "gqa": LlamaConfig(**SIZE, **IDS, num_key_value_heads=2),
    "qwen2": Qwen2Config(**SIZE, **IDS, num_key_value_heads=1, use_sliding_window=False),
    "gpt_neox": GPTNeoXConfig(**SIZE, **IDS, rotary_pct=0.5),
    "gemma": GemmaConfig(**SIZE, **IDS, num_key_value_heads=2, head_dim=16),
}


def model_of(config: Any, seed: int = 0, auto: Any = Auto) -> Any:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return auto.from_config(config, dtype=torch.float32).eval()


def groups_of(seed: int = 0, prompts: tuple[int, ...] = (40, 90, 3)) -> list[list[Scored]]:
    """Prompts with responses of 1 to 30 tokens; some are equal, some begin alike, one group is empty."""
    rng = np.random.default_rng(seed)
    groups: list[list[Scored]] = [[]]
    for length in prompts:
        prompt, base = rng.integers(3, 300, length), rng.integers(3, 300, 30)
        texts = [base[: rng.integers(1, 31)] for _ in range(4)]
        texts += [np.concatenate([base[:cut], rng.integers(3, 300, 5)]) for cut in (0, 4, 20)]
        groups.append([Scored(np.concatenate([prompt, text]), length) for text in [*texts, texts[0]]])
    return groups


def one_by_one(model: Any, scored: Scored) -> float:
    """Sum of log P, a forward for one sequence; float32 log-softmax whatever the model's precision."""
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(scored.tokens)[None].to(model.device)).logits[0, :-1].float()
    found = logits.log_softmax(-1).gather(1, torch.from_numpy(scored.tokens)[1:, None].to(model.device))
    return float(found[scored.context - 1 :].double().sum())


def run(engine: Engine, groups: list[list[Scored]]) -> list[float]:
    return np.concatenate(log_likelihoods(engine, groups, lambda _: None)).tolist()


@pytest.mark.parametrize("kernel", ["flex", "blocks"])
@pytest.mark.parametrize("name", CONFIGS)
def test_kernels_equal_one_by_one(name: str, kernel: Any) -> None:
    model, groups = model_of(CONFIGS[name]), groups_of()
    engine = Engine(model, "cpu", "packed", 200, kernel)
    assert engine.way is not None
    assert (engine.way.kernel, engine.way.narrow) == (kernel, True)
    expected = [one_by_one(model, scored) for group in groups for scored in group]
    assert run(engine, groups) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["mha", "gqa"])
def test_flex_gives_the_states_of_blocks_at_every_node(name: str) -> None:
    """More nodes than one tile: tiles that are seen whole, in part and not at all."""
    model = model_of(CONFIGS[name])
    sequences = [scored.tokens for group in groups_of(1, (290, 160)) for scored in group]
    with evaluating(model):
        flex, blocks = (packed(sequences, CPU, kernel) for kernel in ("flex", "blocks"))
        states = [hidden_states(model, batch) for batch in (flex, blocks)]
    assert states[0].shape[0] > 3 * _flex.TILE
    assert torch.allclose(*states, atol=1e-4)
    tiles = flex.plan.mask.to_dense()[0, 0]  # type: ignore[union-attr]
    assert 0 < tiles.sum() < torch.ones_like(tiles).tril().sum()
    assert flex.plan.mask.full_kv_num_blocks.sum() > 0  # type: ignore[union-attr]


def test_only_the_states_that_are_read_are_right(caplog: pytest.LogCaptureFixture) -> None:
    """The last layer's MLP sees as many nodes as are read; every other layer all of them."""
    model, sequences = model_of(CONFIGS["gqa"]), [scored.tokens for scored in groups_of()[1]]
    seen: list[list[int]] = [[] for _ in trunk_of(model).layers]  # type: ignore[union-attr]
    forwards = [layer.mlp.forward for layer in trunk_of(model).layers]  # type: ignore[union-attr]
    hooks = [
        layer.mlp.gate_proj.register_forward_pre_hook(lambda _m, args, at=at: at.append(args[0].shape[1]))
        for layer, at in zip(trunk_of(model).layers, seen, strict=True)  # type: ignore[union-attr]
    ]
    with evaluating(model):
        whole, last = (packed(sequences, CPU, "blocks", first) for first in (None, [len(ids) - 1 for ids in sequences]))
        states, narrowed = hidden_states(model, whole), hidden_states(model, last)
    [hook.remove() for hook in hooks]
    read = np.unique([path[-1] for path in last.spots])
    assert last.wanted.tolist() == [*read, *[read[-1]] * (TILE - len(read))]
    assert [at[1] for at in seen] == [whole.ids.shape[1]] * 2 + [TILE]
    assert torch.allclose(narrowed[read], states[read], atol=1e-5)
    assert not torch.allclose(narrowed, states, atol=1e-2)
    assert [layer.mlp.forward for layer in trunk_of(model).layers] == forwards  # type: ignore[union-attr]


def test_a_layer_that_cannot_be_narrowed_is_computed_whole(caplog: pytest.LogCaptureFixture) -> None:
    class Pair(torch.nn.Module):
        def forward(self, states: torch.Tensor) -> tuple[torch.Tensor, None]:
            return states, None

    model, groups = model_of(CONFIGS["mha"]), groups_of()
    norm = trunk_of(model).layers[-1].input_layernorm  # type: ignore[union-attr]
    norm.ffn = Pair()
    before = norm.forward
    norm.forward = lambda states: norm.ffn(before(states))[0]
    with caplog.at_level(logging.INFO):
        engine = Engine(model, "cpu", "packed", 400)
    assert engine.way is not None
    assert not engine.way.narrow
    assert "computed for every token" in caplog.text
    expected = [one_by_one(model, scored) for group in groups for scored in group]
    assert run(engine, groups) == pytest.approx(expected, abs=1e-4)


def test_mixtures_of_experts() -> None:
    config = MixtralConfig(**SIZE, **IDS, num_key_value_heads=2, num_local_experts=4, sliding_window=None)
    model, groups = model_of(config), groups_of()
    expected = [one_by_one(model, scored) for group in groups for scored in group]
    assert run(Engine(model, "cpu", "auto", 300), groups) == pytest.approx(expected, abs=1e-4)


def test_a_kernel_that_fails_gives_way_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("no compiler here\nlong trace")

    monkeypatch.setitem(KERNELS, "cpu", ("flex", "blocks"))
    monkeypatch.setattr(_flex, "flex_attention", broken)
    engine = Engine(model_of(CONFIGS["gqa"]), "cpu", "auto", 300)
    assert engine.way is not None
    assert (engine.layout, engine.way.kernel) == ("packed", "blocks")
    assert "attends by blocks, not by flex, which is faster: no compiler here\n" in caplog.text
    with pytest.raises(SeamError, match="no compiler here"):
        Engine(model_of(CONFIGS["gqa"]), "cpu", "packed", 300, "flex")


@pytest.mark.parametrize("kernel", ["flex", "blocks"])
def test_half_precision_is_as_near_to_float32_as_one_by_one_is(kernel: Any) -> None:
    """Root mean square error of a response's log P against the float32 model with the same (rounded) weights."""
    groups = groups_of(2, (60, 120, 30, 200))
    for name in ("mha", "gqa"):
        half = model_of(CONFIGS[name]).to(torch.bfloat16)
        exact = model_of(CONFIGS[name])
        exact.load_state_dict(half.float().state_dict())
        half.to(torch.bfloat16)
        truth = np.array([one_by_one(exact, scored) for group in groups for scored in group])
        alone = np.array([one_by_one(half, scored) for group in groups for scored in group])
        ours = np.array(run(Engine(half, "cpu", "packed", 500, kernel), groups))
        errors = [float(np.sqrt(((found - truth) ** 2).mean())) for found in (ours, alone)]
        assert errors[1] > 1e-3  # there is noise
        assert errors[0] <= 1.25 * errors[1]


@pytest.mark.parametrize("kernel", ["flex", "blocks"])
def test_batches_do_not_matter(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, groups = model_of(CONFIGS["gqa"]), groups_of()
    expected = run(Engine(model, "cpu", "packed", 8192, kernel), groups)
    monkeypatch.setitem(_logprobs.LOGITS, "cpu", 7 * 300)
    for budget in (50, 130, 260):
        assert run(Engine(model, "cpu", "packed", budget, kernel), groups) == pytest.approx(expected, abs=1e-4)
    shuffled = [group[::-1] for group in groups[::-1]]
    assert run(Engine(model, "cpu", "packed", 300, kernel), shuffled)[::-1] == pytest.approx(expected, abs=1e-4)


@needs_same_bits
@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("name", CONFIGS)
def test_on_a_cpu_what_shares_a_batch_changes_no_bit(name: str, layout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where widths are no multiples of anything, and the projection is done in parts."""
    odd = {"hidden_size": 36, "intermediate_size": 50} if name == "mha" else {}
    config = deepcopy(CONFIGS[name])
    config.update(odd)
    model, groups = model_of(config), groups_of(prompts=(40, 90, 3, 17, 200))
    expected = run(Engine(model, "cpu", layout, 8192), groups)
    monkeypatch.setitem(_logprobs.LOGITS, "cpu", 7 * 300)
    for budget in (50, 130, 600):
        assert run(Engine(model, "cpu", layout, budget), groups) == expected
    engine = Engine(model, "cpu", layout, 8192)
    assert [run(engine, [[scored]])[0] for group in groups for scored in group] == expected


def test_last_states_of_classifiers() -> None:
    """What reward scoring asks for: a head at the last token, from states read nowhere else."""
    config = LlamaConfig(**SIZE, **IDS, num_key_value_heads=2, num_labels=1)
    model = model_of(config, auto=AutoModelForSequenceClassification)
    groups: list[list[Ids]] = [[scored.tokens for scored in group] for group in groups_of()]
    for kernel in ("flex", "blocks"):
        engine = Engine(model, "cpu", "packed", 200, kernel)  # type: ignore[arg-type]
        with evaluating(model):
            for members, batch in engine.batches(groups, [[len(ids) - 1 for ids in group] for group in groups]):
                last = hidden_states(model, batch)[[spots[-1] for spots in batch.spots]]
                for (g, place), state in zip(members, last, strict=True):
                    alone = hidden_states(model, padded([groups[g][place]], CPU))[-1]
                    assert torch.allclose(model.score(state), model.score(alone), atol=1e-4)


def test_a_window_narrower_than_the_check() -> None:
    config = Qwen2Config(**SIZE, **IDS, num_key_value_heads=2, use_sliding_window=True, sliding_window=5)
    config.max_window_layers, config.layer_types = 0, ["sliding_attention"] * 3
    model, groups = model_of(config), groups_of()
    expected = [one_by_one(model, scored) for group in groups for scored in group]
    assert run(Engine(model, "cpu", "auto", 300), groups) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for the CPU needs g++")
def test_flex_is_compiled_once_for_trees_of_similar_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_flex, "COMPILED_ON", {"cpu"})
    monkeypatch.setattr(_flex, "_SEEN", set())
    check_compiled(model_of(CONFIGS["gqa"]), 1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_on_a_gpu(name: str, dtype: torch.dtype) -> None:
    config = deepcopy(CONFIGS[name])
    config.hidden_size, config.head_dim = 128, 32
    check_compiled(model_of(config).to("cuda", dtype), 1e-3 if dtype == torch.float32 else 0.3)


def check_compiled(model: Any, off: float) -> None:
    """Within `off` nats a token of one by one, and no shape is compiled twice."""
    counters = torch._dynamo.utils.counters["stats"]
    before = counters["unique_graphs"]
    for seed in (0, 1):
        groups = groups_of(seed, (120, 115))
        scored = [one for group in groups for one in group]
        values = run(Engine(model, model.device, "packed", 8192, "flex"), groups)
        for value, one in zip(values, scored, strict=True):
            assert value == pytest.approx(one_by_one(model, one), abs=off * (len(one.tokens) - one.context))
    assert counters["unique_graphs"] - before <= 2  # the check's size and that of the batch
