"""`seam ingest`: posts to datasets, without an experiment."""

from pathlib import Path

import click


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write.")
@click.option("--salt", default="seam", show_default=True, help="Another salt divides the questions differently.")
@click.option("--max-questions", type=click.IntRange(1), help="Read at most so many questions per path.")
def ingest(paths: tuple[str, ...], out: Path, salt: str, max_questions: int | None) -> None:
    """Turn Posts.xml, .7z, CSV, paired rows or your own rows into sft, preference and rl datasets.

    Writes sft|preference|rl/{train,dev,test}.parquet and summary.json.
    """
    from ..data import ingest as write_datasets
    from ..experiment import FileData, Splits

    settings = FileData(source="files", paths=paths, max_questions=max_questions, splits=Splits(salt=salt))
    summary = write_datasets(paths, out, settings)
    click.echo(f"{summary['questions']} questions with {summary['answers']} answers in {out}")
    for reason, count in sorted(summary["skipped"].items()):
        click.echo(f"skipped: {count} {reason}")
