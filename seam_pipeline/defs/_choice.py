"""Which artifacts a command is about: assets by name, and partitions by rank, cell or range."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from ..errors import SeamError
from ._node import Node, Partition
from ._study import Study

Chosen = Collection[str] | Mapping[str, frozenset[Partition]]
"""Asset names, with all their partitions, or per name some partitions."""

Pair = tuple[str, Partition]
_PART = re.compile(r"(pm|rm)(\d+)(?:\.\.(?:\1)?(\d+))?")
_LADDERS = {"pm": "policy ranks", "rm": "reward-model ranks"}


def parts(study: Study, chosen: Chosen, node: Node) -> tuple[Partition, ...]:
    """The partitions of a node that are chosen and that the study wants."""
    if node.name not in chosen:
        return ()
    wanted = study.wanted(node)
    return tuple(p for p in wanted if p in chosen[node.name]) if isinstance(chosen, Mapping) else wanted


def choose(study: Study, select: str | None, partitions: Collection[str] = ()) -> Chosen:
    """Assets by name (`x`, `+x`, `x+`, globs, `group:NAME`) and, where given, partitions of them.

    Partitions are Dagster's keys (`pm02`, `pm01|rm02`) or ranges (`pm01..pm04`, `pm01..pm02|rm01..rm03`); of an
    asset on the grid, `pm02` is a row and `rm01` a column. `+x` then adds what these partitions of x need, no more.
    Raises SeamError for a name, a rank or a cell that is not there.
    """
    if select is not None and not select.replace(",", " ").split():
        raise SeamError("--select is empty; name assets, or leave it out for all of them.")
    if not all(given.replace(",", " ").split() for given in partitions):
        raise SeamError("--partition is empty; give a rank, a cell or a range, or leave it out for all of them.")
    ranges = [_parse(study, text) for given in partitions for text in given.replace(",", " ").split()]
    if not ranges:
        return study.selected(select)
    tokens = select.replace(",", " ").split() if select else ["*"]
    found: set[Pair] = set()
    for token in tokens:
        names = study.selected(token.removeprefix("+").removesuffix("+"))
        pairs = {(n, p) for n in names for p in study.wanted(study.nodes[n]) if any(r.holds(p) for r in ranges)}
        found |= pairs
        found |= _above(study, pairs) if token.startswith("+") else set()
        found |= _below(study, pairs) if token.endswith("+") else set()
    for wanted in ranges:
        if not any(wanted.holds(p) for _, p in found):
            raise SeamError(_nothing(study, tokens, wanted))
    return {name: frozenset(p for n, p in found if n == name) for name, _ in found}


@dataclass(frozen=True)
class _Range:
    text: str
    ranks: Mapping[str, range]

    def holds(self, partition: Partition) -> bool:
        """Whether the partition stands on every axis of the range, within it."""
        at = {"pm": partition.pm, "rm": partition.rm}
        return all(at[axis] in ranks for axis, ranks in self.ranks.items())


def _parse(study: Study, text: str) -> _Range:
    ranks: dict[str, range] = {}
    ladders = {"pm": len(study.experiment.policy.ranks), "rm": len(study.experiment.reward.ranks)}
    for piece in text.split("|"):
        match = _PART.fullmatch(piece)
        if match is None or match[1] in ranks:
            raise SeamError(
                f"--partition {text}: give a rank (pm02, rm01), a cell ('pm01|rm02') or a range (pm01..pm04)."
            )
        axis, first, last = match[1], int(match[2]), int(match[3] or match[2])
        if last < first:
            raise SeamError(f"--partition {text}: the range runs backwards; give the lower number first.")
        if not 1 <= first <= last <= ladders[axis]:
            known = f"{_LADDERS[axis]} {axis}01 to {axis}{ladders[axis]:02d}"
            raise SeamError(f"--partition {text}: {study.experiment.name} has {known}.")
        ranks[axis] = range(first, last + 1)
    return _Range(text, ranks)


def _above(study: Study, pairs: set[Pair]) -> set[Pair]:
    found: set[Pair] = set()
    pending = list(pairs)
    while pending:
        for pair in inputs(study, *pending.pop()):
            if pair not in found:
                found.add(pair)
                pending.append(pair)
    return found


def _below(study: Study, pairs: set[Pair]) -> set[Pair]:
    found = set(pairs)
    for node in study.order:
        found |= {(node.name, p) for p in study.wanted(node) if any(i in found for i in inputs(study, node.name, p))}
    return found


def inputs(study: Study, name: str, partition: Partition) -> Iterator[Pair]:
    """What an artifact reads."""
    node = study.nodes[name]
    for dep in node.deps:
        for upstream in study.upstream(node, partition, dep):
            yield dep, upstream


def _nothing(study: Study, tokens: list[str], wanted: _Range) -> str:
    names = sorted({n for t in tokens for n in study.selected(t.removeprefix("+").removesuffix("+"))})
    if len(names) > 1:
        return (
            f"--partition {wanted.text}: none of the selected assets has such a partition in {study.experiment.name}."
        )
    keys = [p.key for p in study.wanted(study.nodes[names[0]]) if p.key]
    if not keys:
        return f"--partition {wanted.text}: {names[0]} has no partitions; leave --partition out."
    more = "; add the cell to rl.arms" if study.nodes[names[0]].cells is not None else ""
    return f"--partition {wanted.text}: {names[0]} has {', '.join(keys[:12])}{' ...' if len(keys) > 12 else ''}{more}."
