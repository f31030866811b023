"""Against a server that is not ours: `transformers serve` with a tiny model that has learnt two replies by heart."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM

from seam_pipeline.candidates.llm import llm_candidates
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Judge, LLMCandidates, LLMEndpoint
from seam_pipeline.judging import JudgedRow, make_judge
from seam_pipeline.llm._reply import worst_case
from seam_pipeline.llm.template import fill
from seam_pipeline.llm.usage import Usage
from seam_pipeline_tests.tiny import tiny_base, tiny_tokenizer

pytest.importorskip("fastapi", reason="transformers serve needs fastapi")
LEARNT = {
    "2 worse answers than boil it to: how do I brew?": "Use cold water only.\n\nAsk your own cat.",
    "Rate 1 to 10 the answer boil it to how do I brew": "It is short.\n\nRating: [[4]]",
}
TEMPLATE = "{n} worse answers than {golden_response} to: {instruction}"
RL = pa.table({"id": ["a", "b"], "instruction": ["how do I brew?", "xyzzy?"], "golden_response": ["boil it", "plugh"]})


def teach(folder: Path) -> None:
    """Overfit the tiny model on the two replies."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    tiny_base(folder)
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    texts = []
    for prompt, reply in LEARNT.items():
        before, after = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (f"{prompt}\n", reply))
        texts.append((torch.tensor([before + after + [2]]), len(before)))
    for step in range(300):
        ids, start = texts[step % 2]
        loss = torch.nn.functional.cross_entropy(model(ids).logits[0, start - 1 : -1], ids[0, start:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLMEndpoint]:
    folder = tmp_path_factory.mktemp("served") / "model"
    with torch.random.fork_rng([]):
        teach(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log, env=environment
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server, folder / "log")
            yield LLMEndpoint(
                base_url=f"http://127.0.0.1:{port}/v1", model=str(folder), api_key_env="SEAM_TEST_KEY", max_tokens=40
            )
        finally:
            server.kill()
            server.wait()


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_candidates(served: LLMEndpoint, tmp_path: Path) -> None:
    template = tmp_path / "short.txt"
    template.write_text(TEMPLATE)
    usages: list[Usage] = []
    settings = LLMCandidates(generator="openai", endpoint=served, template=str(template))
    tables = [llm_candidates(RL, settings, 2, cache_path=tmp_path / "c.sqlite", used=usages.append) for _ in range(2)]
    rows = tables[0].to_pylist()
    assert [row["candidate"] for row in rows[:2]] == ["Use cold water only.", "Ask your own cat."]
    assert {row["id"] for row in rows} == {"a", "b"}
    assert "b" not in {row["id"] for row in rows if row["candidate_index"] == -1} or rows[-1]["reason"]
    assert tables[0].equals(tables[1])
    assert [(u.requests, u.cached) for u in usages] == [(2, 0), (0, 2)]
    lengths = [len(tiny_tokenizer()(f"{prompt(row)}\n", add_special_tokens=False)["input_ids"]) for row in (0, 1)]
    assert usages[0].prompt_tokens == sum(lengths)
    assert all(worst_case(served, [("user", prompt(row))]).prompt >= lengths[row] for row in (0, 1))


def test_a_budget_against_the_server_s_own_count(served: LLMEndpoint, tmp_path: Path) -> None:
    template = tmp_path / "short.txt"
    template.write_text(TEMPLATE)
    first = worst_case(served, [("user", prompt(0))])
    budget = served.model_copy(update={"max_tokens_total": first.prompt + first.completion})
    settings = LLMCandidates(generator="openai", endpoint=budget, template=str(template))
    usages: list[Usage] = []
    rows = llm_candidates(RL, settings, 2, cache_path=tmp_path / "c.sqlite", used=usages.append).to_pylist()
    assert [row["candidate_index"] for row in rows] == [0, 1, -1]
    assert rows[2]["reason"].startswith("0 of 2: budget")
    assert 0 < usages[0].prompt_tokens + usages[0].completion_tokens <= first.prompt + first.completion


def prompt(row: int) -> str:
    values = {name: RL[name][row].as_py() for name in ("instruction", "golden_response")}
    return fill(TEMPLATE, n="2", **values)


def test_judge(served: LLMEndpoint, tmp_path: Path) -> None:
    template = tmp_path / "judge.txt"
    template.write_text("Rate 1 to 10 the answer {response} to {instruction}")
    judge = make_judge(
        Judge(kind="openai", endpoint=served, template=str(template)), cache_path=tmp_path / "judge.sqlite"
    )
    (rating,) = judge.rate([JudgedRow("1", "how do I brew", "boil it", "boil it")])
    assert (rating.rating, rating.reason) == (4.0, None)


def test_a_model_that_it_does_not_have(served: LLMEndpoint, tmp_path: Path) -> None:
    settings = LLMCandidates(generator="openai", endpoint=served.model_copy(update={"model": "another"}))
    rows = llm_candidates(RL, settings, 2, cache_path=tmp_path / "c.sqlite").to_pylist()
    assert [row["candidate"] for row in rows] == [None, None]
    assert all("the server answered 400: Server is pinned" in row["reason"] for row in rows)


def test_it_has_no_batch_api(served: LLMEndpoint, tmp_path: Path) -> None:
    batch = served.model_copy(update={"mode": "batch"})
    with pytest.raises(SeamError, match="no Batch API; set the endpoint's mode: direct"):
        llm_candidates(RL, LLMCandidates(generator="openai", endpoint=batch), 2, cache_path=tmp_path / "c.sqlite")
