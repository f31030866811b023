"""A paid judge: rows that failed for a passing reason are asked again, and what its requests cost is noted."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from seam_pipeline.defs._choice import choose
from seam_pipeline.defs._node import Partition, Step
from seam_pipeline.defs._report import spending
from seam_pipeline.defs._stale import stale_tasks
from seam_pipeline.defs._update import Display, update
from seam_pipeline.defs.graph import build_study
from seam_pipeline.defs.preference import _decide
from seam_pipeline.experiment import Experiment, load_experiment
from seam_pipeline.judging import answers
from seam_pipeline.progress import silent
from seam_pipeline.store import Store
from seam_pipeline.tables import PREFERENCE_ANSWERS
from seam_pipeline_tests.llm.server import OK, Scripted, scripted_server

UP = {"posts", "question_answers", "sft_data", "preference_data", "rl_data", "base_model", "policy_model"}
JUDGED = "policy_quality"
LATER = ["rating", "explanation", "reason"]


class FailsOnce(dict[str, Any]):
    """Steps by prompt: the second prompt that is seen fails the first time."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status

    def get(self, prompt: str, _default: Any = None) -> Any:
        return self.setdefault(prompt, [self.status, OK] if len(self) == 1 else [OK])


def examiner(_prompt: str) -> str:
    return "Rating: [[4]] [[A]]"


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted_server(answer=examiner, script=FailsOnce(429)) as server:
        yield server


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke study as far as its policies."""
    place = tmp_path_factory.mktemp("judged") / "smoke"
    with dg.DagsterInstance.ephemeral() as instance:
        study = build_study(load_experiment("smoke"))
        assert update(study, Store(str(place)), UP, instance, Display()).failed == {}
    return place


def experiment(url: str) -> Experiment:
    raw = load_experiment("smoke").model_dump(mode="json")
    prices = {"dollars_per_million_input": 1000.0, "dollars_per_million_output": 2000.0}
    endpoint = {"model": "m", "base_url": url, "api_key_env": "SEAM_TEST_KEY", "retries": 0, **prices}
    raw["judge"] = {"kind": "openai", "endpoint": endpoint}
    return Experiment.model_validate(raw)


def test_a_rating_that_failed_is_asked_again_at_the_next_run(
    trained: Path, tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, tmp_path / "smoke")
    store, study = Store(str(tmp_path / "smoke")), build_study(experiment(server.url))

    def run(instance: dg.DagsterInstance) -> list[str]:
        outcome = update(study, store, choose(study, JUDGED, ["pm01"]), instance, Display())
        assert outcome.failed == {}
        return outcome.made

    with dg.DagsterInstance.ephemeral() as instance:
        assert run(instance) == [f"{JUDGED} [pm01]"]
        asked = len(server.requests)
        record, table = store.record(JUDGED, "pm01"), store.load(JUDGED, "pm01")
        assert record is not None
        notes, before = dict(record.notes), table
        assert table["rating"].null_count == notes["llm_rows_to_ask_again"] == 1
        paid = notes["llm_rows"] - 1  # each 7 prompt and 3 reply tokens
        assert (notes["llm_requests"], notes["llm_prompt_tokens"]) == (paid, 7 * paid)
        assert notes["llm_completion_tokens"] == 3 * paid
        assert notes["llm_dollars"] == pytest.approx(paid * (7 * 1000 + 3 * 2000) / 1e6)
        assert list(json.loads(notes["llm_failures"]).values()) == [1]
        again = stale_tasks(study, store, choose(study, JUDGED, ["pm01"]))
        assert [(task.label, task.why) for task in again] == [(f"{JUDGED} [pm01]", "1 rows to ask again")]

        with monkeypatch.context() as patch:
            patch.setattr(answers, "generate", None)  # the policy has answered already
            assert run(instance) == [f"{JUDGED} [pm01]"]
        assert len(server.requests) == asked + 1
        record, table = store.record(JUDGED, "pm01"), store.load(JUDGED, "pm01")
        assert record is not None
        assert table["rating"].null_count == 0
        assert table.drop_columns(LATER).equals(before.drop_columns(LATER))
        assert "llm_rows_to_ask_again" not in record.notes
        assert (record.notes["llm_requests"], record.notes["llm_cached"]) == (1, record.notes["llm_rows"] - 1)
        event = instance.get_latest_materialization_event(dg.AssetKey(["smoke", JUDGED]))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["llm_dollars"].value == pytest.approx(13e-3)

        assert run(instance) == []
    total = spending(Step(study.experiment, Partition(), tmp_path, store.root / "cache", silent, "cpu"))
    n = len(server.requests) - 1
    assert total == {
        "llm_judge_total": f"{n} requests, {7 * n} prompt and {3 * n} reply tokens, {13e-3 * n:,.4f} dollars"
    }


def test_verdicts_of_pairs_are_counted_likewise(tmp_path: Path, server: Scripted) -> None:
    rows = [{"id": i, "instruction": f"{i}?", "response_1": "one", "response_2": "two", "policy_1": 1, "policy_2": 2}
            for i in "ab"]  # fmt: skip
    pairs = pa.Table.from_pylist(rows, schema=PREFERENCE_ANSWERS)
    golden = pa.table({"id": ["a", "b"], "golden_response": ["g", "g"]})
    inputs = {"preference_answers": pairs, "rl_data": golden}
    raw = experiment(server.url).model_dump(mode="json")
    raw["findings"]["preference"]["source"] = "judge"
    chosen = Experiment.model_validate(raw)
    notes = []
    for _ in range(2):
        step = Step(chosen, Partition(), tmp_path, tmp_path / "cache", silent, "cpu")
        verdicts = _decide(step, inputs)
        notes.append(step.notes)
    assert (notes[0]["llm_rows"], notes[0]["llm_requests"], notes[0]["llm_rows_to_ask_again"]) == (4, 3, 1)
    assert (notes[1]["llm_requests"], notes[1]["llm_cached"], notes[1].get("llm_rows_to_ask_again")) == (1, 3, None)
    assert verdicts["preference"].null_count == 0
