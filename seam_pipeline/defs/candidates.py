"""The candidate sets of the RL train instructions."""

from typing import Any

import pyarrow as pa

from .. import tables
from ..experiment import Experiment, Variant
from ._checks import has_rows
from ._node import Axis, Inputs, Node, Step
from .models import MODEL, split_of

GROUP = "3_candidates"


def nodes(experiment: Experiment) -> list[Node]:
    """One node per variant that is switched on."""
    parts: dict[Variant, tuple[str, Any, Axis, tuple[str, ...]]] = {
        "contrast": (
            "Golden responses of similar other instructions, within a band of cosine similarity.",
            _contrast,
            "one",
            ("rl_data", "sft_data"),
        ),
        "llm": ("Worse answers written by a language model.", _llm, "one", ("rl_data",)),
        "adversarial": (
            "Worse responses perturbed until this reward model prefers them to the golden ones.",
            _adversarial,
            "rm",
            ("base_model", "rl_data", "reward_model"),
        ),
    }
    return [_node(experiment, variant, *parts[variant]) for variant in experiment.candidates.variants]


def _node(
    experiment: Experiment, variant: Variant, description: str, compute: Any, axis: Axis, deps: tuple[str, ...]
) -> Node:
    seeded = () if variant == "contrast" else (experiment.seed,)
    return Node(
        f"{variant}_candidates",
        GROUP,
        f"One row per candidate. {description}",
        compute,
        axis=axis,
        deps=deps,
        settings=lambda e, _: (e.candidates.n, getattr(e.candidates, variant), *seeded, *_template(e, variant)),
        schema=tables.CANDIDATES,
        checks=(has_rows(),),
        heavy=variant != "llm",
    )


def _template(experiment: Experiment, variant: Variant) -> tuple[str, ...]:
    """The prompt's content: an edited template makes the set anew."""
    settings = experiment.candidates.llm
    if variant != "llm" or settings is None or settings.generator != "openai":
        return ()
    from ..llm.template import template_hash

    return (template_hash(settings.template, "seam_pipeline.candidates", "worse_answers.txt"),)


def likelihood_axis(variant: Variant) -> Axis:
    """Adversarial sets differ by reward model, so their likelihoods stand on the grid."""
    return "grid" if variant == "adversarial" else "pm"


def _contrast(step: Step, inputs: Inputs) -> pa.Table:
    from ..candidates.contrast import contrast_candidates

    settings = step.experiment.candidates.contrast
    assert settings is not None
    pool = split_of(inputs["sft_data"], "train").select(["id", "instruction", "golden_response"])
    if settings.pool == "all":
        rl = split_of(inputs["rl_data"], "train").select(["id", "instruction", "golden_response"])
        pool = pa.concat_tables([pool, rl])
    return contrast_candidates(
        split_of(inputs["rl_data"], "train"),
        pool,
        settings,
        step.experiment.candidates.n,
        step.report,
        device=step.device,
        cache=step.cache / "embeddings",
    )


def _llm(step: Step, inputs: Inputs) -> pa.Table:
    from ..candidates.llm import llm_candidates

    candidates = step.experiment.candidates
    assert candidates.llm is not None
    return llm_candidates(
        split_of(inputs["rl_data"], "train"),
        candidates.llm,
        candidates.n,
        step.experiment.seed,
        worse_answers=step.world.worse_answers if candidates.llm.generator == "testbed" else None,
        cache_path=step.replies,
        progress=step.report,
        used=step.note_usage,
    )


def _adversarial(step: Step, inputs: Inputs) -> pa.Table:
    from ..candidates.adversarial import Attacks, adversarial_candidates
    from ..models.content import model_content
    from ..models.stack import load_reward
    from ..rowcache import RowCache

    candidates, model = step.experiment.candidates, inputs["reward_model"] / MODEL
    assert candidates.adversarial is not None
    rm = load_reward(model, step.device)
    with RowCache(step.cache / "adversarial.sqlite") as cache:
        attacks = Attacks(cache, model_content(model))
        table = adversarial_candidates(
            split_of(inputs["rl_data"], "train"),
            rm,
            candidates.adversarial,
            candidates.n,
            step.experiment.seed,
            step.report,
            attacks,
        )
        step.notes.update(attacks.notes)
    return table
