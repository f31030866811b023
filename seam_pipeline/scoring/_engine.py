"""A model that runs groups of token sequences, packed where that is known to be right."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch

from ..errors import SeamError
from ..models._compat import plain
from ..models._tiles import whole_keys
from ._batches import Member, packed_batches, padded_batches
from ._forward import Batch, Kernel, evaluating, hidden_states, packed, padded
from ._limits import Limits, limits_of
from ._probe import Trial, trials
from ._tree import Ids

__all__ = ["Batch", "Engine", "Layout", "evaluating", "hidden_states"]

Layout = Literal["packed", "padded", "auto"]
KERNELS: dict[str, tuple[Kernel, ...]] = {"cuda": ("flex", "blocks")}
"""By type of device, the fastest first; elsewhere blocks."""
log = logging.getLogger(__name__)


class Engine:
    """A model with a layout that was checked against running sequences one by one.

    packed: prompt and responses are one prefix tree, shared tokens are computed once, nothing is padded.
    padded: each sequence is a row, sorted by length. auto: packed where the check passes, else padded.
    Sequences beyond a sliding window (or that rescale the rotary positions) are padded in auto, refused in packed.
    A tree attends by FlexAttention on CUDA and by blocks elsewhere, or as `kernel` says; what fails the check
    gives way to the next slower way with a warning.
    """

    def __init__(
        self,
        model: Any,
        device: torch.device | str,
        layout: Layout,
        tokens_per_batch: int,
        kernel: Kernel | None = None,
    ) -> None:
        self.model, self.device, self.tokens_per_batch = model, torch.device(device), tokens_per_batch
        self.limits: Limits = limits_of(plain(model).config)
        self.asked = layout
        self.way: Trial | None = None if layout == "padded" else self._tried(kernel)
        self.layout: Layout = "padded" if self.way is None else "packed"

    def _tried(self, kernel: Kernel | None) -> Trial | None:
        """The first way of packing that passes the check."""
        name, failed = type(plain(self.model)).__name__, list[Trial]()
        kernels = (kernel,) if kernel is not None else KERNELS.get(self.device.type, ("blocks",))
        with evaluating(self.model):
            for trial in trials(self.model, self.device, self.limits, kernels):
                if trial.problem is None:
                    _tell(name, trial, failed)
                    return trial
                failed.append(trial)
        problem = failed[-1].problem
        if self.asked == "packed":
            raise SeamError(f"{name} can't be scored with layout packed ({problem}); use layout auto or padded.")
        log.warning("%s is scored with layout padded, which is slower: %s", name, problem)
        return None

    def batches(
        self, groups: Sequence[Sequence[Ids]], first: Sequence[Sequence[int]] | None = None
    ) -> Iterator[tuple[list[Member], Batch]]:
        """All sequences of all groups, each once; groups share beginnings.

        Only the states from place first[g][i] of sequence i of group g on are defined (None: all).
        """
        reach = self.limits.packable
        fits = [[reach is None or len(sequence) <= reach for sequence in group] for group in groups]
        if self.way is None:
            yield from self._padded(groups, [[False] * len(group) for group in groups])
            return
        if self.asked == "packed" and not all(map(all, fits)):
            raise SeamError(f"Layout packed holds at most {reach} tokens of this model; use layout auto or padded.")
        yield from self._packed(groups, fits, first if self.way.narrow else None, self.way.kernel)
        yield from self._padded(groups, fits)

    def _packed(
        self,
        groups: Sequence[Sequence[Ids]],
        fits: list[list[bool]],
        first: Sequence[Sequence[int]] | None,
        kernel: Kernel,
    ) -> Iterator[tuple[list[Member], Batch]]:
        chosen, parts = _where(groups, fits)
        for batch in packed_batches(parts, self.tokens_per_batch):
            members = [(g, chosen[g][part]) for g, part in batch]
            sequences = [groups[g][place] for g, place in members]
            read = [first[g][place] for g, place in members] if first is not None else None
            yield members, packed(sequences, self.device, kernel, read)

    def _padded(self, groups: Sequence[Sequence[Ids]], fits: list[list[bool]]) -> Iterator[tuple[list[Member], Batch]]:
        chosen, parts = _where(groups, [[not fit for fit in flags] for flags in fits])
        for batch in padded_batches(parts, self.tokens_per_batch, self.limits.alone_above):
            members = [(g, chosen[g][part]) for g, part in batch]
            sequences = [groups[g][place] for g, place in members]
            yield members, padded(sequences, self.device, self._width(max(map(len, sequences))))

    def _width(self, longest: int) -> int:
        """On CPUs filled up, so that company changes no bit; never to positions that the model lacks or rescales by."""
        if self.device.type != "cpu":
            return longest
        edges = (self.limits.alone_above, self.limits.positions)
        return min([whole_keys(longest), *(edge for edge in edges if edge and edge >= longest)])


def _where(groups: Sequence[Sequence[Ids]], flags: list[list[bool]]) -> tuple[list[list[int]], list[list[Ids]]]:
    """The places of the flagged sequences, and these sequences, per group."""
    chosen = [[place for place, flag in enumerate(row) if flag] for row in flags]
    return chosen, [[group[place] for place in places] for group, places in zip(groups, chosen, strict=True)]


def _tell(name: str, way: Trial, failed: Sequence[Trial]) -> None:
    """Say which faster ways didn't pass."""
    slower = [trial for trial in failed if trial.kernel != way.kernel and not trial.narrow]
    for trial in slower:
        log.warning("%s attends by %s, not by %s, which is faster: %s", name, way.kernel, trial.kernel, trial.problem)
    if not way.narrow:
        log.info("The last layer of %s is computed for every token: %s", name, failed[-1].problem)
