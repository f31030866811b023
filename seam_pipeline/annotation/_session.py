"""What the page asks for: the next pair, the one before, and to keep a choice."""

from collections.abc import Mapping
from typing import Any

from ._judgement import MAX_COMMENT, Judgement, clean_name, clean_seconds, is_text, now
from ._markdown import render
from .pairs import SIDES, Sheet, left_of
from .store import AnnotationStore


class RefusedError(Exception):
    """A request that is not carried out: HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Session:
    """The pages of all annotators; what is sent never names a source, an id or which response an answer is."""

    def __init__(self, store: AnnotationStore, sheet: Sheet, annotator: str | None = None) -> None:
        """`annotator` is the only name that may judge, where one is given."""
        self.store = store
        self.sheet = sheet
        self.annotator = annotator

    def people(self) -> dict[str, Any]:
        """Who has judged how many of how many pairs."""
        return {"annotator": self.annotator, "people": self.store.annotators(), "total": len(self.sheet.pairs)}

    def next_pair(self, annotator: str) -> dict[str, Any]:
        """The first pair that this person has not judged."""
        judged = self._judged(annotator)
        places = range(len(self.sheet.pairs))
        return self._page(annotator, judged, next((place for place in places if place not in judged), None))

    def pair_before(self, annotator: str, position: int) -> dict[str, Any]:
        """The last judged pair before a position, with the choice that stands."""
        judged = self._judged(annotator)
        before = [place for place in judged if place < position]
        if not before:
            raise RefusedError(404, "There is no judged pair before this one.")
        return self._page(annotator, judged, max(before))

    def judge(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a choice and return the next pair. Raises RefusedError for a page of another pair, person or seed."""
        annotator = self._name(sent.get("annotator"))
        side = next((side for side in SIDES if side == sent.get("choice")), None)
        comment = sent.get("comment") or ""
        if side is None or not is_text(comment) or len(comment) > MAX_COMMENT:
            raise RefusedError(400, f"A choice is left, right or tie; a comment has at most {MAX_COMMENT} characters.")
        position = next((place for place in range(len(self.sheet.pairs)) if place == sent.get("position")), None)
        if position is None or sent.get("token") != self.sheet.token(position, annotator):
            raise RefusedError(409, "This page is out of date; the pair was loaded again, nothing was saved.")
        pair = self.sheet.pairs[position]
        left = left_of(pair, annotator, self.sheet.seed)
        choice = self.sheet.choice(position, annotator, side)
        seconds = clean_seconds(sent.get("seconds"))
        made = Judgement(pair.id, annotator, choice, left, seconds, comment.strip() or None, now(), pair.key)
        self.store.add([made])
        return self.next_pair(annotator)

    def _name(self, given: Any) -> str:
        name = clean_name(given) if isinstance(given, str) else None
        if name is None:
            raise RefusedError(400, "A name has 1 to 64 printable characters.")
        if self.annotator is not None and name != self.annotator:
            raise RefusedError(403, f"Only {self.annotator} judges here (--annotator).")
        return name

    def _judged(self, annotator: str) -> dict[int, Judgement]:
        place = self.sheet.place
        made = self.store.judgements(self._name(annotator))
        return {place[one.id]: one for one in made if one.id in place}

    def _page(self, annotator: str, judged: Mapping[int, Judgement], position: int | None) -> dict[str, Any]:
        annotator = self._name(annotator)
        page = {"total": len(self.sheet.pairs), "done": len(judged), "item": None, "first": not judged}
        if position is None:
            return page
        left, right = self.sheet.shown(position, annotator)
        earlier = judged.get(position)
        item = {
            "position": position,
            "token": self.sheet.token(position, annotator),
            "instruction": render(self.sheet.pairs[position].instruction),
            "left": render(left),
            "right": render(right),
            "choice": earlier and self.sheet.side(position, annotator, earlier.choice),
            "comment": earlier and earlier.comment,
        }
        return page | {"item": item, "first": not any(place < position for place in judged)}
