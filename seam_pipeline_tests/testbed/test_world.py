import collections
import hashlib
import random
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import TestbedData
from seam_pipeline.tables import QUESTION_ANSWERS
from seam_pipeline.testbed import KINDS, World
from seam_pipeline.testbed._votes import vote

SETTINGS = TestbedData(source="testbed", questions=300, topics=12)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SETTINGS)


@pytest.fixture(scope="module")
def rows(world: World) -> list[dict]:
    return world.question_answers().to_pylist()


def best_answers(rows: list[dict]) -> list[dict]:
    best: dict[str, dict] = {}
    for row in rows:
        if row["question_id"] not in best or row["score"] > best[row["question_id"]]["score"]:
            best[row["question_id"]] = row
    return list(best.values())


def test_table_has_the_schema_and_distinct_texts(world, rows):
    assert world.question_answers().schema == QUESTION_ANSWERS
    assert len(rows) == 300 * 4
    assert len({row["instruction"] for row in rows}) == 300
    assert len({(row["question_id"], row["response"]) for row in rows}) == 1200
    assert len({row["answer_id"] for row in rows}) == 1200


def test_questions_are_understood_and_every_kind_is_asked(world):
    assert all(world._reader.read(q.text) == (q.topic, q.kind) for q in world.questions)
    counts = collections.Counter(q.kind for q in world.questions)
    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) <= len(world.topics)


def test_votes_follow_true_quality(world, rows):
    ratings = np.array([world.rate(row["instruction"], row["response"]) for row in rows])
    scores = np.array([row["score"] for row in rows])
    assert np.corrcoef(ratings, scores)[0, 1] > 0.9
    golden = [world.rate(row["instruction"], row["response"]) for row in best_answers(rows)]
    assert 6 < np.mean(golden) < 9.5
    assert all(sum(r["accepted"] for r in rows[i : i + 4]) <= 1 for i in range(0, len(rows), 4))


def test_votes_without_noise_are_the_formula():
    verdicts = vote([10.0, 5.0, 1.0], 0.0, random.Random(0))
    # 2 ** 6 - 1, 2 ** 3 - 1, and one point below 2.
    assert [v.votes for v in verdicts] == [63, 7, -1]
    assert not verdicts[1].accepted
    assert not verdicts[2].accepted


def test_same_settings_same_bytes_in_another_process_and_other_seed_differs(world):
    code = (
        "import hashlib\nfrom seam_pipeline.experiment import TestbedData\nfrom seam_pipeline.testbed import World\n"
        "w = World(TestbedData(source='testbed', questions=300, topics=12))\n"
        "q = w.questions[0].text\n"
        "parts = [w.question_answers().to_pylist(), list(w.pretraining_texts()), w.worse_answers(q, 'x', 3, 0)]\n"
        "print(hashlib.sha256(repr(parts).encode()).hexdigest())"
    )
    there = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": h, "PATH": ""}, capture_output=True, text=True
        )
        for h in ("1", "2")
    ]
    assert there[0].stdout == there[1].stdout != "", there[0].stderr
    q = world.questions[0].text
    parts = [world.question_answers().to_pylist(), list(world.pretraining_texts()), world.worse_answers(q, "x", 3, 0)]
    assert hashlib.sha256(repr(parts).encode()).hexdigest() == there[0].stdout.strip()
    other = World(SETTINGS.model_copy(update={"seed": 1}))
    assert other.questions[0].text != q


def test_more_questions_keep_the_first_ones(world):
    larger = World(SETTINGS.model_copy(update={"questions": 400}))
    assert larger.questions[:300] == world.questions


def test_the_manual_has_every_fact_but_no_answers(world, rows):
    text = "\n".join(world.pretraining_texts())
    for topic in world.topics:
        for fact in ("purpose", "argument", "default", "returns", "error", "remedy"):
            assert topic.facts[fact] in text
    assert "Question:" not in text
    long_answers = {row["response"] for row in rows if len(row["response"]) > 60}
    assert not [answer for answer in long_answers if answer in text]


def test_worse_answers_are_worse_distinct_and_varied(world, rows):
    for row in best_answers(rows)[:60]:
        golden = world.rate(row["instruction"], row["response"])
        worse = world.worse_answers(row["instruction"], row["response"], 30, seed=3)
        texts = [w.text for w in worse]
        assert len(set(texts)) == len(texts)
        assert row["response"] not in texts
        assert all(world.rate(row["instruction"], text) < golden for text in texts)
        if golden > 5:
            assert len(worse) == 30
            assert len({w.kind for w in worse}) >= 8
    first = rows[0]
    assert world.worse_answers(first["instruction"], first["response"], 5, 1) == world.worse_answers(
        first["instruction"], first["response"], 5, 1
    )
    assert world.worse_answers(first["instruction"], "", 5, 1) == []


def test_preference_frequencies(world):
    question = world.questions[0]
    good = world._writer.write("complete", question.topic, question.kind, random.Random(0))
    rng = np.random.default_rng(0)
    assert {world.prefer(question.text, good, "I do not know.", rng) for _ in range(50)} == {0}
    assert {world.prefer(question.text, "I do not know.", good, rng) for _ in range(50)} == {1}
    same = [world.prefer(question.text, good, good, rng) for _ in range(600)]
    assert 0.42 < np.mean(same) < 0.58


def test_preference_with_noise_is_the_normal_tail():
    # Ratings differ by d, each gets noise of sd 2: P(first preferred) = Phi(d / (2 * sqrt 2)).
    world = World(SETTINGS.model_copy(update={"vote_noise": 2.0}))
    question = world.questions[0]
    a, b = (w.text for w in world.worse_answers(question.text, _complete(world), 2, 0))
    difference = world.rate(question.text, a) - world.rate(question.text, b)
    rng = np.random.default_rng(1)
    share = 1 - np.mean([world.prefer(question.text, a, b, rng) for _ in range(4000)])
    assert share == pytest.approx(NormalDist().cdf(difference / 8**0.5), abs=0.03)


def test_impossible_worlds_are_refused():
    with pytest.raises(SeamError, match=r"data\.topics"):
        World(SETTINGS.model_copy(update={"topics": 500}))
    with pytest.raises(SeamError, match=r"data\.questions"):
        World(SETTINGS.model_copy(update={"topics": 4, "questions": 100_000}))
    with pytest.raises(SeamError, match="does not understand"):
        World(SETTINGS).rate("What is the capital of France?", "Paris.")


def _complete(world: World) -> str:
    question = world.questions[0]
    return world._writer.write("complete", question.topic, question.kind, random.Random(0))
