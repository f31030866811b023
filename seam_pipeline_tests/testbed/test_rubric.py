"""Ratings worked out by hand from the rubric."""

import random
from types import MappingProxyType

import pytest

from seam_pipeline.testbed._answers import MAIN_FORMS, SUPPORT_FORMS
from seam_pipeline.testbed._knowledge import CUES, KINDS, MAIN, SUPPORT
from seam_pipeline.testbed._rubric import Rubric, sentences
from seam_pipeline.testbed._topics import Topic, make_topics, pools
from seam_pipeline.testbed.world import _language

TOPIC = Topic(
    "loadTable",
    MappingProxyType(
        {
            "name": "loadTable",
            "purpose": "read a table from disk",
            "purpose3": "reads a table from disk",
            "argument": "limit",
            "meaning": "how many items are used",
            "default": "ten",
            "returns": "a plain number",
            "error": "KeyError",
            "cause": "a field is missing",
            "remedy": "call refresh first",
        }
    ),
)
RETURNS = "What does loadTable return?"


@pytest.fixture(scope="module")
def rubric() -> Rubric:
    return Rubric(pools(), _language([TOPIC]))


@pytest.mark.parametrize(
    ("response", "rating"),
    [
        ("loadTable returns a plain number. It reads a table from disk.", 10.0),
        ("loadTable() RETURNS a plain number!\nIts purpose is to read a table from disk.", 10.0),
        # 0.1 named + 0.5 asked = 0.6
        ("loadTable returns a plain number.", 6.4),
        # the same without an end mark: 5.4 * 0.9
        ("loadTable returns a plain number", 5.86),
        # one idle sentence: 5.4 * 0.85
        ("loadTable returns a plain number. Good luck with it.", 5.59),
        # asked property wrong: 0.1 + 0.4 - 0.25
        ("loadTable returns a status code. It reads a table from disk.", 3.25),
        # second property wrong: 0.6 - 0.2
        ("loadTable returns a plain number. It writes a table to disk.", 4.6),
        # both values: 0.6 - 0.25
        ("loadTable returns a plain number. The result of loadTable is a status code.", 4.15),
        # another property wrong besides: 1 - 0.1
        ("loadTable returns a plain number. It reads a table from disk. By default loadTable uses fifty.", 9.1),
        # about another function: nothing right, one other named
        ("sortList returns a plain number. It arranges a list by size.", 1.0),
        # 0.1 - 0.15 < 0
        ("loadTable is no sortList.", 1.0),
        # on topic only
        ("Just try loadTable and see.", 1 + 9 * 0.1 * 0.85),
        # denying the truth costs like a wrong value: 0.1 - 0.25 < 0
        ("loadTable returns not a plain number.", 1.0),
        ("", 1.0),
        ("?!... \n", 1.0),
        (RETURNS, 1.0),
        ("What does loadTable return.", 1.0),
        ("%% @@ ## && == zz qq", 1.0),
    ],
)
def test_ratings_by_hand(rubric, response, rating):
    assert rubric.rate(TOPIC, "returns", RETURNS, response) == pytest.approx(rating, abs=0.006)


def test_task_needs_the_function_to_be_recommended(rubric):
    question = "How can I read a table from disk?"
    rate = lambda text: rubric.rate(TOPIC, "task", question, text)  # noqa: E731
    assert rate("Use loadTable for that. Its main argument is limit.") == 10.0
    assert rate("Use loadTable for that.") == 6.4
    assert rate("Use saveTable for that. Its main argument is limit.") == 1.0
    assert rate("I had the same trouble with loadTable last year.") == pytest.approx(1 + 9 * 0.1 * 0.85, abs=0.006)


def test_stuffing_and_repeating_do_not_pay(rubric):
    rate = lambda text: rubric.rate(TOPIC, "returns", RETURNS, text)  # noqa: E731
    every_value = "loadTable returns " + " ".join(pools()["returns"]) + "."
    assert rate(every_value) < 2
    stuffed = "loadTable plain number returns a plain number result read a table from disk limit ten KeyError"
    assert rate(stuffed) < 6
    good = "loadTable returns a plain number. It reads a table from disk."
    assert rate(" ".join([good] * 6)) < 3
    ramble = good + " The manual says more about it. My colleagues like it a lot." * 3
    assert rate(ramble) < 6


def test_shuffled_words_rate_low(rubric):
    words = ["loadTable", "returns", "a", "plain", "number", "It", "reads", "a", "table", "from", "disk"]
    ratings = []
    for seed in range(20):
        random.Random(seed).shuffle(words)
        ratings.append(rubric.rate(TOPIC, "returns", RETURNS, " ".join(words)))
    assert max(ratings) < 6
    assert sum(ratings) / 20 < 2.5


def test_every_form_of_every_topic_rates_as_written(rubric):
    for topic in make_topics(120, seed=5):
        for kind in KINDS:
            for main in MAIN_FORMS[kind]:
                for support in SUPPORT_FORMS[kind]:
                    text = f"{main} {support}".format(**topic.facts)
                    assert rubric.rate(topic, kind, "Hi all.", text) == 10.0, text
                assert rubric.rate(topic, kind, "Hi all.", main.format(**topic.facts)) == 6.4


def test_cues_stand_in_every_form():
    for kind in KINDS:
        for fact, forms in ((MAIN[kind], MAIN_FORMS[kind]), (SUPPORT[kind], SUPPORT_FORMS[kind])):
            for form in forms:
                words = set(sentences(form.replace("{", "").replace("}", ""))[0].words)
                assert not CUES[fact] or words & CUES[fact], form


def test_no_value_is_a_run_of_words_in_another():
    spelled = [(fact, f" {value.lower()} ") for fact, pool in pools().items() for value in pool if fact != "default"]
    for fact, value in spelled:
        inside = [other for o, other in spelled if value in other and other != value]
        assert not inside, (fact, value, inside)
