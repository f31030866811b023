"""Label Studio's JSON, in the shape of its template for pairwise comparison.

A task shows the same sides to everybody, so each task's sides are shuffled by the seed. The tag Pairwise knows left and
right only, and a result's `to_name` is its own name; `cannot tell` is a Choices tag beside it. An import refuses a
`completed_by` that is none of the server's users, so the annotator's name is a text of its own.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import SeamError
from ..wholefile import write_whole
from ._judgement import MAX_COMMENT, Choice, Judgement, Response, clean_name, clean_seconds, now, other
from .pairs import Pair, Sheet

TASK = ""
"""The annotator whose sides a task has: nobody's."""

CANNOT_TELL = "cannot tell"
CONFIG = f"""\
<View>
  <Header value="Which answer is better?"/>
  <Text name="instruction" value="$instruction"/>
  <Pairwise name="preference" toName="left,right"/>
  <View style="display: grid; grid-template-columns: 1fr 1fr; column-gap: 12px">
    <Text name="left" value="$left"/>
    <Text name="right" value="$right"/>
  </View>
  <Choices name="cannot_tell" toName="instruction" choice="single">
    <Choice value="{CANNOT_TELL}"/>
  </Choices>
  <TextArea name="comment" toName="instruction" placeholder="Comment" maxSubmissions="1"/>
  <TextArea name="annotator" toName="instruction" placeholder="Leave empty: your account's name" maxSubmissions="1"/>
</View>
"""


class Imported(NamedTuple):
    """What a file held, and how many annotations were left out, by reason."""

    judgements: list[Judgement]
    skipped: dict[str, int]


def write_tasks(path: Path, judgements: Iterable[Judgement], pairs: Sequence[Pair], seed: int) -> Path:
    """One task per pair with its annotations, and beside it the labelling interface (XML), whose path is returned.

    A task names its pair by its hash, and the pairs' further columns stay out, since annotators can see a task's data.
    """
    sheet = Sheet(pairs, seed)
    made: defaultdict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        made[judgement.id].append(judgement)
    tasks = [_task(sheet, position, made[pair.id]) for position, pair in enumerate(sheet.pairs)]
    config = path.with_suffix(".xml")
    write_whole(path, lambda file: file.write_text(json.dumps(tasks, ensure_ascii=False, indent=1), encoding="utf-8"))
    write_whole(config, lambda file: file.write_text(CONFIG, encoding="utf-8"))
    return config


def _task(sheet: Sheet, position: int, judgements: Sequence[Judgement]) -> dict[str, Any]:
    pair = sheet.pairs[position]
    left, right = sheet.shown(position, TASK)
    data = {"pair": pair.key, "instruction": pair.instruction, "left": left, "right": right}
    return {"data": data, "annotations": [_annotation(sheet, position, one) for one in judgements]}


def _annotation(sheet: Sheet, position: int, judgement: Judgement) -> dict[str, Any]:
    side = sheet.side(position, TASK, judgement.choice)
    result = [
        _result("cannot_tell", "instruction", "choices", {"choices": [CANNOT_TELL]})
        if side == "tie"
        else _result("preference", "preference", "pairwise", {"selected": side}),
        _result("annotator", "instruction", "textarea", {"text": [judgement.annotator]}),
    ]
    if judgement.comment:
        result.append(_result("comment", "instruction", "textarea", {"text": [judgement.comment]}))
    times = {"created_at": judgement.at, "lead_time": judgement.seconds}
    return {"result": result, "was_cancelled": False, "ground_truth": False, **times}


def _result(name: str, to: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": to, "type": kind, "value": value}


def read_tasks(path: Path, pairs: Sequence[Pair]) -> Imported:
    """Judgements of `pairs` from an export of ours or of Label Studio (JSON, not JSON-MIN).

    The task's texts say which response stood left. Raises SeamError for another format, or a pair or texts not known.
    """
    try:
        tasks = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SeamError(f"{path} can't be read as JSON ({error}); export it from Label Studio as JSON.") from error
    if not isinstance(tasks, list) or not all(isinstance(t, dict) and isinstance(t.get("data"), dict) for t in tasks):
        raise SeamError(f"{path} is no list of tasks with data and annotations; export as JSON, not as JSON-MIN.")
    known = {pair.key: pair for pair in pairs}
    found: list[Judgement] = []
    skipped: Counter[str] = Counter()
    started = now()
    for number, task in enumerate(tasks, 1):
        where = f"{path}: task {number}"
        pair, left = _shown(task["data"], known, where)
        for annotation in _annotations(task, where):
            one = _judgement(annotation, pair, left, started)
            if isinstance(one, str):
                skipped[one] += 1
            else:
                found.append(one)
    return Imported(found, dict(skipped))


def _shown(data: Mapping[str, Any], known: Mapping[str, Pair], where: str) -> tuple[Pair, Response]:
    """The task's pair, and the response that stands left in it."""
    pair = known.get(str(data.get("pair")))
    if pair is None:
        raise SeamError(f"{where}: its data.pair is none of the pairs here; import into the file it was exported from.")
    texts = data.get("left"), data.get("right")
    both = pair.response_1, pair.response_2
    if data.get("instruction") != pair.instruction or texts not in (both, both[::-1]):
        raise SeamError(f"{where}: the texts of {pair.id!r} have been changed; import what was exported from here.")
    return pair, "1" if texts == both else "2"


def _annotations(task: Mapping[str, Any], where: str) -> Iterator[Mapping[str, Any]]:
    annotations = task.get("annotations") or []
    good = isinstance(annotations, list) and all(
        isinstance(one, dict) and isinstance(one.get("result", []), list) for one in annotations
    )
    if not good:
        raise SeamError(f"{where}: annotations must be a list of objects with a list result; export as JSON again.")
    yield from annotations


def _judgement(annotation: Mapping[str, Any], pair: Pair, left: Response, started: str) -> Judgement | str:
    """The judgement, or why there is none."""
    if annotation.get("was_cancelled"):
        return "skipped by the annotator"
    results = [one for one in annotation.get("result") or () if isinstance(one, dict)]
    values: dict[Any, dict[str, Any]] = {
        r.get("from_name"): r["value"] for r in results if isinstance(r.get("value"), dict)
    }
    choice = _choice(results, values.get("cannot_tell", {}), left)
    if choice is None:
        return "without one choice"
    name = clean_name(_text(values.get("annotator"))) or _account(annotation.get("completed_by"))
    if name is None:
        return "without an annotator"
    return Judgement(
        id=pair.id,
        annotator=name,
        choice=choice,
        left=left,
        seconds=clean_seconds(annotation.get("lead_time")),
        comment=_text(values.get("comment"))[:MAX_COMMENT] or None,
        at=_time(annotation.get("updated_at")) or _time(annotation.get("created_at")) or started,
        pair=pair.key,
    )


def _choice(results: Sequence[Mapping[str, Any]], cannot_tell: Mapping[str, Any], left: Response) -> Choice | None:
    """What was chosen; None for nothing, and for more than one thing."""
    chosen: list[Choice] = []
    for one in results:
        side = (
            one["value"].get("selected")
            if one.get("type") == "pairwise" and isinstance(one.get("value"), dict)
            else None
        )
        if side in ("left", "right"):
            chosen.append(left if side == "left" else other(left))
    if CANNOT_TELL in (cannot_tell.get("choices") or ()):
        chosen.append("tie")
    return chosen[0] if len(chosen) == 1 else None


def _text(value: Any) -> str:
    text = value.get("text") if isinstance(value, dict) else None
    return "\n".join(map(str, text)) if isinstance(text, list) else str(text or "")


def _account(completed_by: Any) -> str | None:
    """The e-mail address of an account, or `user N`."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return clean_name(f"user {completed_by}" if isinstance(completed_by, int) else completed_by or "")


def _time(text: Any) -> str | None:
    """UTC as `now` writes it."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
