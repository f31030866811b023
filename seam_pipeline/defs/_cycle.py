"""One cycle of online RLHF, per seed: score, select, RL, the new policy's own answers, a refreshed reward model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .. import tables
from ..experiment import Cycles, Experiment, Method, cycle_seeds, cycle_steps
from . import scores
from ._job import Job, world_settings
from ._node import Inputs, Step
from .baselines import sample
from .models import MODEL, split_of
from .rl import judged

SEED = pa.field("seed", pa.int32(), nullable=False)
SCORES = pa.schema([SEED, *tables.SEAM_SCORES])
SELECTED = pa.schema([SEED, *tables.SELECTED])
APART = 1000
"""Between the seeds of RL of a run's cycles."""


@dataclass(frozen=True)
class Cycle:
    """Cycle `number` (from 1) of one method."""

    number: int
    method: Method

    def asset(self, kind: str) -> str:
        """`cycle2_policy_random`."""
        return f"cycle{self.number}_{kind}_{self.method}"

    @property
    def before(self) -> "Cycle | None":
        """The cycle that this one goes on from."""
        return Cycle(self.number - 1, self.method) if self.number > 1 else None

    @property
    def policy(self) -> str:
        """The asset that this cycle starts from: the KL's reference."""
        return self.before.asset("policy") if self.before else "policy_model"

    @property
    def reward(self) -> str:
        """The asset that scores, and rewards RL."""
        return self.before.asset("reward") if self.before else "reward_model"


def _cycles(e: Experiment) -> Cycles:
    assert e.findings.cycles is not None
    return e.findings.cycles


def rl_settings(e: Experiment, cycle: Cycle) -> Any:
    """The experiment's RL with the cycle's share of the steps."""
    settings = e.rl.ppo if e.rl.algorithm == "ppo" else e.rl.group
    return settings.model_copy(update={"steps": cycle_steps(e, _cycles(e), cycle.number)})


def _seeds(step: Step) -> tuple[int, ...]:
    return cycle_seeds(step.experiment, _cycles(step.experiment))


def _segment(step: Step, inputs: Inputs, cycle: Cycle) -> pa.Table:
    from ..selection.segments import segment

    return segment(split_of(inputs["rl_data"], "train"), cycle.number, _cycles(step.experiment).cycles)


def _of_seed(folder: Path, seed: int) -> Path:
    """Where a seed's `model` lies; the models before the first cycle have no seeds."""
    return folder / f"seed{seed}" if (folder / f"seed{seed}").is_dir() else folder


def _pairs_of_models(step: Step, inputs: Inputs, cycle: Cycle) -> Iterator[tuple[int, Inputs]]:
    """Per seed the inputs of a pass over the cycle's segment with that seed's policy and reward model."""
    rows = _segment(step, inputs, cycle)
    shared: Inputs = {**inputs, "rl_data": rows}
    for name, table in inputs.items():
        if name.endswith("_candidates"):
            ids = rows["id"].combine_chunks()
            shared[name] = table.filter(pc.is_in(table["id"], value_set=ids))
    for seed in _seeds(step):
        folders = {
            "policy_model": _of_seed(inputs[cycle.policy], seed),
            "reward_model": _of_seed(inputs[cycle.reward], seed),
        }
        yield seed, {**shared, **folders}


def _stacked(parts: Mapping[int, pa.Table], schema: pa.Schema | None = None) -> pa.Table:
    found = [table.add_column(0, SEED, pa.array([seed] * table.num_rows, pa.int32())) for seed, table in parts.items()]
    table = pa.concat_tables(found)
    return table.cast(schema) if schema else table


def cycle_scores(step: Step, inputs: Inputs, cycle: Cycle) -> pa.Table:
    """SEAM_SCORES of the segment per seed; seeds that share both models share the scores."""
    from ..scoring.seam import seam_scores

    candidates = f"{_cycles(step.experiment).variant}_candidates"
    found: dict[tuple[Path, Path], pa.Table] = {}
    parts = {}
    for seed, own in _pairs_of_models(step, inputs, cycle):
        key = (own["policy_model"], own["reward_model"])
        if key not in found:
            likelihoods, rewards = (f(step, own, candidates) for f in (scores._likelihoods, scores._rewards))
            ids = own["rl_data"]["id"].to_pylist()
            found[key] = seam_scores(likelihoods, rewards, ids, own[candidates]).scores
        parts[seed] = found[key]
    return _stacked(parts, SCORES)


def cycle_selected(step: Step, inputs: Inputs, cycle: Cycle) -> pa.Table:
    """SELECTED of the segment per seed, by the method and `selection.rate`."""
    from ..selection import select

    e, rows, scored = step.experiment, _segment(step, inputs, cycle), inputs[cycle.asset("scores")]
    parts = {}
    for seed in _seeds(step):
        own = scored.filter(pc.equal(scored["seed"], seed)).drop_columns(["seed"])
        chosen = {"seam_scores": own, "form": e.scoring.form} if cycle.method.startswith("seam_") else {}
        parts[seed] = select(cycle.method, rows, e.selection.rate, seed=e.selection.seed, **chosen)
    return _stacked(parts, SELECTED)


def cycle_policy(step: Step, inputs: Inputs, cycle: Cycle) -> Path:
    """RL per seed on what is kept: a new adapter on the policy that the cycle starts from, the KL's reference."""
    e, kept = step.experiment, inputs[cycle.asset("selected")]
    for seed, own in _pairs_of_models(step, inputs, cycle):
        out = step.out / f"seed{seed}" / MODEL
        if out.exists():
            continue
        ids = kept.filter(pc.and_(pc.equal(kept["seed"], seed), kept["kept"]))["id"].combine_chunks()
        rows = own["rl_data"]
        prompts = rows.filter(pc.is_in(rows["id"], value_set=ids))["instruction"].to_pylist()
        step.train(
            Job(
                e.rl.algorithm,
                (own["policy_model"] / MODEL, own["reward_model"] / MODEL),
                rl_settings(e, cycle),
                out,
                seed + APART * (cycle.number - 1),
                prompts=tuple(prompts),
                world=world_settings(e),
                part=f"seed{seed}",
            )
        )
    return step.out


def cycle_answers(step: Step, inputs: Inputs, cycle: Cycle) -> pa.Table:
    """What the new policy writes for the whole segment, with the reward that RL used and the judge's rating."""
    parts = {}
    for seed, own in _pairs_of_models(step, inputs, cycle):
        own = {**own, "policy_model": inputs[cycle.asset("policy")] / f"seed{seed}"}
        own["own"] = sample(step, own, _cycles(step.experiment).answers)
        rewarded = scores._rewards(step, own, "own")
        reward = {(row["id"], row["candidate_index"]): row["reward"] for row in rewarded.to_pylist()}
        parts[seed] = _rated(step, own["rl_data"], own["own"].to_pylist(), reward)
    return _stacked(parts)


def _rated(
    step: Step, rows: pa.Table, written: list[dict[str, Any]], reward: Mapping[tuple[str, int], float | None]
) -> pa.Table:
    from ..judging import JudgedRow

    asked = {row["id"]: row for row in rows.to_pylist()}
    questions = [
        JudgedRow(a["id"], asked[a["id"]]["instruction"], asked[a["id"]]["golden_response"], a["candidate"])
        for a in written
    ]
    ratings = step.judge.rate(questions)
    return pa.table(
        {
            "id": [q.id for q in questions],
            "instruction": [q.instruction for q in questions],
            "response": [q.response for q in questions],
            "reward": pa.array([reward.get((a["id"], a["candidate_index"])) for a in written], pa.float64()),
            "rating": pa.array([r.rating for r in ratings], pa.float64()),
            "reason": pa.array([r.reason for r in ratings], pa.string()),
        }
    )


def cycle_reward(step: Step, inputs: Inputs, cycle: Cycle) -> Path:
    """A reward model per seed, trained anew as the best rank's was, on its pairs and the policies' own so far.

    Own pairs: of each instruction's answers, in this cycle and those before, the best against the worst rated. It
    starts from the rank's policy, not from the RL policy: so only the pairs differ from cycle to cycle.
    """
    from ..judging.own_pairs import own_pairs

    e, pairs = step.experiment, inputs["preference_data"]
    first = split_of(pairs, "train").slice(0, e.reward.ranks[0])
    for seed in _seeds(step):
        out = step.out / f"seed{seed}" / MODEL
        if out.exists():
            continue
        further = []
        for number in range(1, cycle.number + 1):
            answers = inputs[Cycle(number, cycle.method).asset("answers")]
            further.append(own_pairs(answers.filter(pc.equal(answers["seed"], seed)), f"cycle{number}"))
        rows = pa.concat_tables([first, *further])
        step.notes[f"own_pairs_seed{seed}"] = rows.num_rows - first.num_rows
        step.train(
            Job(
                "reward",
                (inputs["policy_model"] / MODEL,),
                e.reward.training,
                out,
                e.seed,
                tables=(rows, split_of(pairs, "dev")),
                n=rows.num_rows,
                part=f"seed{seed}",
            )
        )
    return step.out


def cycle_quality(step: Step, inputs: Inputs, cycle: Cycle) -> pa.Table:
    """ANSWERS of each seed's new policy to the test questions."""
    folder = inputs[cycle.asset("policy")]
    questions = split_of(inputs["rl_data"], "test").slice(0, step.experiment.evaluation.questions)
    return judged(step, questions, {seed: folder / f"seed{seed}" / MODEL for seed in _seeds(step)})
