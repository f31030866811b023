"""Selection, PPO and the quality of what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import tables
from ..experiment import MATCHED, VARIANT_OF_METHOD, Cell, Experiment, Method
from ..progress import Progress
from ._checks import keeps_some
from ._job import Job, world_settings
from ._node import Inputs, Node, Partition, Step
from ._shapes import QUALITY, answers_node
from .baselines import baseline_scores, evidence_of
from .models import MODEL, split_of
from .preference import EVIDENCE, outcomes_of
from .scores import by_policy

if TYPE_CHECKING:
    from ..judging.answers import Written

SELECTION, RL = "5_selection", "6_rl"


@dataclass(frozen=True)
class RLRun:
    """RL of a pair of models over cells and seeds: assets `rlhf_policy_{name}` and `rlhf_quality_{name}`."""

    name: str
    instructions: str
    """In words, for the assets' descriptions."""
    seeds: Mapping[Cell, tuple[int, ...]] = field(hash=False)
    """PPO's seeds by cell."""
    selected: str | None = None
    """A SELECTED asset on the grid; None: all RL train instructions."""
    policy: str = "policy_model"
    """An asset with a policy folder `model`, on the pm axis or the grid."""
    reward: str = "reward_model"
    """The same of a reward model, on the rm axis or the grid."""

    @property
    def trained(self) -> str:
        """The asset with one adapter per seed."""
        return f"rlhf_policy_{self.name}"

    @property
    def judged(self) -> str:
        """The asset with the rated answers (ANSWERS)."""
        return f"rlhf_quality_{self.name}"

    @property
    def judged_rows(self) -> str:
        """The rated answers by policy rank, with a column `rm`: what a finding reads."""
        return f"{self.judged}_by_policy"


def method_run(experiment: Experiment, method: Method) -> RLRun:
    """What the arms run for a method."""
    return RLRun(method, f"the instructions that {method} keeps", experiment.runs[method], f"selected_{method}")


def nodes(experiment: Experiment) -> list[Node]:
    """The plain policies' quality, and per method: selection, PPO, quality."""
    policy_quality = answers_node(
        "policy_quality",
        "One row per held-out test question: the policy's answer before RL, rated by the judge.",
        _policy_quality,
        axis="pm",
        deps=("base_model", "policy_model", "rl_data"),
    )
    selections = [selection_node(method, cells) for method, cells in experiment.selections.items()]
    runs = [node for method in experiment.methods for node in rl_nodes(experiment, method_run(experiment, method))]
    return [policy_quality, *selections, *runs]


def _algorithm(e: Experiment) -> tuple[Any, ...]:
    return (e.rl.algorithm, e.rl.ppo if e.rl.algorithm == "ppo" else e.rl.group)


def selection_node(method: Method, cells: tuple[Cell, ...], name: str | None = None, rate: float | None = None) -> Node:
    """SELECTED of a method: `selected_{name}`, by default its own name and the experiment's `selection.rate`."""
    return Node(
        f"selected_{name or method}",
        SELECTION,
        f"One row per RL train instruction: does {method} keep it{'' if rate is None else f' at {rate:.0%}'}?",
        lambda step, inputs: _select(step, inputs, method, rate or step.experiment.selection.rate),
        axis="grid",
        deps=("rl_data", *_evidence(method)),
        settings=lambda e, _: (*(() if method in MATCHED else (rate or e.selection.rate,)), *_settings(e, method)),
        schema=tables.SELECTED,
        checks=(keeps_some(),),
        cells=cells,
    )


def _settings(e: Experiment, method: Method) -> tuple[Any, ...]:
    """What decides a method's selection besides the rate and the evidence."""
    if method in VARIANT_OF_METHOD:
        return (e.scoring.form,)
    if method in ("random", "matched_random"):
        return (e.selection.seed,)
    return (e.selection.margin_beta,) if method == "margin_gap" else ()


def rl_nodes(experiment: Experiment, run: RLRun) -> list[Node]:
    """RL per cell and seed, the rated answers, and the rows of both that findings read."""
    cells, name = tuple(run.seeds), experiment.rl.algorithm.upper()
    selected = () if run.selected is None else (run.selected,)
    return [
        Node(
            run.trained,
            RL,
            f"One {name} adapter per seed, trained on {run.instructions}.",
            lambda step, inputs: _train(step, inputs, run),
            axis="grid",
            deps=("base_model", run.policy, run.reward, "rl_data", *selected),
            settings=lambda e, p: (*_algorithm(e), run.seeds.get(p.cell, ())),
            cells=cells,
            seeds=run.seeds,
            version="3",
            figure=_learning_curves,
            heavy=True,
        ),
        answers_node(
            run.judged,
            f"One row per held-out test question and seed: the answer after RL on {run.instructions}, rated.",
            lambda step, inputs: _rlhf_quality(step, inputs, run),
            axis="grid",
            deps=("base_model", run.trained, "rl_data"),
            cells=cells,
            seeds=run.seeds,
        ),
        Node(
            run.judged_rows,
            QUALITY,
            f"One row per answer and reward model: a row of the grid of {run.name}'s quality.",
            lambda step, inputs: by_policy(inputs[run.judged]),
            axis="pm",
            deps=(run.judged,),
            cells=cells,
        ),
        Node(
            f"ppo_metrics_{run.name}_by_policy",
            RL,
            f"One row per {name} step, seed and reward model of {run.name}'s runs.",
            lambda step, inputs: _metrics(inputs[run.trained]),
            axis="pm",
            deps=(run.trained,),
            cells=cells,
        ),
    ]


def _evidence(method: Method) -> tuple[str, ...]:
    if method in VARIANT_OF_METHOD:
        return (f"seam_scores_{VARIANT_OF_METHOD[method]}",)
    if method in MATCHED:
        return EVIDENCE
    return ("base_perplexities",) if method == "perplexity" else evidence_of(method)


def _select(step: Step, inputs: Inputs, method: Method, rate: float) -> pa.Table:
    from ..selection import select

    e = step.experiment
    rows = split_of(inputs["rl_data"], "train")
    scores = inputs[f"seam_scores_{VARIANT_OF_METHOD[method]}"]["scores"] if method in VARIANT_OF_METHOD else None
    return select(
        method,
        rows,
        rate,
        baseline=baseline_scores(method, inputs, rows["id"].to_pylist(), e.selection.margin_beta),
        seam_scores=scores,
        form=e.scoring.form,
        perplexities=inputs.get("base_perplexities"),
        outcomes=outcomes_of(inputs) if method in MATCHED else None,
        seed=e.selection.seed,
    )


def _train(step: Step, inputs: Inputs, run: RLRun) -> Path:
    seeds = run.seeds[step.partition.cell]
    rows = split_of(inputs["rl_data"], "train")
    if run.selected is not None:
        kept = inputs[run.selected]
        ids = pc.filter(kept["id"], kept["kept"])
        rows = rows.filter(pc.is_in(rows["id"], value_set=ids.combine_chunks()))
    models = (inputs[run.policy] / MODEL, inputs[run.reward] / MODEL)
    for turn, seed in enumerate(seeds):

        def report(done: int, total: int, turn: int = turn) -> None:
            step.report(turn * total + done, len(seeds) * total)

        if not (step.out / f"seed{seed}").exists():
            _train_seed(step, models, rows["instruction"].to_pylist(), seed, report)
    return step.out


def _train_seed(step: Step, models: tuple[Path, Path], prompts: list[str], seed: int, report: Progress) -> None:
    rl, name = step.experiment.rl, f"seed{seed}"
    settings = rl.ppo if rl.algorithm == "ppo" else rl.group
    world = world_settings(step.experiment)
    job = Job(rl.algorithm, models, settings, step.out / name, seed, prompts=tuple(prompts), world=world, part=name)
    step.train(job, report)


def metrics_of(folder: Path) -> pa.Table:
    """One row per PPO step and seed of one cell, with a column `seed`."""
    parts = []
    for path in sorted(folder.glob("seed*/metrics.parquet")):
        table = pq.read_table(path)
        seed = int(path.parent.name.removeprefix("seed"))
        parts.append(table.append_column("seed", pa.array([seed] * table.num_rows, pa.int32())))
    return pa.concat_tables(parts, promote_options="default")


def _metrics(cells: dict[Partition, Path]) -> pa.Table:
    return by_policy({partition: metrics_of(folder) for partition, folder in cells.items()})


def _learning_curves(folder: Path) -> bytes | None:
    from ._curves import curve_png

    return curve_png(metrics_of(folder), "reward_mean", by="seed")


def _policy_quality(step: Step, inputs: Inputs) -> pa.Table:
    return _answers(step, inputs, {0: inputs["policy_model"] / MODEL})


def _rlhf_quality(step: Step, inputs: Inputs, run: RLRun) -> pa.Table:
    folder = inputs[run.trained]
    return _answers(step, inputs, {seed: folder / f"seed{seed}" for seed in run.seeds[step.partition.cell]})


def _answers(step: Step, inputs: Inputs, policies: dict[int, Path]) -> pa.Table:
    questions = split_of(inputs["rl_data"], "test").slice(0, step.experiment.evaluation.questions)
    return judged(step, questions, policies)


def judged(step: Step, questions: pa.Table, policies: Mapping[int, Path]) -> pa.Table:
    """ANSWERS of policies, by seed, to questions with golden responses, rated by the experiment's judge."""
    from ..judging.answers import judged_answers, written_answers
    from ..models.stack import load_policy

    settings, parts = step.experiment.evaluation, []
    for turn, (seed, folder) in enumerate(policies.items()):
        step.report(turn, len(policies))
        written = _written_before(step, questions, seed)
        if written is None:
            written = written_answers(load_policy(folder, step.device), questions, settings, seed)
        parts.append(judged_answers(questions, written, step.judge, seed))
    return pa.concat_tables(parts)


def _written_before(step: Step, questions: pa.Table, seed: int) -> "list[Written] | None":
    """The answers of the artifact that stands, where only ratings of it are asked for again."""
    from ..judging.answers import Written

    if step.before is None:
        return None
    rows = step.before.select(["seed", "id", "response", "n_tokens"]).to_pylist()
    known = {(row["seed"], row["id"]): Written(row["response"], row["n_tokens"]) for row in rows}
    return [known[seed, identity] for identity in questions["id"].to_pylist()]
