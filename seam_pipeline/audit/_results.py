"""Finding results in folders: what `seam score`, `seam audit` and `seam select` wrote."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SeamError
from ..findings._names import variant_name
from ._prompts import read_prompts
from .compare import Result, distinct_names
from .run import read_summary


def read_results(paths: list[Path]) -> list[Result]:
    """The results in these folders, or parquet files with `id` and `score` (a selection).

    Raises SeamError for a path with neither.
    """
    found = [result for path in paths for result in _of_path(path)]
    names = distinct_names([one.name for one in found])
    return [Result(**{**vars(one), "name": name}) for one, name in zip(found, names, strict=True)]


def _of_path(path: Path) -> list[Result]:
    if path.is_file():
        return [Result.of_tables(path.stem, _scores(path))]
    if (path / "scores.parquet").is_file():
        return [_scored(path, path.resolve().name)]
    variants = [place.parent for place in sorted(path.glob("*/scores.parquet"))]
    if not variants:
        raise SeamError(
            f"{path} holds no scores.parquet of `seam score` or `seam audit`; give such a folder, or a parquet file "
            "with id and score."
        )
    name = path.resolve().name
    return [_scored(place, f"{name}: {variant_name(place.name)}", place.name) for place in variants]


def _scored(folder: Path, name: str, variant: str | None = None) -> Result:
    parts = folder / "candidate_scores.parquet"
    summary = read_summary(folder) or read_summary(folder.parent)
    return Result.of_tables(
        name,
        _scores(folder / "scores.parquet"),
        pq.read_table(parts) if parts.is_file() else None,
        _candidates(folder, summary),
        _rows(folder.parent, summary),
        variant=variant,
    )


def _scores(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SeamError(f"{path} can't be read as parquet; write it again.") from error
    if "id" not in table.column_names or not {"score", "seam_log"} & set(table.column_names):
        raise SeamError(
            f"{path} needs the columns id and score, or id and seam_log (found: {', '.join(table.column_names)})."
        )
    return table


def _candidates(folder: Path, summary: dict[str, Any]) -> pa.Table | None:
    """The texts: beside the scores after an audit, else where `seam score` read them, if they are still there."""
    from ..scoring._own_data import read_file

    own = folder / "candidates.parquet"
    place = own if own.is_file() else Path(summary["candidates_path"]) if "candidates_path" in summary else None
    return read_file(place) if place is not None and place.is_file() else None


def _rows(folder: Path, summary: dict[str, Any]) -> pa.Table | None:
    """The instructions: as an audit used them, else where `seam score` read them, if they are still there."""
    own = folder / "prompts.parquet"
    place = own if own.is_file() else Path(summary["data"]) if "data" in summary else None
    return read_prompts(place).table if place is not None and place.is_file() else None
