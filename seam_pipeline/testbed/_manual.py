"""What the base model reads: the library's reference manual and talk about programming in general; no answers.

The index lists what people ask and names the entry to look at: it holds questions but not the facts that answer them.
"""

import random
from collections.abc import Iterator, Sequence

from ._knowledge import KINDS, LIBRARY
from ._questions import CLOSINGS, CORES, OPENINGS, core_text
from ._topics import Topic

SENTENCES: dict[str, tuple[str, ...]] = {
    "purpose": (
        "{name} {purpose3}.",
        "Purpose of {name}: to {purpose}.",
        "To {purpose}, there is {name}.",
        "In order to {purpose}, programs call {name}.",
    ),
    "argument": (
        "Argument of {name}: {argument}, {meaning}.",
        "{name} has the argument {argument}, which says {meaning}.",
        "The argument {argument} belongs to {name}.",
        "In {name}, {argument} says {meaning}.",
    ),
    "default": (
        "Default of {name}: {default}.",
        "Unless told otherwise, {name} works with {default}.",
        "The default of {argument} in {name} is {default}.",
        "When nothing is passed to {name}, {argument} is {default}.",
    ),
    "returns": (
        "Result of {name}: {returns}.",
        "{name} gives {returns}.",
        "A call of {name} ends with {returns}.",
        "The return value of {name} is {returns}.",
    ),
    "error": (
        "Error of {name}: {error}, {cause}.",
        "{name} stops with {error} when {cause}.",
        "A call of {name} may end with {error}.",
        "If {cause}, {name} reports {error}.",
    ),
    "remedy": (
        "Remedy for {name}: {remedy}.",
        "When {name} stops, {remedy}.",
        "After {error} in {name}, {remedy}.",
        "Users of {name} in trouble should {remedy}.",
    ),
}
ENTRY = (
    "{name}\nPurpose: {purpose}\nArgument: {argument}\nDefault: {default}\n"
    "Result: {returns}\nError: {error}\nRemedy: {remedy}",
    "Entry {name}. Result: {returns}. Default: {default}. Argument: {argument}. Remedy: {remedy}. Error: {error}.",
)
INDEX: dict[str, str] = {
    "purpose": "purpose of {name}",
    "argument": "argument of {name}",
    "default": "default of {name}",
    "returns": "result of {name}",
    "error": "error of {name}",
    "remedy": "remedy for {name}",
    "task": "call {name}",
}
INDEX_HEADS = ("Question index\n", "Question from the forum. ", "Often asked. ")
INDEX_PLACES = ("\n\nAnswer under {entry}.", "\n\nAnswer: see {entry}.", " See {entry}.")
GENERAL = (
    f"{LIBRARY} is a library for everyday data.",
    "People who are new to a library often look for a good example.",
    "What a function returns is written in its entry.",
    "Some questions come up again and again.",
    "A short answer is often the best help.",
    "Somebody who is stuck should read the manual and think about the problem.",
    "Which option you should use depends on the project.",
    "How a call can fail is listed below.",
    f"Thanks to many friends, {LIBRARY} two is out.",
    "It is not urgent to know every setting.",
    "If you leave an argument out, the function starts with its default value.",
    "Can you explain what a result is good for? That is the job of the manual.",
    "I want to know what happens when it does not work.",
    "There is always a way to solve it, and any help is welcome.",
    "The weather was nice, and we had a long talk about colours.",
    "My colleagues like the right function for the right job.",
    "The usual fix is easy. Otherwise ask around.",
    "Please be brief and be kind to everybody who is a beginner.",
    "You get back what you asked for, as far as I know.",
    "This decides what comes out of a call, and it means that the value is called a result.",
)


def manual(topics: Sequence[Topic], seed: int, rounds: int = 40) -> Iterator[str]:
    """Pages about each function in turn in other words and another order, index pages, and some general talk."""
    rng = random.Random(f"manual {seed}")
    for _ in range(rounds):
        for topic in topics:
            yield _page(topic, rng)
            yield _index(topic, rng)
        for _ in range(max(1, len(topics) // 8)):
            yield " ".join(rng.sample(GENERAL, 4))


def _page(topic: Topic, rng: random.Random) -> str:
    if rng.random() < 0.2:
        return rng.choice(ENTRY).format(**topic.facts)
    sentences = [rng.choice(forms).format(**topic.facts) for forms in SENTENCES.values()]
    rng.shuffle(sentences)
    return " ".join(sentences)


def _index(topic: Topic, rng: random.Random) -> str:
    kind = rng.choice(KINDS)
    question = rng.choice(OPENINGS) + core_text(topic, kind, rng.choice(CORES[kind])) + rng.choice(CLOSINGS)
    entry = INDEX[kind].format(**topic.facts)
    return rng.choice(INDEX_HEADS) + question + rng.choice(INDEX_PLACES).format(entry=entry)
