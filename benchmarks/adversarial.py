"""Attack speed: accepted candidates per minute, ours against the same recipe through TextAttack's own Attacker.

    python benchmarks/adversarial.py --model small --recipes pwws textfooler --out benchmarks/results/adversarial.md

Both sides get the same reward model (a LLaMA of 1 M, 3 M or 50 M parameters, random weights), the same rows (real posts
of `../shared/data/stackexchange` or SEAM_REAL_DATA, worse responses of 100 to 200 words that the golden one beats by
little; else the testbed's), the same constraints, transformation and tagger, and the same budget of reward queries per
row. The peer is what a TextAttack user does to get 30 texts: `Attacker` on the response again and again, each time with
another random half of the words, with TextAttack's own search, goal, cache and batches of 32, until 30 texts are
accepted or the budget is spent. Accepted, on both sides and checked here again: beats the golden reward (one text at a
time), is not the worse response itself, two words or more from every accepted one. Times are CPU seconds of this
process (wall seconds beside them); ours include the look-up of synonyms, the peer's do not.
"""

import argparse
import contextlib
import datetime
import io
import os
import platform
import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from _attack_data import SIZES, model_of, picked, posts, reward, row_of, testbed_rows

from seam_pipeline.candidates._goal import GoalResult
from seam_pipeline.candidates._recipes import RECIPES, Mask
from seam_pipeline.candidates._resources import Resources
from seam_pipeline.candidates._response import Response
from seam_pipeline.candidates._textattack import Attack, GoalFunction
from seam_pipeline.candidates.adversarial import Attacks, adversarial_candidates
from seam_pipeline.experiment import Adversarial
from seam_pipeline.models.stack import RewardModel

WANTED = 30
GAP = 2


class Run(NamedTuple):
    texts: list[list[str]]
    """Per row."""
    queries: int
    cpu: float
    wall: float


class Model:
    """What TextAttack calls: a list of responses to rewards, whole texts in one padded batch."""

    def __init__(self, rm: RewardModel) -> None:
        self.rm, self.model, self.instruction, self.queries = rm, rm.model, "", 0

    def __call__(self, texts: list[str]) -> list[float]:
        self.queries += len(texts)
        return self.rm.rewards(self.rm.encode([(self.instruction, t) for t in texts]), 1 << 20)


class Above(GoalFunction):
    """TextAttack's goal with its cache and batches of 32: a reward above the golden response's stops the search.

    A new random half of the words before each attack; the budget goes over all attacks on a row.
    """

    def __init__(self, model: Model, mask: Mask) -> None:
        self.model, self.mask = model, mask
        self.maximizable, self.use_cache, self.allow_skip, self.batch_size = False, True, False, 32
        import lru

        self._call_model_cache = lru.LRU(2**20)

    def begin(self, golden: float, budget: int, seed: int) -> None:
        self.golden, self.last, self.rng = golden, self.model.queries + budget, np.random.default_rng(seed)

    def init_attack_example(self, attacked_text: Any, ground_truth_output: Any) -> Any:
        self.mask.allowed = {i for i in range(len(attacked_text.words)) if self.rng.random() < 0.5}
        self.query_budget = max(1, self.last - self.model.queries)
        return super().init_attack_example(attacked_text, ground_truth_output)

    def _is_goal_complete(self, model_output: float, attacked_text: Any) -> bool:
        return model_output > self.golden

    def _get_score(self, model_output: float, attacked_text: Any) -> float:
        gap = model_output - self.golden
        return gap / (1 + abs(gap))

    def _process_model_outputs(self, inputs: Any, outputs: Any) -> Any:
        return outputs

    def _goal_function_result_type(self) -> type:
        return GoalResult


def peer(rm: RewardModel, rows: Sequence[dict[str, str]], name: str, resources: Any, budget: int) -> Run:
    """Each row through TextAttack's Attacker until 30 accepted texts or the budget's end."""
    import textattack

    recipe, model = RECIPES[name](resources), Model(rm)
    goal = Above(model, recipe.mask)
    constraints = [*recipe.attack.pre_transformation_constraints, *recipe.attack.constraints]
    attack = Attack(goal, constraints, recipe.attack.transformation, recipe.attack.search_method)
    settings = textattack.AttackArgs(num_examples=1, disable_stdout=True, silent=True)
    found, cpu, wall = [], time.process_time(), time.perf_counter()
    for seed, row in enumerate(rows):
        model.instruction = row["instruction"]
        goal.begin(model([row["golden_response"]])[0], budget, seed)
        texts: list[str] = []
        data = textattack.datasets.Dataset([(row["worse_response"], row["golden_response"])])
        while model.queries < goal.last and len(texts) < WANTED:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                (result,) = textattack.Attacker(attack, data, settings).attack_dataset()
            text = result.perturbed_result.attacked_text
            if goal._is_goal_complete(result.perturbed_result.raw_output, text):
                texts = distinct([*texts, text.text], row["worse_response"])
        found.append(texts)
    return Run(found, model.queries, time.process_time() - cpu, time.perf_counter() - wall)


def ours(rm: RewardModel, rows: Sequence[dict[str, str]], name: str, budget: int) -> Run:
    """The rows through `adversarial_candidates`, which loads its resources within the time."""
    attacks, cpu, wall = Attacks(), time.process_time(), time.perf_counter()
    settings = Adversarial(recipes=(name,), max_queries=budget)
    table = adversarial_candidates(pa.Table.from_pylist(list(rows)), rm, settings, WANTED, attacks=attacks)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    texts: dict[str, list[str]] = {row["id"]: [] for row in rows}
    for candidate in table.to_pylist():
        if candidate["candidate"] is not None:
            texts[candidate["id"]].append(candidate["candidate"])
    return Run(list(texts.values()), attacks.queries, cpu, wall)


def distance(a: str, b: str) -> int:
    """Words in which two texts differ; attacks keep the number of words."""
    one, other = Response(a).words, Response(b).words
    return sum(x != y for x, y in zip(one, other, strict=True)) if len(one) == len(other) else max(len(one), len(other))


def distinct(texts: Sequence[str], worse: str) -> list[str]:
    """Texts that are two words or more from those before, and are not the worse response."""
    kept: list[str] = []
    for text in texts:
        if text != worse and all(distance(text, other) >= GAP for other in kept):
            kept.append(text)
    return kept


def accepted(rm: RewardModel, rows: Sequence[dict[str, str]], run: Run) -> list[list[str]]:
    """Texts that count, checked one at a time; rounding may move a reward by 1e-5."""
    found = []
    for row, texts in zip(rows, run.texts, strict=True):
        golden = reward(rm, row["instruction"], row["golden_response"]) - 1e-5
        good = [text for text in texts if reward(rm, row["instruction"], text) > golden]
        found.append(distinct(good, row["worse_response"])[:WANTED])
    return found


def lines_of(name: str, rm: RewardModel, rows: Sequence[dict[str, str]], runs: dict[str, Run]) -> Iterator[str]:
    rates: dict[str, tuple[float, ...]] = {}
    for who, run in runs.items():
        texts = accepted(rm, rows, run)
        n = sum(map(len, texts))
        rates[who] = (60 * n / run.cpu, 60 * n / run.wall, n / run.queries)
        gaps = [distance(a, b) for some in texts for a, b in combinations(some, 2)]
        from_worse = [distance(t, row["worse_response"]) for some, row in zip(texts, rows, strict=True) for t in some]
        spread = f"{np.median(from_worse):.0f} | {min(gaps)} / {np.mean(gaps):.1f}" if gaps else "- | -"
        yield (
            f"| {name} | {who} | {n} of {WANTED * len(rows)} | {run.queries} | {run.cpu:.0f} | {run.wall:.0f} | "
            f"{rates[who][0]:.1f} | {1000 * n / run.queries:.1f} | {spread} |"
        )
    us, them = rates["ours"], rates["TextAttack"]
    if all(them):
        ratios = " | ".join(f"{a / b:.1f}x" for a, b in zip(us, them, strict=True))
        yield f"| {name} | ratio: per CPU minute, per wall minute, per query | {ratios} | | | | | |"
    else:
        yield f"| {name} | no ratio: TextAttack found no text within the budget | | | | | | | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SIZES, default="small")
    parser.add_argument("--recipes", nargs="+", choices=("pwws", "textfooler"), default=("pwws", "textfooler"))
    parser.add_argument("--instructions", type=int, default=3)
    parser.add_argument("--budget", type=int, default=4000, help="reward queries per instruction and recipe")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="append the results to this Markdown file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    given = list(posts())
    kind = "real posts" if given else "the testbed's answers"
    given = given or list(testbed_rows())
    rm = model_of(options.model, [" ".join(list(row.values())[1:]) for row in given])
    rows = picked(rm, given, options.instructions)
    words = [len(row["worse_response"].split()) for row in rows]
    report = [
        f"## {datetime.date.today()}: {platform.machine()}, {os.cpu_count()} cores, {options.threads} threads, CPU",
        "",
        f"`python benchmarks/adversarial.py --model {options.model} --recipes {' '.join(options.recipes)} "
        f"--instructions {options.instructions} --budget {options.budget} --threads {options.threads}`; "
        f"torch {torch.__version__}, float32, LLaMA of {rm.model.num_parameters() / 1e6:.1f} M; "
        f"{kind}, {len(rows)} worse responses of {min(words)} to {max(words)} words. "
        f"Load average at the start {os.getloadavg()[0]:.1f}.",
        "",
        "| recipe | who | accepted | queries | CPU s | wall s | per CPU minute | per 1000 queries "
        "| words changed (median) | pairwise distance (least / mean) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(report), flush=True)
    for name in options.recipes:
        settings = Adversarial(recipes=(name,), max_queries=options.budget)
        resources = Resources.for_texts([row["worse_response"] for row in rows], settings)
        ours(rm, [row_of("warm", "a b", "c d", "The small bottle is a good and cheap choice.")], name, 8)
        runs = {
            "ours": ours(rm, rows, name, options.budget),
            "TextAttack": peer(rm, rows, name, resources, options.budget),
        }
        for line in lines_of(name, rm, rows, runs):
            report.append(line)
            print(line, flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("a", encoding="utf-8") as file:
            file.write("\n".join(report) + "\n\n")


if __name__ == "__main__":
    main()
