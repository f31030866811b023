"""From paths to the question-and-answer table, and to the divided data sets on disk."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import FileData, Splits
from seam_pipeline.progress import Progress, silent
from seam_pipeline.tables import PREFERENCE, QUESTION_ANSWERS, RL, SFT

from ._finish import Limits, finish
from ._join import database, raw_questions
from ._rowfile import BUCKET_BUFFERS, Buckets, RowFile, buckets_for, rows_to_table
from ._sources import Source, find_sources
from ._splits import Datasets, order_of, split_questions
from ._stage import Staged, stage

MEMORY = "1GB"
"""What DuckDB may take for one bucket of rows; the rest of the process stays around 300 MB."""

_STEPS = 1000  # of which the first half is reading, by bytes, and the second making texts, by questions
_QUESTIONS_AT_ONCE = 1000
_SPLITS = ("train", "dev", "test")
_SCHEMAS = {"sft": SFT, "preference": PREFERENCE, "rl": RL}
_ANSWERS_FILE, _SUMMARY_FILE = "question_answers.parquet", "summary.json"


@dataclass(frozen=True)
class Sources:
    """QUESTION_ANSWERS, ordered by the SHA-256 of the question id, and what was read, kept and skipped."""

    question_answers: pa.Table
    summary: dict[str, Any]


def read_sources(
    settings: FileData, progress: Progress = silent, *, site: str | None = None, memory: str = MEMORY
) -> Sources:
    """Read all paths of the settings into one table.

    Files larger than memory are joined on disk (TMPDIR); the finished table is returned in memory. Raises SeamError.
    """
    with tempfile.TemporaryDirectory(prefix="seam-read-") as work:
        answers = Path(work) / _ANSWERS_FILE
        summary = _collect(settings, Path(work), answers, progress, site, memory)
        return Sources(pq.read_table(answers, memory_map=False), summary)


def ingest(
    paths: Sequence[str | Path],
    out: str | Path,
    settings: FileData | None = None,
    progress: Progress = silent,
    *,
    site: str | None = None,
    memory: str = MEMORY,
) -> dict[str, Any]:
    """Write `sft|preference|rl/{train,dev,test}.parquet`, `question_answers.parquet`, `summary.json`; return the last.

    The folder `out` appears whole or not at all. One that holds only what an earlier ingest wrote is replaced, any
    other that is not empty is refused. Temporary files lie beside it, about as large as the posts. Raises SeamError.
    """
    given = tuple(str(path) for path in paths)
    if not given:
        raise SeamError("No path of posts is given; name at least one file or folder.")
    base = settings.model_dump() if settings else {"source": "files"}
    settings = FileData.model_validate({**base, "paths": given})
    target = Path(out).expanduser().absolute()
    _refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
        new = Path(work) / "new"
        summary = _collect(settings, Path(work), new / _ANSWERS_FILE, progress, site, memory)
        summary |= _write_datasets(new, Path(work), settings.splits, memory)
        (new / _SUMMARY_FILE).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8")
        _replace(target, new, Path(work) / "old")
    progress(_STEPS, _STEPS)
    return summary


def _collect(
    settings: FileData, work: Path, answers: Path, progress: Progress, site: str | None, memory: str
) -> dict[str, Any]:
    """Write QUESTION_ANSWERS to the file `answers`, and return the summary of what was read."""
    sources, passed_over = find_sources(settings.paths, site)
    staged = stage(sources, work / "staged", settings.max_questions, lambda share: progress(int(500 * share), _STEPS))
    limits = Limits(settings.max_instruction_chars, settings.max_response_chars)
    questions = Counter[int]()
    with database(work, memory) as db, RowFile(answers, QUESTION_ANSWERS) as file:
        for number, raw in enumerate(raw_questions(db, staged, sources, settings.max_questions)):
            if number % 500 == 0:
                progress(500 + (int(raw.order[:8], 16) * 499 >> 32), _STEPS)  # hashes fall evenly
            rows = finish(raw, limits, staged.skipped)
            questions[raw.source] += bool(rows)
            for row in rows:
                file.add(row)
    if not len(file):
        raise SeamError(
            f"{', '.join(settings.paths)}: no question could be used ({_why(staged.skipped)}); give other posts."
        )
    shutil.rmtree(work / "staged")
    return _summary(sources, staged, passed_over, questions, len(file))


def _why(skipped: Counter[str]) -> str:
    return "; ".join(f"{reason}: {count}" for reason, count in skipped.most_common(3)) or "there are no rows"


def _summary(
    sources: list[Source], staged: Staged, passed_over: list[Path], questions: Counter[int], answers: int
) -> dict[str, Any]:
    inputs = [
        {
            "path": source.given,
            "site": source.site,
            "form": source.form,
            "rows": source.rows,
            "files": [{"name": str(file), "bytes": file.stat().st_size} for file in source.files],
            "read": dict(staged.read[number]),
            "questions": questions[number],
        }
        for number, source in enumerate(sources)
    ]
    return {
        "format": 1,
        "inputs": inputs,
        "passed_over": [str(file) for file in passed_over],
        "questions": questions.total(),
        "answers": answers,
        "skipped": dict(sorted(staged.skipped.items())),
    }


def _write_datasets(new: Path, work: Path, splits: Splits, memory: str) -> dict[str, Any]:
    """Divide `question_answers.parquet` chunk by chunk into buckets, and sort these as `split_questions` does."""
    answers = new / _ANSWERS_FILE
    count = buckets_for(3 * _text_bytes(answers))  # pairs repeat the texts
    share = BUCKET_BUFFERS // len(_SCHEMAS)
    buckets = {name: Buckets(work / name, schema, count, share) for name, schema in _SCHEMAS.items()}
    segments: Counter[str] = Counter()
    with ExitStack() as open_files:
        for bucket in buckets.values():
            open_files.enter_context(bucket)
        for chunk in _whole_questions(answers):
            divided = split_questions(chunk, splits)
            _count_segments(segments, chunk, divided)
            for name, bucket in buckets.items():
                for row in _rows(getattr(divided, name)):
                    bucket.add(order_of(splits.salt, str(row[0])), row)
    with database(work, memory) as db:
        rows = {name: _write_splits(db, bucket, new / name, splits.salt) for name, bucket in buckets.items()}
    return {
        "splits": rows,
        "pairs": sum(rows["preference"].values()),
        "questions_by_segment": dict(segments),
        "settings": splits.model_dump(mode="json"),
    }


def _text_bytes(path: Path) -> int:
    """Size of the file's columns once unpacked, as its footer says."""
    footer = pq.read_metadata(path)
    return sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))


def _write_splits(db: duckdb.DuckDBPyConnection, bucket: Buckets, folder: Path, salt: str) -> dict[str, int]:
    """Write `train|dev|test.parquet` in the order of the salted hash of the id; return their numbers of rows."""
    with ExitStack() as open_files:
        files = {
            split: open_files.enter_context(RowFile(folder / f"{split}.parquet", bucket.schema)) for split in _SPLITS
        }
        for path in filter(None, bucket.paths()):
            name = str(path).replace("'", "''")
            query = f"SELECT * FROM read_parquet('{name}') ORDER BY sha256($salt || chr(10) || id), id"
            at = bucket.schema.get_field_index("split")
            for batch in db.sql(query, params={"salt": salt}).to_arrow_reader(1024):
                for row in _rows(batch):
                    files[str(row[at])].add(row)
            path.unlink()
        return {split: len(file) for split, file in files.items()}


def _rows(table: pa.Table | pa.RecordBatch) -> Iterator[tuple[object, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _count_segments(segments: Counter[str], chunk: pa.Table, divided: Datasets) -> None:
    paired = len(divided.preference["question_id"].unique())
    everything = len(chunk["question_id"].unique())
    segments["sft"] += divided.sft.num_rows
    segments["preference"] += paired
    segments["preference, without a pair"] += everything - divided.sft.num_rows - divided.rl.num_rows - paired
    segments["rl"] += divided.rl.num_rows
    segments["rl, without a worse response"] += divided.rl["worse_response"].null_count


def _whole_questions(path: Path) -> Iterator[pa.Table]:
    """Tables of about a thousand questions each; no question lies in two of them."""
    rows: list[tuple[object, ...]] = []
    seen, last = 0, None
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            for row in _rows(batch):
                if row[0] != last:
                    last, seen = row[0], seen + 1
                    if seen > _QUESTIONS_AT_ONCE:
                        yield rows_to_table(rows, QUESTION_ANSWERS)
                        rows, seen = [], 1
                rows.append(row)
    yield rows_to_table(rows, QUESTION_ANSWERS)


def _refuse_foreign(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise SeamError(f"{target} is a file; give a folder for --out.")
    known = {_SUMMARY_FILE, _ANSWERS_FILE, *(f"{name}/{split}.parquet" for name in _SCHEMAS for split in _SPLITS)}
    found = {file.relative_to(target).as_posix() for file in target.rglob("*") if not file.is_dir()}
    if found and (_SUMMARY_FILE not in found or found - known):
        other = sorted(found - known)[:1] or sorted(found)[:1]
        raise SeamError(
            f"{target} holds files that no ingest wrote ({other[0]}); give an empty or new folder for --out."
        )


def _replace(target: Path, new: Path, old: Path) -> None:
    """Put `new` in the place of `target`; on failure `target` is as it was."""
    there = target.exists()
    if there:
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if there:
            old.rename(target)
        raise
