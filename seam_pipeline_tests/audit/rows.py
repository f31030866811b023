"""Small prompts and hand-made tables for the audit's tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seam_pipeline.audit._evidence import Evidence
from seam_pipeline.scoring.seam import seam_scores
from seam_pipeline.selection import select
from seam_pipeline.tables import CANDIDATES, LIKELIHOODS, REWARDS

TOPICS = ("ale", "stout", "ale", "hops", "stout", "ale")
QUESTIONS = (
    "How do I brew a pale ale at home?",
    "How do I brew a dark stout at home?",
    "How can I brew a pale ale in my kitchen?",
    "Which hops suit a bitter beer?",
    "How do I brew a dry stout at home?",
    "How do I brew a brown ale at home?",
)
ANSWERS = (
    "Boil the wort, add the hops, cool it and pitch the yeast.",
    "Use roasted barley and a long boil.",
    "A large pot is enough; mash the malt, boil, cool and ferment.",
    "Try a variety with much alpha acid.",
    "Roasted barley again, but let the yeast finish.",
    "Add some crystal malt to the pale one.",
)
WORSE = ("Just buy it.", "Add sugar and wait a day.", None, "Any hops at all.", "Wait a day.", "Paint it brown.")


def prompts(**changes: Any) -> list[dict[str, Any]]:
    """Six questions with golden and worse responses; `changes` are further columns, by row."""
    rows = [
        {"id": f"q{n}", "instruction": q, "golden_response": a, "worse_response": w, "topic": t}
        for n, (q, a, w, t) in enumerate(zip(QUESTIONS, ANSWERS, WORSE, TOPICS, strict=True))
    ]
    return [{**row, **{name: values[n] for name, values in changes.items()}} for n, row in enumerate(rows)]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """One object per line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def evidence_of(
    cells: dict[str, list[tuple[str, float, float, float]]],
    *,
    golden: str = "one two three",
    variant: str = "contrast",
    form: str = "log",
    worse: bool = True,
) -> Evidence:
    """By id the candidates (text, log-likelihood per token, reward, golden reward); two tokens each."""
    ids = list(cells)
    rows = pa.table({"id": ids, "instruction": [f"why {i}?" for i in ids], "golden_response": [golden] * len(ids),
                     "worse_response": pa.array(["bad" if worse else None] * len(ids), pa.string())})  # fmt: skip
    sets, likelihoods, rewards = [], [], []
    for id_, found in cells.items():
        rewards.append({"id": id_, "candidate_index": -1, "reward": found[0][3] if found else 0.0, "reason": None})
        for n, (text, per_token, reward, _) in enumerate(found):
            key = {"id": id_, "candidate_index": n}
            sets.append({**key, "candidate": text, "source": "s", "similarity": None, "reason": None})
            likelihoods.append({**key, "loglik": 2 * per_token, "n_tokens": 2, "prompt_cut": 0, "truncated": False})
            rewards.append({**key, "reward": reward, "reason": None})
    candidates = pa.Table.from_pylist(sets, schema=CANDIDATES)
    loglik, reward = (
        pa.Table.from_pylist(likelihoods, schema=LIKELIHOODS),
        pa.Table.from_pylist(rewards, schema=REWARDS),
    )
    found = seam_scores(loglik, reward, ids, candidates)
    selected = select("seam_contrast", rows, 0.2, seam_scores=found.scores)
    return Evidence.of(variant, rows, candidates, found, selected, form)  # type: ignore[arg-type]


def simulated(seed: int, n: int, c: int, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, x, y) of n instructions with c candidates each; y = effect * x + noise, shifted per instruction."""
    rng = np.random.default_rng(seed)
    row = np.repeat(np.arange(n), c)
    x = rng.normal(size=n * c)
    return row, x, effect * x + rng.normal(size=n * c) + np.repeat(rng.normal(size=n), c)
