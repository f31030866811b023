"""What the file alone tells is refused before anything is made, by `seam plan`, `seam ui` and `seam doctor`."""

from pathlib import Path

import pytest

from seam_pipeline.cli import main
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import parse_experiment
from seam_pipeline.models.device import find_device

from .test_bad_input import home, run  # noqa: F401

SMOKE = Path(__file__).parents[2] / "seam_pipeline" / "experiment" / "shipped" / "smoke.yaml"
LARGER = (
    "{scratch: {vocab_size: 512, hidden_size: 48, intermediate_size: 96, layers: 2, heads: 2, max_length: 256, "
    "steps: 10, batch_size: 8, block_size: 64}, sft"
)
WRITER = "llm: {generator: openai, endpoint: {model: m, base_url: 'BASE'}TEMPLATE}"


def changed(old: str, new: str) -> str:
    text = SMOKE.read_text()
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("{threads: 1}", "{resources: {rlfh_*: {gpu: 1}}}", "compute.resources: rlfh_* fits no asset of smoke"),
        ("{threads: 1}", "{schedule: '61 3 * * 1'}", "compute.schedule: '61 3 * * 1' is no cron expression"),
        ("topics: 8", "topics: 4000", "data.topics is 4000, but the testbed knows"),
        ("questions: 160", "questions: 160000", "data.questions is 160000, but 8 topics give"),
        (LARGER, "{path: ./no/where/x, sft", "findings.base_sizes.bases.larger.path: no/where/x is no folder here"),
        (
            "llm: {generator: testbed}",
            WRITER.replace("BASE", "ftp://x").replace("TEMPLATE", ""),
            "candidates.llm: The server's address ftp://x must begin with http",
        ),
        (
            "llm: {generator: testbed}",
            WRITER.replace("BASE", "http://x").replace("TEMPLATE", ", template: gone.txt"),
            "The prompt template gone.txt could not be read",
        ),
        (
            "{threads: 1}",
            "{launcher: accelerate, accelerate_config: gone.yaml}",
            "compute.accelerate_config: ",
        ),
    ],
)
def test_plan_and_doctor_refuse_what_a_run_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, sentence: str
) -> None:
    (tmp_path / "mine.yaml").write_text(changed(old, new))
    status, err = run(capsys, "plan", "-e", str(tmp_path / "mine.yaml"))
    assert status == 2
    assert sentence in err
    assert err.count("\n") == 1


def test_the_doctor_lists_every_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = changed("{threads: 1}", "{schedule: '61 3 * * 1', resources: {nothing: {gpu: 1}}, device: 'cuda:99'}")
    (tmp_path / "mine.yaml").write_text(bad)
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "-e", str(tmp_path / "mine.yaml")])
    assert stop.value.code == 1
    out = capsys.readouterr().out
    assert "REFUSED compute.resources: nothing fits no asset" in out
    assert "REFUSED compute.schedule: '61 3 * * 1' is no cron expression" in out
    assert "MISSING device cuda:99 was asked for, but torch sees" in out


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("block_size: 64}", "block_size: 300}", "base.scratch.block_size: 300 is longer than max_length 256"),
        ("hidden_size: 32", "hidden_size: 30", "base.scratch.hidden_size: 30 gives 2 heads no equal and even width"),
        ("{questions: 6, max_new_tokens: 8}", "{max_new_tokens: 256}", "evaluation.max_new_tokens: 256 leave no room"),
        ("sft: {batch_size: 8", "sft: {batch_size: 8, gradient_accumulation: 3", "policy.sft.batch_size: 8 cannot be"),
        ("{threads: 1}", "{launcher: accelerate, processes: 3}", "8 cannot be divided into 3 equal micro-batches"),
        ("{threads: 1}", "{launcher: accelerate, processes: 16}", "rl.ppo.minibatch_size: 8 is less than the 16"),
        ("{threads: 1}", "{launcher: accelerate, processes: 2, device: 'cuda:1'}", "cuda:1 is one GPU"),
        ("{threads: 1}", "{launcher: accelerate, processes: 2, fsdp: true}", "compute.fsdp: DPO, RLOO and GRPO need"),
    ],
)
def test_trainings_that_could_only_fail(old: str, new: str, sentence: str) -> None:
    with pytest.raises(SeamError) as caught:
        parse_experiment(changed(old, new), "mine.yaml")
    assert sentence in str(caught.value)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    with pytest.raises(SeamError, match="--device cuda was asked for, but torch sees no CUDA device"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        find_device("cuda", "--device")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [find_device(name, "x") for name in ("auto", "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    with pytest.raises(SeamError, match="compute.device: cuda:7 was asked for, but torch sees only cuda:0 to cuda:1"):
        find_device("cuda:7", "compute.device:")
