"""First pass: every source read once, in order, into plain parquet files on disk."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa

from seam_pipeline.errors import SeamError

from ._archive import extract_posts
from ._hub import read_hub
from ._records import Answer, Bad, Pair, Question, Record, parse_own, parse_paired, parse_post
from ._rowfile import Buckets, buckets_for
from ._sniff import rows_of
from ._sources import Source
from ._tabular import read_csv, read_json_array, read_jsonl, read_parquet
from ._xml import read_posts_xml

_I, _S = pa.int64(), pa.string()
_POSTS = pa.schema(
    {"order": _S, "source": _I, "seq": _I, "question": _I, "kind": _I, "id": _I, "accepted_id": _I, "votes": _I}
    | {"title": _S, "body": _S}
)
_PAIRS = pa.schema(
    {"order": _S, "source": _I, "seq": _I, "question_id": _S, "instruction": _S, "better": _S, "worse": _S}
)
_UNPACKED = {"7z": 8, "parquet": 4}  # about how much larger the text is than its file
_HUB_BYTES = 8 << 30  # a stream does not say its size
_TICK = 2000
_READ_AS = {Question: "questions", Answer: "answers", Pair: "rows", Bad: "skipped"}


@dataclass
class Staged:
    """The rows, in buckets by the hash of their question's id; what each source gave; why rows were skipped."""

    posts: Buckets
    pairs: Buckets
    read: list[Counter[str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def stage(sources: list[Source], folder: Path, max_questions: int | None, tick: Callable[[float], None]) -> Staged:
    """Read all sources; `tick` is told the share of bytes read. Raises SeamError for a damaged file."""
    size = sum(source.bytes * _UNPACKED.get(source.form, 1) if source.files else _HUB_BYTES for source in sources)
    count = buckets_for(size)
    staged = Staged(Buckets(folder / "posts", _POSTS, count), Buckets(folder / "pairs", _PAIRS, count))
    shares = _shares(sources, tick)
    seq = 0
    with staged.posts, staged.pairs:
        for number, source in enumerate(sources):
            counts: Counter[str] = Counter(dict.fromkeys(_READ_AS.values(), 0))
            for item in _items(source, folder, max_questions, shares[number]):
                seq += 1
                _add(staged, item, number, seq, source.site)
                counts[_READ_AS[type(item)]] += 1
            staged.read.append(counts)
    return staged


def _add(staged: Staged, item: Question | Answer | Pair | Bad, source: int, seq: int, site: str) -> None:
    match item:
        case Question(id, accepted, title, body):
            order = order_of_question(f"{site}:{id}")
            staged.posts.add(order, (order, source, seq, id, 0, id, accepted, 0, title, body))
        case Answer(id, parent, votes, body):
            order = order_of_question(f"{site}:{parent}")
            staged.posts.add(order, (order, source, seq, parent, 1, id, None, votes, "", body))
        case Pair(question_id, instruction, better, worse):
            order = order_of_question(question_id)
            staged.pairs.add(order, (order, source, seq, question_id, instruction, better, worse))
        case Bad(reason):
            staged.skipped[reason] += 1


def order_of_question(question_id: str) -> str:
    """SHA-256 of the id in hexadecimal: the order of questions on disk, whatever the salt of the splits."""
    return hashlib.sha256(question_id.encode()).hexdigest()


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
    """Pairs of the first `max_questions` questions of the stream (a sample would have to read it all)."""
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
