"""Bring your own scores: `seam select` filters a dataset by what `seam score`, or anybody else, measured."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import SeamError
from ..experiment import VARIANT_OF_METHOD, Form
from ..wholefile import write_whole
from ._dataset import FORMATS, LINES, Dataset, read_dataset
from ._lowest import lowest_out, n_filtered
from ._own_evidence import NEEDS, own_scores, read_scores

OWN_METHODS = (*NEEDS, *VARIANT_OF_METHOD)
"""`seam`, also by the study's names of its variants, and the baselines."""


class Places(NamedTuple):
    """Where things are written; `filtered` only with a dataset."""

    selection: Path
    filtered: Path | None
    summary: Path


def select_own(
    scores: str | Path,
    method: str,
    rate: float,
    out: str | Path,
    *,
    form: Form = "log",
    data: str | Path | None = None,
    seed: int = 0,
    beta: float = 0.1,
) -> dict[str, Any]:
    """Filter the `rate` with the lowest scores; returns what the summary holds.

    `scores` is a folder of `seam score` or a table with id and the method's columns (`NEEDS`); `data` a parquet or
    JSONL file with the same ids. Into a folder `out` go selection.parquet (SELECTED, in the dataset's order),
    filtered.* (the kept rows of `data`, unchanged) and summary.json; a file `out` is the filtered dataset, or without
    `data` the selection, and the others stand beside it. Each file is whole or not there.
    Rows without a finite score are kept and counted. Raises SeamError when none has one, for a repeated id, ids that
    are on one side only, missing columns or files, and an unusable `out`.
    """
    if method not in OWN_METHODS:
        raise SeamError(f"Selection method {method!r} is unknown; use one of {', '.join(NEEDS)}.")
    method = "seam" if method in VARIANT_OF_METHOD else method
    own = read_scores(Path(scores))
    dataset = read_dataset(Path(data)) if data is not None else None
    golden = None
    if dataset is not None:
        _refuse_strays(dataset.ids, own.ids, dataset.path, own.path)
        _refuse_strays(own.ids, dataset.ids, own.path, dataset.path)
        golden = _in_order(dataset, own.ids)
    values, reasons = own_scores(method, own, golden, form, seed, beta)
    ids = dataset.ids if dataset is not None else own.ids
    by_id = dict(zip(own.ids, values, strict=True))
    selected = lowest_out(ids, [by_id[id_] for id_ in ids], reasons, rate)
    if selected["score"].null_count == len(ids):
        why = next(iter(reasons.values()), "there are no rows")
        raise SeamError(f"{own.path}: no instruction has a {method} score ({why}); there is nothing to select by.")
    places = _places(Path(out), dataset, own.path)
    settings: dict[str, tuple[str, Any]] = {
        "seam": ("form", form),
        "random": ("seed", seed),
        "margin_gap": ("beta", beta),
    }
    summary: dict[str, Any] = {"scores": str(scores), "data": None if data is None else str(data), "method": method}
    summary |= dict([settings[method]]) if method in settings else {}
    summary |= {"rate": rate, "wanted": n_filtered(rate, len(ids)), **summarise(selected)}
    _write(places, selected, dataset, summary)
    return summary | {"files": {name: str(path) for name, path in places._asdict().items() if path is not None}}


def summarise(selected: pa.Table) -> dict[str, Any]:
    """Counts of a SELECTED table: filtered, kept without a score and why, and where the cut lies."""
    out = selected.filter(pc.invert(selected["kept"]))["score"]
    stay = selected.filter(selected["kept"])["score"]
    last, first = pc.max(out).as_py(), pc.min(stay).as_py()
    tied = pc.sum(pc.equal(out, last)).as_py() if last is not None and last == first else 0
    whys = Counter(why for why in selected["reason"].to_pylist() if why is not None)
    return {
        "instructions": selected.num_rows,
        "filtered": len(out),
        "kept": len(stay),
        "without_score": stay.null_count,
        "without_score_by_reason": dict(sorted(whys.items())),
        "highest_filtered_score": last,
        "lowest_kept_score": first,
        "filtered_by_tie": tied or 0,
    }


def _refuse_strays(ids: Sequence[str], others: Sequence[str], path: Path, other_path: Path) -> None:
    known = set(others)
    strays = [id_ for id_ in ids if id_ not in known]
    if strays:
        what = f"{len(strays)} ids of column id ({strays[0]!r} first)"
        raise SeamError(f"{path}: {what} are not in {other_path}; both must have them.")


def _in_order(dataset: Dataset, ids: Sequence[str]) -> list[str | None] | None:
    if dataset.golden is None:
        return None
    odd = next((n for n, text in enumerate(dataset.golden, 1) if not isinstance(text, (str, type(None)))), None)
    if odd is not None:
        raise SeamError(f"{dataset.path}: golden_response of row {odd} is not text; it must be.")
    by_id = dict(zip(dataset.ids, dataset.golden, strict=True))
    return [by_id[id_] for id_ in ids]


def _places(out: Path, dataset: Dataset | None, scores: Path) -> Places:
    is_file = out.suffix in FORMATS and not out.is_dir()
    folder = out.parent if is_file else out
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SeamError(f"{folder} can't be used as the output folder ({error.strerror}); give another.") from error
    if not is_file:
        filtered = None if dataset is None else folder / f"filtered{dataset.path.suffix}"
        places = Places(folder / "selection.parquet", filtered, folder / "summary.json")
    elif dataset is None:
        places = Places(out, None, folder / f"{out.stem}.summary.json")
    elif out.suffix != dataset.path.suffix:
        raise SeamError(f"--out {out}: the dataset is {dataset.path.suffix}, and so is what is kept; use that ending.")
    else:
        places = Places(folder / f"{out.stem}.selection.parquet", out, folder / f"{out.stem}.summary.json")
    _refuse_overwriting(places, out, *([scores] if dataset is None else [scores, dataset.path]))
    return places


def _refuse_overwriting(places: Places, out: Path, *inputs: Path) -> None:
    """What was read stays, and so does the summary of another command."""
    written = {path.resolve() for path in places if path is not None}
    for path in inputs:
        if path.resolve() in written:
            raise SeamError(f"--out {out} would overwrite {path}, which is read; give another.")
    if places.summary.is_file() and not _is_selections(places.summary):
        raise SeamError(f"--out {out} would overwrite {places.summary}, which is not of `seam select`; give another.")


def _is_selections(summary: Path) -> bool:
    try:
        found = json.loads(summary.read_text("utf-8"))
    except ValueError:
        return False
    return isinstance(found, dict) and "method" in found


def _write(places: Places, selected: pa.Table, dataset: Dataset | None, summary: dict[str, Any]) -> None:
    if places.selection.suffix in LINES:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in selected.to_pylist())
        write_whole(places.selection, lambda path: path.write_text(lines, "utf-8"))
    else:
        write_whole(places.selection, lambda path: pq.write_table(selected, path))
    if dataset is not None and places.filtered is not None:
        dataset.write(selected["kept"].to_pylist(), places.filtered)
    write_whole(places.summary, lambda path: path.write_text(json.dumps(summary, indent=2) + "\n", "utf-8"))
