"""The Batch API's calls: look up, upload, create, poll, read."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import openai

from ..errors import SeamError
from ._server import Server

_TAG = "seam_tag"
_ENDED = ("completed", "failed", "expired", "cancelled")


class NoBatchAPIError(SeamError):
    """The server knows no batches, so it holds none."""


class State(NamedTuple):
    """A batch at the server; `said` is what it reports of a failure."""

    status: str
    ended: bool
    done: int
    files: tuple[str, ...]
    said: str


class BatchAPI:
    """One server's Batch API; every failure that is the whole batch's is a SeamError."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def find(self, tag: str) -> str | None:
        """The id of the batch with this tag in its metadata."""
        try:
            async for batch in self._server.client.batches.list(limit=100):
                if (batch.metadata or {}).get(_TAG) == tag:
                    return batch.id
        except openai.APIError as error:
            raise self._failed(error, "could not list its batches") from None
        return None

    async def upload(self, path: Path) -> str:
        """The id of the uploaded JSONL file."""
        try:
            return (await self._server.client.files.create(file=path, purpose="batch")).id
        except openai.APIError as error:
            raise self._failed(error, "did not take the batch's file") from None

    async def create(self, file_id: str, tag: str) -> str:
        """Submit once: an attempt whose outcome is unknown is looked up by its tag before the next one."""
        once = self._server.client.with_options(max_retries=0)
        for attempt in range(self._server.endpoint.retries + 1):
            try:
                made = await once.batches.create(
                    input_file_id=file_id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={_TAG: tag},
                    extra_headers={"Idempotency-Key": tag},
                )
                return made.id
            except openai.APIError as error:
                if not _transient(error):
                    raise self._failed(error, "refused the batch") from None
                last = error
            await asyncio.sleep(_delay(last, attempt))
            if (found := await self.find(tag)) is not None:
                return found
        raise self._failed(last, "did not take the batch")

    async def state(self, batch_id: str) -> State | None:
        """How far it is; None when the server does not answer now, status `unknown` when it knows no such batch."""
        try:
            batch = await self._server.client.batches.retrieve(batch_id)
        except openai.NotFoundError:
            return State("unknown to the server", True, 0, (), "")
        except openai.APIError as error:
            if _transient(error) or isinstance(error, openai.APIConnectionError):
                return None
            raise self._failed(error, f"did not show batch {batch_id}") from None
        errors = (batch.errors.data if batch.errors else None) or []
        said = self._server.key.hide("; ".join(" ".join(str(error.message).split()) for error in errors))[:300]
        done = batch.request_counts.completed if batch.request_counts else 0
        files = tuple(file for file in (batch.output_file_id, batch.error_file_id) if file)
        return State(batch.status, batch.status in _ENDED, done or 0, files, said)

    async def read(self, file_id: str) -> str:
        """A result file without the key; empty when the server has deleted it."""
        try:
            content = (await self._server.client.files.content(file_id)).content
        except openai.NotFoundError:
            return ""
        except openai.APIError as error:
            raise self._failed(error, f"did not hand out the result file {file_id}") from None
        return self._server.key.hide(content.decode("utf-8", "replace"))

    def _failed(self, error: openai.APIError, what: str) -> SeamError:
        if isinstance(error, openai.NotFoundError):
            return NoBatchAPIError(
                f"The server at {self._server.base_url} has no Batch API; set the endpoint's mode: direct."
            )
        try:
            self._server.raise_if_shared(error)
        except SeamError as shared:
            return shared
        remedy = "run again to go on, nothing is lost" if _transient(error) else "correct that and run again"
        return SeamError(f"The server at {self._server.base_url} {what} ({self._server.reason(error)}); {remedy}.")


def _transient(error: openai.APIError) -> bool:
    status = getattr(error, "status_code", None)
    if isinstance(error, openai.APIConnectionError):
        return type(error.__cause__).__name__ != "ConnectError"
    return status is None or status in (408, 409, 429) or status >= 500


def _delay(error: Any, attempt: int) -> float:
    """Seconds to wait: what Retry-After says, up to two minutes, else 0.5 doubled each time up to 8."""
    headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    try:
        wanted = float(headers.get("retry-after", ""))
    except ValueError:
        wanted = 0.0
    return wanted if 0 < wanted <= 120 else min(0.5 * 2.0**attempt, 8.0)
