"""`seam audit`: from two models and prompts to a report, in one command."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from ..progress import Progress
from ._options import device_option, form_option, models_options, pick_device, rate_option, reading_options


class _Pairs(click.ParamType):
    name = "role=name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        role, equals, name = str(value).partition("=")
        if not equals or role not in ("id", "instruction", "golden_response", "worse_response"):
            self.fail("give id=, instruction=, golden_response= or worse_response= and the column's name", param, ctx)
        return role, name


@click.command()
@models_options
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="instruction, golden_response; optionally id, worse_response (parquet or JSONL).",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    type=_Pairs(),
    metavar="ROLE=NAME",
    help="Another column's name for a role, such as instruction=prompt; may be repeated.",
)
@click.option(
    "--variant",
    "variants",
    default="contrast",
    show_default=True,
    metavar="LIST",
    help="Of contrast, llm, adversarial, with commas.",
)
@click.option(
    "--n", default=30, show_default=True, type=click.IntRange(1), help="Candidates per instruction and variant."
)
@rate_option("Share of the instructions that is filtered out.")
@form_option("Form of the score.")
@click.option(
    "--pool",
    type=click.Path(path_type=Path),
    help="More questions and answers for contrast (parquet or JSONL); the data itself is always in the pool.",
)
@click.option(
    "--band",
    nargs=2,
    type=float,
    default=(0.8, 0.9),
    show_default=True,
    metavar="LOW HIGH",
    help="Cosine similarity of contrast neighbours.",
)
@click.option(
    "--embedding",
    default="minilm",
    show_default=True,
    help="Sentence encoder of contrast and topics: minilm, a folder or a hub id.",
)
@click.option(
    "--llm-url",
    metavar="URL",
    help="OpenAI-compatible server of the llm variant; by default $OPENAI_BASE_URL, then OpenAI's.",
)
@click.option("--llm-model", metavar="NAME", help="Its model.")
@click.option(
    "--llm-key-env",
    default="OPENAI_API_KEY",
    show_default=True,
    metavar="NAME",
    help="Environment variable that holds the key.",
)
@click.option(
    "--llm-max-tokens", type=click.IntRange(1), default=2048, show_default=True, help="Longest reply, of all n answers."
)
@click.option(
    "--llm-budget",
    type=click.IntRange(1),
    metavar="TOKENS",
    help="Prompt and reply tokens that this folder's audits may use; what was not asked is null. Default: no limit.",
)
@click.option("--llm-template", type=click.Path(path_type=Path), help="Prompt template instead of the shipped one.")
@click.option(
    "--recipes",
    default="pwws",
    show_default=True,
    metavar="LIST",
    help="Attacks of the adversarial variant, with commas.",
)
@click.option(
    "--max-queries",
    default=200,
    show_default=True,
    type=click.IntRange(1),
    help="Reward-model queries per instruction and attack.",
)
@click.option(
    "--topic-column",
    metavar="NAME",
    help="Column with topics (text, list or <a><b>); by default topic, topics, tag, tags or category, else clusters.",
)
@reading_options
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of attacks, topics and intervals.")
@device_option()
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write; give it again to go on after a stop.",
)
def audit(
    policy: str, reward: str, data: Path, columns: tuple[tuple[str, str], ...], pool: Path | None, device: str,
    out: Path, **options: Any,
) -> None:  # fmt: skip
    """Is this pair of policy and reward model seamless on these prompts, and where not?

    Builds the candidate sets, scores them, selects, and writes report.html, summary.json and per variant the
    candidates, scores and the filtered dataset. Stopped, it goes on where it stood.
    """
    from ..audit.run import run_audit
    from ..models._compat import quiet as without_bars
    from ._run import quiet

    quiet()
    settings = _settings(options)
    with without_bars():
        where, names = pick_device(device), dict(columns)
        summary = run_audit(policy, reward, data, out, settings, pool=pool, columns=names, device=where, watch=Lines())
    for variant, found in summary["variants"].items():
        unscored = found["instructions"] - found["instructions_scored"]
        click.echo(
            f"{variant}: {found['instructions_fooled']} of {found['instructions_scored']} scored instructions have a "
            f"misjudged candidate; {unscored} have no score; {out / found['filtered']} keeps {found['kept']}"
        )
    if usage := summary["llm_usage"]:
        click.echo(
            f"llm: {usage['llm_rows']} replies, {usage['llm_cached']} known before; {usage['llm_requests']} requests, "
            f"{usage['llm_prompt_tokens']} prompt and {usage['llm_completion_tokens']} reply tokens; "
            f"failures: {usage['llm_failures']}"
        )
    click.echo(summary["findings"]["fit"]["answer"])
    click.echo(f"Report: {out / 'report.html'}")


def _settings(options: dict[str, Any]) -> Any:
    """The command line as AuditSettings; a value that does not fit is a usage error."""
    from pydantic import ValidationError

    from ..audit.settings import AuditSettings

    endpoint = {
        "base_url": options["llm_url"],
        "model": options["llm_model"],
        "api_key_env": options["llm_key_env"],
        "max_tokens": options["llm_max_tokens"],
        "max_tokens_total": options["llm_budget"],
    }
    template = options["llm_template"]
    llm = {"generator": "openai", "endpoint": endpoint, "template": None if template is None else str(template)}
    low, high = options["band"]
    try:
        return AuditSettings.model_validate(
            {
                "variants": _listed(options["variants"]),
                **{name: options[name] for name in ("n", "rate", "form", "seed", "load_in", "topic_column")},
                "contrast": {"embedding": options["embedding"], "low": low, "high": high},
                "llm": llm if options["llm_model"] else None,
                "adversarial": {"recipes": _listed(options["recipes"]), "max_queries": options["max_queries"]},
                "scoring": {
                    name: options[name] for name in ("max_prompt_tokens", "max_response_tokens", "tokens_per_batch")
                },
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        flags = {"variants": "--variant", "adversarial": "--recipes", "contrast": "--band"}
        raise click.UsageError(f"{flags.get(str(first['loc'][0]), first['loc'][0])}: {first['msg']}") from error


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


class Lines:
    """One line per stage; on a terminal the current one is rewritten, in a log a step is shown every ten seconds."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.started = self.last = 0.0

    def begin(self, stage: str) -> Progress:
        """Start the clock."""
        self.started = self.last = time.monotonic()

        def step(done: int, total: int) -> None:
            now = time.monotonic()
            if now - self.last < (0.5 if self.live else 10):
                return
            self.last = now
            click.echo(f"\r\x1b[2K{stage} {done}/{total}" if self.live else f"{stage} {done}/{total}", nl=not self.live)

        return step

    def end(self, stage: str, reused: bool) -> None:
        """The stage's line."""
        took = "kept from before" if reused else f"{time.monotonic() - self.started:.1f} s"
        click.echo(f"{chr(13)}\x1b[2K{stage}: {took}" if self.live else f"{stage}: {took}")
