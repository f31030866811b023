"""`seam run`: bring everything stale up to date."""

import os
import time
import warnings

import click

from ._options import data_option, experiment_option


@click.command()
@experiment_option()
@data_option()
@click.option(
    "--select", metavar="ASSETS", help="Names, globs or `group:NAME`; `+x` with all that is upstream, `x+` downstream."
)
def run(experiment_name: str | None, select: str | None) -> None:
    """Make what is missing or out of date, upstream first, and print where the report is.

    Nothing is made twice: an artifact is current while its settings, code version and inputs' content are.
    """
    quiet()
    from ..defs._home import dagster_home, open_store
    from ..defs._stale import stale_tasks
    from ..defs.graph import build_study
    from ..experiment import load_experiment

    experiment = load_experiment(experiment_name)
    study = build_study(experiment)
    store = open_store(experiment)
    names = study.selected(select)
    tasks = stale_tasks(study, store, names)
    started = time.monotonic()
    failed: dict[str, str] = {}
    if tasks:
        import dagster as dg

        from ..defs._update import update
        from ..planning import expected_seconds
        from ._display import LineDisplay

        dagster_home()
        click.echo(f"{experiment.name}: {len(tasks)} artifacts to make or to check.")
        with dg.DagsterInstance.get() as instance:
            outcome = update(study, store, names, instance, LineDisplay(expected_seconds(study, store, tasks)))
        failed = outcome.failed
        current = len(tasks) - len(outcome.made) - len(failed) - len(outcome.blocked)
        click.echo(
            f"{experiment.name}: {len(outcome.made)} made, {max(current, 0)} found unchanged, {len(failed)} failed, "
            f"{len(outcome.blocked)} waiting for these, in {time.monotonic() - started:.0f} s."
        )
    else:
        click.echo(f"{experiment.name}: everything is up to date.")
    report = store.path("report") / "report.html"
    if report.is_file():
        click.echo(f"Report: {report}")
    if failed:
        for label, reason in failed.items():
            click.secho(f"{label}: {reason}", fg="red", err=True)
        raise click.exceptions.Exit(1)


def quiet() -> None:
    """Keep the libraries' chatter off the progress display."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    warnings.simplefilter("ignore")
