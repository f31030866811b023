"""Posts to datasets."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from .. import tables
from ..experiment import Experiment, FileData, TestbedData
from ._checks import disjoint_from, has_rows
from ._node import Inputs, Node, Partition, Step

GROUP = "1_data"


def nodes(experiment: Experiment) -> list[Node]:
    """Posts, answers and the three datasets."""
    return [
        Node(
            "posts",
            GROUP,
            "One row per source file of posts.",
            _posts,
            settings=_source,
            external=_outside if isinstance(experiment.data, FileData) else None,
        ),
        Node(
            "question_answers",
            GROUP,
            "One row per answer of a question with answers of different score; HTML turned into Markdown.",
            _question_answers,
            deps=("posts",),
            settings=_source,
            schema=tables.QUESTION_ANSWERS,
            main="question_answers",
        ),
        _dataset("sft", "One row per question of the SFT segment with its golden response.", tables.SFT),
        _dataset("preference", "One row per pair of answers of the preference segment.", tables.PREFERENCE, "sft"),
        _dataset("rl", "One row per question of the RL segment.", tables.RL, "sft", "preference"),
    ]


def _dataset(segment: str, description: str, schema: pa.Schema, *others: str) -> Node:
    def compute(step: Step, inputs: Inputs) -> pa.Table:
        from ..data import split_questions

        return getattr(
            split_questions(inputs["question_answers"]["question_answers"], step.experiment.data.splits), segment
        )

    earlier = tuple(f"{other}_data" for other in others)
    column = "question_id" if segment == "preference" else "id"
    return Node(
        f"{segment}_data",
        GROUP,
        description,
        compute,
        deps=("question_answers", *earlier),
        settings=lambda e, _: (e.data.splits,),
        schema=schema,
        checks=(has_rows("train", "test"), disjoint_from(*earlier, column=column)),
    )


def _source(experiment: Experiment, _partition: Partition) -> tuple[Any, ...]:
    return (experiment.data.model_dump(mode="json", exclude={"splits"}),)


def _outside(experiment: Experiment) -> str:
    """Sizes and times of the files; their content is hashed only when these change."""
    assert isinstance(experiment.data, FileData)
    return states(_files(experiment.data.paths))


def states(files: Iterable[Path]) -> str:
    """Path, size and time of files, as a literal."""
    return repr([(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files])


def _files(paths: Iterable[str]) -> list[Path]:
    found: list[Path] = []
    for name in paths:
        path = Path(name)
        found += (
            sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] if path.is_file() else []
        )
    return found


def _posts(step: Step, _inputs: Inputs) -> pa.Table:
    data = step.experiment.data
    if isinstance(data, TestbedData):
        return pa.table({"path": ["testbed"], "bytes": [0], "sha256": [""]})
    files = _files(data.paths)
    hashes = []
    for done, path in enumerate(files):
        step.report(done, len(files))
        with path.open("rb") as stream:
            hashes.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return pa.table({"path": [p.name for p in files], "bytes": [p.stat().st_size for p in files], "sha256": hashes})


def _question_answers(step: Step, _inputs: Inputs) -> dict[str, pa.Table]:
    data = step.experiment.data
    if isinstance(data, TestbedData):
        answers = step.world.question_answers()
        counts = {"questions": len(set(answers["question_id"].to_pylist())), "answers": answers.num_rows}
        return {"question_answers": answers, "summary": counts_table(counts)}
    from ..data import read_sources

    sources = read_sources(data, step.report)
    return {"question_answers": sources.question_answers, "summary": counts_table(sources.summary)}


def counts_table(summary: dict[str, Any]) -> pa.Table:
    """One row per count; nested names joined with a slash."""
    names: list[str] = []
    values: list[int] = []

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}/{key}" if prefix else str(key), inner)
        elif isinstance(value, int) and prefix != "format":
            names.append(prefix)
            values.append(value)

    walk("", summary)
    return pa.table({"name": pa.array(names, pa.string()), "count": pa.array(values, pa.int64())})
