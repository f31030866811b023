"""Rewards are read at the last real token, whatever pads the batch."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from seam_pipeline.errors import SeamError
from seam_pipeline.models._reward import pad_right
from seam_pipeline.models.stack import RewardModel, load_reward, pool_last

TEXTS = [("Why?", "So."), ("How do I brew?", "Boil the wort, then cool it."), ("What?", "That one, I think, or not.")]


@pytest.fixture
def reward(folders: Path) -> RewardModel:
    return load_reward(folders / "reward")


def test_pooling_takes_the_last_masked_in_place() -> None:
    values = torch.arange(12.0).reshape(3, 4)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    assert pool_last(values, mask).tolist() == [1.0, 7.0, 11.0]


def one_by_one(reward: RewardModel) -> torch.Tensor:
    with torch.no_grad():
        rows = [reward.hidden(torch.tensor([reward.token_ids(*pair)]), None)[0, -1] for pair in TEXTS]
        return torch.stack(rows) @ reward.model.score.weight[0]


def test_batches_equal_single_texts_with_padding_on_either_side(reward: RewardModel) -> None:
    ids, mask = pad_right(reward.encode(TEXTS), 0)
    with torch.no_grad():
        torch.testing.assert_close(reward.score(ids, mask), one_by_one(reward), atol=1e-5, rtol=1e-5)
        lengths = mask.sum(1).tolist()
        left = torch.stack([row.roll(len(row) - n) for row, n in zip(ids, lengths, strict=True)])
        left_mask = torch.stack([row.roll(len(row) - n) for row, n in zip(mask, lengths, strict=True)])
        torch.testing.assert_close(reward.score(left, left_mask), one_by_one(reward), atol=1e-5, rtol=1e-5)


def test_learned_positions_start_at_the_first_token_of_left_padded_rows(folders: Path) -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=300, n_embd=32, n_layer=1, n_head=2, num_labels=1, initializer_range=0.3, pad_token_id=0
    )
    reward = RewardModel(GPT2ForSequenceClassification(config).eval(), load_reward(folders / "classifier").tokenizer)
    ids = torch.tensor(reward.encode(TEXTS[:1]))
    padded = torch.cat([torch.zeros(1, 5, dtype=torch.long), ids], dim=1)
    mask = (torch.arange(padded.shape[1]) >= 5).long()[None]
    with torch.no_grad():
        torch.testing.assert_close(reward.score(padded, mask), reward.score(ids, torch.ones_like(ids)))


def test_the_end_token_is_read_even_when_it_is_the_padding(reward: RewardModel) -> None:
    expected = one_by_one(reward)
    reward.tokenizer.pad_token = reward.tokenizer.eos_token
    reward.model.config.pad_token_id = reward.tokenizer.eos_token_id
    ids, mask = pad_right(reward.encode(TEXTS), reward.tokenizer.pad_token_id)
    with torch.no_grad():
        theirs = reward.model(ids, attention_mask=mask).logits[:, 0]
        torch.testing.assert_close(reward.score(ids, mask), expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(theirs, expected, atol=1e-3)
    rewards = reward.rewards(reward.encode(TEXTS), tokens_per_batch=80)
    assert rewards == pytest.approx(expected.tolist(), abs=1e-5)


def test_rewards_keep_the_order_of_the_texts_and_report_progress(reward: RewardModel) -> None:
    seen: list[tuple[int, int]] = []
    rewards = reward.rewards(reward.encode(TEXTS), 1, lambda *step: seen.append(step))
    assert rewards == pytest.approx(one_by_one(reward).tolist(), abs=1e-5)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert reward.rewards([]) == []


def test_a_plain_classifier_reads_the_same_as_transformers(folders: Path) -> None:
    reward = load_reward(folders / "classifier")
    assert reward.append_eos is False
    theirs = AutoModelForSequenceClassification.from_pretrained(folders / "classifier")
    with torch.no_grad():
        expected = [theirs(torch.tensor([reward.token_ids(*pair)])).logits.item() for pair in TEXTS]
    assert reward.rewards(reward.encode(TEXTS)) == pytest.approx(expected, abs=1e-5)


def test_an_encoder_pools_in_its_own_way(folders: Path) -> None:
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    config = BertConfig(vocab_size=300, num_labels=1, initializer_range=0.3, **sizes)
    bert = BertForSequenceClassification(config).eval()
    reward = RewardModel(bert, load_reward(folders / "classifier").tokenizer)
    with torch.no_grad():
        expected = [bert(torch.tensor([reward.token_ids(*pair)])).logits.item() for pair in TEXTS]
        with pytest.raises(SeamError, match="encoder"):
            reward.read(torch.zeros(1, 32))
    assert reward.rewards(reward.encode(TEXTS)) == pytest.approx(expected, abs=1e-5)
