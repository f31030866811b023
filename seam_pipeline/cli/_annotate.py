"""`seam annotate`: people judge pairs in the browser."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import SeamError
from ._options import Decorator, experiment_option

if TYPE_CHECKING:
    from ..annotation.pairs import Pair


def db_option(what: str) -> Decorator:
    """`--db FILE`, the annotation file."""
    return click.option("--db", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=what)


@click.command()
@click.argument("pairs", required=False, type=click.Path(path_type=Path), metavar="[PAIRS]")
@experiment_option()
@db_option("Where judgements are kept. Default: PAIRS.annotations.sqlite beside PAIRS, or the experiment's.")
@click.option("--annotator", metavar="NAME", help="Who judges; by default the page asks.")
@click.option("--seed", default=0, show_default=True, type=int, help="Of the order and of which answer stands left.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(1, 65535))
def annotate(
    pairs: Path | None, experiment_name: str | None, db: Path | None, annotator: str | None, seed: int, port: int
) -> None:  # fmt: skip
    """Judge pairs of answers blind, on a page on 127.0.0.1.

    PAIRS is a parquet or JSONL file with id, instruction, response_1, response_2; other columns go along with exports
    and are never shown. Without PAIRS, the pairs of a study (its asset preference_answers). Ctrl-C ends it; every
    choice is saved at once, and the same command goes on.
    """
    from ..annotation._judgement import clean_name
    from ..annotation._markdown import render
    from ..annotation._session import Session
    from ..annotation.pairs import Sheet
    from ..annotation.server import AnnotationServer
    from ..annotation.store import AnnotationStore

    render("")
    if annotator is not None and (annotator := clean_name(annotator)) is None:
        raise SeamError("--annotator: a name has 1 to 64 printable characters.")
    chosen = given_pairs(pairs, experiment_name)
    store = AnnotationStore(annotation_file(db, pairs, experiment_name), make=True)
    store.add_pairs(chosen)
    server = AnnotationServer(Session(store, Sheet(chosen, seed), annotator), port)
    click.echo(f"{server.url}: {len(chosen)} pairs, kept in {store.path}; Ctrl-C ends it.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo()
    finally:
        server.close()
    people = store.annotators()
    click.echo(f"{store.path}: {sum(people.values())} judged by {len(people)} people; the same command goes on.")


def given_pairs(pairs: Path | None, experiment_name: str | None) -> "list[Pair]":
    """Pairs of a file, else of the experiment. Raises SeamError when both are given, or the study has made none yet."""
    from ..annotation.pairs import pairs_of, read_pairs
    from ..defs._home import open_store
    from ..experiment import load_experiment

    if pairs is not None:
        if experiment_name is not None:
            raise SeamError("Give PAIRS or -e, not both.")
        return read_pairs(pairs)
    experiment = load_experiment(experiment_name)
    store = open_store(experiment)
    if store.record("preference_answers") is None:
        raise SeamError(
            f"{experiment.name} has no preference_answers yet; make them with "
            f"`seam run -e {experiment_name or experiment.name} --select +preference_answers`, or give a file PAIRS."
        )
    return pairs_of(store.load("preference_answers"), "preference_answers")


def annotation_file(db: Path | None, pairs: Path | None, experiment_name: str | None) -> Path:
    """`--db`, else the file beside PAIRS, else the experiment's: the one it names, or one outside its artifacts."""
    from ..defs._home import home
    from ..experiment import load_experiment

    if db is not None:
        return db
    if pairs is not None:
        return pairs.with_name(f"{pairs.stem}.annotations.sqlite")
    experiment = load_experiment(experiment_name)
    preference = experiment.findings.preference
    named = preference.annotations if preference else None
    if named is not None and not named.lower().endswith(".csv"):
        return Path(named)
    return home() / "data" / "annotations" / f"{experiment.name}.sqlite"
