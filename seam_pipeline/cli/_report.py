"""`seam report`: where the report is, made anew if it is out of date."""

import click

from ._options import data_option, experiment_option


@click.command()
@experiment_option()
@data_option()
@click.pass_context
def report(context: click.Context, experiment_name: str | None) -> None:
    """Bring the findings and the report up to date from what has been computed, and print the report's path."""
    from ._run import run

    context.invoke(run, experiment_name=experiment_name, select="group:8_findings group:9_report")
