from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedModel,
    Qwen3Config,
)

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Scoring
from seam_pipeline.models.stack import Policy, load_policy
from seam_pipeline.scoring import _logprobs
from seam_pipeline.scoring._limits import Limits, limits_of
from seam_pipeline.scoring.items import Item
from seam_pipeline.scoring.likelihood import score_likelihoods
from seam_pipeline.tables import LIKELIHOODS

from ..tiny import tiny_tokenizer
from .naive import ANSWERS, QUESTIONS, items, loglik

WHOLE = Scoring(max_response_tokens=None)
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA_LIKE = {**SIZE, "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 256}
IDS = {"vocab_size": 300, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.2}


def check(policy: Policy, table: Any, longest: int | None = None) -> None:
    """Every row equals the loop."""
    texts = {
        (item.id, index): (item.instruction, text)
        for item in items()
        for index, text in zip(item.indices, item.responses, strict=True)
    }
    assert table.schema == LIKELIHOODS
    assert list(zip(table["id"].to_pylist(), table["candidate_index"].to_pylist(), strict=True)) == list(texts)
    for row in table.to_pylist():
        expected, tokens = loglik(policy, *texts[row["id"], row["candidate_index"]], longest)
        assert row["loglik"] == pytest.approx(expected, abs=1e-4)
        assert (row["n_tokens"], row["prompt_cut"], row["reason"]) == (tokens, 0, None)


@pytest.mark.parametrize("layout", ["packed", "padded", "auto"])
@pytest.mark.parametrize("budget", [64, 150, 8192])
def test_equals_one_by_one(policy: Policy, layout: Any, budget: int) -> None:
    settings = Scoring(max_response_tokens=None, tokens_per_batch=budget)
    check(policy, score_likelihoods(policy, items(), settings, layout=layout))


def test_logits_are_held_in_parts(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_logprobs.LOGITS, "cpu", 7 * 300)
    check(policy, score_likelihoods(policy, items(), WHOLE))


def test_adapters_count(folders: dict[str, Path], policy: Policy) -> None:
    tuned = load_policy(folders["policy_stack"])
    table = score_likelihoods(tuned, items(), WHOLE, layout="packed")
    check(tuned, table)
    assert table["loglik"] != score_likelihoods(policy, items(), WHOLE)["loglik"]


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_response_does_not_notice_its_company(policy: Policy, layout: Any) -> None:
    together = score_likelihoods(policy, items(), WHOLE, layout=layout)["loglik"].to_pylist()
    alone = [
        score_likelihoods(policy, [Item(item.id, item.instruction, (text,), (0,))], WHOLE, layout=layout)["loglik"][
            0
        ].as_py()
        for item in items()
        for text in item.responses
    ]
    assert together == pytest.approx(alone, abs=1e-4)
    assert score_likelihoods(policy, items(), WHOLE, layout=layout)["loglik"].to_pylist() == together


MODELS: dict[str, tuple[Any, str]] = {
    # What auto must choose. Rotary positions, grouped queries, biases, per-head norms:
    "mistral": (MistralConfig(**LLAMA_LIKE, **IDS, sliding_window=None), "packed"),
    "qwen3": (Qwen3Config(**LLAMA_LIKE, **IDS, head_dim=16), "packed"),
    "gpt_neox": (
        GPTNeoXConfig(**SIZE, **IDS, intermediate_size=48, max_position_embeddings=256, rotary_pct=0.5),
        "packed",
    ),
    "granite": (GraniteConfig(**LLAMA_LIKE, **IDS, logits_scaling=3.0, embedding_multiplier=2.0), "packed"),
    # Learned positions:
    "gpt2": (GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=256, **IDS), "packed"),
    # Attention that can't be exchanged or has more to it:
    "bloom": (BloomConfig(hidden_size=32, n_layer=2, n_head=4, **IDS), "padded"),
    "gemma2": (Gemma2Config(**LLAMA_LIKE, **IDS, head_dim=16, sliding_window=4096), "padded"),
}


def foreign(config: Any) -> Policy:
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model: PreTrainedModel = Auto.from_config(config)
    return Policy(model.eval(), tiny_tokenizer(), "cpu")


@pytest.mark.parametrize("name", MODELS)
def test_any_decoder_is_scored_right(name: str, caplog: pytest.LogCaptureFixture) -> None:
    config, layout = MODELS[name]
    policy = foreign(config)
    before = policy.model.config._attn_implementation
    check(policy, score_likelihoods(policy, items(), WHOLE))
    assert policy.model.config._attn_implementation == before
    assert ("is scored with layout padded" in caplog.text) == (layout == "padded")
    if layout == "padded":
        with pytest.raises(SeamError, match="can't be scored with layout packed"):
            score_likelihoods(policy, items(), WHOLE, layout="packed")
    else:
        check(policy, score_likelihoods(policy, items(), WHOLE, layout="padded"))


def test_beyond_a_sliding_window_sequences_are_padded() -> None:
    policy = foreign(MistralConfig(**LLAMA_LIKE, **IDS, sliding_window=60))
    check(policy, score_likelihoods(policy, items(), WHOLE))
    lengths = [sum(map(len, policy.token_ids(question, ANSWERS[2]))) for question in QUESTIONS]
    assert min(lengths) < 60 < max(lengths)
    with pytest.raises(SeamError, match="at most 60 tokens"):
        score_likelihoods(policy, items(), WHOLE, layout="packed")


def test_rotary_positions_that_depend_on_the_longest_row() -> None:
    rope = {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
    config = Phi3Config(**LLAMA_LIKE, **IDS, original_max_position_embeddings=60, rope_scaling=rope)
    assert limits_of(config) == Limits(positions=256, packable=60, alone_above=60)
    policy = foreign(config)
    check(policy, score_likelihoods(policy, items(), WHOLE))


def test_longer_responses_are_cut_and_lose_their_end(policy: Policy) -> None:
    texts = [text for item in items() for text in item.responses]
    lengths = [len(policy.response_ids([text])[0]) - 1 for text in texts]
    longest = sorted(lengths)[len(lengths) // 2]  # one response has exactly this length: it is not cut
    table = score_likelihoods(policy, items(), Scoring(max_response_tokens=longest))
    check(policy, table, longest)
    assert table["truncated"].to_pylist() == [length > longest for length in lengths]
    assert table["n_tokens"].to_pylist() == [longest if length > longest else length + 1 for length in lengths]


def test_long_prompts_are_cut_on_the_left_behind_the_begin_token(policy: Policy) -> None:
    item = Item("q", QUESTIONS[1], (ANSWERS[0],), (4,))
    row = score_likelihoods(policy, [item], Scoring(max_response_tokens=None, max_prompt_tokens=20)).to_pylist()[0]
    prompt, answer = policy.token_ids(item.instruction, ANSWERS[0])
    kept = [prompt[0], *prompt[-19:]]
    assert (row["candidate_index"], row["prompt_cut"]) == (4, len(prompt) - 20)
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([kept + answer])).logits[0].log_softmax(-1)
    total = sum(float(logits[19 + place, token]) for place, token in enumerate(answer))
    assert row["loglik"] == pytest.approx(total, abs=1e-4)


def test_the_models_positions_limit_prompt_and_response(policy: Policy) -> None:
    long = "boil the wort. " * 60
    item = Item("q", long, ("Yes", "Boil it and pitch the yeast.", "x" * 300), (0, 1, 2))
    rows = score_likelihoods(policy, [item], WHOLE).to_pylist()
    prompt = len(policy.prompt_ids([long])[0])
    assert [row["prompt_cut"] + 256 - prompt for row in rows[:2]] == [row["n_tokens"] for row in rows[:2]]
    assert rows[2]["loglik"] is None
    assert "fill the model's 256 positions" in rows[2]["reason"]


def test_what_cannot_be_scored_is_null_with_a_reason(policy: Policy) -> None:
    table = score_likelihoods(
        policy, [Item("q", "Why?", ("", " \n", "Yes"), (0, 1, 2)), Item("r", "What?", (), ())], WHOLE
    )
    assert table["reason"].to_pylist() == ["empty response", "empty response", None]
    assert table["loglik"].null_count == table["n_tokens"].null_count == 2
    with torch.no_grad():
        policy.model.get_output_embeddings().weight[5] = float("nan")
    broken = score_likelihoods(policy, [Item("q", "Why?", ("Yes",), (0,))], WHOLE, layout="padded")
    assert (broken["loglik"].to_pylist(), broken["reason"].to_pylist()) == ([None], ["the log-likelihood is nan"])


def test_half_precision_is_within_its_own_noise(policy: Policy) -> None:
    policy.model.to(torch.bfloat16)
    table = score_likelihoods(policy, items(), WHOLE, layout="packed")
    texts = {
        (item.id, index): (item.instruction, text)
        for item in items()
        for index, text in zip(item.indices, item.responses, strict=True)
    }
    for row in table.to_pylist():
        expected, tokens = loglik(policy, *texts[row["id"], row["candidate_index"]])
        assert row["loglik"] / tokens == pytest.approx(expected / tokens, abs=0.05)


def test_training_mode_and_progress(policy: Policy) -> None:
    policy.model.train()
    calls: list[tuple[int, int]] = []
    table = score_likelihoods(policy, iter(items()), WHOLE, lambda done, total: calls.append((done, total)))
    assert policy.model.training
    assert calls == sorted(calls)
    assert calls[-1] == (4, 4)
    policy.model.eval()
    check(policy, table)


def test_no_items(policy: Policy) -> None:
    assert score_likelihoods(policy, [], WHOLE).num_rows == 0
    assert score_likelihoods(policy, [Item("q", "Why?", (), ())], WHOLE).num_rows == 0
