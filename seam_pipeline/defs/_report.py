"""The report asset."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..experiment import Experiment, FileData, fingerprint
from ._node import Inputs, Node, Partition, Step

PACKAGES = ("torch", "transformers", "trl", "peft", "sentence-transformers", "faiss-cpu", "textattack", "dagster")


ORDER = (
    "verdict", "data_overview", "policy_ladder", "reward_ladder", "judge_agreement", "quality_surface",
    "cross_validation", "preference_match", "annotation_agreement", "less_is_more", "ppo_learning", "without_rl",
    "candidate_likelihoods", "seamlessness", "worst_instructions", "truth", "selection_methods", "filter_rates",
    "augmentation", "base_sizes", "cycles",
)  # fmt: skip
"""Sections: the verdict first, then as in the paper."""


def report_node(found: Iterable[str]) -> Node:
    """One self-contained page from all findings, in ORDER."""
    findings = tuple(sorted(found, key=ORDER.index))
    return Node(
        "report",
        "9_report",
        "One HTML page: each section's question, answer, figure, table, interval and the paper's number.",
        lambda step, inputs: _report(step, inputs, findings),
        deps=findings,
        settings=lambda e, p: (*_settings(e, p), findings),
    )


def _settings(experiment: Experiment, _partition: Partition) -> tuple[Any, ...]:
    return (experiment.model_dump(mode="json", exclude={"compute"}),)


def _report(step: Step, inputs: Inputs, findings: tuple[str, ...]) -> Path:
    import yaml

    from ..findings import Finding
    from ..report.page import render
    from ..versions import versions

    shown = shown_settings(step.experiment)
    page = render(
        [Finding.from_dict(inputs[name]) for name in findings],
        experiment_name=step.experiment.name,
        description=step.experiment.description,
        settings_yaml=yaml.safe_dump(shown, sort_keys=False, width=100),
        hash=fingerprint(shown),
        versions=versions(*PACKAGES),
        stage_seconds=None,
    )
    (step.out / "report.html").write_text(page, encoding="utf-8")
    step.notes.update(spending(step))
    return step.out


def spending(step: Step) -> dict[str, str]:
    """What the study's language models have cost over all its runs, by what they were asked for."""
    from ..candidates.llm import PURPOSE as CANDIDATES
    from ..judging.openai import PURPOSE as JUDGE
    from ..llm.client import ChatClient

    llm, judge = step.experiment.candidates.llm, step.experiment.judge
    endpoints = {CANDIDATES: llm.endpoint if llm and llm.generator == "openai" else None, JUDGE: judge.endpoint}
    totals = {
        purpose: ChatClient(endpoint, step.replies, purpose).spent()
        for purpose, endpoint in endpoints.items()
        if endpoint is not None and step.replies.is_file()
    }
    return {f"llm_{purpose}_total": f"{t.requests:,} requests, {t}" for purpose, t in totals.items() if t.requests}


def shown_settings(experiment: Experiment) -> dict[str, Any]:
    """The resolved experiment; of local data files only the names, so that the page says nothing of the machine."""
    shown = experiment.model_dump(mode="json")
    if isinstance(experiment.data, FileData):
        shown["data"]["paths"] = ["/".join(Path(p).parts[-2:]) for p in experiment.data.paths]
    return shown
