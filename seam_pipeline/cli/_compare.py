"""`seam compare`: results side by side, and the instructions behind them."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SeamError
from ._options import form_option, rate_option

if TYPE_CHECKING:
    from ..audit.compare import Comparison, Result

MOST_LINES = 40


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[DIR]...")
@click.option(
    "-e",
    "--experiment",
    "experiment_name",
    metavar="NAME|PATH",
    help="Also what a study has made: its scores and selections.",
)
@click.option(
    "--cell",
    "cells",
    multiple=True,
    metavar="PM:RM",
    help="Of the study only these pairs of ranks, such as 1:3; by default the diagonal.",
)
@rate_option("Share of the lowest sets.")
@form_option("Form that results are compared under; a result's forms are compared with each other too.")
@click.option(
    "--show",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="The N lowest instructions of each result as text.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write comparison.json, comparison.parquet, likelihoods.parquet and, with --show, shown.jsonl.",
)
def compare(
    paths: tuple[Path, ...], experiment_name: str | None, cells: tuple[str, ...], rate: float, form: str,
    show: int, out: Path | None,
) -> None:  # fmt: skip
    """Do methods, forms, variants and pairs of models agree on the bad instructions?

    DIR is an output folder of `seam score`, `seam audit` or `seam select`, or a parquet or JSONL file with id and
    score.
    """
    from ..audit._results import read_results
    from ..audit.compare import FORMS, compare_scores, likelihood_rows, shown_rows

    if cells and experiment_name is None:
        raise click.UsageError("--cell chooses pairs of a study; give the study with -e.")
    results = read_results(list(paths))
    if experiment_name is not None:
        results += study_results(experiment_name, [_cell(cell) for cell in cells])
    if not results:
        raise SeamError("Nothing to compare; give folders of `seam score`, `seam audit` or `seam select`, or -e NAME.")
    pairs = compare_scores(results, rate, [form, *(other for other in FORMS if other != form)])
    likelihoods = list(likelihood_rows(results))
    shown = list(shown_rows(results, show, form))
    for line in _lines(results, pairs, likelihoods, rate, form):
        click.echo(line)
    for row in shown:
        click.echo(_text(row))
    if out is not None:
        _write(out, results, pairs, likelihoods, shown, rate)


def _cell(text: str) -> tuple[int, int]:
    pm, _, rm = text.partition(":")
    if not (pm.isdigit() and rm.isdigit()):
        raise click.UsageError(f"--cell {text}: give two ranks, such as 1:3.")
    return int(pm), int(rm)


def study_results(name: str, cells: Sequence[tuple[int, int]]) -> "list[Result]":
    """Scores and selections of a study's store, for the given cells or the diagonal.

    Raises SeamError when the store has none of them.
    """
    from ..audit.compare import Result
    from ..defs._home import open_store
    from ..experiment import load_experiment
    from ..findings._names import cell_name, method_name, variant_name

    experiment = load_experiment(name)
    store = open_store(experiment)
    wanted = list(cells) or [(pm, rm) for pm, rm in experiment.all_cells if pm == rm]
    rows = store.load("rl_data") if store.record("rl_data") else None
    found = []
    for pm, rm in wanted:
        partition, place = f"pm{pm:02d}|rm{rm:02d}", cell_name((pm, rm))
        for variant in experiment.candidates.variants:
            if store.record(f"seam_scores_{variant}", partition) is None:
                continue
            tables = store.load(f"seam_scores_{variant}", partition)
            own = f"rm{rm:02d}" if variant == "adversarial" else None
            candidates = store.load(f"{variant}_candidates", own)
            label = f"{variant_name(variant)} {place}"
            found.append(
                Result.of_tables(
                    label,
                    tables["scores"],
                    tables["candidate_scores"],
                    candidates,
                    rows,
                    variant=variant,
                    cell=(pm, rm),
                )
            )
        for method in (m for m in experiment.methods if not m.startswith("seam_") and m != "full"):
            if store.record(f"selected_{method}", partition) is not None:
                table = store.load(f"selected_{method}", partition)
                if table["score"].null_count < table.num_rows:
                    found.append(Result.of_tables(f"{method_name(method)} {place}", table, rows=rows, cell=(pm, rm)))
    if not found:
        raise SeamError(f"{experiment.name} has no scores yet for these pairs; run `seam run -e {name}` first.")
    return found


def _lines(
    results: "Sequence[Result]",
    pairs: "Sequence[Comparison]",
    likelihoods: list[dict[str, Any]],
    rate: float,
    form: str,
) -> list[str]:
    from ..findings._format import number

    lines = [f"{one.name}: {len(one.scores[one.form(form)])} of {one.n_rows} instructions scored" for one in results]
    if likelihoods:
        lines += ["", "Likelihood of the candidates (nats per token, mean over candidates) and share misjudged"]
        lines += _columns(
            [("", "nats/token", "95% CI", "candidates", "misjudged")]
            + [
                (row["name"], number(row["nats_per_token"]), f"{number(row['low'])} to {number(row['high'])}",
                 f"{row['candidates']:,}", number(row["misjudged"], 0, percent=True))
                for row in likelihoods
            ]
        )  # fmt: skip
    between = [p for p in pairs if p.a != p.b and form in (p.form_a, p.form_b, "score")]
    within = [p for p in pairs if p.a == p.b and form in (p.form_a, p.form_b)]
    for title, some, labels in (
        (f"Between results, form {form}", between, [(p.a, p.b) for p in between]),
        (f"Form {form} with the others", within, [(f"{p.a}: {p.form_a}", p.form_b) for p in within]),
    ):
        if some:
            head = ("", "", "Spearman", "95% CI", "Kendall", f"lowest {rate:.0%} shared", "95% CI", "instructions")
            rows = [
                (a, b, number(p.spearman.value), p.spearman.range_text(), number(p.kendall),
                 number(p.overlap.value, 0, percent=True), p.overlap.range_text(0, percent=True), str(p.n))
                for (a, b), p in zip(labels, some, strict=True)
            ]  # fmt: skip
            more = [f"... and {len(rows) - MOST_LINES} more; --out has all"] if len(rows) > MOST_LINES else []
            lines += ["", title, *_columns([head, *rows[:MOST_LINES]]), *more]
    return [*lines, "", f"Unrelated sets share {rate:.0%}."]


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _text(row: dict[str, Any]) -> str:
    from ..findings._format import number, shorten

    score = f"{row['score']:.3g}".replace("-", "−")
    lines = ["", f"{row['name']}, score {score} (id {row['id']})"]
    if row["instruction"] is not None:
        lines += [f"  instruction: {shorten(row['instruction'])}"]
        reward = "" if row["golden_reward"] is None else f", reward {number(row['golden_reward'])}"
        lines += [f"  golden response{reward}: {shorten(row['golden_response'])}"]
    if row["candidates"] == []:
        lines.append("  the reward model prefers no candidate")
    for one in row["candidates"] or ():
        text = "(text not at hand)" if one["candidate"] is None else shorten(one["candidate"])
        lines.append(
            f"  candidate {one['candidate_index']}, reward {number(one['reward'])}, "
            f"{number(one['nats_per_token'])} nats per token: {text}"
        )
    return "\n".join(lines)


def _write(
    out: Path, results: "Sequence[Result]", pairs: "Sequence[Comparison]", likelihoods: list[dict[str, Any]],
    shown: list[dict[str, Any]], rate: float,
) -> None:  # fmt: skip
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ..scoring.own import usable_folder
    from ..wholefile import write_whole

    folder = usable_folder(out)
    rows = [pair.row() for pair in pairs]
    scored = {one.name: {form: len(values) for form, values in one.scores.items()} for one in results}
    summary = {"rate": rate, "scored": scored, "comparisons": rows, "likelihoods": likelihoods}
    text = json.dumps(summary, indent=2) + "\n"
    write_whole(folder / "comparison.json", lambda path: path.write_text(text, "utf-8"))
    pq_rows = (("comparison", rows), ("likelihoods", likelihoods))
    for name, table in ((name, pa.Table.from_pylist(part)) for name, part in pq_rows if part):
        write_whole(folder / f"{name}.parquet", partial(pq.write_table, table))
    if shown:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in shown)
        write_whole(folder / "shown.jsonl", lambda path: path.write_text(lines, "utf-8"))
    click.echo(f"Written: {folder}")
