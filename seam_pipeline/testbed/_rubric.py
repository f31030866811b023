"""The true quality of any text as an answer: a rating from 1 to 10.

A text is cut into sentences. A sentence states a property when it contains one of the property's values word for word,
one of the property's cue words, and no negation just before the value; it speaks about the function it names first, or
else about the last one named. Sentences that end in a question mark or repeat the question state nothing.

    rating = 1 + 9 * content * fluency * brevity * finish

- content, 0 to 1: 0.1 the right function is named, 0.5 the asked property is stated rightly, 0.4 so is the property
  that belongs to a complete answer; minus 0.25 per wrong value of the asked property, 0.2 of the second, 0.1 of any
  other one, 0.15 per other function named (0.25 when a function was asked for).
- fluency, 0.25 to 1: the share of word pairs that this community's language has, full at 90%, least at 60%; times the
  share of word triples that are no repetition.
- brevity, 0.3 to 1: each idle sentence, which states nothing, costs 0.15; over 40 words it falls as 40 / words.
- finish: 0.9 when the last sentence has no end mark.
An empty text is rated 1.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ._knowledge import CUES, MAIN, SUPPORT
from ._topics import THIRD_PERSON, Topic

NAMED, ASKED, SECOND = 0.1, 0.5, 0.4
WRONG_ASKED, WRONG_SECOND, WRONG_OTHER, OTHER_FUNCTION = 0.25, 0.2, 0.1, 0.15
ECHO, IDLE, LONG = 0.75, 0.15, 40
NEGATIONS = frozenset({"not", "no", "never", "cannot", "without"})
WORD = re.compile(r"\w+|[^\s\w.,:;!?'\"()`-]")
SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")


class Sentence(NamedTuple):
    """Lower-case words and the end mark ('' when there is none)."""

    words: tuple[str, ...]
    mark: str


class Claims(NamedTuple):
    """What a text says: (property, value) pairs about the asked function, other functions named, idle sentences."""

    stated: frozenset[tuple[str, str]]
    denied: frozenset[tuple[str, str]]
    names_it: bool
    others: frozenset[str]
    idle: int


def sentences(text: str) -> list[Sentence]:
    """Sentences with at least one word."""
    found = []
    for match in SENTENCE.finditer(text):
        piece = match.group().strip()
        words = tuple(WORD.findall(piece.lower()))
        if words:
            found.append(Sentence(words, piece[-1] if piece[-1] in ".!?" else ""))
    return found


class Rubric:
    """Rates texts about the functions of one world."""

    def __init__(self, values: Mapping[str, Iterable[str]], language: Iterable[str]) -> None:
        """`values`: property -> every value that could exist; `language`: texts that have every usual word pair."""
        self._names = frozenset(name.lower() for name in values["name"])
        self._by_word: dict[str, list[tuple[tuple[str, ...], str, str]]] = {}
        spelled = [(fact, v, v) for fact, pool in values.items() for v in pool]
        for fact, spelling, value in [*spelled, *(("purpose", third, v) for v, third in THIRD_PERSON.items())]:
            words = tuple(WORD.findall(spelling.lower()))
            self._by_word.setdefault(words[0], []).append((words, fact, value))
        self._pairs = {pair for text in language for sentence in sentences(text) for pair in self._bigrams(sentence)}

    def rate(self, topic: Topic, kind: str, question: str, response: str) -> float:
        """The rating of `response` as an answer to a question of this kind about this topic, to two decimals."""
        parts = sentences(response)
        if not parts:
            return 1.0
        claims = self.claims(topic, question, parts)
        words = sum(len(part.words) for part in parts)
        brevity = max(0.3, (1 - IDLE * claims.idle) * min(1.0, LONG / words))
        finish = 1.0 if parts[-1].mark else 0.9
        return round(1 + 9 * self.content(topic, kind, claims) * self.fluency(parts) * brevity * finish, 2)

    def content(self, topic: Topic, kind: str, claims: Claims) -> float:
        """Right facts less wrong ones, 0 to 1."""
        asked, second = MAIN[kind], SUPPORT[kind]
        score = NAMED * claims.names_it
        for fact, worth in ((asked, ASKED), (second, SECOND)):
            score += worth * ((fact, topic.facts[fact]) in claims.stated)
        wrong = [fact for fact, value in claims.stated if fact != "name" and topic.facts[fact] != value]
        wrong += [fact for fact, value in claims.denied if topic.facts[fact] == value]
        cost = {asked: WRONG_ASKED, second: WRONG_SECOND}
        score -= sum(cost.get(fact, WRONG_OTHER) for fact in wrong)
        score -= len(claims.others) * (WRONG_ASKED if asked == "name" else OTHER_FUNCTION)
        return min(1.0, max(0.0, score))

    def claims(self, topic: Topic, question: str, parts: Sequence[Sentence]) -> Claims:
        """Read the statements of a text; see the module's docstring."""
        echo = _triples([word for part in sentences(question) for word in part.words])
        asked, named, idle = topic.name.lower(), set[str](), 0
        subject = asked
        stated: set[tuple[str, str]] = set()
        denied: set[tuple[str, str]] = set()
        for part in parts:
            triples = _triples(part.words)
            if part.mark == "?" or (triples and len(triples & echo) / len(triples) > ECHO):
                idle += 1
                continue
            names = [word for word in part.words if word in self._names]
            subject = names[0] if names else subject
            named |= set(names)
            found = list(self._values_in(part.words))
            idle += not found
            if subject == asked:
                stated |= {(fact, value) for fact, value, negated in found if not negated}
                denied |= {(fact, value) for fact, value, negated in found if negated}
        return Claims(frozenset(stated), frozenset(denied), asked in named, frozenset(named - {asked}), idle)

    def fluency(self, parts: Sequence[Sentence]) -> float:
        """How much of the text is the community's English and no repetition, 0 to 1."""
        pairs = [pair for part in parts for pair in self._bigrams(part)]
        known = sum(pair in self._pairs for pair in pairs) / len(pairs)
        words = [word for part in parts for word in part.words]
        fresh = len(_triples(words)) / (len(words) - 2) if len(words) > 2 else 1.0
        return max(0.25, min(1.0, 0.25 + 0.75 * (known - 0.6) / 0.3)) * fresh

    def _values_in(self, words: tuple[str, ...]) -> Iterable[tuple[str, str, bool]]:
        present = set(words)
        for i, word in enumerate(words):
            for spelling, fact, value in self._by_word.get(word, ()):
                if words[i : i + len(spelling)] != spelling:
                    continue
                if not CUES[fact] or CUES[fact] & present:
                    yield fact, value, bool(NEGATIONS & set(words[max(0, i - 3) : i]))

    def _bigrams(self, sentence: Sentence) -> list[tuple[str, str]]:
        words = ["<name>" if word in self._names else word for word in sentence.words]
        return list(zip(["<s>", *words], [*words, "</s>"], strict=True))


def _triples(words: Sequence[str]) -> set[tuple[str, ...]]:
    return set(zip(words, words[1:], words[2:], strict=False))
