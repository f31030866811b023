"""What every training leaves behind: metrics per step, a summary, copies of lower adapters."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..models._files import ADAPTERS, HEAD, STACK

METRICS, SUMMARY = "metrics.parquet", "summary.json"


def fresh_folder(out: Path) -> Path:
    """An output folder without an earlier model in it; `stack.json` goes first, comes last."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (STACK, HEAD, METRICS, SUMMARY):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / ADAPTERS, ignore_errors=True)
    return out


def copy_adapters(adapters: Iterable[tuple[str, Path]], out: Path) -> list[str]:
    """Copy the adapters below; returns their names in order."""
    names = []
    for name, folder in adapters:
        shutil.copytree(folder, out / ADAPTERS / name)
        names.append(name)
    return names


def write_metrics(out: Path, rows: Sequence[Mapping[str, float]], columns: Sequence[str]) -> None:
    """One row per step; `step` is int64, all else float64, null where a step has no value."""
    fields = [pa.field(name, pa.int64() if name == "step" else pa.float64()) for name in columns]
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=pa.schema(fields)), out / METRICS)


def write_summary(out: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Save what the training did, without times, so that equal runs give equal bytes."""
    (out / SUMMARY).write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n", "utf-8")
    return summary
