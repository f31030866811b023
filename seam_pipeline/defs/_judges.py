"""On the testbed: do the judges agree with the gold rating of the same answers?"""

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from .. import tables
from ..experiment import Experiment, TestbedData
from ._checks import finite
from ._finding_node import by_pm, finding_node
from ._node import Inputs, Node, Step
from ._shapes import QUALITY, judging

if TYPE_CHECKING:
    from ..findings import Finding

RATINGS = "judge_ratings"


def agreement_nodes(experiment: Experiment) -> list[Node]:
    """The policies' answers rated by each judge, and the finding; nothing off the testbed."""
    if not isinstance(experiment.data, TestbedData):
        return []
    ratings = Node(
        RATINGS,
        QUALITY,
        "One row per policy, test question and judge: the same answers, rated by gold, the proxy and an LLM judge.",
        _ratings,
        deps=("policy_quality",),
        settings=judging,
        schema=tables.JUDGE_RATINGS,
        checks=(finite("rating"),),
        heavy=True,
    )
    return [ratings, finding_node("judge_agreement", _agreement, (RATINGS,))]


def _ratings(step: Step, inputs: Inputs) -> pa.Table:
    """The experiment's own judge has rated in `policy_quality` already."""
    from ..experiment import Judge
    from ..judging import JudgedRow, make_judge

    by_rank = sorted(by_pm(inputs["policy_quality"]).items())
    ranks = pa.array([rank for rank, table in by_rank for _ in range(len(table))], pa.int32())
    answers = pa.concat_tables([table for _, table in by_rank])
    columns = (answers[name].to_pylist() for name in ("id", "instruction", "golden_response", "response"))
    rows = [JudgedRow(*values) for values in zip(*columns, strict=True)]

    def table(judge: str, ratings: Any, reasons: Any) -> pa.Table:
        found = {"policy": ranks, "id": answers["id"], "judge": [judge] * len(rows)}
        return pa.table({**found, "rating": ratings, "reason": reasons}, schema=tables.JUDGE_RATINGS)

    parts = []
    for kind in (Judge(kind="gold"), Judge(kind="reference")):
        judge = make_judge(kind, rate=step.world.rate, device=step.device)
        found = judge.rate(rows, step.report)
        parts.append(table(judge.name, [one.rating for one in found], [one.reason for one in found]))
    if step.experiment.judge.kind == "openai":
        parts.append(table(answers["judge"][0].as_py(), answers["rating"], answers["reason"]))
    return pa.concat_tables(parts)


def _agreement(_step: Step, inputs: Inputs) -> "Finding":
    from ..findings.judge_agreement import judge_agreement

    table = inputs[RATINGS]
    names = table["judge"].unique().to_pylist()
    return judge_agreement({name: table.filter(pc.equal(table["judge"], name)) for name in names})
