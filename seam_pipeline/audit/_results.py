"""Finding results in folders: what `seam score`, `seam audit` and `seam select` wrote."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import SeamError
from ..findings._names import variant_name
from ..scoring._own_data import CANDIDATE_COLUMNS, checked, read_file, refuse_repeats
from ._prompts import read_prompts
from .compare import FORMS, Result, distinct_names
from .run import read_summary


def read_results(paths: list[Path]) -> list[Result]:
    """The results in these folders, or parquet or JSONL files with `id` and `score` (a selection).

    Raises SeamError for a path with neither, ids that repeat and scores that are no numbers.
    """
    found = [result for path in paths for result in _of_path(path)]
    names = distinct_names([one.name for one in found])
    return [replace(one, name=name) for one, name in zip(found, names, strict=True)]


def _of_path(path: Path) -> list[Result]:
    if path.is_file():
        return [Result.of_tables(path.stem, _scores(path))]
    if (path / "scores.parquet").is_file():
        return [_scored(path, path.resolve().name)]
    if (path / "selection.parquet").is_file():
        return [Result.of_tables(path.resolve().name, _scores(path / "selection.parquet"))]
    variants = [place.parent for place in sorted(path.glob("*/scores.parquet"))]
    if not variants:
        raise SeamError(
            f"{path} holds no scores.parquet of `seam score` or `seam audit` and no selection.parquet of "
            "`seam select`; give such a folder, or a parquet or JSONL file with id and score."
        )
    name = path.resolve().name
    _refuse_other_prompts(path, variants)
    return [_scored(place, f"{name}: {variant_name(place.name)}", place.name) for place in variants]


def _refuse_other_prompts(audit: Path, variants: list[Path]) -> None:
    """An audit's folder may hold a variant of an earlier audit, of prompts that are not the ones beside it."""
    prompts = audit / "prompts.parquet"
    if not prompts.is_file():
        return
    ids = set(read_prompts(prompts).ids)
    for place in variants:
        if set(_scores(place / "scores.parquet")["id"].to_pylist()) != ids:
            raise SeamError(f"{place} is of other prompts than {prompts}; audit that variant again or move it away.")


def _scored(folder: Path, name: str, variant: str | None = None) -> Result:
    parts = folder / "candidate_scores.parquet"
    summary = read_summary(folder) or read_summary(folder.parent)
    return Result.of_tables(
        name,
        _scores(folder / "scores.parquet"),
        read_file(parts) if parts.is_file() else None,
        _candidates(folder, summary),
        _rows(folder.parent, summary),
        variant=variant,
    )


def _scores(path: Path) -> pa.Table:
    table = read_file(path)
    if "id" not in table.column_names or not {"score", "seam_log"} & set(table.column_names):
        raise SeamError(
            f"{path} needs the columns id and score, or id and seam_log (found: {', '.join(table.column_names)})."
        )
    ids = checked(table, ["id"], path)["id"]
    table = table.set_column(table.column_names.index("id"), "id", ids)
    refuse_repeats(table, ["id"], path)
    for name in ("score", *(f"seam_{form}" for form in FORMS)):
        kind = table[name].type if name in table.column_names else pa.null()
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            raise SeamError(f"{path}: column {name} has {kind} values; it must hold numbers.")
    return table


def _candidates(folder: Path, summary: dict[str, Any]) -> pa.Table | None:
    """The texts: beside the scores after an audit, else where `seam score` read them, if they are still there."""
    own = folder / "candidates.parquet"
    place = own if own.is_file() else Path(summary["candidates_path"]) if "candidates_path" in summary else None
    return checked(read_file(place), CANDIDATE_COLUMNS, place) if place is not None and place.is_file() else None


def _rows(folder: Path, summary: dict[str, Any]) -> pa.Table | None:
    """The instructions: as an audit used them, else where `seam score` read them, if they are still there."""
    own = folder / "prompts.parquet"
    place = own if own.is_file() else Path(summary["data"]) if "data" in summary else None
    return read_prompts(place).table if place is not None and place.is_file() else None
