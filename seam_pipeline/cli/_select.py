"""`seam select`: from scores to the instructions that stay."""

from pathlib import Path
from typing import get_args

import click

from ..experiment import MATCHED, VARIANT_OF_METHOD, Form, Method
from ._options import form_option, rate_option

_OF_A_STUDY = (*VARIANT_OF_METHOD, *MATCHED, "full")
METHODS = ("seam", *(m for m in get_args(Method) if m not in _OF_A_STUDY), *VARIANT_OF_METHOD)


@click.command()
@click.option(
    "--scores",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR|FILE",
    help="Output folder of `seam score`, or parquet or JSONL with id and the method's columns.",
)
@click.option("--method", required=True, type=click.Choice(METHODS), help="What the lowest scores are of.")
@rate_option("Share of the instructions that is filtered out.")
@form_option("Form of SEAM.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Dataset to filter (parquet or JSONL), with the same ids."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR|FILE",
    help="Folder, or the file of the filtered dataset (of the selection without --data).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of random.")
@click.option(
    "--beta",
    type=click.FloatRange(0, min_open=True),
    default=0.1,
    show_default=True,
    help="Beta of margin_gap's implicit reward.",
)
def select(
    scores: Path, method: str, rate: float, form: Form, data: Path | None, out: Path, seed: int, beta: float
) -> None:
    """Filter out the instructions with the lowest scores.

    Columns that a method needs beside id: seam: seam_FORM; perplexity: perplexity; reward: golden_reward (or
    candidate_scores.parquet); length: golden_response (or --data); reward_variance, pre_ppo, pf_ppo: sample_rewards,
    a list; margin_gap: golden_reward, worse_reward, and {policy,base}_{golden,worse}_loglik; random: none.

    Writes the selection (id, kept, score, reason), the kept rows of --data as they are, and a summary. Rows without a
    finite score are kept and counted; ties are decided by a hash of the id.
    """
    from ..selection.own import select_own

    done = select_own(scores, method, rate, out, form=form, data=data, seed=seed, beta=beta)
    files = done["files"]
    click.echo(
        f"{files['selection']}: {done['instructions']} instructions, {done['filtered']} filtered out by {method}, "
        f"{done['without_score']} kept without a score"
    )
    if "filtered" in files:
        click.echo(f"{files['filtered']}: {done['kept']} rows kept of {data}")
    if done["filtered"] < done["wanted"]:
        click.echo(f"{done['wanted']} should have been filtered, but no more have a score.")
    if done["filtered_by_tie"]:
        click.echo(
            f"{done['filtered_by_tie']} of the filtered have the same score as some that stay "
            f"({done['lowest_kept_score']:g}): a hash of the id decided."
        )
