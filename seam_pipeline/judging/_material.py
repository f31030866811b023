"""What a judge LLM reads between fences: nothing in it can close a fence or stand as a rating or a verdict."""

import hashlib
import re

_DOUBLE = re.compile(r"\[(?=\[)|\](?=\])")


def set_apart(text: str) -> str:
    """Double brackets with a space in between, so that a quote of the text is never read as `[[n]]`."""
    return _DOUBLE.sub(lambda bracket: bracket[0] + " ", text)


def fence_for(*texts: str) -> str:
    """A line that none of the texts holds; it hashes them, so that their authors can't write it beforehand."""
    salt = 0
    while True:
        digest = hashlib.sha256("\x1f".join((*texts, str(salt))).encode("utf-8", "replace")).hexdigest()[:8]
        if not any(digest in text for text in texts):
            return "=" * 8 + digest
        salt += 1
