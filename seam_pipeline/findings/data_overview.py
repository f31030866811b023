"""How many posts became training data, and what was left out."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from seam_pipeline.report.charts import stacked_bars
from seam_pipeline.report.figures import Figure

from ._finding import Finding, Table
from ._format import count, number

SPLITS = ("train", "dev", "test")


def data_overview(summary: Mapping[str, Any], sft: pa.Table, preference: pa.Table, rl: pa.Table) -> Finding:
    """Rows per segment and split.

    `summary` may hold integers `questions`, `answers`, `pairs` and `skipped` ({reason: count}); what it lacks is not
    shown. Checks that no question stands in two segments or splits.
    """
    segments = {"SFT": (sft, "id"), "Preference": (preference, "question_id"), "RL": (rl, "id")}
    split_counts = {name: Counter(table.column("split").to_pylist()) for name, (table, _) in segments.items()}
    questions = {name: len(table.column(key).unique()) for name, (table, key) in segments.items()}
    shared = _shared_questions(segments)
    skipped = {str(reason): int(n) for reason, n in dict(summary.get("skipped", {})).items() if n}
    n_questions = int(summary.get("questions", sum(questions.values())))
    lost = sum(skipped.values())
    parts = [(split, [split_counts[name][split] for name in segments]) for split in SPLITS]
    labels = ["SFT (questions)", "Preference (pairs)", "RL (questions)"]
    panel = stacked_bars("data", labels, parts, x_label="rows", title="Rows per segment and split")
    answers = f" with {count(int(summary['answers']), 'answer')}" if "answers" in summary else ""
    answer = (
        f"{count(n_questions, 'question')}{answers} became {count(sft.num_rows, 'SFT row')}, "
        f"{count(preference.num_rows, 'preference pair')} and {count(rl.num_rows, 'RL row')}; "
        f"{count(lost, 'row was', 'rows were')} skipped and "
        + (
            "no question stands in two splits."
            if not shared
            else f"{count(shared, 'question stands', 'questions stand')} in more than one split, a leak."
        )
    )
    return Finding(
        key="data_overview",
        title="Data",
        question="What was the study trained and tested on?",
        answer=answer,
        figure=Figure((panel,), f"Stacked bars of rows per split. {answer}"),
        columns=("segment", *SPLITS, "rows", "questions"),
        rows=tuple(
            (name, *(split_counts[name][split] for split in SPLITS), table.num_rows, questions[name])
            for name, (table, _) in segments.items()
        ),
        n=n_questions,
        interval="Counts, no estimate.",
        paper="20,000 / 2,000 / 2,000 questions for the policy and 100,000 / 20,000 / 20,000 pairs for the reward "
        "model (section C.3).",
        caveats=()
        if not shared
        else (
            f"{count(shared, 'question')} in more than one segment or split: results on the test splits are too good.",
        ),
        nulls={f"row skipped: {reason}": n for reason, n in sorted(skipped.items(), key=lambda kv: (-kv[1], kv[0]))},
        unit="question",
        more=_lengths(sft, preference, rl),
        headline=(number(n_questions, 0), "questions"),
        numbers={"questions": n_questions, "skipped": lost, "in_two_splits": shared},
    )


def _shared_questions(segments: Mapping[str, tuple[pa.Table, str]]) -> int:
    """Questions that occur under more than one (segment, split)."""
    places: dict[str, set[tuple[str, str]]] = {}
    for name, (table, key) in segments.items():
        for identity, split in zip(table.column(key).to_pylist(), table.column("split").to_pylist(), strict=True):
            places.setdefault(identity, set()).add((name, split))
    return sum(len(where) > 1 for where in places.values())


def _lengths(sft: pa.Table, preference: pa.Table, rl: pa.Table) -> tuple[Table, ...]:
    """Median characters of the texts that models read and write."""
    texts = (
        ("SFT", "question", sft.column("instruction")),
        ("SFT", "golden answer", sft.column("golden_response")),
        ("Preference", "chosen answer", preference.column("chosen")),
        ("Preference", "rejected answer", preference.column("rejected")),
        ("RL", "question", rl.column("instruction")),
    )
    rows = []
    for segment, what, column in texts:
        lengths = sorted(len(text) for text in column.to_pylist())
        if lengths:
            rows.append((segment, what, lengths[len(lengths) // 2], lengths[-1]))
    return (Table("Length of the texts, in characters", ("segment", "text", "median", "longest"), tuple(rows)),)
