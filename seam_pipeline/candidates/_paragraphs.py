"""Taking a model's reply apart into answers."""

import re
from collections import Counter
from typing import NamedTuple

from ._texts import Distinct

_NUMBER = re.compile(r"^\s*(?:[*_#]{0,3}(?:answer\s*)?\(?\d{1,3}[.):]\)?[*_]{0,2}[:.]?|[-*\u2022])\s+", re.IGNORECASE)
_HEADING = re.compile(r"^[*_#\s]*answer\s*\d{1,3}[*_]*[.):]?[*_\s]*$", re.IGNORECASE)
_REFUSAL = re.compile(
    r"^\W*(?:i'?m sorry\b|i am sorry\b|sorry\b|i apologi[sz]e\b|(?:as|being) an? (?:ai|assistant|language model)\b|"
    r"i (?:can'?t|cannot|can not|won'?t|will not|am unable|am not able|must decline)\b)",
    re.IGNORECASE,
)
_MIN_WORDS = 3


class Parsed(NamedTuple):
    """Usable answers in order, and in words what was dropped."""

    answers: list[str]
    dropped: list[str]


def read_answers(reply: str, distinct: Distinct, *, truncated: bool = False) -> Parsed:
    """Split a reply at blank lines (or numbered lines), strip numbering, drop what is no distinct worse answer.

    Dropped: what `distinct` has seen (the golden answer, earlier answers of this or another reply), fewer than three
    words, an opening line that ends with a colon, and the last paragraph of a reply that was cut at max_tokens.
    """
    blocks = _blocks(reply)
    dropped: Counter[str] = Counter()
    if len(blocks) <= 2 and _REFUSAL.match(reply.replace("\u2019", "'")):
        return Parsed([], [f"refused: {' '.join(reply.split())[:120]}"])
    if truncated and blocks:
        blocks.pop()
        dropped["cut off at max_tokens"] += 1
    if len(blocks) > 1 and blocks[0].rstrip().endswith(":"):
        blocks.pop(0)
    answers: list[str] = []
    for block in blocks:
        if len(block.split()) < _MIN_WORDS:
            dropped["too short"] += 1
        elif not distinct.add(block):
            dropped["repeated or equal to the golden answer"] += 1
        else:
            answers.append(block)
    return Parsed(answers, [f"{count} {what}" for what, count in dropped.items()])


def _blocks(reply: str) -> list[str]:
    blocks = [b for b in re.split(r"\n\s*\n", reply.strip()) if b.strip()]
    lines = [line for line in reply.splitlines() if line.strip()]
    numbered = sum(bool(_NUMBER.match(line)) for line in lines)
    if len(blocks) <= 2 and numbered > len(blocks):
        blocks = lines
    stripped = (_NUMBER.sub("", _without_heading(block), count=1).strip() for block in blocks)
    return [block for block in stripped if block]


def _without_heading(block: str) -> str:
    first, _, rest = block.partition("\n")
    return rest if _HEADING.match(first) else block
