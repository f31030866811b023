"""First pass: every source read once, in order, into plain parquet files on disk."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa

from ..errors import SeamError
from ._archive import extract_posts
from ._hub import read_hub
from ._records import Answer, Bad, Pair, Question, Record, parse_own, parse_paired, parse_post
from ._rowfile import RowFile
from ._sniff import rows_of
from ._sources import Source
from ._tabular import read_csv, read_json_array, read_jsonl, read_parquet
from ._xml import read_posts_xml

_I, _S = pa.int64(), pa.string()
_QUESTIONS = pa.schema({"source": _I, "seq": _I, "id": _I, "accepted_id": _I, "title": _S, "body": _S})
_ANSWERS = pa.schema({"source": _I, "seq": _I, "id": _I, "parent": _I, "votes": _I, "body": _S})
_PAIRS = pa.schema({"source": _I, "seq": _I, "question_id": _S, "instruction": _S, "better": _S, "worse": _S})
_TICK = 2000


@dataclass
class Staged:
    """Where the rows lie, how many each source gave, and why others were skipped."""

    folder: Path
    read: list[Counter[str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def questions(self) -> str:
        """Parquet file of questions."""
        return str(self.folder / "questions.parquet")

    @property
    def answers(self) -> str:
        """Parquet file of answers."""
        return str(self.folder / "answers.parquet")

    @property
    def pairs(self) -> str:
        """Parquet file of ordered pairs and lone answers."""
        return str(self.folder / "pairs.parquet")


def stage(sources: list[Source], folder: Path, max_questions: int | None, tick: Callable[[float], None]) -> Staged:
    """Read all sources; `tick` is told the share of bytes read. Raises SeamError for a damaged file."""
    staged = Staged(folder)
    with (
        RowFile(Path(staged.questions), _QUESTIONS) as questions,
        RowFile(Path(staged.answers), _ANSWERS) as answers,
        RowFile(Path(staged.pairs), _PAIRS) as pairs,
    ):
        seq = 0
        shares = _shares(sources, tick)
        for number, source in enumerate(sources):
            counts: Counter[str] = Counter()
            for item in _items(source, folder, max_questions, shares[number]):
                seq += 1
                match item:
                    case Question(id, accepted, title, body):
                        questions.add((number, seq, id, accepted, title, body))
                    case Answer(id, parent, votes, body):
                        answers.add((number, seq, id, parent, votes, body))
                    case Pair(question_id, instruction, better, worse):
                        pairs.add((number, seq, question_id, instruction, better, worse))
                    case Bad(reason):
                        staged.skipped[reason] += 1
                counts[type(item).__name__.lower()] += 1
            staged.read.append(counts)
    return staged


def _shares(sources: list[Source], tick: Callable[[float], None]) -> list[Callable[[int], None]]:
    """For each source a callback that takes its own bytes read and reports the share of all bytes."""
    total = sum(source.bytes for source in sources) or 1
    before = 0
    callbacks: list[Callable[[int], None]] = []
    for source in sources:
        callbacks.append(lambda done, before=before, most=source.bytes: tick((before + min(done, most)) / total))  # type: ignore[misc]
        before += source.bytes
    return callbacks


def _items(
    source: Source, folder: Path, max_questions: int | None, done: Callable[[int], None]
) -> Iterator[Question | Answer | Pair | Bad]:
    if source.form == "hub":
        yield from _hub_pairs(source, max_questions)
        return
    before = 0
    for file in source.files:
        for record in _records(source, file, folder, lambda at, before=before: done(before + at)):  # type: ignore[misc]
            if isinstance(record, Bad):
                yield record
            elif source.rows == "posts":
                yield parse_post(record)
            else:
                yield (parse_paired if source.rows == "paired" else parse_own)(record, source.site)
        before += file.stat().st_size
        done(before)


def _records(source: Source, file: Path, folder: Path, at: Callable[[int], None]) -> Iterator[Record | Bad]:
    name = str(file)
    if source.form == "parquet":
        yield from read_parquet(file, name)
    elif source.form == "7z":
        yield from _archived(file, folder / "unpacked", at)
    else:
        reader = {"xml": read_posts_xml, "csv": read_csv, "jsonl": read_jsonl, "json": read_json_array}[source.form]
        with file.open("rb") as stream:
            for number, record in enumerate(reader(stream, name)):
                if number % _TICK == 0:
                    at(stream.tell())
                yield record


def _archived(file: Path, folder: Path, at: Callable[[int], None]) -> Iterator[Record | Bad]:
    unpacked = extract_posts(file, folder)
    packed, size = file.stat().st_size, max(unpacked.stat().st_size, 1)
    try:
        with unpacked.open("rb") as stream:
            for number, record in enumerate(read_posts_xml(stream, f"Posts.xml in {file}")):
                if number % _TICK == 0:
                    at(packed * stream.tell() // size)
                yield record
    finally:
        unpacked.unlink()


def _hub_pairs(source: Source, max_questions: int | None) -> Iterator[Pair | Bad]:
    """Pairs of the first `max_questions` questions of the stream (a stream cannot be sampled without reading it all)."""
    seen: set[str] = set()
    rows = read_hub(source.given)
    first = list(islice(rows, 1))
    kind = rows_of(set(first[0])) if first else None
    if kind not in ("paired", "own"):
        names = ", ".join(sorted(first[0])[:8]) if first else "none"
        raise SeamError(
            f"{source.given} has the columns {names}; give a data set with question, response_j and response_k, "
            "or with instruction and response or chosen and rejected."
        )
    parse = parse_paired if kind == "paired" else parse_own
    for row in _chain(first, rows):
        item = parse(row, source.site)
        if isinstance(item, Pair) and max_questions is not None:
            seen.add(item.question_id)
            if len(seen) > max_questions:
                return
        yield item


def _chain(first: Iterable[Record], rest: Iterable[Record]) -> Iterator[Record]:
    yield from first
    yield from rest
