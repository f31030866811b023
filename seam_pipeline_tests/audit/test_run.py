"""A whole audit on tiny models, stopped and gone on with, against `seam score`."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from seam_pipeline.audit._build import Build, VariantTables
from seam_pipeline.audit._prompts import read_prompts
from seam_pipeline.audit._results import read_results
from seam_pipeline.audit._stages import Stages
from seam_pipeline.audit.run import run_audit
from seam_pipeline.audit.settings import AuditSettings
from seam_pipeline.errors import SeamError
from seam_pipeline.progress import Progress
from seam_pipeline.rowcache import RowCache
from seam_pipeline.scoring.own import score_own

from ..llm.server import scripted_server
from .rows import jsonl, prompts

SETTINGS = AuditSettings.model_validate(
    {"n": 3, "rate": 0.5, "contrast": {"low": 0.3, "high": 0.99}, "variants": ("contrast",)}
)

ELSEWHERE = {"base_url": "http://x.example/v1", "model": "m", "api_key_env": "SEAM_NO_KEY"}
GPT = {"generator": "openai", "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"}}


class KilledError(Exception):
    pass


class Recorder:
    """Remembers the stages; `stop_at` kills the audit when that stage begins."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.stop_at, self.stages = stop_at, {}

    def begin(self, stage: str) -> Progress:
        if stage == self.stop_at:
            raise KilledError
        return lambda done, total: None

    def end(self, stage: str, reused: bool) -> None:
        self.stages[stage] = reused


def built(
    models: dict[str, Path], data: Path, out: Path, settings: AuditSettings = SETTINGS, policy: str = "policy"
) -> tuple[dict[str, VariantTables], dict[str, bool]]:
    """The stages of an audit without its page, which costs most of the time: (tables, which were there before)."""
    watch = Recorder()
    with RowCache(out / ".work" / "rows.sqlite") as cache:
        paths = (str(models[policy]), str(models["reward"]))
        found = Build(read_prompts(data), None, *paths, settings, "cpu", Stages(out, watch), cache).run()
    return found, {name.removeprefix("contrast/"): reused for name, reused in watch.stages.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jsonl(tmp_path_factory.mktemp("data") / "prompts.jsonl", prompts(extra=list(range(6))))


@pytest.fixture(scope="module")
def audited(models: dict[str, Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("audit")
    run_audit(models["policy"], models["reward"], data, out, SETTINGS)
    return out


def files(out: Path) -> dict[str, Any]:
    """What was written, without the work folder, times and the page."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".parquet":
            found[name] = pq.read_table(path).replace_schema_metadata(None)
        elif path.suffix == ".jsonl":
            found[name] = path.read_text()
    return found


def test_the_numbers_are_those_of_score(audited: Path, models: dict[str, Path], data: Path, tmp_path: Path) -> None:
    score_own(models["policy"], models["reward"], data, audited / "contrast" / "candidates.parquet", tmp_path)
    for name in ("scores.parquet", "candidate_scores.parquet"):
        assert pq.read_table(audited / "contrast" / name).equals(pq.read_table(tmp_path / name))


def test_everything_is_written(audited: Path, data: Path) -> None:
    assert sorted(files(audited)) == [
        "contrast/candidate_scores.parquet", "contrast/candidates.parquet", "contrast/filtered.jsonl",
        "contrast/likelihoods.parquet", "contrast/rewards.parquet", "contrast/scores.parquet",
        "contrast/selected.parquet", "prompts.parquet",
    ]  # fmt: skip
    selected = pq.read_table(audited / "contrast" / "selected.parquet").to_pylist()
    lines = data.read_text().splitlines()
    kept = [line for line, row in zip(lines, selected, strict=True) if row["kept"]]
    assert (audited / "contrast" / "filtered.jsonl").read_text().splitlines() == kept
    assert len(kept) == 3
    summary = json.loads((audited / "summary.json").read_text())
    part = summary["variants"]["contrast"]
    assert (part["instructions"], part["kept"], part["filtered_out"]) == (6, 3, 3)
    assert part["misjudged"] == sum(
        row["misjudgement"] > 0 for row in pq.read_table(audited / "contrast/candidate_scores.parquet").to_pylist()
    )
    assert set(summary["findings"]) == {"fit", "worst", "length", "topics"}


def test_the_page_is_whole_and_says_nothing_of_the_machine(audited: Path) -> None:
    page = (audited / "report.html").read_text()
    for part in ("SEAM audit", "What to do with it", "contrast/filtered.jsonl", "How do I brew", 'id="next"'):
        assert part in page
    assert str(audited.parent) not in page
    assert "The paper</dt>" not in page
    assert "src=" not in page


def test_a_killed_audit_goes_on(audited: Path, models: dict[str, Path], data: Path, tmp_path: Path) -> None:
    for stage in ("contrast/candidates", "contrast/rewards", "contrast/likelihoods"):
        with pytest.raises(KilledError):
            run_audit(models["policy"], models["reward"], data, tmp_path, SETTINGS, watch=Recorder(stage))
        assert not (tmp_path / "report.html").exists()
    watch = Recorder()
    run_audit(models["policy"], models["reward"], data, tmp_path, SETTINGS, watch=watch)
    assert watch.stages == {"contrast/candidates": True, "contrast/rewards": True, "contrast/likelihoods": False}
    assert files(tmp_path) == files(audited)


def test_only_what_depends_on_a_change_is_made_again(models: dict[str, Path], data: Path, tmp_path: Path) -> None:
    def reused(policy: str, settings: AuditSettings) -> dict[str, bool]:
        return built(models, data, tmp_path, settings, policy)[1]

    assert not any(reused("policy", SETTINGS).values())
    assert all(reused("policy", SETTINGS.model_copy(update={"rate": 0.2, "form": "prob"})).values())
    assert reused("other", SETTINGS) == {"candidates": True, "rewards": True, "likelihoods": False}
    fewer = SETTINGS.model_copy(update={"n": 2})
    assert not any(reused("other", fewer).values())
    cut = SETTINGS.scoring.model_copy(update={"max_response_tokens": 4})
    assert reused("other", fewer.model_copy(update={"scoring": cut})) == {
        "candidates": True, "rewards": True, "likelihoods": False,
    }  # fmt: skip


def test_a_damaged_stage_is_made_again(models: dict[str, Path], data: Path, audited: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(audited, tmp_path / "out"))
    file = out / "contrast" / "rewards.parquet"
    file.write_bytes(file.read_bytes()[:-40])
    assert built(models, data, out)[1] == {"candidates": True, "rewards": False, "likelihoods": True}
    assert files(out) == files(audited)


def test_a_pool_adds_neighbours_under_ids_of_its_own(models: dict[str, Path], data: Path, tmp_path: Path) -> None:
    pool = jsonl(
        tmp_path / "more.jsonl",
        [{"id": "q0", "instruction": "How do I brew a pale ale in a barn?", "golden_response": "Sweep it first."}],
    )
    with pytest.raises(KilledError):  # before the models and the page
        run_audit(
            models["policy"], models["reward"], data, tmp_path / "out", SETTINGS, pool=pool,
            watch=Recorder("contrast/rewards"),
        )  # fmt: skip
    found = pq.read_table(tmp_path / "out" / "contrast" / "candidates.parquet")
    assert "more:q0" in found["source"].to_pylist()


def test_two_variants_agree_or_not_and_llm_replies_are_kept(
    models: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    answer = "\n\n".join(f"A wrong answer of kind {word} here." for word in ("one", "two", "three"))
    with scripted_server(answer=lambda prompt: answer) as server:
        endpoint = {"base_url": server.url, "model": "m"}
        settings = SETTINGS.model_copy(
            update={
                "variants": ("contrast", "llm"),
                "llm": AuditSettings.model_validate({"llm": {"generator": "openai", "endpoint": endpoint}}).llm,
            }
        )
        summary = run_audit(models["policy"], models["reward"], data, tmp_path, settings)
        asked = len(server.requests)
        assert all(built(models, data, tmp_path, settings)[1].values())
        assert len(server.requests) == asked == 6
    assert (summary["llm_usage"]["llm_requests"], summary["llm_usage"]["llm_failures"]) == (6, "none")
    assert summary["variants"]["llm"]["candidates"] == 18
    assert "agreement" in summary["findings"]


@pytest.mark.parametrize(
    ("change", "rows", "sentence"),
    [
        ({"variants": ("llm",)}, {}, "needs --llm-model"),
        (
            {"variants": ("llm",), "llm": {"generator": "openai", "endpoint": ELSEWHERE}},
            {},
            "SEAM_NO_KEY",
        ),
        ({"variants": ("llm",), "llm": {**GPT, "template": "nowhere.txt"}}, {}, "template nowhere.txt could not be"),
        ({"variants": ("adversarial",)}, {"worse_response": [None] * 6}, "there is none"),
    ],
)  # fmt: skip
def test_variants_that_cannot_run_are_refused_before_models_load(
    change: dict[str, Any], rows: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    data = jsonl(tmp_path / "p.jsonl", prompts(**rows))
    with pytest.raises(SeamError, match=sentence):
        run_audit("nowhere/policy", "nowhere/reward", data, tmp_path / "out", AuditSettings.model_validate(change))


def test_attacks_start_from_worse_responses_and_rows_without_one_are_null(
    models: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    settings = AuditSettings.model_validate(
        {"n": 1, "variants": ("adversarial",), "adversarial": {"max_queries": 20, "max_restarts": 1}}
    )
    summary = run_audit(models["policy"], models["reward"], data, tmp_path, settings)
    scores = {row["id"]: row for row in pq.read_table(tmp_path / "adversarial" / "scores.parquet").to_pylist()}
    assert scores["q2"]["seam_log"] is None
    assert "worse response" in scores["q2"]["reason"]
    assert "of 5 instructions with a worse response" in summary["findings"]["fit"]["answer"]


def test_the_key_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("sk-some-key")
    monkeypatch.setenv("SEAM_NO_KEY_FILE", str(tmp_path / "key"))
    data = jsonl(tmp_path / "p.jsonl", prompts())
    settings = AuditSettings.model_validate(
        {"variants": ("llm",), "llm": {"generator": "openai", "endpoint": ELSEWHERE}}
    )
    with pytest.raises(SeamError, match="No model folder at nowhere/at/policy"):  # past the key
        run_audit("nowhere/at/policy", "nowhere/at/reward", data, tmp_path / "out", settings)


def test_files_have_the_permissions_of_other_new_files(audited: Path) -> None:
    (audited / "plain").write_text("")
    assert (audited / "report.html").stat().st_mode == (audited / "plain").stat().st_mode
    (audited / "plain").unlink()


def test_a_variant_of_other_prompts_is_not_compared(audited: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(audited, tmp_path / "out"))
    assert [one.name for one in read_results([out])] == ["out: SEAM-Contrast"]
    fewer = pq.read_table(out / "prompts.parquet").slice(0, 5)
    pq.write_table(fewer, out / "prompts.parquet")
    with pytest.raises(SeamError, match="contrast is of other prompts than"):
        read_results([out])
