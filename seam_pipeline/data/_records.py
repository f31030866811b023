"""One record of a file, checked: a question, an answer, an ordered pair, or the reason why it is skipped."""

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

_WHOLE = re.compile(r"(-?[0-9]{1,18})(?:\.0+)?", re.ASCII)

Record = Mapping[str, object]


class Bad(NamedTuple):
    """A skipped row; `reason` starts with the kind of row: "post: ...", "question: ...", "answer: ...", "row: ..."."""

    reason: str


class Question(NamedTuple):
    """A post that asks; `body` is HTML, `accepted` the id of the accepted answer."""

    id: int
    accepted: int | None
    title: str
    body: str


class Answer(NamedTuple):
    """A post that answers question `parent`; `body` is HTML, `votes` upvotes minus downvotes."""

    id: int
    parent: int
    votes: int
    body: str


class Pair(NamedTuple):
    """`better` is preferred to `worse` as an answer to `instruction`; without `worse` it is a lone answer."""

    question_id: str
    instruction: str
    better: str
    worse: str | None


def parse_post(record: Record) -> Question | Answer | Bad:
    """A row of `Posts`: post type 1 is a question, 2 an answer, others (wikis, tag excerpts, ...) are skipped."""
    kind, number = whole(record.get("PostTypeId")), whole(record.get("Id"))
    if kind is None or number is None:
        return Bad("post: Id or PostTypeId is missing or no whole number")
    if kind not in (1, 2):
        return Bad("post: neither a question nor an answer")
    unit = "question" if kind == 1 else "answer"
    body, title = _text(record.get("Body")), _text(record.get("Title"))
    if not _encodable(body) or not _encodable(title):
        return Bad(f"{unit}: not valid Unicode")
    if kind == 1:
        if not body and not title:
            return Bad("question: empty")
        return Question(number, whole(record.get("AcceptedAnswerId")), title, body)
    parent, votes = whole(record.get("ParentId")), whole(record.get("Score"))
    if parent is None:
        return Bad("answer: ParentId is missing or no whole number")
    if votes is None:
        return Bad("answer: Score is missing or no whole number")
    return Answer(number, parent, votes, body) if body else Bad("answer: empty")


def parse_paired(record: Record, site: str) -> Pair | Bad:
    """A row of paired answers: `response_j` is the better one; without `qid` the question's text names it."""
    better, worse = _text(record.get("response_j")), _text(record.get("response_k"))
    if not better or not worse:
        return Bad("row: response_j or response_k is missing, empty or no text")
    host = _host(record.get("metadata")) or site
    return _pair(record.get("qid"), host, _text(record.get("question")), better, worse)


def parse_own(record: Record, site: str) -> Pair | Bad:
    """A user's row: `chosen` and `rejected`, or `response` alone; without `id` the instruction's text names it."""
    instruction = _text(record.get("instruction"))
    response, better, worse = (_text(record.get(name)) for name in ("response", "chosen", "rejected"))
    if bool(better) != bool(worse):
        return Bad("row: chosen and rejected must both be text")
    if better and response and response not in (better, worse):
        return Bad("row: response stands beside chosen and rejected without a rank among them")
    if not better and not response:
        return Bad("row: no response, or chosen and rejected, that is text")
    return _pair(record.get("id"), site, instruction, better or response, worse or None)


def _pair(identifier: object, site: str, instruction: str, better: str, worse: str | None) -> Pair | Bad:
    if not instruction:
        return Bad("row: the question is missing, empty or no text")
    if better == worse:
        return Bad("row: both answers are the same")
    if not all(_encodable(text) for text in (instruction, better, worse or "")):
        return Bad("row: not valid Unicode")
    if isinstance(identifier, float) and identifier.is_integer():
        identifier = int(identifier)
    if isinstance(identifier, int | str) and not isinstance(identifier, bool) and _encodable(str(identifier)):
        name = str(identifier).strip()
        if name:
            return Pair(f"{site}:{name}", instruction, better, worse)
    elif identifier is not None:
        return Bad("row: the id is neither text nor a whole number")
    digest = hashlib.sha256(instruction.encode()).hexdigest()
    return Pair(f"text:{digest[:20]}", instruction, better, worse)


def whole(value: object) -> int | None:
    """A whole number of at most 18 digits, also written as `12.0` (spreadsheet exports), or None."""
    if isinstance(value, str) and len(value) <= 18 and value.isascii() and value.isdigit():
        return int(value)  # by far the commonest
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _WHOLE.fullmatch(str(value).strip())
    return int(match[1]) if match else None


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _host(metadata: object) -> str | None:
    """The site of the first address in the `metadata` of stack-exchange-paired: its `qid` is only unique per site."""
    first = metadata[0] if isinstance(metadata, list) and metadata else None
    return (urlsplit(first).hostname or None) if isinstance(first, str) and "://" in first else None
