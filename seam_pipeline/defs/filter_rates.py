"""Fig. 8: RL after leaving out smaller and larger shares of the instructions."""

from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc

from ..experiment import Cell, Experiment, Method, filter_method, seeds_of_finding
from ._finding_node import cells_of, finding_node
from ._node import Inputs, Node, Step
from .rl import RLRun, method_run, rl_nodes, selection_node

if TYPE_CHECKING:
    from ..findings import Finding

Runs = dict[tuple[Method, float], RLRun]


def nodes(experiment: Experiment) -> list[Node]:
    """Selection and RL per method and rate that the arms do not have, and the finding."""
    rates = experiment.findings.filter_rates
    if rates is None:
        return []
    runs = filter_runs(experiment)
    found: list[Node] = []
    for (method, rate), run in runs.items():
        if run.name != method:
            found += [selection_node(method, tuple(run.seeds), run.name, rate), *rl_nodes(experiment, run)]
    read = tuple(name for run in runs.values() for name in (run.judged_rows, f"selected_{run.name}"))
    seeds = seeds_of_finding(experiment, rates)
    shown = (filter_method(experiment, rates), rates, [[*cell, *seeds] for cell, seeds in seeds.items()])
    return [*found, finding_node("filter_rates", _finding, (full(experiment), *read), lambda _: shown)]


def full(experiment: Experiment) -> str:
    """Rated answers of RL on all instructions: nothing left out."""
    return method_run(experiment, "full").judged_rows


def filter_runs(experiment: Experiment) -> Runs:
    """RL by (method, rate); the arms' own where they filter at this rate over all the cells and seeds."""
    rates = experiment.findings.filter_rates
    assert rates is not None
    seeds = seeds_of_finding(experiment, rates)
    methods = (filter_method(experiment, rates), *(cast("tuple[Method, ...]", ("random",)) if rates.random else ()))
    return {(method, rate): _run(experiment, method, rate, seeds) for method in methods for rate in rates.rates}


def _run(experiment: Experiment, method: Method, rate: float, seeds: dict[Cell, tuple[int, ...]]) -> RLRun:
    arm = experiment.runs.get(method, {})
    if rate == experiment.selection.rate and all(set(some) <= set(arm.get(cell, ())) for cell, some in seeds.items()):
        return method_run(experiment, method)
    name = f"{method}_{round(100 * rate)}"
    return RLRun(name, f"the instructions that {method} keeps at {rate:.0%}", seeds, f"selected_{name}")


def _finding(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.filter_rates import filter_rates

    e, runs = step.experiment, filter_runs(step.experiment)
    assert e.findings.filter_rates is not None
    method, seeds = filter_method(e, e.findings.filter_rates), seeds_of_finding(e, e.findings.filter_rates)
    answers = {key: same_runs(inputs[run.judged_rows], seeds) for key, run in runs.items()}
    kept = {(str(m), rate): _kept(inputs[f"selected_{run.name}"], seeds) for (m, rate), run in runs.items()}
    return filter_rates(
        method,
        same_runs(inputs[full(e)], seeds),
        {rate: found for (m, rate), found in answers.items() if m == method},
        {rate: found for (m, rate), found in answers.items() if m == "random"},
        kept,
    )


def same_runs(rows: Inputs, seeds: dict[Cell, tuple[int, ...]]) -> dict[Cell, pa.Table]:
    """ANSWERS by cell from the rows by policy: only the given cells and their seeds."""
    return {
        cell: table.filter(pc.is_in(table["seed"], value_set=pa.array(seeds[cell], table["seed"].type)))
        for cell, table in cells_of(rows).items()  # type: ignore[arg-type]
        if cell in seeds
    }


def _kept(selected: Inputs, seeds: dict[Cell, tuple[int, ...]]) -> float:
    """Instructions kept, on average over the cells."""
    counts = [int(pc.sum(table["kept"]).as_py()) for p, table in selected.items() if p.cell in seeds]  # type: ignore[attr-defined]
    return sum(counts) / len(counts)
