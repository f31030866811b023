"""What every training leaves behind: metrics per step, a summary, copies of lower adapters."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..models._files import ADAPTERS
from ._checkpoint import UNWRITTEN, unwritten
from ._parallel import barrier, is_main

METRICS, SUMMARY = "metrics.parquet", "summary.json"


@contextmanager
def whole_folder(out: Path, what: str = "model") -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` when the block ends well: a folder that exists is complete.

    Among several processes the main one writes, and all leave the block when `out` is there.
    Raises SeamError when the disk is full.
    """
    if not is_main():
        with TemporaryDirectory() as scratch:
            yield Path(scratch)
        barrier()
        return
    beside = out.with_name(f".{out.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        yield beside
        shutil.rmtree(out, ignore_errors=True)
        beside.rename(out)
        barrier()
    except UNWRITTEN as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise unwritten(what, out, error) from error


def copy_adapters(adapters: Iterable[tuple[str, Path]], out: Path) -> list[str]:
    """Copy the adapters below; returns their names in order."""
    names = []
    for name, folder in adapters:
        shutil.copytree(folder, out / ADAPTERS / name)
        names.append(name)
    return names


def write_metrics(out: Path, rows: Sequence[Mapping[str, float | None]], columns: Sequence[str]) -> None:
    """One row per step; `step` is int64, all else float64, null where a step has no value."""
    fields = [pa.field(name, pa.int64() if name == "step" else pa.float64()) for name in columns]
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=pa.schema(fields)), out / METRICS)


def write_summary(out: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Save what the training did, without times, so that equal runs give equal bytes."""
    (out / SUMMARY).write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n", "utf-8")
    return summary
