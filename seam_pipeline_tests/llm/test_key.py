"""The key comes from the environment or a file and is written nowhere."""

import logging
from pathlib import Path

import pytest
from pydantic import ValidationError

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import LLMEndpoint
from seam_pipeline.llm.key import Key, address, find_key

from .asking import ask, client
from .server import scripted_server

SECRET = "sk-very-secret-123"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEAM_TEST_KEY", raising=False)
    monkeypatch.delenv("SEAM_TEST_KEY_FILE", raising=False)


def endpoint(file: Path | None = None, url: str = "https://llm.example/v1") -> LLMEndpoint:
    path = None if file is None else str(file)
    return LLMEndpoint(model="m", base_url=url, api_key_env="SEAM_TEST_KEY", api_key_file=path)


def test_variable_then_its_file_then_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("from-setting\n")
    (tmp_path / "b").write_text("from-variable-file\n")
    assert find_key(endpoint(tmp_path / "a")) == Key("from-setting", f"the file {tmp_path / 'a'}")
    monkeypatch.setenv("SEAM_TEST_KEY_FILE", str(tmp_path / "b"))
    assert find_key(endpoint(tmp_path / "a")).value == "from-variable-file"
    monkeypatch.setenv("SEAM_TEST_KEY", " from-variable ")
    assert find_key(endpoint(tmp_path / "a")).value == "from-variable"
    assert "from-variable" not in repr(find_key(endpoint()))


def test_bad_keys_are_named_but_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SeamError, match=r"export SEAM_TEST_KEY, or .* SEAM_TEST_KEY_FILE or .* api_key_file"):
        find_key(endpoint())
    with pytest.raises(SeamError, match=r"gone \(api_key_file\) could not be read \(FileNotFoundError\)"):
        find_key(endpoint(tmp_path / "gone"))
    for bad in ("", f"{SECRET}\nsecond line", f"{SECRET}\u00e9"):
        (tmp_path / "bad").write_text(bad)
        with pytest.raises(SeamError, match="is no key") as caught:
            find_key(endpoint(tmp_path / "bad"))
        assert SECRET not in str(caught.value)
    with pytest.raises(ValidationError, match="must not hold a user name"):
        endpoint(url="https://me:pass@llm.example/v1")


@pytest.mark.parametrize("mode", ["direct", "batch"])
def test_nothing_written_holds_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    """Not even when the server sends it back: in an answer, in an error, in a refusal of the key."""
    monkeypatch.setenv("SEAM_TEST_KEY", SECRET)
    written: list[str] = []
    with scripted_server(answer=lambda p: f"you sent {SECRET}", script={"bad": [400]}) as server:
        server.error = "x" * 195 + SECRET  # a message that is cut within the key
        with caplog.at_level(logging.DEBUG):
            chat = client(server.url, tmp_path, mode=mode)
            written += map(str, ask(chat, "good", "bad").values())
            written.append(str(chat.usage.notes()))
            server.script["no"] = [401]
            server.batches.create = [401]
            with pytest.raises(SeamError) as caught:
                ask(client(server.url, tmp_path, mode=mode), "no")
            written.append(f"{caught.value} {caught.value.__cause__}")
    if mode == "direct":
        assert server.requests[0]["authorization"] == f"Bearer {SECRET}"
    assert "you sent ***" in written[0]
    assert SECRET[:5] not in "\n".join(written)
    assert SECRET not in caplog.text
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert all(SECRET[:5].encode() not in file.read_bytes() for file in files)


def test_a_key_or_a_password_in_the_wrong_place_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SeamError, match="not the key") as caught:
        find_key(LLMEndpoint(model="m", base_url="https://llm.example/v1", api_key_env=SECRET))
    assert SECRET not in str(caught.value)
    with pytest.raises(SeamError, match="address llm.example/v1 must begin with http"):
        address(LLMEndpoint(model="m", base_url="llm.example/v1"))
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://me:{SECRET}@llm.example/v1")
    with pytest.raises(SeamError, match="holds a user name or a password") as caught:
        address(LLMEndpoint(model="m"))
    assert SECRET not in str(caught.value)
