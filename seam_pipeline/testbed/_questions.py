"""Questions: a greeting, one of several phrasings of the core, and a closing."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from seam_pipeline.errors import SeamError

from ._knowledge import KINDS, LIBRARY
from ._topics import Topic

CORES: dict[str, tuple[str, ...]] = {
    "purpose": (
        "What does {f} do?",
        "What is {f} good for?",
        "Can somebody explain the purpose of {f}?",
        "When should I use {f}?",
        "What is the job of the function {f}?",
    ),
    "argument": (
        "Which argument does {f} take?",
        "What is the main argument of {f}?",
        "How do I control {f}?",
        "Which option can I give to {f}?",
        "What can I pass to {f}?",
    ),
    "default": (
        "What is the default of {f}?",
        "Which value does {f} use by default?",
        "What happens in {f} if I leave the argument out?",
        "Does anybody know the default value in {f}?",
        "Which setting does {f} start with?",
    ),
    "returns": (
        "What does {f} return?",
        "What do I get back from {f}?",
        "Which kind of result does {f} give?",
        "What is the return value of {f}?",
        "What comes out of {f}?",
    ),
    "error": (
        "Which error does {f} raise?",
        "What error should I expect from {f}?",
        "Which error must I catch around {f}?",
        "How does {f} fail?",
        "What goes wrong in {f}?",
    ),
    "remedy": (
        "How do I fix {f} when it fails?",
        "My call of {f} fails, what can I do?",
        "What helps when {f} does not work?",
        "How can I solve a problem with {f}?",
        "What is the remedy for a failing {f}?",
    ),
    "task": (
        "How can I {purpose}?",
        "Which function should I call to {purpose}?",
        "I want to {purpose}, what should I use?",
        "Is there a way to {purpose}?",
        "What is the best way to {purpose}?",
    ),
}

OPENINGS = ("", "Hi all. ", "Beginner here. ", "Short question. ", "I am stuck. ", "Please help. ")
CLOSINGS = ("", " Thanks!", " It is urgent.", f" I use {LIBRARY} two.")


class Question(NamedTuple):
    """A question's text and what it is about."""

    text: str
    topic: Topic
    kind: str


class QuestionReader:
    """Tells which function and property a question's text is about."""

    def __init__(self, topics: Sequence[Topic]) -> None:
        self._cores = {core_text(t, k, core): (t, k) for t in topics for k in KINDS for core in CORES[k]}
        self._read: dict[str, tuple[Topic, str]] = {}

    def read(self, instruction: str) -> tuple[Topic, str]:
        """(topic, kind) of any text that contains one of the phrasings; SeamError when none is in it."""
        if instruction not in self._read:
            found = [meaning for core, meaning in self._cores.items() if core in instruction]
            if not found:
                raise SeamError(f"The testbed does not understand the question {instruction!r}; ask one of its own.")
            self._read[instruction] = found[0]
        return self._read[instruction]


def ask(topics: Sequence[Topic], count: int, seed: int) -> list[Question]:
    """`count` different questions, spread evenly over functions and kinds; the first n do not depend on `count`.

    Raises SeamError when there are not so many different ones.
    """
    rng = random.Random(f"questions {seed}")
    subjects = [(topic, kind) for topic in topics for kind in KINDS]
    rng.shuffle(subjects)
    wordings = {k: [(o, c, e) for o in OPENINGS for c in CORES[k] for e in CLOSINGS] for k in KINDS}
    most = sum(len(wordings[kind]) for _, kind in subjects)
    if count > most:
        raise SeamError(f"data.questions is {count}, but {len(topics)} topics give {most} questions; add topics.")
    decks = [rng.sample(wordings[kind], len(wordings[kind])) for _, kind in subjects]
    questions = []
    for n in range(count):
        turn, place = divmod(n, len(subjects))
        topic, kind = subjects[place]
        opening, core, closing = decks[place][turn]
        questions.append(Question(opening + core_text(topic, kind, core) + closing, topic, kind))
    return questions


def core_text(topic: Topic, kind: str, core: str) -> str:
    """One of the CORES of `kind`, about the topic."""
    return core.format(f=topic.name, purpose=topic.facts["purpose"])
