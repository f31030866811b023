"""Does RL raise the learned reward, and what becomes of KL, length and true quality meanwhile?"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seam_pipeline.report.charts import NARROW, Curve, curves
from seam_pipeline.report.figures import Figure, Panel

from ._finding import Finding, Row
from ._format import count, number
from ._names import in_order, method_name, style_of
from ._statistics import mean_interval, wilson

Run = tuple[str, int, int, int]
BINS = 30


class _Learning(NamedTuple):
    """One run: step, reward, KL and length per step (finite rows), quarter means, rows left out."""

    steps: np.ndarray
    values: dict[str, np.ndarray]
    first: float
    last: float
    bad: int


def ppo_learning(metrics: Mapping[Run, pa.Table]) -> Finding:
    """Learned reward, KL, response length and, where known, true quality over RL's steps, from METRICS tables by run.

    A run, (method, pm, rm, seed), counts as risen when the mean `reward_mean` of its last quarter of steps exceeds that
    of its first quarter; as hacked when the true quality of the same answers (`gold_mean`) fell meanwhile.
    """
    runs = {
        key: _read(metrics[key])
        for key in sorted(metrics, key=lambda k: (in_order({m for m, *_ in metrics}).index(k[0]), k[1:]))
    }
    rises = {key: run.last - run.first for key, run in runs.items()}
    risen = sum(rise > 0 for rise in rises.values())
    share, mean_rise = wilson(risen, len(runs)), mean_interval(list(rises.values()))
    gold = {key: change for key, run in runs.items() if (change := _change(run, "gold_mean")) is not None}
    hacked = sum(rises[key] > 0 > change for key, change in gold.items())
    panels = (
        _panel(runs, "reward_mean", "ppo-reward", "Learned reward", "change since the first steps", True),
        _panel(runs, "kl", "ppo-kl", "Distance from the SFT policy", "KL (nats)", False),
        _panel(runs, "response_length", "ppo-length", "Response length", "tokens", False),
        _panel(runs, "gold_mean", "ppo-gold", "True quality of the answers", "change since the first steps", True),
    )
    verb = f"all {count(len(runs), 'run')}" if risen == len(runs) else f"{risen} of {count(len(runs), 'run')}"
    answer = (
        f"The learned reward rose from the first to the last quarter of the steps in {verb}"
        f", by {number(mean_rise.value, signed=True)} on average."
    )
    if gold:
        mean_gold = mean_interval(list(gold.values()))
        answer += (
            f" The true quality of the same answers moved by {number(mean_gold.value, signed=True)}; in {hacked} of "
            f"{count(len(gold), 'run')} the reward rose while it fell."
        )
    bad = sum(run.bad for run in runs.values())
    return Finding(
        key="ppo_learning",
        title="RL training",
        question="Does PPO raise the reward that it is given?",
        answer=answer,
        figure=Figure(
            tuple(p for p in panels if p is not None),
            f"Lines over PPO steps. {answer}",
            "Thin lines are single runs (one per method, cell and seed), thick lines the mean of each "
            "method's runs. In the table, KL and length are means of the last quarter.",
        ),
        columns=("method", "PM", "RM", "seed", "steps", "first quarter", "last quarter", "rise", "KL", "length",
                 "true quality"),
        rows=tuple(_row(key, run) for key, run in runs.items()),
        n=len(runs),
        interval=f"Runs that rose: {share.text(0, percent=True)}, Wilson; mean rise {mean_rise.text(signed=True)}, "
        "bootstrap over runs.",
        paper="Not reported; PPO of StackLLaMA's settings.",
        caveats=(
            "Each reward model has its own scale: rises are comparable within one reward model only.",
            "A higher learned reward is not a better answer; the judge's ratings below are.",
            *(("True quality is of the sampled answers that RL trained on, not of test questions.",) if gold else ()),
            "Runs that share a policy or a reward model are not independent.",
        ),
        nulls={"training step without a finite reward": bad} if bad else {},
        unit="run",
        headline=(f"{risen} of {len(runs)}", "PPO runs raised the learned reward"),
        numbers={"risen": risen, "runs": len(runs), "mean_rise": mean_rise.value, "hacked": hacked if gold else None},
    )  # fmt: skip


def _read(table: pa.Table) -> _Learning:
    steps = table.column("step").to_numpy().astype(np.float64)
    values = {
        name: np.array([np.nan if v is None else v for v in table.column(name).to_pylist()], dtype=np.float64)
        for name in ("reward_mean", "kl", "response_length", "gold_mean")
        if name in table.column_names
    }
    finite = np.isfinite(values["reward_mean"])
    values = {name: column[finite] for name, column in values.items()}
    reward = values["reward_mean"]
    quarter = max(1, len(reward) // 4)
    first, last = (float(reward[:quarter].mean()), float(reward[-quarter:].mean())) if len(reward) else (np.nan, np.nan)
    return _Learning(steps[finite], values, first, last, int((~finite).sum()))


def _row(key: Run, run: _Learning) -> Row:
    method, pm, rm, seed = key
    quarter = max(1, len(run.steps) // 4)
    ends = [
        float(run.values[name][-quarter:].mean()) if name in run.values and len(run.steps) else None
        for name in ("kl", "response_length")
    ]
    rise = run.last - run.first
    known = np.isfinite(rise)
    reward = (run.first, run.last, number(rise, signed=True)) if known else (None, None, None)
    gold = _change(run, "gold_mean")
    return (
        method_name(method),
        pm,
        rm,
        seed,
        len(run.steps),
        *reward,
        *ends,
        None if gold is None else number(gold, signed=True),
    )


def _change(run: _Learning, column: str) -> float | None:
    """Mean of the last quarter of the steps less that of the first; None where the column is not there."""
    values = run.values.get(column, np.empty(0))
    values = values[np.isfinite(values)]
    quarter = max(1, len(values) // 4)
    return float(values[-quarter:].mean() - values[:quarter].mean()) if len(values) else None


def _binned(x: np.ndarray, y: np.ndarray) -> tuple[list[float], list[float]]:
    """Window means: at most BINS points, so that the figure stays small and the trend shows."""
    pieces = min(BINS, len(x))
    parts = [
        (px.mean(), py.mean()) for px, py in zip(np.array_split(x, pieces), np.array_split(y, pieces), strict=True)
    ]
    return [float(a) for a, _ in parts], [float(b) for _, b in parts]


def _panel(runs: Mapping[Run, _Learning], column: str, name: str, title: str, label: str, change: bool) -> Panel | None:
    lines: list[Curve] = []
    grouped: dict[str, list[tuple[list[float], list[float]]]] = {}
    for (method, *_), run in runs.items():
        if column not in run.values or not len(run.steps):
            continue
        x, y = _binned(run.steps, run.values[column])
        y = [value - y[0] for value in y] if change else y
        lines.append(Curve("", x, y, style_of(method), faint=True))
        grouped.setdefault(method, []).append((x, y))
    for method, members in grouped.items():
        points = min(len(x) for x, _ in members)
        x = members[0][0][:points]
        mean = np.mean([y[:points] for _, y in members], axis=0)
        lines.append(Curve(method_name(method), x, [float(v) for v in mean], style_of(method)))
    if not lines:
        return None
    return curves(
        name, lines, x_label="PPO step", y_label=label, title=title, level=0.0 if change else None, size=NARROW
    )
