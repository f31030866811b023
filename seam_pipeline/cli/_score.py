"""`seam score`: bring your own policy, reward model, prompts and candidates."""

from pathlib import Path

import click

from ._options import device_option, pick_device


@click.command()
@click.option(
    "--policy", required=True, metavar="DIR|ID", help="HF folder, PEFT adapter, model folder of a study, or hub id."
)
@click.option("--reward", required=True, metavar="DIR|ID", help="The same, with one reward label.")
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
@click.option("--max-prompt-tokens", type=click.IntRange(1), help="Cut longer prompts from the left. Default: no cut.")
@click.option("--max-response-tokens", type=click.IntRange(1), help="Cut longer responses. Default: no cut.")
@click.option(
    "--tokens-per-batch", type=click.IntRange(64), default=8192, show_default=True, help="Speed and memory only."
)
@click.option(
    "--load-in",
    type=click.Choice(["float32", "bfloat16", "float16", "8bit", "4bit"]),
    help="Precision of both models; 8bit and 4bit need bitsandbytes. Default: the checkpoints' own.",
)
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
