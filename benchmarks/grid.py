"""Dagster's share: a graph of the study whose steps compute nothing, built, and run again without a change.

    PYTHONPATH=. python benchmarks/grid.py --out benchmarks/results/grid.md
    PYTHONPATH=. python benchmarks/grid.py --graphs small                     # half a minute

Nodes, study, definitions, store and update are the real ones; only the functions of the nodes are replaced by one that
returns a table of one row. `grid` is 10 policies x 10 reward models x 3 methods; `paper` is the graph of the shipped
experiment. Each is made by `make` alone (no Dagster), then by Dagster in a fresh store, and then `seam run` and
`seam plan` are called on what is finished, as processes of their own.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa

from seam_pipeline.defs import graph
from seam_pipeline.defs._node import Inputs, Node, Step
from seam_pipeline.defs._study import Study
from seam_pipeline.experiment import Experiment, load_experiment
from seam_pipeline.store import Store

METHODS = ("a", "b", "c")


def nothing(_step: Step, _inputs: Inputs) -> pa.Table:
    """A table of one row."""
    return pa.table({"value": [1.0]})


def idle(node: Node) -> Node:
    """The node without its work; what has a schema gets an empty table of it."""
    schema = node.schema if node.main is None else None
    compute = nothing if schema is None else lambda _step, _inputs: schema.empty_table()
    return replace(node, compute=compute, schema=None, main=None, checks=(), figure=None, external=None)


def grid_study(experiment: Experiment) -> Study:
    """Two ladders, three methods on every pair, a row asset per method and one total."""
    nodes = [
        Node("source", "1", "", nothing),
        Node("policy", "2", "", nothing, "pm", ("source",)),
        Node("reward", "2", "", nothing, "rm", ("policy",)),
        *(Node(f"cell_{m}", "3", "", nothing, "grid", ("policy", "reward")) for m in METHODS),
        *(Node(f"row_{m}", "3", "", nothing, "pm", (f"cell_{m}",)) for m in METHODS),
        Node("total", "4", "", nothing, "one", tuple(f"row_{m}" for m in METHODS)),
    ]
    return Study(experiment, {node.name: node for node in nodes})


def study_of(name: str, build: Callable[[Experiment], Study] = graph.build_study) -> Study:
    """`grid` (10 x 10), `small` (the same, 3 x 3), or an experiment's graph, computing nothing."""
    experiment = load_experiment("paper" if name in ("grid", "small") else name)
    on_cpu = {"compute": experiment.compute.model_copy(update={"device": "cpu"}), "name": name}
    if name == "small":
        ladders = {
            key: getattr(experiment, key).model_copy(update={"ranks": (3, 2, 1)}) for key in ("policy", "reward")
        }
        return grid_study(experiment.model_copy(update=on_cpu | ladders))
    if name == "grid":
        return grid_study(experiment.model_copy(update=on_cpu))
    study = build(experiment.model_copy(update=on_cpu))
    return Study(study.experiment, {node.name: idle(node) for node in study.order})


@dataclass
class Timed:
    """Of the clock, and of this process's CPU."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of CPU)"


def timed(work: Callable[[], object]) -> Timed:
    """Run and measure."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Timed(time.perf_counter() - wall, time.process_time() - cpu)


def by_make(study: Study, root: Path) -> Timed:
    """Every artifact by the function that Dagster's step calls."""
    from seam_pipeline.defs._run import make

    store = Store(str(root))

    def all_of_them() -> None:
        for node in study.order:
            for partition in study.wanted(node):
                make(study, store, node, partition, lambda done, total: None)

    return timed(all_of_them)


def by_dagster(study: Study, root: Path) -> tuple[Timed, int]:
    """Every artifact by `update` on a Dagster instance on disk; also how many Dagster runs it took."""
    import dagster as dg

    from seam_pipeline.defs._home import dagster_home
    from seam_pipeline.defs._stale import Task
    from seam_pipeline.defs._update import Display, update

    class Counting(Display):
        runs = 0

        def planned(self, tasks: list[Task]) -> None:
            Counting.runs += 1

    dagster_home()

    def all_of_them() -> None:
        with dg.DagsterInstance.get() as instance:
            outcome = update(study, Store(str(root)), set(study.nodes), instance, Counting())
        assert not outcome.failed, outcome.failed

    return timed(all_of_them), Counting.runs


def again(name: str, command: str) -> tuple[Timed, str]:
    """`seam run` or `seam plan` on the finished graph, in a process of its own, imports and all."""
    before = os.times()
    wall = time.perf_counter()
    call = [sys.executable, __file__, "--command", command, "--graphs", name]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Timed(time.perf_counter() - wall, spent), done.stdout.strip().splitlines()[-1]


def run_command(name: str, command: str) -> None:
    """The real command; only the graph is exchanged."""
    from seam_pipeline.cli import main

    study = study_of(name)
    sys.argv = ["seam", command, "-e", "paper"]
    with (
        patch("seam_pipeline.defs.graph.build_study", lambda _: study),
        patch("seam_pipeline.experiment.load_experiment", lambda _=None: study.experiment),
    ):
        main()


def measure(name: str, with_dagster: bool) -> list[str]:
    """One graph, as lines of a Markdown table; without Dagster what `make` leaves is run again."""
    study = study_of(name)
    n = sum(len(study.wanted(node)) for node in study.order)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEAM_HOME"] = os.environ["DAGSTER_HOME"] = folder
        os.environ.pop("SEAM_STORE", None)
        print(f"{name}: {n} artifacts", flush=True)
        from seam_pipeline.defs._run import prepare_compute

        prepare_compute(study.experiment)  # torch's import is no part of either
        place = Path(folder) / "data" / "artifacts" / name
        alone = by_make(study, Path(folder) / "alone" if with_dagster else place)
        print(f"  make alone {alone}", flush=True)
        through = through_dagster(study, place, alone) if with_dagster else []
        run, said = again(name, "run")
        print(f"  seam run again {run}: {said}", flush=True)
        plan, planned = again(name, "plan")
        print(f"  seam plan again {plan}: {planned}", flush=True)
        assert "up to date" in said, said
        assert "nothing would run" in planned, planned
    return [
        f"| **{name}**: artifacts, assets | {n:,}, {len(study.nodes)} |",
        f"| `make` alone | {alone} |",
        *through,
        f"| `seam run` again, nothing changed: 0 steps | **{run}** |",
        f"| `seam plan` again | {plan} |",
    ]


def through_dagster(study: Study, place: Path, alone: Timed) -> list[str]:
    """Lines on making all of it through Dagster."""
    n = sum(len(study.wanted(node)) for node in study.order)
    dagster, runs = by_dagster(study, place)
    print(f"  through Dagster {dagster} in {runs} runs", flush=True)
    each = Timed((dagster.wall - alone.wall) / n, (dagster.cpu - alone.cpu) / n)
    return [
        f"| through Dagster, in {runs} runs | {dagster} |",
        f"| Dagster's overhead per artifact | **{each.wall:.2f} s ({each.cpu:.2f} s of CPU)** |",
    ]


def main() -> None:
    """Print, and write a results file where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--graphs", nargs="+", default=["grid", "paper"], help="small, grid, or an experiment")
    parser.add_argument("--without-dagster", action="store_true", help="fill the store by `make`, then run again")
    parser.add_argument("--command", choices=["run", "plan"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args()
    if options.command:
        run_command(options.graphs[0], options.command)
        return
    load = os.getloadavg()[0]
    rows = [row for name in options.graphs for row in measure(name, not options.without_dagster)]
    loads = f"{load:.0f} at the start, {os.getloadavg()[0]:.0f} at the end"
    print("\n".join(rows))
    if options.out:
        options.out.write_text(results(rows, options.graphs, loads))


def results(rows: list[str], graphs: list[str], loads: str) -> str:
    """The results file."""
    from importlib.metadata import version

    head = (
        f"# Dagster's share of a study\n\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, Dagster {version('dagster')}, SQLite; load average {loads}.\n\n"
        f"    PYTHONPATH=. python benchmarks/grid.py --graphs {' '.join(graphs)}\n\n| | |\n|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
