"""Questions and answers as callers see them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """One question: (role, content) messages; `sample` tells repeated draws of the same messages apart."""

    messages: tuple[tuple[str, str], ...]
    sample: int = 0


@dataclass(frozen=True)
class Reply:
    """One answer, or the reason why there is none; `truncated` when it was cut at max_tokens."""

    text: str | None
    reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached: bool
    truncated: bool = False

    @property
    def over_budget(self) -> bool:
        """Was the row left unasked because of the budget?"""
        return self.reason is not None and self.reason.startswith("budget")


def user(content: str, sample: int = 0) -> Request:
    """A request of one user message."""
    return Request((("user", content),), sample)
