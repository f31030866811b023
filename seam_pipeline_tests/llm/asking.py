"""Shared by the tests of the client; run as a program, it asks the prompts that it is given and prints the replies.

Arguments: settings as JSON, cache file, prompts.
"""

import json
import sys
from pathlib import Path
from typing import Any

from seam_pipeline.experiment import LLMEndpoint
from seam_pipeline.llm.client import ChatClient, Reply, user

SETTINGS = {"model": "m", "api_key_env": "SEAM_TEST_KEY", "retries": 1, "timeout_seconds": 20, "poll_seconds": 0.05}


def client(url: str, path: Path, **changes: Any) -> ChatClient:
    return ChatClient(LLMEndpoint(**{**SETTINGS, "base_url": url, **changes}), path / "replies.sqlite", "test")


def ask(chat: ChatClient, *prompts: str) -> dict[str, Reply]:
    return dict(zip(prompts, chat.complete_many([user(p) for p in prompts]), strict=True))


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print({k: r.text for k, r in ask(client(given.pop("base_url"), Path(sys.argv[2]), **given), *sys.argv[3:]).items()})
