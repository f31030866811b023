"""One changed row costs one row's work, and the numbers stay those of a fresh run, to the bit."""

import dataclasses
import random
import shutil

import pyarrow.compute as pc
import pytest

from seam_pipeline.experiment import Scoring
from seam_pipeline.models.content import model_content
from seam_pipeline.models.stack import load_policy, load_reward
from seam_pipeline.rowcache import RowCache
from seam_pipeline.scoring.items import Item
from seam_pipeline.scoring.likelihood import score_likelihoods
from seam_pipeline.scoring.reuse import Reuse
from seam_pipeline.scoring.reward import score_rewards

from ..same_bits import SAME_BITS

TEXT = "boil the wort add hops cool it and pitch yeast wait a week then bottle"
SCORING = Scoring(tokens_per_batch=512)


def _text(rng: random.Random, n: int) -> str:
    return " ".join(rng.choice(TEXT.split()) for _ in range(n))


@pytest.fixture(scope="module")
def items() -> list[Item]:
    rng = random.Random(0)
    return [Item(f"q{i}", _text(rng, 6), tuple(_text(rng, 5) for _ in range(4)), (0, 1, 2, 3)) for i in range(200)]


@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_a_changed_percent_costs_at_most_two_percent_of_the_tokens(folders, items, tmp_path, kind):
    model = (load_policy if kind == "policy" else load_reward)(folders[kind])
    score, column = (score_likelihoods, "loglik") if kind == "policy" else (score_rewards, "reward")
    changed = list(items)
    changed[7] = Item("q7", "how long does it take", items[7].responses, items[7].indices)
    changed[90] = dataclasses.replace(items[90], responses=("wait for two weeks", *items[90].responses[1:]))
    content = model_content(folders[kind])
    with RowCache(tmp_path / "rows.sqlite") as cache:
        first, second, third = (Reuse(cache, content, model.model) for _ in range(3))
        score(model, items, SCORING, reuse=first)
        assert first.tokens_computed == first.tokens_asked > 0
        again = score(model, changed, SCORING, reuse=second)
        assert 0 < second.tokens_computed <= 0.02 * second.tokens_asked
        speed_only = SCORING.model_copy(update={"tokens_per_batch": 64})
        assert score(model, changed, speed_only, reuse=third, layout="padded").equals(again)
        assert third.tokens_computed == 0
    for batch in (SCORING, speed_only):
        fresh = score(model, changed, batch)
        off = pc.max(pc.abs(pc.subtract(again[column], fresh[column]))).as_py()
        assert off <= (0 if SAME_BITS else 1e-4)  # to the bit, in whatever company a row was scored
        assert again.drop_columns(column).equals(fresh.drop_columns(column))


def test_another_model_cut_or_precision_is_computed_anew(folders, items, tmp_path):
    policy, few = load_policy(folders["policy"]), items[:3]
    with RowCache(tmp_path / "rows.sqlite") as cache:
        score_likelihoods(policy, few, SCORING, reuse=Reuse(cache, "a", policy.model))
        cut = SCORING.model_copy(update={"max_response_tokens": 3})
        other, shorter = Reuse(cache, "b", policy.model), Reuse(cache, "a", policy.model)
        score_likelihoods(policy, few, SCORING, reuse=other)
        score_likelihoods(policy, few, cut, reuse=shorter)
        half = load_policy(folders["policy"], dtype="bfloat16")
        rounded = Reuse(cache, "a", half.model)
        score_likelihoods(half, few, SCORING, reuse=rounded)
    for reuse in (other, shorter, rounded):
        assert reuse.tokens_computed == reuse.tokens_asked


def test_a_killed_pass_goes_on_where_it_stood(folders, items, tmp_path, monkeypatch):
    monkeypatch.setattr("seam_pipeline.scoring.items.WINDOW", 50)
    policy = load_policy(folders["policy"])

    def die(done: int, total: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with RowCache(tmp_path / "rows.sqlite") as cache:
        with pytest.raises(KeyboardInterrupt):
            score_likelihoods(policy, items, SCORING, die, reuse=Reuse(cache, "a", policy.model))
        rest = Reuse(cache, "a", policy.model)
        score_likelihoods(policy, items, SCORING, reuse=rest)
    assert 0.4 < rest.tokens_computed / rest.tokens_asked < 0.6


def test_the_content_of_a_model_is_its_files_wherever_they_are(folders, tmp_path):
    for name in ("policy", "policy_stack", "reward_stack"):
        shutil.copytree(folders[name], tmp_path / name)
    for name in ("policy", "policy_stack", "reward_stack"):
        assert model_content(tmp_path / name) == model_content(folders[name])
    found = {model_content(folders[name]) for name in ("policy", "reward", "policy_stack", "reward_stack")}
    assert len(found) == 4
    weights = tmp_path / "policy" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    changed = {name: model_content(tmp_path / name) for name in ("policy", "policy_stack")}
    assert all(content != model_content(folders[name]) for name, content in changed.items())
