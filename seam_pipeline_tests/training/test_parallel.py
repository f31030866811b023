"""Trainings in two processes over gloo: the numbers of one process, one writer, and the same bytes after a kill."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from seam_pipeline.defs._job import Job
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import DPO, PPO, SFT, GroupRL, Lora, RewardTraining
from seam_pipeline.models.content import content_hash
from seam_pipeline.training._parallel import in_order, join, pieces
from seam_pipeline_tests.tiny import tiny_base, tiny_policy_stack, tiny_reward_stack

from .parallel_tools import alone, errors, together
from .rows import preference_rows, sft_rows

LORA = Lora(r=4, alpha=8, dropout=0.0)
TUNED = dict(batch_size=8, gradient_accumulation=2, epochs=2, learning_rate=0.01, max_length=96, checkpoint_every=3)
SETTINGS = {
    "sft": SFT(**TUNED, lora=LORA),
    "reward": RewardTraining(**TUNED, eval_every=2, lora=LORA),
    "dpo": DPO(**TUNED, lora=LORA),
    "rloo": GroupRL(
        steps=6, batch_size=8, gradient_accumulation=2, generations=2, max_new_tokens=8, checkpoint_every=2, lora=LORA
    ),
    "ppo": PPO(
        steps=4,
        batch_size=8,
        minibatch_size=4,
        gradient_accumulation=2,
        epochs=2,
        learning_rate=3e-3,
        entropy_coefficient=0.01,
        reward_whiten="running",
        min_new_tokens=4,
        max_new_tokens=12,
        checkpoint_every=2,
        lora=LORA,
    ),
}
KILLS = [
    ("rloo", 5, 4),
    ("ppo", 3, 2),
    pytest.param("sft", 7, 6, marks=pytest.mark.slow),
    pytest.param("reward", 7, 6, marks=pytest.mark.slow),
]
SAME = {"sft": ("loss", "grad_norm"), "reward": ("loss", "grad_norm", "dev_loss", "accuracy"), "dpo": ("loss",)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    base = tiny_base(root / "base")
    tiny_policy_stack(root / "policy", base)
    tiny_reward_stack(root / "reward", base)
    return root


def job(models: Path, kind, out: Path, **changes) -> Job:
    settings = SETTINGS[kind].model_copy(update=changes)
    prompts = tuple(f"say {letter} now" for letter in "abcdefghij")
    if kind == "sft":
        return Job(kind, (models / "base",), settings, out, 1, (sft_rows(32), sft_rows(8, seed=1)), n=32)
    if kind == "reward":
        tables = (preference_rows(32), preference_rows(8, seed=1))
        return Job(kind, (models / "policy",), settings, out, 1, tables, n=32)
    if kind == "dpo":
        return Job(kind, (models / "policy",), settings, out, 1, (preference_rows(32),))
    return Job(kind, (models / "policy", models / "reward"), settings, out, 1, prompts=prompts)


def metrics(folder: Path) -> dict[str, list[float]]:
    columns = pq.read_table(folder / "metrics.parquet").to_pydict()
    return {name: [value for value in values if value is not None] for name, values in columns.items()}


def weights(folder: Path):
    """The new adapter, the last by name, and the value head."""
    files = [sorted((folder / "adapters").iterdir())[-1] / "adapter_model.safetensors"]
    return [load_file(file) for file in (*files, *folder.glob("*_head.safetensors"))]


HOW = [(kind, fsdp) for fsdp in (False, True) for kind in SETTINGS if kind != "rloo" and not (fsdp and kind == "dpo")]


@pytest.mark.parametrize(("kind", "fsdp"), HOW)
def test_two_processes_are_one_process_with_the_same_batch(models: Path, tmp_path: Path, kind: str, fsdp: bool) -> None:
    alone(job(models, kind, tmp_path / "one"))
    assert together(job(models, kind, tmp_path / "two"), tmp_path / "job", fsdp=fsdp) == [0, 0]
    assert bool(int((tmp_path / "job/divided.1").read_text())) == fsdp
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    for name in SAME.get(kind, one.keys() - {"value_clip_fraction"}):  # counts ties, which rounding decides
        assert two[name] == pytest.approx(one[name], rel=1e-5, abs=1e-5), name
    for ours, theirs in zip(weights(tmp_path / "one"), weights(tmp_path / "two"), strict=True):
        for name, value in ours.items():
            assert (value - theirs[name]).abs().max() < 1e-5, name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job", "one", "two"]
    steps = len(one["step"])
    assert (tmp_path / "job/steps.0").read_text().split() == [str(step) for step in range(1, steps + 1)]
    assert (tmp_path / "job/steps.1").read_text() == ""


@pytest.mark.parametrize(("kind", "at", "kept"), KILLS)
def test_killed_in_two_processes_it_ends_in_the_same_bytes(
    models: Path, tmp_path: Path, kind: str, at: int, kept: int
) -> None:
    changes = {} if kind in ("ppo", "rloo") else {"lora": LORA.model_copy(update={"dropout": 0.2})}
    whole, killed = (job(models, kind, tmp_path / name, **changes) for name in ("whole", "killed"))
    assert together(whole, tmp_path / "job") == [0, 0]
    codes = together(killed, tmp_path / "job", die_at=at)
    assert codes[0] == -9
    assert codes[1] != 0
    assert not (tmp_path / "killed").exists()
    assert together(killed, tmp_path / "job") == [0, 0]
    assert (tmp_path / "job/steps.0").read_text().split()[0] == str(kept + 1)
    assert content_hash(tmp_path / "killed") == content_hash(tmp_path / "whole")


@pytest.mark.slow
def test_a_run_can_go_on_with_another_number_of_processes(models: Path, tmp_path: Path) -> None:
    alone(job(models, "sft", tmp_path / "whole"))
    assert together(job(models, "sft", tmp_path / "out"), tmp_path / "job", die_at=7)[0] == -9
    seen: list[int] = []
    alone(job(models, "sft", tmp_path / "out"), lambda done, total: seen.append(done))
    assert seen == [7, 8]
    assert metrics(tmp_path / "out")["loss"] == pytest.approx(metrics(tmp_path / "whole")["loss"], abs=1e-5)


def test_a_batch_that_cannot_be_shared_is_one_sentence_everywhere(models: Path, tmp_path: Path) -> None:
    wrong = job(models, "sft", tmp_path / "out", batch_size=9, gradient_accumulation=3)
    assert together(wrong, tmp_path / "job") == [2, 2]
    assert errors(tmp_path / "job")[0] == errors(tmp_path / "job")[1]
    assert "batch_size 9 cannot be divided into 6 equal micro-batches" in errors(tmp_path / "job")[0]
    small = job(models, "ppo", tmp_path / "out", minibatch_size=1, gradient_accumulation=1)
    assert together(small, tmp_path / "small") == [2, 2]
    assert "less than the 2 processes" in errors(tmp_path / "small")[0]


def test_a_diverged_ppo_keeps_its_last_good_policy(models: Path, tmp_path: Path) -> None:
    assert together(job(models, "ppo", tmp_path / "out", max_kl=1e-9), tmp_path / "job") == [2, 2]
    assert "PPO diverged in step" in errors(tmp_path / "job")[0]
    assert (tmp_path / "out.partial/last_good/stack.json").is_file()


def test_a_launcher_that_splits_models_its_own_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(SeamError, match="asks for DEEPSPEED, which these trainings do not know"):
        join("cpu")


def test_a_divided_base_is_refused_where_it_must_be_whole(models: Path, tmp_path: Path) -> None:
    assert together(job(models, "dpo", tmp_path / "out"), tmp_path / "job", fsdp=True) == [2, 2]
    assert "DPO, RLOO and GRPO need the whole base" in errors(tmp_path / "job")[0]


def test_alone_a_batch_is_divided_as_the_settings_say() -> None:
    assert pieces(32, 4) == (8, 4)
    assert in_order([[0, 2, 4], [1, 3]]) == [0, 1, 2, 3, 4]
