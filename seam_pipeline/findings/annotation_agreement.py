"""Human annotation: how far people agree on which answer is better (the paper's human evaluation, appendix D.4)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import pyarrow as pa

from seam_pipeline.annotation._judgement import CHOICES, Judgement, from_table, majority
from seam_pipeline.annotation.agreement import alpha_rows, alpha_terms, choices_by_pair, pairwise

from ._finding import Finding, Row, Table
from ._format import count, number
from ._statistics import Interval, bootstrap, wilson
from ._tables import small_sample

MOST_DISPUTED = 20
By = Mapping[str, Mapping[str, str]]


def annotation_agreement(judgements: pa.Table, ids: Sequence[str]) -> Finding:
    """Agreement on the pairs `ids` from tables.JUDGEMENTS; judgements of other pairs are left out.

    Alpha is Krippendorff's for nominal values, with an interval by bootstrap over pairs; `cannot tell` is a value of
    its own in it, and a vote for a tie in the majority. Ids without a judgement are counted as nulls.
    """
    asked = set(ids)
    made = [one for one in from_table(judgements) if one.id in asked]
    by_pair = choices_by_pair(made)
    people = sorted({one.annotator for one in made})
    alpha = alpha_interval(by_pair.values())
    decided = alpha_interval({k: v for k, v in c.items() if v != "tie"} for c in by_pair.values())
    won = Counter(_outcome(choices) for choices in by_pair.values())
    n = len(by_pair)
    unjudged = len(asked) - n
    return Finding(
        key="annotation_agreement",
        title="Human annotation",
        question="How far do people agree on which answer is better?",
        answer=_answer(people, n, len(asked), alpha),
        figure=None,
        columns=("what most chose", "pairs", "share", "95% CI"),
        rows=tuple(_share(name, won[name], n) for name in _OUTCOMES),
        n=n,
        interval=f"Krippendorff's alpha: {alpha.text()} over {count(alpha.n, 'pair')} with two or more judgements; "
        f"without cannot tell {decided.text()}; bootstrap over pairs.",
        paper="Several annotators with expertise in computer science, blind to the models; no agreement given (D.4).",
        caveats=(
            "Cannot tell is a value of its own in alpha, and a vote for a tie in the majority.",
            *(small_sample(alpha.n, "pair") if alpha.n else ()),
        ),
        nulls={"pair that nobody judged": unjudged} if unjudged else {},
        unit="judged pair",
        more=(_people(made, people), *_two_by_two(by_pair), *_disputed(by_pair)),
        numbers={"alpha": alpha.value, "alpha_low": alpha.low, "alpha_high": alpha.high, "alpha_decided": decided.value,
                 "judgements": len(made), "people": len(people), "pairs": n},
    )  # fmt: skip


def alpha_interval(units: Iterable[Mapping[str, str]]) -> Interval:
    """Krippendorff's alpha of choices by annotator, one mapping per pair; `n` counts pairs with two or more."""
    return bootstrap(alpha_rows, *alpha_terms((unit.values() for unit in units), CHOICES))


_OUTCOMES = ("response 1", "response 2", "cannot tell", "no majority")


def _outcome(choices: Mapping[str, str]) -> str:
    most = majority(choices.values())
    if most != "tie":
        return f"response {most}"
    votes = Counter(choices.values())
    return "cannot tell" if all(votes["tie"] > votes[choice] for choice in ("1", "2")) else "no majority"


def _share(name: str, successes: int, n: int) -> Row:
    share = wilson(successes, n)
    return name, successes, number(share.value, 1, percent=True), share.range_text(1, percent=True)


def _people(made: Sequence[Judgement], people: Sequence[str]) -> Table:
    rows = []
    for name in people:
        own = [one for one in made if one.annotator == name]
        chose = Counter(one.choice for one in own)
        sided = [one for one in own if one.left is not None and one.choice != "tie"]
        left = wilson(sum(one.choice == one.left for one in sided), len(sided))
        seconds = [one.seconds for one in own if one.seconds is not None]
        rows.append(
            (name, len(own), chose["1"], chose["2"], chose["tie"], number(left.value, 0, percent=True),
             left.range_text(0, percent=True), round(median(seconds), 1) if seconds else None,
             sum(one.comment is not None for one in own))
        )  # fmt: skip
    names = (
        "person",
        "judged",
        "chose 1",
        "chose 2",
        "cannot tell",
        "chose left",
        "95% CI",
        "median seconds",
        "comments",
    )
    return Table("Each person (sides were shuffled: about half of the choices should stand left)", names, tuple(rows))


def _two_by_two(by_pair: By) -> tuple[Table, ...]:
    rows: list[Row] = []
    for two in pairwise(by_pair):
        same = wilson(two.same, two.n)
        share = number(same.value, 0, percent=True)
        apart = two.n - two.same - two.opposite
        rows.append((two.a, two.b, two.n, two.same, share, same.range_text(0, percent=True), two.opposite, apart))
    names = ("person", "and", "both judged", "same", "share", "95% CI", "opposite", "one could not tell")
    return (Table("Each two people", names, tuple(rows)),) if rows else ()


def _disputed(by_pair: By) -> tuple[Table, ...]:
    """Most opposed first: the smaller side's votes, then the number of different choices."""
    votes = {id_: Counter(choices.values()) for id_, choices in by_pair.items()}
    split = [id_ for id_, seen in votes.items() if len(seen) > 1]
    split.sort(key=lambda id_: (-min(votes[id_]["1"], votes[id_]["2"]), -len(votes[id_]), id_))
    if not split:
        return ()
    more = f", the first {MOST_DISPUTED}" if len(split) > MOST_DISPUTED else ""
    caption = f"Pairs that people disagree on ({len(split)}{more})"
    rows = tuple((id_, votes[id_]["1"], votes[id_]["2"], votes[id_]["tie"]) for id_ in split[:MOST_DISPUTED])
    return (Table(caption, ("pair", "for 1", "for 2", "cannot tell"), rows),)


def _answer(people: Sequence[str], n: int, asked: int, alpha: Interval) -> str:
    who = f"{count(len(people), 'person', 'people')} judged {n:,} of {count(asked, 'pair')}"
    if alpha.n == 0:
        return f"{who}; no pair was judged by two, so agreement can't be measured."
    if alpha.value is None:
        return f"{who}; on the {count(alpha.n, 'pair')} that two judged all chose the same, so alpha is undefined."
    sure = "" if alpha.excludes(0) else ", not separated from chance (0) at 95%"
    return f"{who}; Krippendorff's alpha is {number(alpha.value)}{sure}."
