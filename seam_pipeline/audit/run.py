"""`seam audit`: build the candidates, score the pair, select, and write the report."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SeamError
from ..experiment import VARIANT_OF_METHOD, Method
from ..rowcache import RowCache
from ..scoring.own import counts, usable_folder, write_scores
from ..scoring.seam import SeamTables, seam_scores
from ..selection.select import select
from ..wholefile import write_whole
from ._build import WORK, Build, VariantTables
from ._evidence import Evidence
from ._prompts import Prompts, read_pool, read_prompts
from ._refuse import refuse_models, refuse_variants
from ._report import report_page
from ._stages import Stages, Unwatched, Watch
from ._topics import find_topics
from .settings import AuditSettings

METHOD_OF_VARIANT: dict[str, Method] = {variant: method for method, variant in VARIANT_OF_METHOD.items()}  # type: ignore[misc]


def run_audit(
    policy: str | Path,
    reward: str | Path,
    data: str | Path,
    out: str | Path,
    settings: AuditSettings | None = None,
    *,
    pool: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    device: str = "cpu",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Audit a policy and a reward model on prompts; returns what `summary.json` holds.

    `data` has instruction, golden_response and optionally id, worse_response (`columns` renames); `pool` adds
    questions and answers to the contrast pool, which is `data` itself. Writes into `out`: `<variant>/` with
    candidates, rewards, likelihoods, scores, candidate_scores, selected and the filtered dataset in the input's
    format; `prompts.parquet` (as used), `topics.parquet`, `summary.json`, `report.html`. What an earlier audit of the
    same inputs finished, or began, is used again.
    Raises SeamError for inputs, variants and models that can't be used, before a model is loaded where that shows.
    """
    settings = settings or AuditSettings.model_validate({})
    started = time.monotonic()
    prompts = read_prompts(Path(data), columns, settings.topic_column)
    more = None if pool is None else _disjoint(read_pool(Path(pool), columns), prompts, Path(pool))
    folder = usable_folder(Path(out))
    refuse_variants(prompts, settings)
    refuse_models(str(policy), str(reward), settings.load_in)
    write_whole(folder / "prompts.parquet", lambda path: pq.write_table(prompts.table, path))
    stages = Stages(folder, watch or Unwatched())
    with RowCache(folder / WORK / "rows.sqlite") as cache:
        build = Build(prompts, more, str(policy), str(reward), settings, device, stages, cache)
        found = build.run()
    topics = find_topics(prompts, settings, stages, device)
    usage = None if build.usage is None else build.usage.notes()
    evidence = {variant: _scored(variant, tables, prompts, settings, folder) for variant, tables in found.items()}
    summary: dict[str, Any] = {
        "policy": str(policy),
        "reward": str(reward),
        "data": str(data),
        "pool": None if pool is None else str(pool),
        "device": device,
        "settings": settings.model_dump(mode="json"),
        "columns": dict(columns or {}),
        "llm_usage": usage,
        "variants": {variant: _numbers(variant, one, found[variant], prompts) for variant, one in evidence.items()},
    }
    page, findings = report_page(prompts, evidence, topics, settings, summary)
    summary["findings"] = findings
    summary["seconds"] = round(time.monotonic() - started, 1)
    write_whole(folder / "report.html", lambda path: path.write_text(page, "utf-8"))
    write_whole(folder / "summary.json", lambda path: path.write_text(json.dumps(summary, indent=2) + "\n", "utf-8"))
    return summary


def _disjoint(pool: pa.Table, prompts: Prompts, path: Path) -> pa.Table:
    """The pool's rows under ids of their own: equal ids in two files need not mean the same question."""
    taken = set(prompts.ids)
    ids = [f"{path.stem}:{id_}" if id_ in taken else id_ for id_ in pool["id"].to_pylist()]
    return pool.set_column(0, "id", pa.array(ids, pa.string()))


def _scored(variant: str, tables: VariantTables, prompts: Prompts, settings: AuditSettings, folder: Path) -> Evidence:
    """Join, write and select one variant."""
    found = seam_scores(tables.likelihoods, tables.rewards, prompts.ids, tables.candidates)
    selected = select(
        METHOD_OF_VARIANT[variant], prompts.table, settings.rate, seam_scores=found.scores, form=settings.form
    )
    place = folder / variant
    write_scores(place, found)
    write_whole(place / "selected.parquet", lambda path: pq.write_table(selected, path))
    prompts.write_kept(selected["kept"].to_pylist(), place, "filtered")
    return Evidence.of(variant, prompts.table, tables.candidates, found, selected, settings.form)


def _numbers(variant: str, evidence: Evidence, tables: VariantTables, prompts: Prompts) -> dict[str, Any]:
    """One variant's part of `summary.json`."""
    found = SeamTables(evidence.scores, evidence.parts)
    kept = evidence.selected["kept"].to_pylist()
    return {
        **counts(found.scores, found.candidate_scores, tables.likelihoods, tables.rewards),
        "instructions_fooled": int(evidence.fooled.sum()),
        "filtered_out": kept.count(False),
        "kept": kept.count(True),
        "filtered": f"{variant}/filtered{prompts.path.suffix}",
    }


def read_summary(folder: Path) -> dict[str, Any]:
    """`summary.json` of an audit or of `seam score`; empty when there is none. Raises SeamError when it is damaged."""
    path = folder / "summary.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SeamError(f"{path} is not JSON; make it again with the command that wrote it.") from error
