"""The attacks by name."""

from collections.abc import Callable

from ._bert_attack import bert_attack
from ._genetic import ga
from ._katg import katg
from ._pwws import pwws
from ._recipe import Mask, Recipe
from ._resources import Resources
from ._textattack import AttackedText
from ._textfooler import textfooler

RECIPES: dict[str, Callable[[Resources], Recipe]] = {
    "ga": ga,
    "bert_attack": bert_attack,
    "pwws": pwws,
    "textfooler": textfooler,
    "katg": katg,
}

SPLIT_TOKEN: str = AttackedText.SPLIT_TOKEN

__all__ = ["RECIPES", "SPLIT_TOKEN", "Mask", "Recipe"]
