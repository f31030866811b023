"""The offline world whose true preference is known: questions, answers, votes, and the rating of any text."""

from ._knowledge import KINDS, LIBRARY
from .world import WorseAnswer, World

__all__ = ["KINDS", "LIBRARY", "World", "WorseAnswer"]
