"""The five attacks on a small reward model, and what is particular to GA and KATG."""

from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pytest

from seam_pipeline.candidates._rewards import RewardQueries
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Adversarial
from seam_pipeline.models.stack import RewardModel, load_reward
from seam_pipeline_tests.tiny import tiny_reward

if find_spec("textattack") is None:
    pytest.skip("TextAttack is not installed", allow_module_level=True)

from seam_pipeline.candidates._genetic import Genetic
from seam_pipeline.candidates._keywords import Keywords, Pool, keyword_bias
from seam_pipeline.candidates._recipes import RECIPES, Recipe
from seam_pipeline.candidates._resources import Resources
from seam_pipeline.candidates._response import Response
from seam_pipeline.candidates._textattack import PopulationMember, stop_words

INSTRUCTION = "How do I open a bottle without an opener?"
WORSE = "You should smash the bottle on a table, see http://www.good-glass.com/drink first, then drink it quickly."
BUDGET = 90
QUESTIONS = ["Which glass is right?", "How warm is ale?", "Where is the beer?", "What do I drink?", INSTRUCTION]
POOL = pa.table(
    {
        "id": list("abcde"),
        "instruction": QUESTIONS,
        "golden_response": ["A large glass and a small plate.", "Large glass, clean window.", "Small plate, good wine.",
            "Good wine, clean window, large glass.", "Open the small window with a good, clean plate."],
        "worse_response": ["Slow water.", "Slow fire, burn wood.", "Burn wood with water.", "Fire, slow water.", WORSE],
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def rm(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    return load_reward(tiny_reward(tmp_path_factory.mktemp("reward")))


@pytest.fixture(scope="module")
def resources(rm: RewardModel) -> Resources:
    return Resources.for_texts([WORSE], Adversarial(), Pool.of(POOL, rm, Adversarial()))


def attacked(
    recipe: Recipe, rm: RewardModel, budget: int = BUDGET, seed: int = 0, most: int = 10**6
) -> tuple[list[str], int]:
    """Texts above a bar that lies above the worse response, and the queries they took."""
    rewards = RewardQueries(rm, INSTRUCTION, WORSE)
    bar = rewards([WORSE])[0] + 0.01
    before = rewards.count
    recipe.goal.start(rewards, bar, budget)
    recipe.search(recipe, Response(WORSE), np.random.default_rng(seed), 6, lambda: len(recipe.goal.successes) >= most)
    recipe.attack.clear_cache(recursive=False)
    return list(recipe.goal.successes), rewards.count - before


@pytest.fixture(scope="module")
def found(rm: RewardModel, resources: Resources) -> dict[str, tuple[list[str], int]]:
    """What each recipe finds within the budget."""
    return {name: attacked(RECIPES[name](resources), rm) for name in RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_an_attack_finds_texts_and_leaves_the_rest_alone(
    name: str, rm: RewardModel, resources: Resources, found: dict[str, tuple[list[str], int]]
) -> None:
    recipe, (texts, queries) = RECIPES[name](resources), found[name]
    assert len(texts) >= 10
    assert 0 < queries <= BUDGET
    bar = rm.rewards([rm.token_ids(INSTRUCTION, WORSE)])[0] + 0.01
    before = Response(WORSE)
    free = set(recipe.positions(before))
    fixed = [i for i, word in enumerate(before.words) if word.lower() in stop_words() or i in before.in_links()]
    assert len(fixed) >= 12
    assert not free & set(fixed)
    for text in texts:
        assert rm.rewards([rm.token_ids(INSTRUCTION, text)])[0] > bar - 1e-4
        after = Response(text)
        changed = {i for i, (a, b) in enumerate(zip(before.words, after.words, strict=True)) if a != b}
        assert changed
        assert changed <= free
    assert attacked(recipe, rm) == (texts, queries)


@pytest.mark.parametrize("name", RECIPES)
def test_budget_of_a_few_and_enough_end_the_search(
    name: str, rm: RewardModel, resources: Resources, found: dict[str, tuple[list[str], int]]
) -> None:
    recipe = RECIPES[name](resources)
    for budget in (1, 2, 17):
        assert attacked(recipe, rm, budget)[1] <= budget
    texts, queries = attacked(recipe, rm, most=3)
    assert len(texts) >= 3
    assert queries < found[name][1]


def test_at_most_a_fifth_and_two_fifths_of_the_words_change(found: dict[str, tuple[list[str], int]]) -> None:
    words = Response(WORSE).words
    for name, share in (("ga", 0.2), ("bert_attack", 0.4)):
        most = max(sum(a != b for a, b in zip(words, Response(t).words, strict=True)) for t in found[name][0])
        assert 1 < most <= int(np.ceil(share * len(words)))


def test_thresholds_of_similarity_hold(rm: RewardModel) -> None:
    for name in ("textfooler", "bert_attack"):
        strict = Adversarial.model_validate({"resources": {f"{name}_similarity": 1.0}})
        assert attacked(RECIPES[name](Resources.for_texts([WORSE], strict)), rm, 40)[0] == []


def test_genetic_parents_are_those_with_high_scores() -> None:
    pairs = Genetic().parents([0.0, 0.3, -0.3], 20_000)
    share = np.bincount(pairs.ravel(), minlength=3) / pairs.size
    np.testing.assert_allclose(share, np.array([1, np.e, 1 / np.e]) / (1 + np.e + 1 / np.e), atol=0.01)


def test_genetic_child_is_one_parent_up_to_the_cut_and_the_other_from_there() -> None:
    method = Genetic()
    first, second = Response("small bottle breaks often here"), Response("big jar breaks often there")
    first.attack_attrs["last_transformation"] = "swap"
    left = [{"num_replacements_left": np.full(5, n)} for n in (5, 1)]
    members = [PopulationMember(text, attributes=a) for text, a in zip((first, second), left, strict=True)]
    seen = set()
    for seed in range(40):
        method.rng = np.random.default_rng(seed)
        child, attributes = method._crossover_operation(*members)
        cut = next((i for i, n in enumerate(attributes["num_replacements_left"]) if n == 1), 5)
        assert child.words == [*first.words[:cut], *second.words[cut:]]
        assert child.attack_attrs["last_transformation"] == "swap"
        seen.add(child.text)
    assert seen == {"big jar breaks often there", "small jar breaks often there", "small bottle breaks often there"}


def test_genetic_changes_the_first_word_too(rm: RewardModel, resources: Resources) -> None:
    recipe, text = RECIPES["ga"](resources), Response("Drink the cold beer.")
    rewards = RewardQueries(rm, INSTRUCTION, text.text)
    recipe.goal.start(rewards, 100.0, 1000)
    recipe.mask.allowed = {0, 3}
    recipe.attack.search_method.positions = [0, 3]
    (start,), _ = recipe.goal.get_results([text])
    members = recipe.attack.search_method._initialize_population(start, 60)
    places = [next(iter(m.attacked_text.attack_attrs["modified_indices"])) for m in members]
    best = [max(r.score for r in recipe.goal.get_results(recipe.swaps(text, i))[0]) for i in (0, 3)]
    assert sorted(places) == [i for i, score in zip((0, 3), best, strict=True) if score > start.score]
    assert [m.attributes["num_replacements_left"][p] for m, p in zip(members, places, strict=True)] == [4] * len(places)
    assert 0 in places


def test_keyword_bias_by_hand() -> None:
    texts = [frozenset(t.split()) for t in ("good beer", "good ale", "good", "beer", "ale", "ale rare")]
    bias = keyword_bias(texts, [3.0, 2.0, 4.0, 1.0, 0.0, 2.0])
    # good: means 3 and 1, sample variances 1 and 1: z = 2 / sqrt(1/3 + 1/3)
    assert bias["good"] == pytest.approx(2 / np.sqrt(2 / 3))
    # ale: means 4/3 and 8/3, variances 4/3 and 7/3: z = -(4/3) / sqrt(4/9 + 7/9)
    assert bias["ale"] == pytest.approx(-(4 / 3) / np.sqrt(11 / 9))
    assert set(bias) == {"good", "ale"}  # beer stands in two texts, rare in one
    assert keyword_bias(texts, [1.0] * 6) == {}


def test_keywords_compare_answers_of_one_question() -> None:
    pairs = [(f"q{k}", text) for k in range(4) for text in ("a large drink, http://wine.com", "a small drink")]
    groups = [q for q, _ in pairs]
    rewards = [100.0 * k + (1 + 0.1 * k) * sign for k in range(4) for sign in (1, -1)]
    pool = Pool(pairs, groups, lambda asked: rewards[: len(asked)])
    found = Keywords.of(pool, "minilm", "minilm", "cpu")
    # large against small, after taking out each question's mean: 1, 1.1, 1.2, 1.3 against the same below 0
    variance = np.var([1, 1.1, 1.2, 1.3], ddof=1)
    assert found.bias == {"large": pytest.approx(2.3 / np.sqrt(variance / 4 + variance / 4))}
    assert found.queries == 8
    assert found.words[:2] == [["large"], []]
    drawn = found.priors("another text", 3, np.random.default_rng(0))
    assert len(drawn) == 3
    assert all(found.words[i] for i in drawn)


def test_priors_are_of_other_questions(rm: RewardModel, resources: Resources) -> None:
    found = resources.keywords
    assert resources.pool_queries == 10
    own = [i for i, group in enumerate(found.groups) if group == "e"]
    drawn = {i for seed in range(10) for i in found.priors(WORSE, 3, np.random.default_rng(seed))}
    assert drawn
    assert not drawn & set(own)


def test_katg_says_what_it_is_and_what_it_needs() -> None:
    assert "APPROXIMATION" in (RECIPES["katg"].__doc__ or "")
    with pytest.raises(SeamError, match="needs a pool"):
        RECIPES["katg"](Resources.for_texts([WORSE], Adversarial()))
