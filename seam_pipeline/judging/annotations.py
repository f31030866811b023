"""What people chose, as a judge of pairs."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ..annotation._judgement import Judgement, majority, standing, to_table
from ..annotation.csv_file import read_csv
from ..annotation.pairs import pairs_of
from ..annotation.store import AnnotationStore
from ..errors import SeamError
from ..tables import VERDICTS

JUDGE = "human"
NOBODY = "nobody judged this pair"
CHANGED = "the pair that was judged had other texts"


def verdicts_of(path: Path, ids: Sequence[str], pairs: pa.Table | None = None) -> pa.Table:
    """The majority's choice per id, in order, as tables.VERDICTS with judge `human`.

    `path` is an annotation file of `seam annotate` or its CSV. `preference` is "1" or "2" where more people chose that
    response than anything else, "tie" where most could not tell or no choice has most votes, null with a reason where
    nobody judged. `explanation` has the votes. With `pairs` (id, instruction, response_1, response_2; for example
    tables.PREFERENCE_ANSWERS) judgements of other texts under the same id do not count, and the reason says so.
    Raises SeamError for a file that is missing or of another kind.
    """
    keys = {} if pairs is None else {pair.id: pair.key for pair in pairs_of(pairs.select(_texts(pairs)), "pairs")}
    votes: defaultdict[str, list[Judgement]] = defaultdict(list)
    stale: set[str] = set()
    for judgement in judgements_in(path):
        if judgement.pair is not None and keys.get(judgement.id, judgement.pair) != judgement.pair:
            stale.add(judgement.id)
        else:
            votes[judgement.id].append(judgement)
    rows = [
        {
            "id": id_,
            "judge": JUDGE,
            "preference": majority(vote.choice for vote in votes[id_]) if id_ in votes else None,
            "reason": None if id_ in votes else CHANGED if id_ in stale else NOBODY,
            "explanation": _count(votes[id_]) if id_ in votes else None,
        }
        for id_ in ids
    ]
    return pa.Table.from_pylist(rows, schema=VERDICTS)


def read_judgements(path: Path) -> pa.Table:
    """The standing judgements of an annotation file or its CSV, as tables.JUDGEMENTS. Raises SeamError."""
    return to_table(judgements_in(path))


def judgements_in(path: Path) -> list[Judgement]:
    """The standing judgements, one per person and pair. Raises SeamError for a missing or foreign file."""
    if not path.is_file():
        raise SeamError(f"{path}: there are no annotations; make them with `seam annotate`, or mend the path.")
    return standing(read_csv(path)) if path.suffix.lower() == ".csv" else AnnotationStore(path).judgements()


def _texts(pairs: pa.Table) -> list[str]:
    return [name for name in ("id", "instruction", "response_1", "response_2") if name in pairs.column_names]


def _count(votes: Sequence[Judgement]) -> str:
    counts = Counter(vote.choice for vote in votes)
    return f"{counts['1']} for 1, {counts['2']} for 2, {counts['tie']} cannot tell"
