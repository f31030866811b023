"""`seam export`: a merged copy of a model of a study."""

from pathlib import Path

import click

from ._options import device_option, pick_device


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write; must be empty or absent.")
@device_option()
def export(path: Path, out: Path, device: str) -> None:
    """Merge a study's adapters into their base: a plain Hugging Face folder that any server loads.

    PATH is a model folder of a study (it holds stack.json). The copy is checked to give the same logits.
    """
    from ..models.export import export as write_merged
    from ._run import quiet

    quiet()
    found = write_merged(path, out, pick_device(device))
    adapters = ", ".join(found["adapters"]) or "no adapters"
    click.echo(f"{out}: {found['kind']}, {adapters} on {found['base']}")
    click.echo(f"logits differ from the stack's by at most {found['largest_difference']:.1e} of the largest")
