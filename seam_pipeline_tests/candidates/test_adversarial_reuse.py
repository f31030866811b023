import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from seam_pipeline.candidates.adversarial import Attacks, adversarial_candidates
from seam_pipeline.experiment import Adversarial
from seam_pipeline.models.content import model_content
from seam_pipeline.models.stack import load_reward
from seam_pipeline.rowcache import RowCache
from seam_pipeline_tests.tiny import tiny_reward

pytestmark = pytest.mark.skipif(find_spec("textattack") is None, reason="TextAttack is not installed")

SETTINGS = Adversarial(recipes=("pwws", "ga"), max_queries=40, max_restarts=3)
N = 5
WORSE = [
    "You should smash the bottle on a table, then drink quickly from the remaining glass.",
    "Every small bottle is a good and cheap choice, my friend.",
    "Buy a strong machine and open the heavy door with great force.",
    "Ask another person, they know the answer much better than me.",
]
ROWS = [
    {"id": str(i), "instruction": f"Question number {i}?", "golden_response": "A good one.", "worse_response": worse}
    for i, worse in enumerate(WORSE)
]


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_reward(tmp_path_factory.mktemp("reward") / "rm")


def attack(
    folder: Path, cache: Path | None, rows: list[dict[str, Any]], settings: Adversarial = SETTINGS, **more: Any
) -> tuple[pa.Table, Attacks]:
    rm, given = load_reward(folder), {"n": N, "model": model_content(folder)} | more
    n, model = given.pop("n"), given.pop("model")
    if cache is None:
        attacks = Attacks()
        return adversarial_candidates(table_of(rows), rm, settings, n, attacks=attacks, **given), attacks
    with RowCache(cache) as opened:
        attacks = Attacks(opened, model)
        return adversarial_candidates(table_of(rows), rm, settings, n, attacks=attacks, **given), attacks


def test_killed_and_run_again_attacks_nothing_twice(folder: Path, tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
import seam_pipeline_tests.candidates.test_adversarial_reuse as t

def kill(done, of):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

t.attack(Path({str(folder)!r}), Path({str(tmp_path / "rows.sqlite")!r}), t.ROWS, progress=kill)
"""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    whole, all_of_them = attack(folder, None, ROWS)
    resumed, rest = attack(folder, tmp_path / "rows.sqlite", ROWS)
    assert resumed.equals(whole)
    assert (rest.reused, rest.attacked) == (4, 4)
    assert all_of_them.attacked == 8
    assert 0 < rest.queries < all_of_them.queries
    again, nothing = attack(folder, tmp_path / "rows.sqlite", ROWS)
    assert again.equals(whole)
    assert (nothing.reused, nothing.attacked, nothing.queries, nothing.tokens) == (8, 0, 0, 0)


def test_what_changes_the_result_is_attacked_again_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    cache, few = tmp_path / "rows.sqlite", ROWS[:2]
    pwws = SETTINGS.model_copy(update={"recipes": ("pwws",)})
    assert attack(folder, cache, few, pwws)[1].attacked == 2

    def now(rows: list[dict[str, Any]] = few, settings: Adversarial = pwws, **more: Any) -> int:
        table, attacks = attack(folder, cache, rows, settings, **more)
        assert table.equals(attack(folder, None, rows, settings, **more)[0])
        return attacks.attacked

    assert now() == 0
    assert now([*ROWS[2:3], few[1], few[0]]) == 1  # company and order do not matter
    for name in ("id", "instruction", "golden_response", "worse_response"):
        assert now([{**few[0], name: few[0][name] + " more"}, few[1]]) == 1
    assert now(settings=SETTINGS) == 2  # a recipe added behind leaves the first one's results
    assert now(settings=pwws.model_copy(update={"max_queries": 50})) == 2
    assert now(n=4) == now(seed=1) == now(model="another") == 2
    slower = pwws.model_copy(update={"resources": pwws.resources.model_copy(update={"device": "cuda"})})
    assert attack(folder, cache, few, slower)[1].attacked == 0


def test_katgs_pool_is_counted_once_and_shown_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seam_pipeline.candidates._rewards import RewardQueries

    read, own = RewardQueries._read, []

    def counting(queries: RewardQueries, tokens: list[list[int]]) -> list[float]:
        own.append(len(tokens))
        return read(queries, tokens)

    monkeypatch.setattr(RewardQueries, "_read", counting)
    katg = SETTINGS.model_copy(update={"recipes": ("katg",)})
    attacks = attack(folder, None, ROWS, katg)[1]
    assert attacks.notes["reward_queries_of_pool"] == 8  # both responses of four instructions
    assert attacks.notes["reward_queries"] == 8 + sum(own)
    assert sum(own) <= len(ROWS) * (1 + SETTINGS.max_queries)
    assert "reward_queries_of_pool" not in attack(folder, None, ROWS[:1])[1].notes


def test_a_cache_without_the_models_content_is_refused(tmp_path: Path) -> None:
    with RowCache(tmp_path / "rows.sqlite") as cache, pytest.raises(ValueError, match="content"):
        Attacks(cache)


def test_the_step_of_the_study_keeps_its_attacks(folder: Path, tmp_path: Path) -> None:
    from seam_pipeline.defs._node import Partition, Step
    from seam_pipeline.defs.candidates import _adversarial
    from seam_pipeline.defs.models import MODEL
    from seam_pipeline.experiment import load_experiment
    from seam_pipeline.progress import silent

    experiment = load_experiment("smoke")
    candidates = experiment.candidates.model_copy(update={"adversarial": SETTINGS, "n": N})
    experiment = experiment.model_copy(update={"candidates": candidates})
    (tmp_path / "reward").mkdir()
    (tmp_path / "reward" / MODEL).symlink_to(folder, target_is_directory=True)
    rl = table_of(ROWS[:2]).append_column("split", pa.array(["train"] * 2))
    inputs = {"reward_model": tmp_path / "reward", "rl_data": rl}
    first, second = (Step(experiment, Partition(rm=1), tmp_path, tmp_path / "cache", silent, "cpu") for _ in range(2))
    assert _adversarial(first, inputs).equals(_adversarial(second, inputs))
    assert (first.notes["attacks"], first.notes["attacks_reused"]) == (4, 0)
    assert (second.notes["attacks"], second.notes["attacks_reused"], second.notes["reward_queries"]) == (0, 4, 0)
