"""Questions to SFT, preference and RL data, SPEC section 2: a question's place hangs on the hash of its id alone."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from seam_pipeline.experiment import Splits
from seam_pipeline.tables import PREFERENCE, RL, SEGMENT_PAIRS, SEGMENT_QUESTIONS, SFT

from ._rowfile import rows_to_table


class Datasets(NamedTuple):
    """Tables SFT, PREFERENCE and RL; disjoint by question; any first n rows are a fixed random sample."""

    sft: pa.Table
    preference: pa.Table
    rl: pa.Table


class Place(NamedTuple):
    """Where a question belongs; `order` sorts questions and is independent of segment and split."""

    order: str
    segment: str
    split: str


class _Answer(NamedTuple):
    """One answer; sorting by `merit` puts the golden one first (score, then votes, then the lower id)."""

    id: str
    response: str
    votes: int
    score: int

    @property
    def merit(self) -> tuple[int, int, int, str]:
        return (-self.score, -self.votes, len(self.id), self.id)


@dataclass(frozen=True)
class _Question:
    id: str
    instruction: str
    answers: list[_Answer]  # best first


def order_of(salt: str, identifier: str) -> str:
    """Hexadecimal SHA-256 of salt, newline and id: the order of all rows."""
    return hashlib.sha256(f"{salt}\n{identifier}".encode()).hexdigest()


def place(question_id: str, splits: Splits) -> Place:
    """Segment from bits 64-127 of the hash, split from bits 128-191, so that neither depends on the order."""
    order = order_of(splits.salt, question_id)
    names = ("sft", "preference", "rl")
    segment = _pick(order[16:32], names, [splits.segments[name] for name in names])  # type: ignore[index]
    parts = [splits.dev, splits.test, 1 - splits.dev - splits.test]
    return Place(order, segment, _pick(order[32:48], ("dev", "test", "train"), parts))


def _pick(bits: str, names: Sequence[str], shares: Sequence[float]) -> str:
    at, edge = int(bits, 16) / 2**64, 0.0
    last = names[0]
    for name, share in zip(names, shares, strict=True):
        edge += share
        if share > 0:
            last = name
            if at < edge:
                return name
    return last


def split_questions(question_answers: pa.Table, splits: Splits) -> Datasets:
    """Divide QUESTION_ANSWERS into the three data sets.

    SFT and RL rows are ordered by the hash of the question id, pairs by the hash of the pair's id. A preference
    question whose answers all have the same score gives no row.
    """
    sft: list[tuple[object, ...]] = []
    rl: list[tuple[object, ...]] = []
    preference: list[tuple[str, tuple[object, ...]]] = []
    placed = sorted(
        ((place(question.id, splits), question) for question in _questions(question_answers)), key=_by_order
    )
    for spot, question in placed:
        golden, worst = question.answers[0], _worst(question.answers)
        if spot.segment == "sft":
            sft.append((question.id, spot.split, question.instruction, golden.response))
        elif spot.segment == "rl":
            worse = worst.response if worst.score < golden.score else None
            rl.append((question.id, spot.split, question.instruction, golden.response, worse))
        else:
            preference.extend(_pairs(question, spot.split, splits))
    preference.sort(key=lambda keyed: (keyed[0], str(keyed[1][0])))
    return Datasets(
        rows_to_table(sft, SFT), rows_to_table([row for _, row in preference], PREFERENCE), rows_to_table(rl, RL)
    )


class HeldOut(NamedTuple):
    """Test questions and pairs of all three segments; `seen` counts those left out."""

    questions: pa.Table
    pairs: pa.Table
    seen: int


def held_out(question_answers: pa.Table, splits: Splits) -> HeldOut:
    """Tables SEGMENT_QUESTIONS and SEGMENT_PAIRS of the test splits, ordered as in `split_questions`.

    A test question whose text also stands in a train or dev split, of whatever segment, is left out.
    """
    placed = sorted(((place(one.id, splits), one) for one in _questions(question_answers)), key=_by_order)
    trained = {question.instruction for spot, question in placed if spot.split != "test"}
    tests = [(spot.segment, question) for spot, question in placed if spot.split == "test"]
    unseen = [(segment, question) for segment, question in tests if question.instruction not in trained]
    pairs = [(order, (*row, segment)) for segment, one in unseen for order, row in _pairs(one, "test", splits)]
    pairs.sort(key=lambda keyed: (keyed[0], str(keyed[1][0])))
    questions = [(one.id, one.instruction, one.answers[0].response, segment) for segment, one in unseen]
    return HeldOut(
        rows_to_table(questions, SEGMENT_QUESTIONS),  # type: ignore[arg-type]
        rows_to_table([row for _, row in pairs], SEGMENT_PAIRS),
        len(tests) - len(unseen),
    )


def _by_order(placed: tuple[Place, _Question]) -> tuple[str, str]:
    return placed[0].order, placed[1].id


def _questions(table: pa.Table) -> Iterator[_Question]:
    """Questions with their answers, best first, whatever the order of the rows."""
    instructions: dict[str, str] = {}
    answers: dict[str, list[_Answer]] = {}
    names = ("question_id", "instruction", "answer_id", "response", "votes", "score")
    for batch in table.select(names).to_batches(max_chunksize=4096):
        for question, instruction, answer, response, votes, score in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            instructions.setdefault(question, instruction)
            answers.setdefault(question, []).append(_Answer(answer, response, votes, score))
    for identifier, instruction in instructions.items():
        yield _Question(identifier, instruction, sorted(answers[identifier], key=lambda answer: answer.merit))


def _worst(answers: list[_Answer]) -> _Answer:
    return min(answers, key=lambda answer: (answer.score, answer.votes, len(answer.id), answer.id))


def _pairs(question: _Question, split: str, splits: Splits) -> list[tuple[str, tuple[object, ...]]]:
    """At most `pairs_per_question` pairs, drawn by the hash of both answers' ids, with their order."""
    drawn = sorted(
        (order_of(splits.salt, f"{better.id}\n{worse.id}"), number, better, worse)
        for number, (better, worse) in enumerate(
            (a, b) for i, a in enumerate(question.answers) for b in question.answers[i + 1 :] if a.score > b.score
        )
    )
    rows: list[tuple[str, tuple[object, ...]]] = []
    for n, (_, _, better, worse) in enumerate(drawn[: splits.pairs_per_question]):
        name = f"{question.id}:{n}"
        texts = (question.instruction, better.response, worse.response)
        rows.append((order_of(splits.salt, name), (name, question.id, split, *texts, better.score, worse.score)))
    return rows
