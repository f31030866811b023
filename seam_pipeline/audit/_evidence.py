"""One variant's scores as arrays: what the sections of the report are computed from."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..experiment import Form
from ..findings._statistics import Interval, wilson
from ..scoring.seam import SeamTables

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Evidence:
    """Arrays over the c candidates that took part, and over the n instructions in the prompts' order.

    `row` [c] is each candidate's instruction, `per_token` its log-likelihood per token in nats, `margin` its reward
    minus the golden one's (above 0 = misjudged), `longer` its words minus the golden response's.
    `score` [n] is SEAM in the audit's form, NaN where null; `n_used` [n] counts candidates.
    """

    variant: str
    form: Form
    rows: pa.Table
    scores: pa.Table
    parts: pa.Table
    selected: pa.Table
    texts: list[str]
    index: Places
    row: Places
    per_token: Floats
    reward: Floats
    golden: Floats
    longer: Floats
    score: Floats
    n_used: Places

    @classmethod
    def of(
        cls, variant: str, rows: pa.Table, candidates: pa.Table, found: SeamTables, selected: pa.Table, form: Form
    ) -> "Evidence":
        """Join the tables of one variant."""
        place = {id_: number for number, id_ in enumerate(rows["id"].to_pylist())}
        words = [_words(text) for text in rows["golden_response"].to_pylist()]
        texts = {
            (id_, index): text
            for id_, index, text in zip(*(candidates[name].to_pylist() for name in _KEYS), strict=True)
        }
        used = [part for part in found.candidate_scores.to_pylist() if part["reason"] is None]
        row = np.array([place[part["id"]] for part in used], np.intp)
        own = [texts[part["id"], part["candidate_index"]] or "" for part in used]
        score = found.scores[f"seam_{form}"].to_numpy().astype(np.float64)
        return cls(
            variant=variant,
            form=form,
            rows=rows,
            scores=found.scores,
            parts=found.candidate_scores,
            selected=selected,
            texts=own,
            index=np.array([part["candidate_index"] for part in used], np.intp),
            row=row,
            per_token=np.array([part["loglik"] / part["n_tokens"] for part in used], np.float64),
            reward=np.array([part["reward"] for part in used], np.float64),
            golden=np.array([part["golden_reward"] for part in used], np.float64),
            longer=np.array([_words(text) - words[r] for text, r in zip(own, row, strict=True)], np.float64),
            score=score,
            n_used=np.bincount(row, minlength=rows.num_rows),
        )

    @property
    def margin(self) -> Floats:
        """Reward minus golden reward [c]."""
        return self.reward - self.golden

    @property
    def misjudged(self) -> Flags:
        """Whether the reward model prefers the candidate [c]."""
        return self.margin > 0

    @property
    def scored(self) -> Flags:
        """Whether the instruction has a score [n]."""
        return np.isfinite(self.score)

    @property
    def wrong(self) -> Places:
        """Misjudged candidates per instruction [n]."""
        return np.bincount(self.row, weights=self.misjudged, minlength=len(self.score)).astype(np.intp)

    @property
    def fooled(self) -> Flags:
        """Whether the reward model prefers any of the instruction's candidates [n]."""
        return self.wrong > 0

    @property
    def attacked(self) -> Flags:
        """Whether there is a worse response for attacks to start from [n]."""
        return np.array([bool(text and text.strip()) for text in self.rows["worse_response"].to_pylist()], np.bool_)

    def part(self) -> Floats:
        """Each candidate's term of the sum under the form [c]; low = worse."""
        eps = np.maximum(self.margin, 0.0)
        return self.per_token * eps if self.form.endswith("log") else 0.0 - np.exp(self.per_token) * eps

    def golden_spread(self) -> float | None:
        """Standard deviation of the golden responses' rewards over the instructions, a unit for margins."""
        _, first = np.unique(self.row, return_index=True)
        spread = float(self.golden[first].std()) if len(first) > 1 else 0.0
        return spread or None


def never_certain(share: Interval) -> Interval:
    """A bootstrapped share; Wilson's interval where all units have rate 0, or all 1, of which resamples are equal."""
    return wilson(round(share.value * share.n), share.n) if share.value in (0.0, 1.0) else share


_KEYS = ("id", "candidate_index", "candidate")


def _words(text: str) -> int:
    return len(text.split())
