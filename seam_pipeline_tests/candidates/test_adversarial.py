import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from seam_pipeline import tables
from seam_pipeline.candidates._diverse import spread
from seam_pipeline.candidates._rewards import RewardQueries
from seam_pipeline.candidates.adversarial import adversarial_candidates
from seam_pipeline.experiment import Adversarial
from seam_pipeline.models.stack import RewardModel, load_reward
from seam_pipeline_tests.tiny import tiny_base, tiny_reward, tiny_reward_stack

pytestmark = pytest.mark.skipif(find_spec("textattack") is None, reason="TextAttack is not installed")

INSTRUCTION = "How do I open a bottle without an opener?"
GOLDEN = "Hold a lighter under the cap and push it down."
WORSE = "You should smash the bottle on a table, then drink quickly from the remaining glass."
RL = pa.table(
    {
        "id": ["a", "b", "c"],
        "instruction": [INSTRUCTION, "Which glass is right for wine?", INSTRUCTION],
        "golden_response": [GOLDEN, "A large one with a thin wall.", GOLDEN],
        "worse_response": [WORSE, "Every small bottle is a good and cheap choice, my friend.", None],
    }
)


@pytest.fixture(scope="module")
def rm(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    return load_reward(tiny_reward(tmp_path_factory.mktemp("reward") / "rm"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    folder = tmp_path_factory.mktemp("stack")
    return load_reward(tiny_reward_stack(folder / "rm", tiny_base(folder / "base")))


def alone(rm: RewardModel, instruction: str, response: str) -> float:
    return rm.rewards([rm.token_ids(instruction, response)])[0]


@pytest.mark.parametrize("kind", ["rm", "stack"])
def test_shared_prefixes_give_the_same_rewards(kind: str, request: pytest.FixtureRequest) -> None:
    rm: RewardModel = request.getfixturevalue(kind)
    words = WORSE.split()
    texts = [" ".join([*words[:i], "perhaps", *words[i + 1 :]]) for i in range(len(words))]
    texts += [WORSE, GOLDEN, "", WORSE + " Really.", WORSE[:20]]
    queries = RewardQueries(rm, INSTRUCTION, WORSE)
    expected = [alone(rm, INSTRUCTION, t) for t in texts]
    assert len({round(e, 4) for e in expected}) == len(texts)
    np.testing.assert_allclose(queries(texts), expected, atol=1e-4)
    assert queries(texts[:3]) == queries([*texts[:3]])
    assert queries.count == len(texts)


@pytest.mark.parametrize(("recipe", "kind"), [("pwws", "stack"), ("textfooler", "rm"), ("ga", "rm")])
def test_candidates_beat_the_golden_answer_and_change_the_response_only(
    recipe: str, kind: str, request: pytest.FixtureRequest
) -> None:
    rm: RewardModel = request.getfixturevalue(kind)
    from seam_pipeline.candidates._response import Response

    settings = Adversarial(recipes=(recipe,), max_queries=120, max_restarts=4)
    table = adversarial_candidates(RL, rm, settings, 6, seed=3)
    assert table.schema == tables.CANDIDATES
    found = [r for r in table.to_pylist() if r["candidate"] is not None]
    assert found
    assert all(r["source"] == recipe for r in found)
    for item in RL.to_pylist():
        rows = [r for r in found if r["id"] == item["id"]]
        assert [r["candidate_index"] for r in rows] == list(range(len(rows)))
        golden = alone(rm, item["instruction"], item["golden_response"])
        words = [Response(r["candidate"]).words for r in rows]
        for row, own in zip(rows, words, strict=True):
            assert alone(rm, item["instruction"], row["candidate"]) > golden - 1e-5
            assert sum(a != b for a, b in zip(own, Response(item["worse_response"]).words, strict=True)) > 0
        least = 1 if item["id"] == "b" and len(words) > 1 else 2  # at most 8 words of row b can change
        for one, other in combinations(words, 2):
            assert sum(a != b for a, b in zip(one, other, strict=True)) >= least
    reasons = {r["id"]: r["reason"] for r in table.to_pylist() if r["candidate_index"] == -1}
    assert "no worse response" in reasons["c"]


def test_same_seed_same_candidates_whatever_the_company(rm: RewardModel) -> None:
    settings = Adversarial(recipes=("pwws", "ga"), max_queries=80, max_restarts=4)
    both = adversarial_candidates(RL, rm, settings, 6, seed=1)
    again = adversarial_candidates(RL, rm, settings, 6, seed=1)
    alone_b = adversarial_candidates(RL.slice(1, 1), rm, settings, 6, seed=1)
    assert both.equals(again)
    only_b = [r for r in both.to_pylist() if r["id"] == "b"]
    assert only_b == alone_b.to_pylist()


def test_the_query_budget_is_kept_and_a_short_set_says_why(rm: RewardModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RewardQueries] = []
    start = RewardQueries.__init__

    def remember(self: RewardQueries, *args: object) -> None:
        start(self, *args)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(RewardQueries, "__init__", remember)
    for recipe in ("pwws", "ga"):
        table = adversarial_candidates(RL.slice(0, 1), rm, Adversarial(recipes=(recipe,), max_queries=17), 30)
        assert made[-1].count <= 17 + 1  # and the golden response
        (last,) = [r for r in table.to_pylist() if r["candidate_index"] == -1]
        assert last["reason"].startswith(f"{recipe}: {table.num_rows - 1} of 30: ")
        assert "at most 17" in last["reason"]


def test_nothing_to_attack_has_a_reason(rm: RewardModel) -> None:
    rows = RL.slice(0, 3).set_column(3, "worse_response", pa.array(["", "xq7 zz_9 42", "a <SPLIT> b"]))
    reasons = adversarial_candidates(rows, rm, Adversarial(), 5)["reason"].to_pylist()
    assert ["empty" in reasons[0], "no word" in reasons[1], "SPLIT" in reasons[2]] == [True, True, True]


def test_fast_swaps_equal_textattacks() -> None:
    from seam_pipeline.candidates._response import Response
    from seam_pipeline.candidates._textattack import AttackedText

    rng = np.random.default_rng(0)
    texts = [
        WORSE,
        "It's a well-known fact:\n\n`beer` (cold) isn't  warm.\nSee [this](http://a.b/c)!",
        "Ein Maß, bitte — naïve.",
    ]
    for text in texts:
        fast, slow = Response(text), AttackedText(text)
        for _ in range(6):
            places = rng.permutation(len(slow.words))[:2].tolist()
            fast = fast.replace_words_at_indices(places, ["drink", "Opened"])
            slow = slow.replace_words_at_indices(places, ["drink", "Opened"])
            assert (fast.text, fast.words) == (slow.text, slow.words)
            for name in ("newly_modified_indices", "modified_indices"):
                assert fast.attack_attrs[name] == slow.attack_attrs[name]
        assert fast.delete_word_at_index(0).text == slow.delete_word_at_index(0).text


def test_words_of_links_are_left_alone() -> None:
    from seam_pipeline.candidates._response import Response

    text = Response("Look at [beer](https://www.beer.com/good) or www.wine.org and drink.")
    assert [text.words[i] for i in sorted(text.in_links())] == [
        "https",
        "www",
        "beer",
        "com",
        "good",
        "www",
        "wine",
        "org",
    ]


def test_spread_by_hand() -> None:
    words = [list(w) for w in ("abcd", "abcx", "zbcd", "zyxd", "abyx")]
    assert spread(words, list("abcd"), 3, 1) == [0, 3, 4]  # 3 differs from 0 in three; then 4: min(2, 4) = 2
    assert spread(words, list("abcd"), 9, 2) == [0, 3, 4]  # 1 and 2 are one word away from a chosen one
    assert spread([], [], 3) == []


def test_importing_textattack_leaves_the_process_as_it_was() -> None:
    code = (
        "import os, logging, sys; log = logging.getLogger('mine'); before = dict(os.environ);"
        "import seam_pipeline.candidates._textattack as t, nltk;"
        "assert dict(os.environ) == before and not log.disabled and 'flair' not in sys.modules;"
        "assert not any('seam-textattack' in str(p) for p in nltk.data.path); print(t.Attack.__name__)"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "HOME": "/nonexistent", "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "Attack"), done.stderr
    assert "ownload" not in done.stderr
    assert logging.getLogger("seam").disabled is False
