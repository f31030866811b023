"""Do samples like the weakest instructions make better models? The paper's Fig. 7."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from seam_pipeline.report.charts import forest
from seam_pipeline.report.figures import Figure

from ._accuracy import accuracy_change, accuracy_of
from ._comparison import EFFECT, TESTS, Comparison, compare, interval_text, numbers_of, rated_triples, seeds_text
from ._finding import Excerpt, Finding, Row, Table
from ._format import count, listing, number, shorten
from ._length_control import LengthControlled, by_length_alone, each_at_equal_length, equal_length_table
from ._names import drawn_once, in_order, method_name, style_of
from ._statistics import difference_interval, holm, mean_interval
from ._tables import Cell, by_id, columns, count_nulls, judge_caveats, paired, rating_label, ratings, small_sample

Answers = Mapping[Cell, pa.Table]
Rivals = Mapping[tuple[str, str], Comparison]
"""A SEAM method against random or Full Aug."""
EXCERPTS = 2


@dataclass(frozen=True)
class Added:
    """One method's augmented models, by cell."""

    answers: Answers
    """ANSWERS after RL"""
    policies: Answers
    """ANSWERS of the augmented policies before RL"""
    rewards: Answers
    """REWARD_QUALITY of the augmented reward models"""
    counts: Answers
    """`what, rows`: what was added and left out"""
    pairs: Answers
    """PREFERENCE rows that were added"""
    truly_better: tuple[int, int] | None = None
    """Added pairs whose chosen answer is truly the better one, of how many; None where the truth is unknown."""


def augmentation(
    original: Answers, policies: Answers, rewards: Answers, added: Mapping[str, Added], rl_train: pa.Table
) -> Finding:
    """Rating after RL of the models trained with each method's samples, against the models as they were.

    original, policies, rewards: the same tables without augmentation. Paired over (cell, seed, question); questions
    are the units of the intervals and of Wilcoxon's test (Holm over methods), seeds those of the exact sign-flip test.
    """
    base = rated_triples(original)
    after = {method: rated_triples(one.answers) for method, one in added.items()}
    found = {method: compare(method, after[method], base) for method in in_order(added)}
    rivals: Rivals = {
        (method, rival): compare(method, after[method], after[rival])
        for method in found
        for rival in ("random", "full_aug")
        if method.startswith("seam_") and rival in found
    }
    length = each_at_equal_length({"full": original, **{m: added[m].answers for m in found}})
    answer = _answer(found, rivals, by_length_alone(length))
    tables = [t for side in (original, *(one.answers for one in added.values())) for t in side.values()]
    n = min((one.difference.n for one in found.values()), default=0)
    return Finding(
        key="augmentation",
        title="Figure 7: model augmentation",
        question="Do training samples like the instructions of lowest SEAM make a better pair of models?",
        answer=answer,
        figure=_figure(found, rating_label(tables), original, answer) if found else None,
        columns=("samples for", "examples added", "pairs added", "runs", "rating after RL", "difference from Original",
                 *EFFECT, *TESTS),
        rows=_rows(found, added),
        n=n,
        interval=interval_text([(method_name(m), one) for m, one in found.items()], "Original"),
        paper="SEAM-guided augmentation is better than random and about as good as augmenting everything (Fig. 7); "
        "+4% over standard augmentation (abstract).",
        caveats=(*_caveats(found, added), *judge_caveats(tables), *drawn_once(found), *small_sample(n, "question")),
        nulls=count_nulls(tables, "rating", "answer without a rating"),
        unit="test question",
        more=_more(found, rivals, length, added, policies, rewards),
        excerpts=tuple(_excerpts(added, rl_train)),
        headline=_headline(rivals),
        numbers=_numbers(found, rivals),
    )  # fmt: skip


def _rows(found: Mapping[str, Comparison], added: Mapping[str, Added]) -> tuple[Row, ...]:
    adjusted = holm([one.questions.p for one in found.values()])
    return tuple(
        (
            method_name(method),
            _counted(added[method], "SFT examples added"),
            _counted(added[method], "preference pairs added"),
            one.runs,
            *one.tested(p),
        )
        for (method, one), p in zip(found.items(), adjusted, strict=True)
    )


def _counted(one: Added, what: str) -> int:
    """Sum over the cells."""
    return sum(n for table in one.counts.values() for name, n in columns(table, "what", "rows") if name == what)


def _more(
    found: Mapping[str, Comparison],
    rivals: Rivals,
    length: Mapping[str, LengthControlled],
    added: Mapping[str, Added],
    policies: Answers,
    rewards: Answers,
) -> tuple[Table, ...]:
    tables: list[Table] = []
    if rivals:
        adjusted = holm([one.questions.p for one in rivals.values()])
        rows: tuple[Row, ...] = tuple(
            (f"{method_name(a)} against {method_name(b)}", *one.effect(p))
            for ((a, b), one), p in zip(rivals.items(), adjusted, strict=True)
        )
        head = ("after RL", "difference", *EFFECT, *TESTS)
        tables.append(Table("The lowest by SEAM against as many at random, and against all", head, rows))
    before = ("samples for", "policy's rating", "difference from Original", "95% CI", "d_z",
              "reward model's accuracy", "difference from Original", "95% CI", "d_z")  # fmt: skip
    levels = (_plain(policies, rewards), *(_before(m, added[m], policies, rewards) for m in found))
    tables += equal_length_table(length, "Original")
    tables.append(Table("The models before RL: test questions, and test pairs", before, levels))
    whats = list(dict.fromkeys(w for m in found for t in added[m].counts.values() for (w,) in columns(t, "what")))
    sizes = tuple((what, *(_counted(added[m], what) for m in found)) for what in whats)
    tables.append(Table("What was added, and what was not", ("rows", *map(method_name, found)), sizes))
    return tuple(tables)


def _plain(policies: Answers, rewards: Answers) -> Row:
    quality = mean_interval(list(by_id(map(ratings, policies.values())).values()))
    accuracy = number(accuracy_of(*rewards.values()).value, 1, percent=True)
    return ("Original", quality.value, "–", "–", "–", accuracy, "–", "–", "–")


def _before(method: str, one: Added, policies: Answers, rewards: Answers) -> Row:
    shared = sorted(one.policies.keys() & policies.keys())
    ours, theirs = (by_id([ratings(side[cell]) for cell in shared]) for side in (one.policies, policies))
    a, b = paired(ours, theirs)
    right, was = ([side[cell] for cell in shared] for side in (one.rewards, rewards))
    return (
        method_name(method),
        mean_interval(a).value,
        *difference_interval(a - b).difference_cells(3),
        number(accuracy_of(*right).value, 1, percent=True),
        *accuracy_change(right, was).difference_cells(1, percent=True),
    )


def _excerpts(added: Mapping[str, Added], rl_train: pa.Table) -> Iterable[Excerpt]:
    """The first added pairs of the first method, as they are."""
    asked = dict(columns(rl_train, "id", "instruction"))
    for method in in_order(added)[:1]:
        for _, table in sorted(added[method].pairs.items())[:1]:
            for row in table.slice(0, EXCERPTS).to_pylist():
                own = asked.get(row["id"].rsplit(":", 1)[0], "–")
                parts = (("weak instruction", own), ("asked", row["instruction"]), ("better answer", row["chosen"]),
                         ("worse answer", row["rejected"]))  # fmt: skip
                yield Excerpt(f"A pair added for {method_name(method)}", tuple((k, shorten(v)) for k, v in parts))


def _figure(found: Mapping[str, Comparison], label: str, original: Answers, answer: str) -> Figure:
    start = mean_interval(list(by_id(map(ratings, original.values())).values()))
    change = [(method_name(m), one.relative.scaled(100), style_of(m)) for m, one in found.items()]
    level = [
        ("Original", start, style_of("full")), *((method_name(m), one.quality, style_of(m)) for m, one in found.items())
    ]  # fmt: skip
    panels = (
        forest("augmentation", change, x_label="change of the mean rating against Original (%)",
               title="Effect of augmentation", reference=(0.0, "Original")),
        forest("augmentation-level", level, x_label=label, title="Mean rating after RL"),
    )  # fmt: skip
    return Figure(
        panels,
        f"Forest plot of each augmentation against the original models, after RL. {answer}",
        "Bars are 95% intervals over questions, on the left paired with the original models.",
    )


def _answer(found: Mapping[str, Comparison], rivals: Rivals, length: tuple[str, ...]) -> str:
    if not any(one.relative.value is not None for one in found.values()):
        return "No augmented model shares a cell, a seed and a question with the original ones: nothing to compare."
    adjusted = holm([one.questions.p for one in found.values()])
    parts = [_against("Original", [(m, one, p) for (m, one), p in zip(found.items(), adjusted, strict=True)])]
    adjusted = holm([one.questions.p for one in rivals.values()])
    for rival in ("random", "full_aug"):
        some = [(a, one, p) for ((a, b), one), p in zip(rivals.items(), adjusted, strict=True) if b == rival]
        if some:
            parts.append(_against(method_name(rival), some))
    text = "; ".join(parts)
    return " ".join((f"{text[:1].upper()}{text[1:]}.", *length))


def _against(rival: str, some: Sequence[tuple[str, Comparison, float | None]]) -> str:
    """`against Original: A (+2.0%) better, B (+0.1%) not separated at 95% (over 6 ...)`, by the tables' Holm p."""
    groups: dict[str, list[str]] = {}
    for method, one, p in some:
        verdict = "not separated at 95%"
        if one.clear(p):
            verdict = "better" if (one.difference.value or 0) > 0 else "worse"
        change = number(one.relative.value, 1, signed=True, percent=True)
        groups.setdefault(verdict, []).append(f"{method_name(method)} ({change})")
    over_questions = ", ".join(f"{listing(names)} {verdict}" for verdict, names in groups.items())
    return f"against {rival}: {over_questions} ({seeds_text({method_name(m): one for m, one, _ in some})})"


def _caveats(found: Mapping[str, Comparison], added: Mapping[str, Added]) -> Iterable[str]:
    seeds = max((one.seeds.n for one in found.values()), default=0)
    yield (
        f"One training of each augmented pair, {count(seeds, 'seed')} of RL: the intervals over questions speak for "
        "these models, not for another training."
    )
    for method in found:
        truth = added[method].truly_better
        if truth is not None and truth[1]:
            share = f"{number(truth[0] / truth[1], 0, percent=True)} of {count(truth[1], 'pair')}"
            yield f"{method_name(method)}: the chosen answer is truly the better one in {share}."


def _headline(rivals: Rivals) -> tuple[str, str] | None:
    """The first SEAM variant in the study's order against random, the paper's claim."""
    for (method, rival), one in rivals.items():
        if rival == "random" and one.relative.value is not None:
            return number(
                one.relative.value, 1, signed=True, percent=True
            ), f"rating, augmentation by {method_name(method)} against random"
    return None


def _numbers(found: Mapping[str, Comparison], rivals: Rivals) -> dict[str, float | None]:
    """`METHOD_relative`, and `METHOD_over_random` and `METHOD_over_full_aug`."""
    original = [(f"{m}_relative", one) for m, one in found.items()]
    others = [(f"{a}_over_{b}", one) for (a, b), one in rivals.items()]
    return {
        **numbers_of(original, holm([one.questions.p for _, one in original])),
        **numbers_of(others, holm([one.questions.p for _, one in others])),
    }
