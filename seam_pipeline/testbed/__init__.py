"""The offline world whose true preference is known: questions, answers, votes, and the rating of any text."""

from ._knowledge import KINDS, LIBRARY
from .world import World, WorseAnswer, pretraining_texts

__all__ = ["KINDS", "LIBRARY", "World", "WorseAnswer", "pretraining_texts"]
