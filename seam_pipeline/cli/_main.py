"""The command group; each command imports what it needs when it runs."""

import os
import sys
from collections.abc import Sequence

import click

from .. import __version__
from ..errors import SeamError
from ._annotate import annotate
from ._annotations import annotations
from ._audit import audit
from ._compare import compare
from ._doctor import doctor
from ._export import export
from ._ingest import ingest
from ._plan import plan
from ._report import report
from ._run import run
from ._score import score
from ._select import select
from ._trouble import sentence_of
from ._ui import ui


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="seam")
def seam() -> None:
    """See where a reward model misjudges what its policy would write, and act on it before the GPU hours are spent."""


for _command in (run, plan, ingest, audit, score, compare, select, annotate, annotations, export, report, ui, doctor):
    seam.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; a SeamError, and what the system refuses, is one sentence on stderr and exit status 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other on a shared machine
    try:
        status = seam.main(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except SeamError as error:
        click.echo(f"seam: {error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("seam: stopped; run the same command again to go on.", err=True)
        sys.exit(130)
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        click.echo(f"seam: {sentence}", err=True)
        sys.exit(2)
    if status:
        sys.exit(status)
