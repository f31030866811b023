"""SEAM-GPT: answers written to be worse than the golden one (SPEC section 6)."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from ..errors import SeamError
from ..experiment import LLMCandidates
from ..llm.client import ChatClient, Reply, user
from ..llm.template import fill, load_template
from ..progress import Progress, silent
from ._paragraphs import Parsed, read_answers
from ._rows import Candidate, Rows, row_seed
from ._texts import Distinct


class WorseAnswer(Protocol):
    """What a generator returns: the text and the kind of mistake in it."""

    @property
    def text(self) -> str:
        """The answer."""

    @property
    def kind(self) -> str:
        """The kind of mistake."""


Generator = Callable[[str, str, int, int], Sequence[WorseAnswer]]
"""(instruction, golden response, n, seed) to at most n distinct worse answers."""


def llm_candidates(
    rl: pa.Table,
    settings: LLMCandidates,
    n: int,
    seed: int = 0,
    *,
    worse_answers: Generator | None = None,
    cache_path: Path | None = None,
    progress: Progress = silent,
) -> pa.Table:
    """CANDIDATES for each row of `rl` (`id, instruction, golden_response`): up to n distinct worse answers.

    Generator `testbed` calls `worse_answers`; `source` is the kind of mistake. Generator `openai` asks the endpoint
    once per row and keeps the replies in `cache_path`; `source` is the model. Raises SeamError as ChatClient does.
    """
    if settings.generator == "testbed":
        if worse_answers is None:
            raise SeamError("candidates.llm.generator: testbed works on the testbed only; use openai or llm: null.")
        return _from_generator(rl, n, seed, worse_answers, progress)
    if settings.endpoint is None or cache_path is None:
        raise SeamError("candidates.llm: generator openai needs an endpoint and a place for its reply cache.")
    return _from_server(rl, settings, n, ChatClient(settings.endpoint, cache_path), settings.endpoint.model, progress)


def _from_generator(rl: pa.Table, n: int, seed: int, generate: Generator, progress: Progress) -> pa.Table:
    rows, items = Rows(), rl.select(["id", "instruction", "golden_response"]).to_pylist()
    for done, item in enumerate(items, start=1):
        golden = item["golden_response"]
        distinct, kept = Distinct([golden], near=1.0), []
        for answer in generate(item["instruction"], golden, n, row_seed(seed, item["id"])):
            if answer.text.strip() and distinct.add(answer.text):
                kept.append(Candidate(answer.text, answer.kind))
        short = None if len(kept) >= n else f"{len(kept)} of {n}: the generator knows no more worse answers"
        rows.add(item["id"], kept[:n], short, "testbed")
        progress(done, len(items))
    return rows.table()


def _from_server(
    rl: pa.Table, settings: LLMCandidates, n: int, client: ChatClient, model: str, progress: Progress
) -> pa.Table:
    fields = ("instruction", "golden_response", "n")
    template = load_template(settings.template, "seam_pipeline.candidates", "worse_answers.txt", fields)
    items = rl.select(["id", "instruction", "golden_response"]).to_pylist()
    prompts = [_prompt(template, item["instruction"], item["golden_response"], n) for item in items]
    replies = client.complete_many([user(prompt) for prompt in prompts], progress)
    rows = Rows()
    for item, reply in zip(items, replies, strict=True):
        answers, short = _kept(reply, item["golden_response"], n)
        rows.add(item["id"], [Candidate(text, model) for text in answers], short, model)
    return rows.table()


def _prompt(template: str, instruction: str, golden: str, n: int) -> str:
    fence = "=" * 8 + hashlib.sha256(f"{instruction}\x1f{golden}".encode()).hexdigest()[:8]
    return fill(template, instruction=instruction, golden_response=golden, n=str(n), fence=fence)


def _kept(reply: Reply, golden: str, n: int) -> tuple[list[str], str | None]:
    """The usable answers of a reply, and why they are fewer than n."""
    if reply.text is None:
        return [], f"0 of {n}: {reply.reason}"
    parsed: Parsed = read_answers(reply.text, golden, truncated=reply.truncated)
    if len(parsed.answers) >= n:
        return parsed.answers[:n], None
    why = "; ".join(parsed.dropped) or "the reply held no more"
    return parsed.answers, f"{len(parsed.answers)} of {n}: {why}"
