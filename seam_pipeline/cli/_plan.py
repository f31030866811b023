"""`seam plan`: what would run and why, and what it would take."""

import click

from ._options import data_option, experiment_option


@click.command()
@experiment_option()
@data_option()
@click.option("--select", metavar="ASSETS", help="Only these, as in `seam run`.")
@click.option("--tflops", type=float, help="Sustained training rate in TFLOP/s instead of the built-in assumption.")
@click.option("--all", "show_all", is_flag=True, help="One line per artifact instead of one per asset.")
def plan(experiment_name: str | None, select: str | None, tflops: float | None, show_all: bool) -> None:
    """Print what `seam run` would make, why, and its tokens, time, disk and LLM cost. Needs no GPU and no network."""
    from ..defs._home import open_store
    from ..defs._stale import stale_tasks
    from ..defs.graph import build_study
    from ..experiment import load_experiment
    from ..planning import plan_lines

    experiment = load_experiment(experiment_name)
    study, store = build_study(experiment), open_store(experiment)
    tasks = stale_tasks(study, store, study.selected(select))
    for line in plan_lines(study, store, tasks, tflops, show_all):
        click.echo(line)
