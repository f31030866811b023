import math

import pyarrow as pa
import pytest

from seam_pipeline.experiment import Scoring
from seam_pipeline.models.stack import Policy, RewardModel
from seam_pipeline.scoring.perplexity import PERPLEXITIES, perplexities
from seam_pipeline.scoring.quality import reward_quality
from seam_pipeline.tables import PREFERENCE, REWARD_QUALITY

from .naive import ANSWERS, QUESTIONS, continuation, reward


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_perplexity_equals_one_by_one(policy: Policy, layout: str) -> None:
    rl = pa.table({"id": [f"q{n}" for n in range(5)], "instruction": [*QUESTIONS, ""]})
    table = perplexities(policy, rl, Scoring(), layout=layout)
    assert table.schema == PERPLEXITIES
    for row, text in zip(table.to_pylist(), QUESTIONS, strict=False):
        ids = policy.tokenizer(text)["input_ids"]
        mean = continuation(policy.model, ids[:1], ids[1:]) / (len(ids) - 1)
        assert row["perplexity"] == pytest.approx(math.exp(-mean), rel=1e-5)
        assert (row["n_tokens"], row["cut"], row["reason"]) == (len(ids) - 1, 0, None)
    assert table.to_pylist()[-1] == {
        "id": "q4", "perplexity": None, "n_tokens": None, "cut": 0, "reason": "fewer than two tokens",
    }  # fmt: skip


def test_long_instructions_lose_their_beginning(policy: Policy) -> None:
    rl = pa.table({"id": ["q"], "instruction": [QUESTIONS[1]]})
    ids = policy.tokenizer(QUESTIONS[1])["input_ids"]
    row = perplexities(policy, rl, Scoring(max_prompt_tokens=10)).to_pylist()[0]
    mean = continuation(policy.model, ids[:1], ids[-9:]) / 9
    assert row["perplexity"] == pytest.approx(math.exp(-mean), rel=1e-5)
    assert (row["n_tokens"], row["cut"]) == (9, len(ids) - 10)
    assert perplexities(policy, rl.slice(0, 0), Scoring()).num_rows == 0


def pair(n: int, question: int, chosen: str, rejected: str) -> dict[str, object]:
    ids = {"id": f"{question}:{n}", "question_id": str(question), "split": "test", "instruction": QUESTIONS[question]}
    return {**ids, "chosen": chosen, "rejected": rejected, "chosen_score": 2, "rejected_score": 1}


def test_quality_counts_preferences(rm: RewardModel) -> None:
    a, b, c = ANSWERS[:3]
    rows = [pair(0, 0, a, b), pair(1, 0, b, a), pair(2, 0, c, a), pair(0, 1, a, a), pair(1, 1, a, " ")]
    calls: list[tuple[int, int]] = []
    pairs = pa.Table.from_pylist(rows, schema=PREFERENCE)
    table = reward_quality(rm, pairs, lambda done, total: calls.append((done, total)))
    assert table.schema == REWARD_QUALITY
    assert table["id"].to_pylist() == ["0:0", "0:1", "0:2", "1:0", "1:1"]
    expected = [reward(rm, QUESTIONS[0], x) > reward(rm, QUESTIONS[0], y) for x, y in ((a, b), (b, a), (c, a))]
    assert sorted(expected[:2]) == [False, True]
    assert table["correct"].to_pylist() == [*expected, False, None]
    assert table["reason"].to_pylist() == [None] * 4 + ["rejected: empty response"]
    assert table["chosen_reward"][3].as_py() == table["rejected_reward"][3].as_py()
    assert table["chosen_reward"][2].as_py() == pytest.approx(reward(rm, QUESTIONS[0], c), abs=1e-4)
    assert calls[-1] == (2, 2)
    assert reward_quality(rm, pairs.slice(0, 0)).num_rows == 0
