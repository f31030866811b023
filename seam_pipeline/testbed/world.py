"""The testbed: a question-and-answer community whose true preference is known."""

import random
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seam_pipeline.data import answer_score
from seam_pipeline.experiment import TestbedData
from seam_pipeline.tables import QUESTION_ANSWERS

from ._answers import ASKING_BACK, FILLER, MAIN_FORMS, QUALITIES, SUPPORT_FORMS, VAGUE, AnswerWriter
from ._manual import ENTRY, GENERAL, SENTENCES, manual
from ._questions import Question, QuestionReader, ask
from ._rubric import Rubric
from ._topics import Topic, make_topics, pools
from ._votes import vote

SHARES: dict[str, float] = {
    "complete": 20,
    "incomplete": 13,
    "chatty": 9,
    "rambling": 10,
    "wrong detail": 3,
    "contradiction": 2,
    "wrong fact": 6,
    "wrong short": 2,
    "other function": 4,
    "beside the point": 3,
    "vague": 9,
    "asking back": 7,
    "bad grammar": 9,
    "unfinished": 6,
}
"""How often the community writes answers of each quality."""
TIED = ("meaning", "cause")
"""Properties that follow from another one."""
TRIES = 40
"""Attempts per answer before a duplicate is given up."""


class WorseAnswer(NamedTuple):
    """A text rated below the golden response, and the kind of mistake in it."""

    text: str
    kind: str


class World:
    """Everything about the invented library and its community; the same settings are the same world, byte for byte."""

    def __init__(self, settings: TestbedData) -> None:
        """Raises SeamError when the knowledge base is too small for the settings."""
        self.settings = settings
        self.topics = make_topics(settings.topics, settings.seed)
        self.questions: list[Question] = ask(self.topics, settings.questions, settings.seed)
        self._writer = AnswerWriter(self.topics, pools(self.topics))
        self._reader = QuestionReader(self.topics)

    @cached_property
    def _rubric(self) -> Rubric:
        return Rubric(pools(), _language(self.topics))

    def question_answers(self) -> pa.Table:
        """One row per answer, schema QUESTION_ANSWERS; answers of one question are distinct."""
        rows = [row for number in range(len(self.questions)) for row in self._answers_of(number)]
        return pa.Table.from_pylist(rows, schema=QUESTION_ANSWERS)

    def pretraining_texts(self) -> Iterator[str]:
        """As `pretraining_texts`, of this world."""
        return pretraining_texts(self.settings.topics, self.settings.seed)

    def rate(self, instruction: str, response: str) -> float:
        """True quality of any text as an answer, 1 to 10; the rubric is described in `_rubric.py`.

        Raises SeamError when the instruction is none of this world's questions.
        """
        topic, kind = self._reader.read(instruction)
        return self._rubric.rate(topic, kind, instruction, response)

    def prefer(self, instruction: str, a: str, b: str, rng: np.random.Generator) -> int:
        """0 when a voter prefers `a`, 1 when `b`: both true ratings get Gaussian noise of sd `vote_noise`."""
        noise = rng.normal(0.0, self.settings.vote_noise, 2)
        difference = self.rate(instruction, a) + noise[0] - self.rate(instruction, b) - noise[1]
        return int(rng.integers(2)) if difference == 0 else int(difference < 0)

    def worse_answers(self, instruction: str, golden: str, n: int, seed: int) -> list[WorseAnswer]:
        """Up to `n` distinct texts rated below `golden`, kinds of mistake in turn; fewer when there are not so many."""
        topic, kind = self._reader.read(instruction)
        limit = self.rate(instruction, golden)
        rng = random.Random(f"worse {seed} {instruction} {golden}")
        found: dict[str, str] = {}
        kinds = list(QUALITIES)[1:]
        rng.shuffle(kinds)
        for attempt in range(TRIES * n):
            if len(found) == n:
                break
            mistake = kinds[attempt % len(kinds)]
            text = self._writer.write(mistake, topic, kind, rng)
            if text not in found and text != golden and self.rate(instruction, text) < limit:
                found[text] = mistake
        return [WorseAnswer(text, mistake) for text, mistake in found.items()]

    def _answers_of(self, number: int) -> list[dict[str, object]]:
        question = self.questions[number]
        rng = random.Random(f"answers {self.settings.seed} {number}")
        texts: list[str] = []
        while len(texts) < self.settings.answers_per_question:
            quality = rng.choices(list(SHARES), list(SHARES.values()))[0]
            text = self._writer.write(quality, question.topic, question.kind, rng)
            if text not in texts:
                texts.append(text)
        ratings = [self._rubric.rate(question.topic, question.kind, question.text, text) for text in texts]
        verdicts = vote(ratings, self.settings.vote_noise, rng)
        return [
            {
                "question_id": f"q{number:05d}",
                "instruction": question.text,
                "answer_id": f"q{number:05d}-{i}",
                "response": text,
                "votes": verdict.votes,
                "accepted": verdict.accepted,
                "score": answer_score(*verdict),
            }
            for i, (text, verdict) in enumerate(zip(texts, verdicts, strict=True))
        ]


def pretraining_texts(topics: int, seed: int) -> Iterator[str]:
    """Manual pages with every fact, an index of questions without the facts, and general talk; no answers.

    Two of a world's settings decide them, however many questions it asks. Raises SeamError for too many topics.
    """
    return manual(make_topics(topics, seed), seed)


def _language(topics: Iterable[Topic]) -> Iterator[str]:
    # Every sentence form with every value once, so that all usual word pairs occur.
    forms = [form for group in (MAIN_FORMS, SUPPORT_FORMS, SENTENCES) for pool in group.values() for form in pool]
    forms += [*ENTRY, *VAGUE]
    topic = next(iter(topics))
    variants = [topic.with_fact(fact, value) for fact, pool in pools().items() for value in pool if fact not in TIED]
    for form in forms:
        yield from {form.format(**variant.facts) for variant in variants}
    yield from (*GENERAL, *FILLER, *ASKING_BACK)
