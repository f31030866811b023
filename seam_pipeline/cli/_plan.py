"""`seam plan`: what would run and why, and what it would take."""

import json
import math
from pathlib import Path

import click

from ..errors import SeamError
from ._options import data_option, experiment_option


@click.command()
@experiment_option()
@data_option()
@click.option("--select", metavar="ASSETS", help="Only these, as in `seam run`.")
@click.option("--partition", "partitions", multiple=True, metavar="KEYS", help="Only these, as in `seam run`.")
@click.option(
    "--by",
    type=click.Choice(["group", "stage", "asset", "artifact"]),
    default="stage",
    show_default=True,
    help="A line for each; a stage is all methods or variants of one kind of asset.",
)
@click.option("--all", "show_all", is_flag=True, help="The same as `--by artifact`.")
@click.option(
    "--throughput",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Measured speeds (YAML, docs/scaling.md) instead of the records' and the assumed ones.",
)
@click.option(
    "--tflops",
    type=click.FloatRange(min=0, min_open=True),
    help="Sustained TFLOP/s of one device instead of the built-in assumption.",
)
@click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Also write all as JSON.")
def plan(
    experiment_name: str | None,
    select: str | None,
    partitions: tuple[str, ...],
    by: str,
    show_all: bool,
    throughput: Path | None,
    tflops: float | None,
    json_file: Path | None,
) -> None:
    """Print what `seam run` would make, why, and its tokens, time, disk and LLM cost. Needs no GPU and no network."""
    from ..defs._choice import choose
    from ..defs._home import open_store
    from ..defs._refusals import check
    from ..defs._stale import Records, stale_tasks
    from ..defs.graph import build_study
    from ..experiment import load_experiment
    from ..planning import Planner, make_plan, plan_dict, plan_lines, read_throughput

    if tflops is not None and not math.isfinite(tflops):
        raise SeamError(f"--tflops {tflops} is no speed; give a finite number.")
    experiment = load_experiment(experiment_name)
    study, store = build_study(experiment), open_store(experiment)
    records = Records(store)
    check(study, records)
    tasks = stale_tasks(study, records, choose(study, select, partitions))
    given = read_throughput(throughput) if throughput else ()
    planner = Planner(study, store, given, str(throughput), tflops)
    found = make_plan(planner, tasks, "artifact" if show_all else by)
    for line in plan_lines(found):
        click.echo(line)
    if json_file:
        _write(json_file, json.dumps(plan_dict(found), indent=1) + "\n")


def _write(file: Path, text: str) -> None:
    from ..wholefile import write_whole

    try:
        write_whole(file, lambda part: part.write_text(text, "utf-8"))
    except OSError as error:
        raise SeamError(f"--json {file} cannot be written ({error.strerror}).") from error
