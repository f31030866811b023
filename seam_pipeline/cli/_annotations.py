"""`seam annotations`: what people chose, out and in, and how far they agree."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SeamError
from ._annotate import annotation_file, db_option
from ._options import experiment_option

if TYPE_CHECKING:
    from ..findings import Finding

FORMATS = ("csv", "label-studio")


@click.group()
def annotations() -> None:
    """Export, import and compare what people chose in `seam annotate`."""


def where_options(command: Any) -> Any:
    """`--db FILE` and `-e`."""
    return db_option("The annotation file; by default the experiment's.")(experiment_option()(command))


@annotations.command("export")
@where_options
@click.option("--format", "kind", required=True, type=click.Choice(FORMATS))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--history", is_flag=True, help="CSV: also judgements that a later one replaced, in order.")
@click.option("--seed", default=0, show_default=True, type=int, help="Label Studio: of the tasks' order and sides.")
def export(db: Path | None, experiment_name: str | None, kind: str, out: Path, history: bool, seed: int) -> None:
    """Write judgements as CSV, or pairs and judgements as Label Studio tasks (and the labelling interface beside)."""
    from ..annotation.csv_file import write_csv
    from ..annotation.label_studio import write_tasks
    from ..annotation.store import AnnotationStore

    if history and kind != "csv":
        raise SeamError("--history: Label Studio's format has no history; use --format csv.")
    store = AnnotationStore(annotation_file(db, None, experiment_name))
    pairs, judgements = store.pairs(), store.judgements(history=history)
    try:
        if kind == "csv":
            write_csv(out, judgements, pairs)
            click.echo(f"{out}: {len(judgements)} judgements of {len(pairs)} pairs")
        else:
            config = write_tasks(out, judgements, pairs, seed)
            click.echo(f"{out}: {len(pairs)} tasks with {len(judgements)} annotations; labelling interface: {config}")
    except OSError as error:
        raise SeamError(f"--out {out} cannot be written ({error.strerror}).") from error


@annotations.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@where_options
@click.option("--pairs", type=click.Path(path_type=Path), help="Pairs to take up first, as for `seam annotate`.")
def import_(file: Path, db: Path | None, experiment_name: str | None, pairs: Path | None) -> None:
    """Take up judgements of FILE: CSV (.csv) or Label Studio's JSON (.json).

    CSV needs id, annotator, choice (1, 2 or tie); the file must hold the pairs, from `seam annotate` or --pairs.
    """
    from ..annotation.csv_file import read_csv
    from ..annotation.label_studio import Imported, read_tasks
    from ..annotation.pairs import read_pairs
    from ..annotation.store import AnnotationStore
    from ..annotation.taking_up import matched, take_up

    if file.suffix.lower() not in (".csv", ".json"):
        raise SeamError(f"{file}: the ending {file.suffix or '(none)'} is unknown; use .csv or .json.")
    if not file.is_file():
        raise SeamError(f"{file} is not there; give a .csv or .json file.")
    store = AnnotationStore(annotation_file(db, pairs, experiment_name), make=pairs is not None)
    if pairs is not None:
        store.add_pairs(read_pairs(pairs))
    known = store.pairs()
    found = read_tasks(file, known) if file.suffix.lower() == ".json" else Imported(read_csv(file), {})
    added = take_up(store, matched(found.judgements, known, file))
    click.echo(f"{store.path}: {added} judgements added, {len(found.judgements) - added} were there")
    for reason, count in sorted(found.skipped.items()):
        click.echo(f"{count} annotations left out: {reason}")


@annotations.command("agreement")
@where_options
def agreement(db: Path | None, experiment_name: str | None) -> None:
    """Krippendorff's alpha, majorities, and where people disagree."""
    from ..annotation._judgement import to_table
    from ..annotation.store import AnnotationStore
    from ..findings.annotation_agreement import annotation_agreement

    store = AnnotationStore(annotation_file(db, None, experiment_name))
    _show(annotation_agreement(to_table(store.judgements()), [pair.id for pair in store.pairs()]))


def _show(finding: "Finding") -> None:
    from ..findings._finding import Table
    from ..report.page import format_cell

    click.echo(f"{finding.answer}\n{finding.interval}")
    for table in (Table(finding.title, finding.columns, finding.rows), *finding.more):
        cells = [table.columns, *(tuple(map(format_cell, row)) for row in table.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        click.echo(f"\n{table.caption}")
        for row in cells:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for line in (*(f"{what}: {n}" for what, n in finding.nulls.items()), *finding.caveats):
        click.echo(f"\n{line}")
