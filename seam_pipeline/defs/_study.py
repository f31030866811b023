"""The study's graph: partitions, which upstream partitions a partition reads, and the order of work."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..errors import SeamError
from ..experiment import Experiment, fingerprint
from ..store import recipe_of
from ._node import Axis, Node, Partition


@dataclass(frozen=True)
class Study:
    """All nodes of one experiment."""

    experiment: Experiment
    nodes: dict[str, Node]

    def __post_init__(self) -> None:
        for node in self.nodes.values():
            unknown = set(node.deps) - set(self.nodes)
            assert not unknown, f"{node.name} depends on {unknown}"

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """Nodes, every dependency before its dependents."""
        done: dict[str, Node] = {}

        def visit(node: Node) -> None:
            for dep in node.deps:
                if dep not in done:
                    visit(self.nodes[dep])
            done[node.name] = node

        for node in self.nodes.values():
            if node.name not in done:
                visit(node)
        return tuple(done.values())

    @property
    def shape(self) -> tuple[object, ...]:
        """What Dagster's definitions are made of: names, partitions, dependencies."""
        ladders = len(self.experiment.policy.ranks), len(self.experiment.reward.ranks)
        nodes = tuple((n.name, n.axis, n.deps, n.best, n.cells) for n in self.nodes.values())
        return (self.experiment.name, self.experiment.compute.automation, *ladders, *nodes)

    def axis(self, axis: Axis) -> tuple[Partition, ...]:
        """All partitions of an axis, best ranks first."""
        pms = range(1, len(self.experiment.policy.ranks) + 1)
        rms = range(1, len(self.experiment.reward.ranks) + 1)
        if axis == "one":
            return (Partition(),)
        if axis == "pm":
            return tuple(Partition(pm=p) for p in pms)
        if axis == "rm":
            return tuple(Partition(rm=r) for r in rms)
        return tuple(Partition(p, r) for p in pms for r in rms)

    def wanted(self, node: Node) -> tuple[Partition, ...]:
        """The node's partitions that the study asks for."""
        if node.cells is None:
            return self.axis(node.axis)
        if node.axis == "pm":
            rows = {pm for pm, _ in node.cells}
            return tuple(p for p in self.axis("pm") if p.pm in rows)
        if node.axis == "rm":
            columns = {rm for _, rm in node.cells}
            return tuple(p for p in self.axis("rm") if p.rm in columns)
        return tuple(p for p in self.axis(node.axis) if p.cell in node.cells)

    def is_fan_in(self, node: Node, dep: str) -> bool:
        """Whether the node reads several partitions of `dep` at once."""
        return dep not in node.best and relation(self.nodes[dep].axis, node.axis) == "all"

    def upstream(self, node: Node, partition: Partition, dep: str) -> tuple[Partition, ...]:
        """Partitions of `dep` that one partition of `node` reads."""
        source = self.nodes[dep]
        if dep in node.best:
            return self.axis(source.axis)[:1]
        how = relation(source.axis, node.axis)
        if how == "all":
            wanted = self.wanted(source)
            return tuple(p for p in wanted if node.axis == "one" or p.pm == partition.pm)
        if how == "rank":
            return (Partition(pm=partition.rm),)
        on_pm, on_rm = source.axis in ("pm", "grid"), source.axis in ("rm", "grid")
        return (Partition(partition.pm if on_pm else None, partition.rm if on_rm else None),)

    def settings(self, node: Node, partition: Partition) -> str:
        """Hash of the resolved settings (and outside state) that decide this artifact."""
        outside = node.external(self.experiment) if node.external else ""
        return fingerprint(*node.settings(self.experiment, partition), outside)

    def recipe(self, node: Node, partition: Partition, inputs: dict[str, str]) -> str:
        """Hash of code version, settings and input data versions."""
        return recipe_of(node.version, self.settings(node, partition), inputs)

    def selected(self, selection: str | None) -> set[str]:
        """Names chosen by a list such as `report`, `+rl_data`, `group:scores` (`+` before: with all upstream).

        Raises SeamError for a name that does not exist.
        """
        if not selection:
            return set(self.nodes)
        chosen: set[str] = set()
        for token in selection.replace(",", " ").split():
            chosen |= self._token(token)
        return chosen

    def _token(self, token: str) -> set[str]:
        bare = token.removeprefix("+").removesuffix("+")
        if bare.startswith("group:"):
            names = {n.name for n in self.nodes.values() if n.group == bare.removeprefix("group:")}
        elif "*" in bare:
            import fnmatch

            names = set(fnmatch.filter(self.nodes, bare))
        else:
            names = {bare} & set(self.nodes)
        if not names:
            raise SeamError(f"--select {token}: {self._nothing(bare)}.")
        if token.startswith("+"):
            names |= {u for n in names for u in self._ancestors(n)}
        if token.endswith("+"):
            names |= {n.name for n in self.nodes.values() if names & self._ancestors(n.name)}
        return names

    def _nothing(self, bare: str) -> str:
        """What there is instead: near names, where some are."""
        import difflib

        groups = ", ".join(sorted({f"group:{n.group}" for n in self.nodes.values()}))
        if bare.startswith("group:"):
            return f"no such group in {self.experiment.name}; groups: {groups}"
        near = difflib.get_close_matches(bare, self.nodes, n=5, cutoff=0.4)
        names = f"names like it: {', '.join(near)}; " if near else ""
        return f"no such asset in {self.experiment.name}; {names}groups: {groups}"

    def _ancestors(self, name: str) -> set[str]:
        found: set[str] = set()
        pending = list(self.nodes[name].deps)
        while pending:
            dep = pending.pop()
            if dep not in found:
                found.add(dep)
                pending.extend(self.nodes[dep].deps)
        return found

    def edges(self) -> Iterator[tuple[str, str]]:
        """(upstream, downstream) pairs."""
        for node in self.nodes.values():
            for dep in node.deps:
                yield dep, node.name


def relation(source: Axis, target: Axis) -> str:
    """How a target partition reads a source: `same` coordinates, `all` of a fan-in, or `rank` (rm k from pm k)."""
    if source == "one" or source == target or target == "grid":
        return "same"
    if target == "one" or (source == "grid" and target == "pm"):
        return "all"
    if (source, target) == ("pm", "rm"):
        return "rank"
    raise AssertionError(f"no mapping from {source} to {target}")
