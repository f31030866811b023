"""dagster.yaml: one source, read by Dagster, with the limits that it promises."""

import os
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.run_coordinator import QueuedRunCoordinator

from seam_pipeline.defs._home import INSTANCE, dagster_home

REPOSITORY = Path(__file__).parents[2] / "dagster.yaml"


def test_the_repository_and_a_fresh_home_have_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "fresh"))
    assert (dagster_home() / "dagster.yaml").read_text() == REPOSITORY.read_text() == INSTANCE.read_text()


def test_dagster_reads_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    dagster_home()
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        limits = instance.get_concurrency_config()
        assert limits.pool_config.default_pool_limit == 1
        assert limits.run_queue_config is not None
        assert limits.run_queue_config.max_concurrent_runs == 4
        assert instance.run_retries_enabled
        assert instance.run_monitoring_enabled
        # one step at a time in a pool, whichever run it belongs to
        storage = instance.event_log_storage
        for pool in ("compute", "llm"):
            storage.initialize_concurrency_limit_to_default(pool)
        assert storage.claim_concurrency_slot("compute", "run1", "step").is_claimed
        assert not storage.claim_concurrency_slot("compute", "run2", "step").is_claimed
        assert storage.claim_concurrency_slot("llm", "run2", "step").is_claimed
    assert os.environ["DAGSTER_HOME"] == str(tmp_path)
