"""`seam run`: bring everything stale up to date."""

import os
import time
import warnings
from typing import TYPE_CHECKING

import click

from ..errors import SeamError
from ._options import data_option, experiment_option

if TYPE_CHECKING:
    from ..defs._choice import Chosen
    from ..defs._stale import Records
    from ..defs._study import Study
    from ..defs._update import Outcome
    from ..experiment import Compute
    from ..store import Store


@click.command()
@experiment_option()
@data_option()
@click.option(
    "--select", metavar="ASSETS", help="Names, globs or `group:NAME`; `+x` with all that is upstream, `x+` downstream."
)
@click.option(
    "--partition",
    "partitions",
    multiple=True,
    metavar="KEYS",
    help="Only these: a rank (pm02, rm01), a cell ('pm01|rm02'), a range (pm01..pm04); may be repeated.",
)
@click.option("--again", is_flag=True, help="Make what is selected even where it is current.")
@click.option(
    "--at-once",
    type=click.IntRange(1),
    metavar="N",
    help="Artifacts made at the same time, each in a process of its own. Default: compute.concurrent_steps. What is "
    "made is the same.",
)
def run(
    experiment_name: str | None, select: str | None, partitions: tuple[str, ...], again: bool, at_once: int | None
) -> None:
    """Make what is missing or out of date, upstream first, and print where the report is.

    Nothing is made twice: an artifact is current while its settings, code version and inputs' content are.
    """
    quiet()
    from ..defs._choice import choose
    from ..defs._home import open_store
    from ..defs._refusals import check
    from ..defs._stale import Records
    from ..defs.graph import build_study
    from ..experiment import load_experiment

    if again and not select:
        raise SeamError("--again: name what to make again with --select.")
    experiment = load_experiment(experiment_name)
    study = build_study(experiment)
    store = open_store(experiment)
    store.refresh()
    records = Records(store)
    check(study, records)
    chosen = choose(study, select, partitions)
    outcome = _update(study, store, records, chosen, again, at_once)
    report = store.local("report") / "report.html"
    if report.is_file():
        click.echo(f"Report: {report}")
    if outcome.failed or outcome.blocked:
        for label, reason in outcome.failed.items():
            click.secho(f"{label}: {reason}", fg="red", err=True)
        for label, above in outcome.blocked.items():
            click.secho(f"{label}: waits for {above}", fg="yellow", err=True)
        raise click.exceptions.Exit(1)


def _update(
    study: "Study", store: "Store", records: "Records", chosen: "Chosen", again: bool, at_once: int | None
) -> "Outcome":
    from ..defs._stale import stale_tasks
    from ..defs._update import Outcome, update
    from ..defs._workers import Workers
    from ..planning import expected_seconds
    from ._display import LineDisplay

    name, started = study.experiment.name, time.monotonic()
    tasks = stale_tasks(study, records, chosen, again)
    if not tasks:
        every = set(chosen) == set(study.nodes)
        click.echo(f"{name}: {'everything' if every else 'what was chosen, given its inputs,'} is up to date.")
        return Outcome()
    from ..defs._instance import open_instance

    click.echo(f"{name}: {len(tasks)} artifacts to make or to check.")
    compute = study.experiment.compute
    if compute.executor != "local":
        click.echo("seam run makes every step on this machine; compute.executor is for the runs that Dagster starts.")
    at_once = at_once or (compute.concurrent_steps if compute.executor == "local" else 1)
    if note := _too_many_threads(compute, at_once):
        click.secho(note, fg="yellow")
    with open_instance() as instance:
        expected = expected_seconds(study, store, tasks)
        display = LineDisplay(expected, at_once)
        crew = Workers(study, store, instance, display, at_once) if at_once > 1 else None
        outcome = update(study, store, chosen, instance, display, again, crew, expected)
    current = len(tasks) - len(outcome.made) - len(outcome.failed) - len(outcome.blocked)
    click.echo(
        f"{name}: {len(outcome.made)} made, {max(current, 0)} found unchanged, {len(outcome.failed)} failed, "
        f"{len(outcome.blocked)} waiting for these, in {time.monotonic() - started:.0f} s."
    )
    return outcome


def _too_many_threads(compute: "Compute", at_once: int) -> str | None:
    """Said and not changed: sums in another order are other bytes."""
    from ..defs._launch import cores
    from ..defs._run import threads_of

    threads = threads_of(compute, "cpu")
    if compute.device.startswith("cuda") or at_once == 1 or threads * at_once <= cores():
        return None
    return (
        f"{at_once} processes with {threads} torch threads each share {cores()} cores, which is slow on CPUs; "
        "compute.threads: 1 in the experiment file is faster there."
    )


def quiet() -> None:
    """Keep the libraries' chatter off the progress display."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    warnings.simplefilter("ignore")
