"""Generation: right tokens, and independent of the batch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seam_pipeline.errors import SeamError
from seam_pipeline.models.generate import generate, pick, row_noise, sample_ids
from seam_pipeline.models.stack import Policy, load_policy

QUESTIONS = [f"How {'very ' * (number % 5)}good is ale number {number}?" for number in range(12)]


@pytest.fixture(scope="module")
def policy(folders: Path) -> Policy:
    return load_policy(folders / "policy")


def test_greedy_equals_transformers(policy: Policy) -> None:
    for question, answer in zip(QUESTIONS, generate(policy, QUESTIONS, max_new_tokens=12), strict=True):
        prompt = torch.tensor(policy.prompt_ids([question]))
        theirs = policy.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False
        )
        new = theirs[0, prompt.shape[1] :].tolist()
        assert answer.text == policy.tokenizer.decode(new, skip_special_tokens=True).strip()
        assert answer.n_tokens == len(new)
        assert answer.ended == (new[-1] == policy.eos_id)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_does_not_depend_on_its_batch(policy: Policy, temperature: float) -> None:
    def answers(questions: list[str], batch_size: int) -> list:
        return generate(policy, questions, max_new_tokens=16, temperature=temperature, batch_size=batch_size, seed=3)

    together = answers(QUESTIONS, 8)
    assert together == answers(QUESTIONS, 1)
    assert together[::-1] == answers(QUESTIONS[::-1], 5)
    assert together[7:8] == answers(QUESTIONS[7:8], 8)


def test_seeds_and_repetitions_differ(policy: Policy) -> None:
    first, second = generate(policy, QUESTIONS[:1] * 2, max_new_tokens=16, temperature=1.0, seed=1)
    (other,) = generate(policy, QUESTIONS[:1], max_new_tokens=16, temperature=1.0, seed=2)
    assert len({first.text, second.text, other.text}) == 3


def test_sampling_inverts_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0]])
    grid = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    shares = torch.bincount(pick(logits.expand(10_000, -1), grid), minlength=4) / 10_000
    torch.testing.assert_close(shares, torch.softmax(logits[0], 0), atol=2e-4, rtol=0)
    impossible_first = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    assert pick(impossible_first.expand(2, -1), torch.tensor([0.0, 1 - 1e-16], dtype=torch.float64)).tolist() == [1, 1]


def test_temperature_sharpens(policy: Policy) -> None:
    greedy = generate(policy, QUESTIONS, max_new_tokens=8)
    cold = generate(policy, QUESTIONS, max_new_tokens=8, temperature=1e-4, seed=5)
    assert [answer.text for answer in cold] == [answer.text for answer in greedy]


def test_noise_is_a_function_of_seed_and_row_alone() -> None:
    noise = row_noise(["a", "b", "a"], 4, seed=0)
    assert np.array_equal(noise[1], row_noise(["b"], 4, seed=0)[0])
    assert np.array_equal(noise[1, :2], row_noise(["b"], 2, seed=0)[0])
    assert not np.array_equal(noise[0], noise[2])
    assert not np.array_equal(noise[1], row_noise(["b"], 4, seed=1)[0])
    assert noise.min() >= 0
    assert noise.max() < 1


class Counting(torch.nn.Module):
    """Counts the rows of each forward pass."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.inner, self.rows = policy.model, []

    def forward(self, **inputs: torch.Tensor) -> object:
        self.rows.append(inputs["input_ids"].shape[0])
        return self.inner(**inputs)


def test_rows_leave_the_batch_at_their_limit_or_stop_token(policy: Policy) -> None:
    prompts = policy.prompt_ids(QUESTIONS[:4])
    same = dict(temperature=0.0, pad=policy.pad_id, noise=None)
    with torch.no_grad():
        free = sample_ids(policy.model, prompts, [9] * 4, stops=[policy.eos_id], **same)
        stop = next(row.ids[3] for row in free if row.ids[3] not in row.ids[:3])
        model = Counting(policy)
        rows = sample_ids(model, prompts, [9, 9, 2, 6], stops=[policy.eos_id, stop], **same)
    for row, before, limit in zip(rows, free, [9, 9, 2, 6], strict=True):
        ends = [place for place, token in enumerate(before.ids) if token in (stop, policy.eos_id)]
        length = min([limit, *(place + 1 for place in ends)])
        assert row.ids == before.ids[:length]
        assert row.ended == (length - 1 in ends)
    lengths = [len(row.ids) for row in rows]
    assert model.rows == [sum(n > step for n in lengths) for step in range(max(lengths))]


def test_prompts_longer_than_the_window_are_cut_on_the_left_and_reported(policy: Policy) -> None:
    long = "ale " * 300
    (answer,) = generate(policy, [long], max_new_tokens=8)
    prompt = policy.prompt_ids([long])[0]
    assert answer.prompt_cut == len(prompt) - (256 - 8)
    theirs = policy.model.generate(torch.tensor([prompt[-248:]]), max_new_tokens=8, do_sample=False)[0, 248:]
    assert answer.text == policy.tokenizer.decode(theirs, skip_special_tokens=True).strip()
    with pytest.raises(SeamError, match="leaves no room"):
        generate(policy, ["Why?"], max_new_tokens=256)


def test_nothing_asked_nothing_answered(policy: Policy) -> None:
    assert generate(policy, [], max_new_tokens=8) == []
