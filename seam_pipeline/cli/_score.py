"""`seam score`: bring your own policy, reward model, prompts and candidates."""

from pathlib import Path

import click

from ._options import device_option, models_options, pick_device, reading_options


@click.command()
@models_options
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="id, instruction, golden_response (parquet or JSONL).",
)
@click.option(
    "--candidates",
    required=True,
    type=click.Path(path_type=Path),
    help="id, candidate_index, candidate (parquet or JSONL).",
)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write.")
@reading_options
@device_option()
def score(
    policy: str,
    reward: str,
    data: Path,
    candidates: Path,
    out: Path,
    max_prompt_tokens: int | None,
    max_response_tokens: int | None,
    tokens_per_batch: int,
    load_in: str | None,
    device: str,
) -> None:
    """SEAM of every instruction: where this reward model prefers worse answers that this policy would write.

    Writes scores.parquet, candidate_scores.parquet and summary.json. Low (very negative) scores are the seams.
    """
    from ..experiment import Scoring
    from ..scoring.own import score_own
    from ._run import quiet

    quiet()
    settings = Scoring(
        max_prompt_tokens=max_prompt_tokens, max_response_tokens=max_response_tokens, tokens_per_batch=tokens_per_batch
    )
    summary = score_own(policy, reward, data, candidates, out, settings, pick_device(device), load_in=load_in)
    unscored = summary["instructions"] - summary["instructions_scored"]
    click.echo(f"{out / 'scores.parquet'}: {summary['instructions']} instructions, {unscored} without a score")
    click.echo(
        f"{out / 'candidate_scores.parquet'}: {summary['candidates']} candidates, "
        f"{summary['candidates_scored']} scored, {summary['misjudged']} preferred to the golden response"
    )
