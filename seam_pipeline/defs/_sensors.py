"""Noticing that dumps or a local base model have changed."""

import ast
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from ..store import Store, hash_folder, write_payload
from ._node import Node, Partition, Step
from ._schedules import ROOTS, UPDATE, AnyJob
from ._study import Study

OFTEN = 60
READ_AT_MOST = 4 << 30
"""Bytes that a look reads to see whether touched files really changed; above, size and time decide."""


def outside_sensors(
    study: Study, store: Store, reread: Callable[[], Study], jobs: list[AnyJob]
) -> list[dg.SensorDefinition]:
    """One sensor per asset that reads files outside the store."""
    return [_sensor(node, store, reread, jobs) for node in study.order if node.external]


def _sensor(
    node: Node,
    store: Store,
    reread: Callable[[], Study],
    jobs: list[AnyJob],
) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"changed_{node.name}",
        jobs=jobs,
        minimum_interval_seconds=OFTEN,
        description=f"Fires when the files that {node.name} reads have changed and have been whole for one look.",
    )
    def changed(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return look(reread(), store, node.name, context.cursor)

    return changed


def look(study: Study, store: Store, name: str, cursor: str | None) -> dg.SensorResult:
    """One look of a sensor: sizes and times first, then, once these stay the same, the content.

    The cursor holds what was seen at the last look and what has been dealt with.
    """
    node = study.nodes[name]
    store.refresh()
    assert node.external is not None
    state = node.external(study.experiment)
    now = hashlib.sha256(state.encode()).hexdigest()[:16]
    known = json.loads(cursor) if cursor else {"seen": "", "done": ""}
    if now == known["done"]:
        return dg.SensorResult(skip_reason="nothing has changed", cursor=cursor)
    if now != known["seen"]:
        reason = "changed; one more look, since files may still be being copied"
        return dg.SensorResult(skip_reason=reason, cursor=json.dumps(known | {"seen": now}))
    done = json.dumps({"seen": now, "done": now})
    if _same_content(study, store, node, state):
        return dg.SensorResult(skip_reason="touched, but the content is the same", cursor=done)
    return dg.SensorResult(run_requests=[_request(study, name, now)], cursor=done)


def _request(study: Study, name: str, now: str) -> dg.RunRequest:
    if study.experiment.compute.automation == "off":
        return dg.RunRequest(run_key=now, job_name=UPDATE)
    return dg.RunRequest(run_key=now, job_name=ROOTS, asset_selection=[dg.AssetKey([study.experiment.name, name])])


def _same_content(study: Study, store: Store, node: Node, state: str) -> bool:
    """Whether the asset would come out as it is; it is made aside to see."""
    record = store.record(node.name)
    if record is None or sum(size for _, size, _ in ast.literal_eval(state)) > READ_AT_MOST:
        return False
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        step = Step(study.experiment, Partition(), out, store.root / "cache", lambda done, total: None, "cpu")
        write_payload(out, node.compute(step, {}))
        return hash_folder(out) == record.data_version
