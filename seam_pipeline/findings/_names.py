"""How variants, methods and cells are called and coloured in figures and sentences."""

from collections.abc import Iterable

VARIANTS = {"llm": "SEAM-GPT", "contrast": "SEAM-Contrast", "adversarial": "SEAM-Adv"}
"""Candidate-set variants by the paper's names; `llm` is written by whatever model the experiment names."""

METHODS = {
    "full": "Full set",
    "seam_gpt": "SEAM-GPT",
    "seam_contrast": "SEAM-Contrast",
    "seam_adv": "SEAM-Adv",
    "random": "Random",
    "perplexity": "Perplexity",
    "reward": "RM score",
    "length": "Length",
    "reward_variance": "Reward variance",
    "pre_ppo": "Pre-PPO",
    "pf_ppo": "PF-PPO",
    "margin_gap": "Margin gap",
    "full_aug": "Full Aug",
    "matched": "Matched",
    "matched_random": "As many at random",
}
_STYLES = {
    "llm": 0, "seam_gpt": 0, "contrast": 1, "seam_contrast": 1, "adversarial": 2, "seam_adv": 2,
    "random": 3, "perplexity": 4, "full": 6,
}  # fmt: skip


def variant_name(variant: str) -> str:
    """`SEAM-GPT` for `llm`; an unknown variant keeps its name."""
    return VARIANTS.get(variant, variant)


def method_name(method: str) -> str:
    """`SEAM-Adv` for `seam_adv`; an unknown method keeps its name."""
    return METHODS.get(method, method)


def notes_on(methods: Iterable[str]) -> tuple[str, ...]:
    """What a reader must know of some methods, for a finding's caveats."""
    notes = []
    if "pf_ppo" in set(methods):
        notes.append("PF-PPO chooses answers, not instructions; here it is an instruction's distance from the middle.")
    return tuple(notes)


def drawn_once(methods: Iterable[str]) -> tuple[str, ...]:
    """A caveat of findings about RL where one of the methods selects at random."""
    note = "What is left to chance is drawn once: all seeds of RL share the draw, another may differ."
    return (note,) if set(methods) & {"random", "matched_random"} else ()


def style_of(name: str) -> int:
    """Series number of a variant or method, the same in every figure."""
    return _STYLES.get(name, 5)


def in_order(names: Iterable[str]) -> list[str]:
    """Known variants and methods in the study's order, then the others by name."""
    known = [*VARIANTS, *METHODS]
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def cell_name(cell: tuple[int, int]) -> str:
    """`PM 1 / RM 3`."""
    return f"PM {cell[0]} / RM {cell[1]}"
