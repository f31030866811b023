"""One asset per figure or table, and the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ..experiment import MATCHED, VARIANT_OF_METHOD, Experiment, Method, Variant
from ._finding_node import by_pm, by_rm, cells_of, finding_node
from ._judges import agreement_nodes
from ._node import Inputs, Node, Step
from ._truth import truth_nodes
from .candidates import likelihood_axis
from .models import MODEL, split_of

if TYPE_CHECKING:
    from ..findings import Finding


def nodes(experiment: Experiment) -> list[Node]:
    """The findings that need no trainings of their own."""
    variants = experiment.candidates.variants
    found = [
        finding_node("data_overview", _data_overview, ("question_answers", "sft_data", "preference_data", "rl_data")),
        finding_node("policy_ladder", _policy_ladder, ("policy_quality", "policy_model"), lambda e: (e.policy,)),
        finding_node("reward_ladder", _reward_ladder, ("reward_quality", "reward_model"), lambda e: (e.reward,)),
        finding_node("ppo_learning", _ppo_learning, tuple(f"ppo_metrics_{m}_by_policy" for m in experiment.methods)),
    ]
    if variants:
        likelihoods = tuple(_likelihoods_of(v) for v in variants)
        sets = tuple(f"{v}_candidates" for v in variants)
        found.append(
            finding_node(
                "candidate_likelihoods",
                _candidate_likelihoods,
                (*likelihoods, *sets),
                lambda e: (e.candidates.n,),
                frozenset(sets),
            )
        )
        scores = tuple(f"seam_scores_{v}_by_policy" for v in variants)
        found.append(finding_node("seamlessness", _seamlessness, scores, lambda e: (e.scoring.form, e.selection.rate)))
        found.append(_worst(experiment))
    found += truth_nodes(experiment)
    found += agreement_nodes(experiment)
    if "full" in experiment.methods:
        quality = ("rlhf_quality_full_by_policy", "policy_quality", "reward_quality")
        found.append(finding_node("quality_surface", _quality_surface, quality))
    if experiment.rl.dpo:
        after = ("rlhf_quality_full_by_policy",) if "full" in experiment.methods else ()
        found.append(finding_node("without_rl", _without_rl, ("dpo_quality", "policy_quality", *after)))
    judged = tuple(f"rlhf_quality_{m}_by_policy" for m in _compared(experiment))
    selected = tuple(_selected(experiment).values())
    found.append(
        finding_node(
            "selection_methods",
            _selection_methods,
            (*judged, "policy_quality", *selected),
            lambda e: (e.selection.rate,),
            frozenset(selected),
        )
    )
    return found


def _likelihoods_of(variant: Variant) -> str:
    return f"candidate_likelihoods_{variant}" + ("_by_policy" if likelihood_axis(variant) == "grid" else "")


def _data_overview(_step: Step, inputs: Inputs) -> "Finding":
    from ..findings.data_overview import data_overview

    counts = dict(zip(*inputs["question_answers"]["summary"].to_pydict().values(), strict=True))
    summary: dict[str, Any] = {k: v for k, v in counts.items() if k in ("questions", "answers", "pairs")}
    summary["skipped"] = {k.removeprefix("skipped/"): v for k, v in counts.items() if k.startswith("skipped/")}
    return data_overview(summary, inputs["sft_data"], inputs["preference_data"], inputs["rl_data"])


def _summaries(folders: Mapping[int, Path]) -> dict[int, dict[str, Any]]:
    import json

    return {rank: json.loads((folder / MODEL / "summary.json").read_text()) for rank, folder in folders.items()}


def _policy_ladder(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.policy_ladder import policy_ladder

    policy = step.experiment.policy
    examples = dict(enumerate(policy.ranks, start=1))
    return policy_ladder(
        by_pm(inputs["policy_quality"]), examples, _summaries(by_pm(inputs["policy_model"])), policy.sft.unit
    )


def _reward_ladder(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.reward_ladder import reward_ladder

    pairs = dict(enumerate(step.experiment.reward.ranks, start=1))
    return reward_ladder(by_rm(inputs["reward_quality"]), pairs, _summaries(by_rm(inputs["reward_model"])))


def _ppo_learning(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.ppo_learning import ppo_learning

    runs = {}
    for method in step.experiment.methods:
        for (pm, rm), table in cells_of(inputs[f"ppo_metrics_{method}_by_policy"]).items():
            for seed in sorted(set(table["seed"].to_pylist())):
                runs[(str(method), pm, rm, seed)] = table.filter(pc.equal(table["seed"], seed)).drop_columns(["seed"])
    return ppo_learning(runs)


def _candidate_likelihoods(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.candidate_likelihoods import candidate_likelihoods

    tables: dict[str, dict[int, pa.Table]] = {}
    for variant in step.experiment.candidates.variants:
        found = inputs[_likelihoods_of(variant)]
        if likelihood_axis(variant) == "pm":
            tables[variant] = by_pm(found)
        else:  # against the reward model of the same rank
            tables[variant] = {pm: table for (pm, rm), table in cells_of(found).items() if pm == rm}
    candidates = {str(v): inputs[f"{v}_candidates"] for v in step.experiment.candidates.variants}
    return candidate_likelihoods(tables, candidates=candidates, wanted=step.experiment.candidates.n)


def _seamlessness(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.seamlessness import seamlessness

    e = step.experiment
    scores = {str(v): cells_of(inputs[f"seam_scores_{v}_by_policy"]) for v in e.candidates.variants}
    return seamlessness(scores, e.scoring.form, e.selection.rate)


def _worst(experiment: Experiment) -> Node:
    method = next((m for m in experiment.methods if m in VARIANT_OF_METHOD), None)
    variant = VARIANT_OF_METHOD[method] if method else experiment.candidates.variants[0]
    candidates, scores = f"{variant}_candidates", f"seam_scores_{variant}"

    def compute(step: Step, inputs: Inputs) -> "Finding":
        from ..findings.worst_instructions import worst_instructions

        return worst_instructions(
            inputs[scores]["scores"],
            inputs[scores]["candidate_scores"],
            inputs[candidates],
            split_of(inputs["rl_data"], "train"),
            pair=(1, 1),
            variant=variant,
            form=step.experiment.scoring.form,
        )

    best = frozenset({scores, candidates})
    return finding_node(
        "worst_instructions", compute, (scores, candidates, "rl_data"), lambda e: (e.scoring.form,), best
    )


def _quality_surface(_step: Step, inputs: Inputs) -> "Finding":
    from ..findings.quality_surface import quality_surface

    return quality_surface(
        cells_of(inputs["rlhf_quality_full_by_policy"]),
        by_pm(inputs["policy_quality"]),
        by_rm(inputs["reward_quality"]),
    )


def _without_rl(_step: Step, inputs: Inputs) -> "Finding":
    from ..findings.without_rl import without_rl

    after = cells_of(inputs.get("rlhf_quality_full_by_policy", {}))
    return without_rl(by_pm(inputs["dpo_quality"]), by_pm(inputs["policy_quality"]), after)


def _selection_methods(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.selection_methods import selection_methods

    answers = {str(m): cells_of(inputs[f"rlhf_quality_{m}_by_policy"]) for m in _compared(step.experiment)}
    selected = {method: inputs[name] for method, name in _selected(step.experiment).items()}
    return selection_methods(answers, by_pm(inputs["policy_quality"]), step.experiment.selection.rate, selected)


def _compared(experiment: Experiment) -> tuple[Method, ...]:
    """The arms' methods that know no preference; the others have a finding of their own (Fig. 5)."""
    return tuple(method for method in experiment.methods if method not in MATCHED)


def _selected(experiment: Experiment) -> dict[str, str]:
    """Selections that are made on the best pair."""
    known = ("full", *MATCHED)
    return {m: f"selected_{m}" for m, cells in experiment.selections.items() if m not in known and (1, 1) in cells}
