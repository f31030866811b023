"""SEAM-GPT: answers written to be worse than the golden one (SPEC section 6)."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from ..errors import SeamError
from ..experiment import LLMCandidates
from ..llm.client import ChatClient, Reply, user
from ..llm.template import fill, load_template
from ..llm.usage import Usage
from ..progress import Progress, silent
from ._paragraphs import read_answers
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


PURPOSE = "candidates"
"""The account that their requests are booked to."""
TEMPLATE = "worse_answers.txt"
"""The shipped prompt; a user's own file must contain the same three fields."""
_FIELDS = ("instruction", "golden_response", "n")

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
    used: Callable[[Usage], None] = lambda usage: None,
) -> pa.Table:
    """CANDIDATES for each row of `rl` (`id, instruction, golden_response`): up to n distinct worse answers.

    Generator `testbed` calls `worse_answers`; `source` is the kind of mistake. Generator `openai` asks the endpoint for
    n answers in `settings.calls` requests per row, each for its share, and again up to `settings.max_calls` while a row
    has fewer than n distinct ones; replies are kept in `cache_path`, `source` is the model, and `used` is told what it
    cost, also when it fails. A short set's last row says why. Raises SeamError as ChatClient does.
    """
    if settings.generator == "testbed":
        if worse_answers is None:
            raise SeamError("candidates.llm.generator: testbed works on the testbed only; use openai or llm: null.")
        return _from_generator(rl, n, seed, worse_answers, progress)
    if settings.endpoint is None or cache_path is None:
        raise SeamError("candidates.llm: generator openai needs an endpoint and a place for its reply cache.")
    client = ChatClient(settings.endpoint, cache_path, PURPOSE)
    try:
        return _from_server(rl, settings, n, client, settings.endpoint.model, progress)
    finally:
        used(client.usage)


def read_template(settings: LLMCandidates) -> str:
    """The user's prompt template, or the shipped one. Raises SeamError for one that can't be used."""
    return load_template(settings.template, "seam_pipeline.candidates", TEMPLATE, _FIELDS)


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
    template = read_template(settings)
    items = rl.select(["id", "instruction", "golden_response"]).to_pylist()
    per_call = ceil(n / settings.calls)
    prompts = [_prompt(template, item["instruction"], item["golden_response"], per_call) for item in items]
    replies: list[list[Reply]] = [[] for _ in items]
    kept: list[tuple[list[str], str | None]] = [([], None) for _ in items]
    wanted = dict.fromkeys(range(len(items)), settings.calls)
    while wanted:
        asked = [(row, len(replies[row]) + call) for row, calls in wanted.items() for call in range(calls)]
        got = client.complete_many([user(prompts[row], sample) for row, sample in asked], progress)
        for (row, _), reply in zip(asked, got, strict=True):
            replies[row].append(reply)
        for row in wanted:
            kept[row] = _kept(replies[row], items[row]["golden_response"], n)
        missing = {row: n - len(kept[row][0]) for row in wanted if not replies[row][-1].over_budget}
        more = {row: min(ceil(m / per_call), settings.most_calls - len(replies[row])) for row, m in missing.items()}
        wanted = {row: calls for row, calls in more.items() if calls > 0}
    rows = Rows()
    for item, (answers, short) in zip(items, kept, strict=True):
        rows.add(item["id"], [Candidate(text, model) for text in answers], short, model)
    return rows.table()


def _prompt(template: str, instruction: str, golden: str, n: int) -> str:
    fence = "=" * 8 + hashlib.sha256(f"{instruction}\x1f{golden}".encode()).hexdigest()[:8]
    return fill(template, instruction=instruction, golden_response=golden, n=str(n), fence=fence)


def _kept(replies: Sequence[Reply], golden: str, n: int) -> tuple[list[str], str | None]:
    """The usable answers of an instruction's replies, and why they are fewer than n."""
    distinct, answers = Distinct([golden], near=1.0), []
    why: Counter[str] = Counter()
    for reply in replies:
        if reply.text is None:
            why[str(reply.reason)] += 1
            continue
        parsed = read_answers(reply.text, distinct, truncated=reply.truncated)
        answers += parsed.answers
        why.update(parsed.dropped or ["the reply held no more"])
    if len(answers) >= n:
        return answers[:n], None
    calls = f" from {len(replies)} calls" if len(replies) > 1 else ""
    said = "; ".join(text if count == 1 else f"{text} ({count} times)" for text, count in why.items())
    return answers, f"{len(answers)} of {n}{calls}: {said}"
