"""Second pass: DuckDB joins questions with answers, out of core, and hands them over question by question."""

import heapq
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb

from seam_pipeline.errors import SeamError

from ._rank import rank_answers
from ._score import SCORE_SQL
from ._sources import Source
from ._stage import Staged

_BATCH = 1024


@dataclass(frozen=True)
class RawAnswer:
    """An answer before its text is made."""

    id: str
    body: str
    votes: int
    accepted: bool
    score: int


@dataclass(frozen=True)
class RawQuestion:
    """A question with its answers before their texts are made; `order` is the hash that sorts questions."""

    order: str
    id: str
    source: int
    title: str
    body: str
    answers: list[RawAnswer]
    html: bool


@contextmanager
def database(folder: Path, memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that keeps to `memory` (such as "1GB") and spills into `folder`.

    Raises SeamError where even that is not enough.
    """
    connection = duckdb.connect(
        ":memory:",
        config={"memory_limit": memory, "temp_directory": str(folder / "spill")},
    )
    connection.execute("SET preserve_insertion_order = false")
    try:
        yield connection
    except duckdb.OutOfMemoryException as error:
        raise SeamError(f"Joining the posts needs more than {memory} of memory; allow more with `memory`.") from error
    finally:
        connection.close()


def raw_questions(
    db: duckdb.DuckDBPyConnection, staged: Staged, sources: list[Source], max_questions: int | None
) -> Iterator[RawQuestion]:
    """All questions worth keeping in ascending `order`; what is left out is counted in `staged.skipped`.

    Of each given path at most `max_questions` are handed over: those that come first in `order`, which is the
    SHA-256 of the id alone, so that the sample does not depend on how the questions are divided later.
    """
    db.execute("CREATE TABLE sources(source BIGINT, site VARCHAR)")
    for number, source in enumerate(sources):
        db.execute("INSERT INTO sources VALUES (?, ?)", [number, source.site])
    taken: Counter[int] = Counter()
    for posts, pairs in zip(staged.posts.paths(), staged.pairs.paths(), strict=True):
        full = [n for n, source in enumerate(sources) if max_questions and taken[source.path] >= max_questions]
        # Each stream needs a cursor of its own: both are open at once.
        streams = [
            _post_groups(db.cursor(), posts, staged.skipped, full) if posts else iter(()),
            _pair_groups(db.cursor(), pairs, staged.skipped) if pairs else iter(()),
        ]
        for question in heapq.merge(*streams, key=lambda question: (question.order, question.id)):
            path = sources[question.source].path
            if max_questions and taken[path] >= max_questions:
                staged.skipped["question: beyond max_questions"] += 1
                staged.skipped["answer: its question is skipped"] += len(question.answers)
            else:
                taken[path] += 1
                yield question


def _post_groups(
    db: duckdb.DuckDBPyConnection, bucket: Path, skipped: Counter[str], full: list[int]
) -> Iterator[RawQuestion]:
    """Questions of one bucket with answers of two scores or more, but those of the sources in `full`."""
    _select_posts(db, bucket, skipped, full)
    rows = _stream(
        db,
        f"""SELECT p."order", k.source, site, p.question, p.kind, p.id, k.votes, k.accepted, k.score, p.title, p.body
            FROM read_parquet('{_quoted(bucket)}') p JOIN kept k ON p.source = k.source AND p.seq = k.seq
            JOIN sources ON sources.source = k.source
            ORDER BY p."order", k.source, p.question, p.kind, p.id""",
    )
    for (order, source, site, number), group in groupby(rows, key=itemgetter(0, 1, 2, 3)):
        question, *rest = group
        answers = [RawAnswer(f"{site}:{row[5]}", row[10], row[6], row[7], row[8]) for row in rest]
        yield RawQuestion(order, f"{site}:{number}", source, question[9], question[10], answers, html=True)


def _select_posts(db: duckdb.DuckDBPyConnection, bucket: Path, skipped: Counter[str], full: list[int]) -> None:
    """Table `kept`: source and seq of the posts that stay, with votes and score, but without the texts."""
    db.execute(f"""
        CREATE OR REPLACE TABLE q AS SELECT source, id, min(seq) seq, arg_min(accepted_id, seq) accepted_id, count(*) n
            FROM read_parquet('{_quoted(bucket)}') WHERE kind = 0 GROUP BY source, id;
        CREATE OR REPLACE TABLE a AS SELECT source, id, min(seq) seq, arg_min(question, seq) question,
            arg_min(votes, seq) votes, count(*) n
            FROM read_parquet('{_quoted(bucket)}') WHERE kind = 1 GROUP BY source, id;
        CREATE OR REPLACE TABLE scored AS SELECT *, {SCORE_SQL} AS score FROM (
            SELECT a.source, a.question, a.seq, a.votes, coalesce(q.accepted_id = a.id, false) AS accepted
            FROM a JOIN q ON a.source = q.source AND a.question = q.id);
        CREATE OR REPLACE TABLE answered AS SELECT source, question, count(*) n, count(DISTINCT score) scores
            FROM scored GROUP BY source, question;
        CREATE OR REPLACE TABLE eligible AS SELECT answered.source, question, q.seq
            FROM answered JOIN q ON answered.source = q.source AND answered.question = q.id
            WHERE scores >= 2 AND NOT list_contains({full}::BIGINT[], answered.source);
        CREATE OR REPLACE TABLE kept AS
            SELECT source, seq, 0 AS votes, false AS accepted, 0 AS score FROM eligible UNION ALL
            SELECT s.source, s.seq, s.votes, s.accepted, s.score
            FROM scored s JOIN eligible e ON s.source = e.source AND s.question = e.question""")
    for reason, sql in _REASONS.items():
        number = db.execute(sql).fetchall()[0][0]
        if number:
            skipped[reason] += int(number)


_REASONS = {
    "question: its id comes twice": "SELECT sum(n - 1) FROM q",
    "answer: its id comes twice": "SELECT sum(n - 1) FROM a",
    "answer: its question is not there": "SELECT (SELECT count(*) FROM a) - (SELECT count(*) FROM scored)",
    "question: no answers": "SELECT (SELECT count(*) FROM q) - (SELECT count(*) FROM answered)",
    "question: one answer only": "SELECT count(*) FROM answered WHERE n = 1",
    "question: all answers have the same score": "SELECT count(*) FROM answered WHERE n > 1 AND scores = 1",
    "question: beyond max_questions": """SELECT count(*) - (SELECT count(*) FROM eligible) FROM answered
        WHERE scores >= 2""",
    "answer: its question is skipped": """SELECT (SELECT count(*) FROM scored) + (SELECT count(*) FROM eligible)
        - (SELECT count(*) FROM kept)""",
}


def _pair_groups(db: duckdb.DuckDBPyConnection, bucket: Path, skipped: Counter[str]) -> Iterator[RawQuestion]:
    rows = _stream(
        db,
        f"""SELECT "order", question_id, source, seq, instruction, better, worse
            FROM read_parquet('{_quoted(bucket)}') ORDER BY "order", question_id, seq""",
    )
    for (order, question_id), group in groupby(rows, key=itemgetter(0, 1)):
        yield _ranked(order, question_id, list(group), skipped)


def _ranked(order: str, question_id: str, rows: list[tuple], skipped: Counter[str]) -> RawQuestion:
    """The answers of one question with scores from the order of its pairs; ids number them by first mention."""
    instruction = rows[0][4]
    same = [row for row in rows if row[4] == instruction]
    numbers: dict[str, int] = {}
    pairs: list[tuple[int, int]] = []
    for row in same:
        mentioned = [numbers.setdefault(text, len(numbers)) for text in row[5:7] if text is not None]
        if len(mentioned) == 2:
            pairs.append((mentioned[0], mentioned[1]))
    ranks = rank_answers(len(numbers), pairs)
    if len(same) < len(rows):
        skipped["row: its id belongs to another question's text"] += len(rows) - len(same)
    if ranks.contradictions:
        skipped["row: contradicts other rows of its question"] += ranks.contradictions
    answers: list[RawAnswer] = []
    for text, number in numbers.items():
        level = ranks.level[number]
        if level is None:
            skipped["answer: its rank among the others is not given"] += 1
        else:
            answers.append(RawAnswer(f"{question_id}/{number}", text, 0, False, level))
    return RawQuestion(order, question_id, rows[0][2], "", instruction, answers, html=False)


def _stream(db: duckdb.DuckDBPyConnection, sql: str) -> Iterator[tuple]:
    for batch in db.sql(sql).to_arrow_reader(_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
