"""The functions of the library with their properties, drawn from a seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from seam_pipeline.errors import SeamError

from ._knowledge import CAUSES, DEFAULTS, MEANINGS, NOUNS, REMEDIES, RETURNS, VERBS, Verb

THIRD_PERSON: dict[str, str] = {v.infinitive.format(n=n): v.third.format(n=n) for v in VERBS for _, n in NOUNS}
"""Purpose in the infinitive -> in the third person, of every function that could exist."""
MOST_TOPICS = len(THIRD_PERSON)


@dataclass(frozen=True)
class Topic:
    """One function: its name, and property -> value (`purpose` in the infinitive, `purpose3` in the third person)."""

    name: str
    facts: Mapping[str, str]

    def with_fact(self, fact: str, value: str) -> "Topic":
        """The same function with another value of one property, and of what follows from it."""
        follows = {"purpose": ("purpose3", THIRD_PERSON), "argument": ("meaning", MEANINGS), "error": ("cause", CAUSES)}
        changed = {fact: value}
        if fact in follows:
            name, table = follows[fact]
            changed[name] = table[value]
        return Topic(self.name, MappingProxyType({**self.facts, **changed}))


def function_name(verb: Verb, noun: str) -> str:
    """One word, such as loadTable, so that a small byte-pair vocabulary holds it as one token."""
    return verb.name + noun.capitalize()


def make_topics(count: int, seed: int) -> tuple[Topic, ...]:
    """Draw `count` functions; every value of a property is used about equally often.

    Raises SeamError when the knowledge base has fewer names than that.
    """
    if count > MOST_TOPICS:
        raise SeamError(f"data.topics is {count}, but the testbed knows {MOST_TOPICS} functions; give at most that.")
    rng = random.Random(f"topics {seed}")
    names = [(verb, noun) for verb in VERBS for noun in NOUNS]
    rng.shuffle(names)
    argument, default, returns, error, remedy = (
        _dealt(rng, pool, count) for pool in (tuple(MEANINGS), DEFAULTS, RETURNS, tuple(CAUSES), REMEDIES)
    )
    return tuple(
        Topic(
            function_name(verb, noun),
            MappingProxyType(
                {
                    "name": function_name(verb, noun),
                    "purpose": verb.infinitive.format(n=with_article),
                    "purpose3": verb.third.format(n=with_article),
                    "argument": argument[i],
                    "meaning": MEANINGS[argument[i]],
                    "default": default[i],
                    "returns": returns[i],
                    "error": error[i],
                    "cause": CAUSES[error[i]],
                    "remedy": remedy[i],
                }
            ),
        )
        for i, (verb, (noun, with_article)) in enumerate(names[:count])
    )


def pools(topics: Sequence[Topic] | None = None) -> dict[str, tuple[str, ...]]:
    """Property -> every value it can take; names and purposes of these topics, by default of all that could exist."""
    return {
        "name": tuple(t.name for t in topics)
        if topics
        else tuple(function_name(v, n) for v in VERBS for n, _ in NOUNS),
        "purpose": tuple(t.facts["purpose"] for t in topics) if topics else tuple(THIRD_PERSON),
        "argument": tuple(MEANINGS),
        "meaning": tuple(MEANINGS.values()),
        "default": DEFAULTS,
        "returns": RETURNS,
        "error": tuple(CAUSES),
        "cause": tuple(CAUSES.values()),
        "remedy": REMEDIES,
    }


def _dealt(rng: random.Random, pool: Sequence[str], count: int) -> list[str]:
    dealt: list[str] = []
    while len(dealt) < count:
        dealt += rng.sample(pool, len(pool))
    return dealt[:count]
