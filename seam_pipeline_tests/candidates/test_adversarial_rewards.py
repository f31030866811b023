from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from seam_pipeline.candidates._groups import common, groups
from seam_pipeline.candidates._rewards import RewardQueries
from seam_pipeline.candidates.adversarial import adversarial_candidates
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Adversarial, Scoring
from seam_pipeline.models.stack import RewardModel, load_reward
from seam_pipeline.scoring.items import Item
from seam_pipeline.scoring.reward import score_rewards
from seam_pipeline_tests.tiny import tiny_reward

pytestmark = pytest.mark.skipif(find_spec("textattack") is None, reason="TextAttack is not installed")

WORSE = "You should smash the bottle on a table, then drink quickly from the remaining glass."
GOLDEN = "Hold a lighter under the cap and push it down."
SETTINGS = Adversarial(recipes=("pwws",), max_queries=60, max_restarts=3)


@pytest.fixture
def rm(tmp_path: Path) -> RewardModel:
    return load_reward(tiny_reward(tmp_path / "rm"))


def rows(instruction: str = "How?", golden: str | None = GOLDEN, worse: str | None = WORSE, id: str = "a") -> pa.Table:
    return pa.table({"id": [id], "instruction": [instruction], "golden_response": [golden], "worse_response": [worse]})


def only_reason(table: pa.Table) -> str:
    (row,) = table.to_pylist()
    assert (row["candidate_index"], row["candidate"]) == (-1, None)
    return str(row["reason"])


def test_a_walk_computes_what_its_steps_share_once(rm: RewardModel) -> None:
    words, queries = WORSE.split(), RewardQueries(rm, "How?", WORSE)
    whole = 0
    for place in (2, 9, 12, 4):
        texts = [" ".join([*words[:place], swap, *words[place + 1 :]]) for swap in ("xx", "yes", "never", "a b", "qq")]
        values = queries(texts)
        alone = [rm.rewards([rm.token_ids("How?", text)])[0] for text in texts]
        np.testing.assert_allclose(values, alone, atol=1e-4)
        whole += sum(len(rm.token_ids("How?", text)) for text in texts)
        words[place] = "never"
    assert queries.count == 20
    assert queries.tokens < 0.7 * whole
    queries.restart()
    assert queries.count == 0
    np.testing.assert_allclose(queries(texts), alone, atol=1e-4)


def test_batches_by_hand_and_in_general() -> None:
    assert common([1, 2, 3], [1, 2, 3]) == 2  # the last token is always computed
    assert common([1, 2, 3], [1, 9]) == 1
    assert groups([], [], 5) == []
    assert groups([8, 2, 8], [10, 10, 10], 5) == [[1], [0, 2]]  # 8 + 5 and 2 * 2 + 5 against 3 * 8 + 5
    assert groups([8, 2, 8], [10, 10, 10], 30) == [[1, 0, 2]]
    assert groups([0, 0, 0], [9000, 9000, 7000], 99) == [[2], [0], [1]]  # 16,384 tokens at most
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 40, 150).tolist()
    shared = [int(rng.integers(0, length)) for length in lengths]
    for overhead in (1, 20, 400):
        found = groups(shared, lengths, overhead)
        assert sorted(i for group in found for i in group) == list(range(150))
        assert max(map(len, found)) <= 64

        def cost(parts: list[list[int]], overhead: int = overhead) -> int:
            return sum(overhead + len(p) * (max(lengths[i] for i in p) - min(shared[i] for i in p)) for p in parts)

        whole = [i for group in found for i in group]
        assert cost(found) <= min(cost([whole[at : at + size] for at in range(0, 150, size)]) for size in (1, 8, 64))


def test_long_prompts_are_read_as_in_scoring_and_long_responses_refused(rm: RewardModel) -> None:
    assert rm.window == 256
    long = "why " * 200
    table = adversarial_candidates(rows(long), rm, SETTINGS, 4)
    found = [c for c in table["candidate"].to_pylist() if c is not None]
    scored = score_rewards(
        rm, [Item("a", long, (GOLDEN, WORSE, *found), (-1, 0, *range(1, 1 + len(found))))], Scoring()
    )
    golden, worse, *rewards = scored["reward"].to_pylist()
    assert all(reward > golden - 1e-5 for reward in rewards)
    assert "cut" in scored["reason"][0].as_py()
    np.testing.assert_allclose(RewardQueries(rm, long, WORSE)([GOLDEN, WORSE]), [golden, worse], atol=1e-4)
    assert "longer than the reward model's 256" in only_reason(
        adversarial_candidates(rows(worse="good " * 80), rm, SETTINGS, 4)
    )
    assert "longer than" in only_reason(adversarial_candidates(rows(golden="good " * 80), rm, SETTINGS, 4))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (rows(worse=None), "there is no worse response"),
        (rows(worse=" \n"), "the worse response is empty"),
        (rows(golden=""), "the golden response is empty"),
        (rows(golden=None), "the golden response is empty"),
        (rows(worse=GOLDEN), "equals the golden one"),
        (rows(worse=f"  {GOLDEN}\n"), "equals the golden one"),
        (rows(worse="Drink <SPLIT> now"), "<SPLIT>"),
        (rows(worse="xq7 zz_9 42"), "no word"),
    ],
)
def test_rows_that_cannot_be_attacked_are_null_with_a_reason(rm: RewardModel, given: pa.Table, reason: str) -> None:
    assert reason in only_reason(adversarial_candidates(given, rm, SETTINGS, 4))


def test_rewards_that_are_not_finite_never_win(rm: RewardModel) -> None:
    broken = rm.tokenizer.encode("z", add_special_tokens=False)[-1]
    with torch.no_grad():
        rm.model.get_input_embeddings().weight[broken] = float("nan")
    worse = "The size of a prize is a puzzle, but a small gift is a good and cheap choice."
    assert "the golden response's reward is nan" in only_reason(
        adversarial_candidates(rows(golden="zz"), rm, SETTINGS, 4)
    )
    table = adversarial_candidates(rows(worse=worse), rm, SETTINGS, 30)
    assert table.num_rows == 1
    assert "rewards were not finite" in only_reason(table)
    plain = adversarial_candidates(rows(), rm, SETTINGS, 30)
    assert not any("z" in c for c in plain["candidate"].to_pylist() if c is not None)


def test_duplicate_ids_and_missing_columns_are_refused(rm: RewardModel) -> None:
    with pytest.raises(SeamError, match="id a comes twice"):
        adversarial_candidates(pa.concat_tables([rows(), rows()]), rm, SETTINGS, 4)
    with pytest.raises(SeamError, match="lack worse_response"):
        adversarial_candidates(rows().drop_columns(["worse_response"]), rm, SETTINGS, 4)
