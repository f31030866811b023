"""Answers of graded quality: the right sentences and the mistakes people make."""

import random
from collections.abc import Callable, Mapping, Sequence

from ._knowledge import KINDS, LIBRARY, MAIN, SUPPORT
from ._topics import Topic

MAIN_FORMS: dict[str, tuple[str, ...]] = {
    "purpose": ("{name} {purpose3}.", "You can {purpose} with {name}."),
    "argument": ("The main argument of {name} is {argument}.", "{name} takes the argument {argument}."),
    "default": ("The default of {name} is {default}.", "By default {name} uses {default}."),
    "returns": ("{name} returns {returns}.", "The result of {name} is {returns}."),
    "error": ("{name} raises {error}.", "The error of {name} is {error}."),
    "remedy": ("If {name} fails, {remedy}.", "To fix {name}, {remedy}."),
    "task": ("Use {name} for that.", "The right function is {name}."),
}
SUPPORT_FORMS: dict[str, tuple[str, ...]] = {
    "purpose": ("It returns {returns}.", "The result is {returns}."),
    "argument": ("It sets {meaning}.", "This decides {meaning}."),
    "default": ("The argument is called {argument}.", "Change it with the argument {argument}."),
    "returns": ("It {purpose3}.", "Its purpose is to {purpose}."),
    "error": ("It means that {cause}.", "This happens when {cause}."),
    "remedy": ("Otherwise it raises {error}.", "The error is {error}."),
    "task": ("Its main argument is {argument}.", "It takes the argument {argument}."),
}
VAGUE = (
    "I think {name} is described in the manual.",
    "Just try {name} and see.",
    "I had the same trouble with {name} last year.",
    "It depends on your plans with {name}.",
    "Everybody asks this about {name}.",
    "I do not remember, but {name} is easy.",
)
FILLER = (
    "Good luck with it.",
    f"I have used {LIBRARY} for many years.",
    "The manual says more about it.",
    "My colleagues like it a lot.",
    "There was a long talk about it last summer.",
    "You should also think about the colours of your project.",
    "As far as I know it has always been like this.",
    "By the way, the weather is nice here.",
)
ASKING_BACK = ("Why do you want to know that?", "Did you read the manual?", "Which version do you use?")

Maker = Callable[["AnswerWriter", Topic, str, random.Random], str]


class AnswerWriter:
    """Writes answers about the topics of one world."""

    def __init__(self, topics: Sequence[Topic], values: Mapping[str, tuple[str, ...]]) -> None:
        self.topics = topics
        self.values = values

    def write(self, quality: str, topic: Topic, kind: str, rng: random.Random) -> str:
        """An answer of one of the QUALITIES."""
        return QUALITIES[quality](self, topic, kind, rng)

    def wrong(self, topic: Topic, fact: str, rng: random.Random) -> Topic:
        """The topic with one property replaced by another value (with what depends on it)."""
        return topic.with_fact(fact, rng.choice([v for v in self.values[fact] if v != topic.facts[fact]]))


def main_sentence(topic: Topic, kind: str, rng: random.Random) -> str:
    """The sentence that answers the question."""
    return rng.choice(MAIN_FORMS[kind]).format(**topic.facts)


def support_sentence(topic: Topic, kind: str, rng: random.Random) -> str:
    """The sentence that makes the answer complete."""
    return rng.choice(SUPPORT_FORMS[kind]).format(**topic.facts)


def _complete(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    return f"{main_sentence(t, k, rng)} {support_sentence(t, k, rng)}"


def _incomplete(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    return main_sentence(t, k, rng)


def _chatty(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    return f"{main_sentence(t, k, rng)} {rng.choice(FILLER)}"


def _rambling(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    first, *rest = rng.sample(FILLER, rng.choice((3, 4)))
    return " ".join((first, main_sentence(t, k, rng), *rest))


def _wrong_fact(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    wrong = w.wrong(t, MAIN[k], rng)
    return f"{main_sentence(wrong, k, rng)} {support_sentence(wrong, k, rng)}"


def _wrong_short(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    return main_sentence(w.wrong(t, MAIN[k], rng), k, rng)


def _wrong_detail(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    return f"{main_sentence(t, k, rng)} {support_sentence(w.wrong(t, SUPPORT[k], rng), k, rng)}"


def _contradiction(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    pair = [main_sentence(t, k, rng), main_sentence(w.wrong(t, MAIN[k], rng), k, rng)]
    rng.shuffle(pair)
    return " ".join(pair)


def _other_function(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    return _complete(w, rng.choice([o for o in w.topics if o.name != t.name]), k, rng)


def _beside_the_point(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    # An answer about the same function whose two facts are neither of those that were asked for.
    asked = {MAIN[k], SUPPORT[k]}
    others = [o for o in KINDS if MAIN[o] not in asked and SUPPORT[o] not in asked and o != "task"]
    return _complete(w, t, rng.choice(others), rng)


def _vague(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    return f"{rng.choice(VAGUE).format(name=t.name)} {rng.choice(FILLER)}"


def _asking_back(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    return f"{rng.choice(ASKING_BACK)} {rng.choice(VAGUE).format(name=t.name)}"


def _bad_grammar(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    words = _complete(w, t, k, rng).replace(".", "").split()
    for _ in range(rng.choice((2, 3))):
        place = rng.randrange(len(words) - 1)
        damage = rng.choice(("swap", "drop", "double"))
        if damage == "swap":
            words[place], words[place + 1] = words[place + 1], words[place]
        elif damage == "double":
            words.insert(place, words[place])
        elif len(words) > 3:
            del words[place]
    return " ".join(words)


def _unfinished(w: AnswerWriter, t: Topic, k: str, rng: random.Random) -> str:
    words = _complete(w, t, k, rng).split()
    return " ".join(words[: rng.randrange(2, max(3, len(words) // 2))])


QUALITIES: dict[str, Maker] = {
    "complete": _complete,
    "incomplete": _incomplete,
    "chatty": _chatty,
    "rambling": _rambling,
    "wrong detail": _wrong_detail,
    "contradiction": _contradiction,
    "wrong fact": _wrong_fact,
    "wrong short": _wrong_short,
    "other function": _other_function,
    "beside the point": _beside_the_point,
    "vague": _vague,
    "asking back": _asking_back,
    "bad grammar": _bad_grammar,
    "unfinished": _unfinished,
}
"""Quality -> how such an answer is written; the first is right and complete."""
