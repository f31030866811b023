from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForSequenceClassification as Auto
from transformers import BertConfig, BertForSequenceClassification, MistralConfig, PreTrainedTokenizerFast

from seam_pipeline.experiment import Scoring
from seam_pipeline.models.stack import RewardModel, load_reward
from seam_pipeline.scoring.items import Item
from seam_pipeline.scoring.reward import score_rewards
from seam_pipeline.tables import REWARDS

from ..tiny import tiny_tokenizer
from .naive import ANSWERS, QUESTIONS, items, reward


def check(rm: RewardModel, table: Any, scored: list[Item]) -> None:
    texts = [
        (item.id, index, item.instruction, text)
        for item in scored
        for index, text in zip(item.indices, item.responses, strict=True)
    ]
    assert table.schema == REWARDS
    assert table.num_rows == len(texts)
    for row, (id_, index, instruction, text) in zip(table.to_pylist(), texts, strict=True):
        assert (row["id"], row["candidate_index"], row["reason"]) == (id_, index, None)
        assert row["reward"] == pytest.approx(reward(rm, instruction, text), abs=1e-4)


@pytest.mark.parametrize("layout", ["packed", "padded", "auto"])
@pytest.mark.parametrize("budget", [64, 8192])
def test_equals_one_by_one(rm: RewardModel, layout: Any, budget: int) -> None:
    check(rm, score_rewards(rm, items(), Scoring(tokens_per_batch=budget), layout=layout), items())


def test_stacks_with_an_end_token(folders: dict[str, Path]) -> None:
    rm = load_reward(folders["reward_stack"])
    assert rm.append_eos
    check(rm, score_rewards(rm, items(), Scoring(), layout="packed"), items())


def test_an_end_token_that_is_also_the_padding_is_read(folders: dict[str, Path]) -> None:
    rm = load_reward(folders["reward_stack"])
    expected = score_rewards(rm, items(), Scoring(), layout="padded")["reward"]
    rm.tokenizer.pad_token = rm.tokenizer.eos_token
    rm.model.config.pad_token_id = rm.tokenizer.eos_token_id
    for layout in ("padded", "packed"):
        found = score_rewards(rm, items(), Scoring(), layout=layout)["reward"].to_pylist()
        assert found == pytest.approx(expected.to_pylist(), abs=1e-4)


def test_a_token_may_span_prompt_and_response(folders: dict[str, Path]) -> None:
    """`: b` is one token here, so the prompt's tokens are no prefix of the text's."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<pad>", "<s>", "</s>", *letters, ":Ġ", ":Ġb"]
    bpe = models.BPE({piece: number for number, piece in enumerate(pieces)}, [(":", "Ġ"), (":Ġ", "b")])
    backend = Tokenizer(bpe)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")
    text = tokenizer("Answer: boil")["input_ids"]
    assert text[:7] != tokenizer("Answer:")["input_ids"]
    rm = load_reward(folders["reward"])
    rm.tokenizer = tokenizer
    scored = [Item("q", "How?", ("boil", "brew", "age", "b"), (-1, 0, 1, 2))]
    check(rm, score_rewards(rm, scored, Scoring(), layout="packed"), scored)


def test_a_copy_of_the_golden_response_gets_its_very_reward(rm: RewardModel) -> None:
    scored = [Item("q", QUESTIONS[0], (ANSWERS[0], ANSWERS[1], ANSWERS[0]), (-1, 0, 1))]
    for layout in ("packed", "padded"):
        golden, other, copy = score_rewards(rm, scored, Scoring(), layout=layout)["reward"].to_pylist()
        assert golden == copy != other


def test_sliding_windows_and_responses_longer_than_the_policys_limit() -> None:
    config = MistralConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
        max_position_embeddings=256, vocab_size=300, pad_token_id=0, sliding_window=60, num_labels=1,
        initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        rm = RewardModel(Auto.from_config(config).eval(), tiny_tokenizer())
    check(rm, score_rewards(rm, items(), Scoring(max_response_tokens=4)), items())


def test_encoders_read_whole_texts() -> None:
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=300, num_labels=1
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        rm = RewardModel(BertForSequenceClassification(config).eval(), tiny_tokenizer())
    check(rm, score_rewards(rm, items(), Scoring(tokens_per_batch=200)), items())


def test_what_cannot_be_scored_is_null_with_a_reason(rm: RewardModel) -> None:
    long = "boil the wort. " * 60
    scored = [Item("q", long, ("Yes", "x" * 300), (-1, 0)), Item("r", "Why?", ("", "Yes"), (-1, 0))]
    table = score_rewards(rm, scored, Scoring())
    assert [value is None for value in table["reward"].to_pylist()] == [False, True, True, False]
    ids = rm.encode([(long, "Yes")])[0]
    assert table["reason"].to_pylist() == [
        f"{len(ids) - 256} prompt tokens cut from the left",
        "the response fills the model's 256 positions",
        "empty response",
        None,
    ]
    kept = torch.tensor([[ids[0], *ids[-255:]]])
    assert table["reward"][0].as_py() == pytest.approx(float(rm.model(input_ids=kept).logits[0, 0]), abs=1e-4)
    with torch.no_grad():
        rm.model.score.weight.fill_(float("inf"))
    broken = score_rewards(rm, [Item("q", "Why?", ("Yes",), (0,))], Scoring())
    assert broken["reward"].null_count == 1
    assert broken["reason"][0].as_py() in ("the reward is inf", "the reward is -inf", "the reward is nan")
