"""The audit's page: sections from the evidence, next commands, settings."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..findings._format import count
from ..findings._names import variant_name
from ..report.page import render
from ..versions import versions
from ._agreement import agreement
from ._evidence import Evidence
from ._fit import fit
from ._length import length_bias
from ._prompts import Prompts
from ._topic_bias import topic_bias
from ._topics import Topics
from ._worst import worst
from .settings import AuditSettings

PACKAGES = ("torch", "transformers", "peft", "sentence-transformers", "faiss-cpu", "textattack", "openai")
Findings = dict[str, dict[str, Any]]


def report_page(
    prompts: Prompts, evidence: Mapping[str, Evidence], topics: Topics, settings: AuditSettings, summary: dict[str, Any]
) -> tuple[str, Findings]:
    """(HTML, each section's sentence and numbers for `summary.json`)."""
    findings = [
        fit(evidence, settings.rate),
        worst(evidence),
        length_bias(evidence),
        topic_bias(evidence, topics, settings.seed),
    ]
    if len(evidence) > 1:
        findings.append(agreement(evidence, settings.rate))
    shown = {**summary, "variants": list(evidence)}
    for role in ("policy", "reward", "data", "pool"):
        shown[role] = shown[role] and short(shown[role])
    page = render(
        findings,
        experiment_name=f"{short(summary['policy'])} with {short(summary['reward'])}",
        description=_description(prompts, evidence, settings, summary),
        settings_yaml=yaml.safe_dump(shown, sort_keys=False, width=100, allow_unicode=True),
        hash="",
        versions=versions(*PACKAGES),
        template="audit.html",
        commands=commands(prompts, evidence, settings, summary),
    )
    return page, {f.key: {"answer": f.answer, "n": f.n, "numbers": dict(f.numbers)} for f in findings}


def short(path: str) -> str:
    """The last two parts of a path, so that the page says nothing of the machine; hub ids stay whole."""
    return "/".join(Path(path).parts[-2:])


def _description(
    prompts: Prompts, evidence: Mapping[str, Evidence], settings: AuditSettings, summary: dict[str, Any]
) -> str:
    names = ", ".join(variant_name(v) for v in evidence)
    left = "; ".join(
        f"{summary['variants'][v]['filtered_out']:,} of {len(prompts.ids):,} left out by {variant_name(v)}"
        for v in evidence
    )
    of = f"{count(len(prompts.ids), 'instruction')} of {short(summary['data'])}"
    return (
        f"{of}, up to {settings.n} candidates each: {names}. "
        f"The filtered datasets leave out the {settings.rate:.0%} with the lowest scores ({left})."
    )


def commands(
    prompts: Prompts, evidence: Mapping[str, Evidence], settings: AuditSettings, summary: dict[str, Any]
) -> list[tuple[str, str]]:
    """(what for, command line) of the next steps."""
    first = next(iter(evidence))
    suffix = prompts.path.suffix
    reader = "parquet" if suffix == ".parquet" else "json"
    data, reward = (shlex.quote(short(summary[name])) for name in ("data", "reward"))
    again = [
        (
            "Another rate or form, without computing anything again:",
            f"seam select --scores {first} --method seam --rate 0.4 --form prob \\\n  --data {data} --out {first}-40",
        )
    ]
    if "id" not in prompts.file.column_names or summary["columns"].get("id", "id") != "id":
        again = []  # `seam select` finds rows by a column of that name
    return [
        (
            "Train on the filtered set instead of the whole one; any trainer that reads the input reads it:",
            f'from datasets import load_dataset\nprompts = load_dataset("{reader}", '
            f'data_files="{first}/filtered{suffix}", split="train")',
        ),
        (
            "Read more of the worst instructions with their candidates:",
            f"seam compare . --show 20 --form {settings.form}",
        ),
        *again,
        (
            "Another pair on the same candidates, then set the two side by side:",
            f"seam score --policy OTHER --reward {reward} --data prompts.parquet \\\n"
            f"  --candidates {first}/candidates.parquet --out ../other\nseam compare . ../other",
        ),
    ]  # fmt: skip
