"""TextAttack's parts, imported without a network, without flair and without side effects on the process.

TextAttack wants NLTK's stop words and a marker file at import, imports flair for one tagger that is not used here,
silences every logger that exists, and writes to the environment. The import therefore runs with temporary folders and
stand-in modules, and what it changed is put back afterwards.
"""

import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import SeamError

_MARKER = "post_install_check_3"


def stop_words() -> frozenset[str]:
    """Function words of English, lower case, that the attacks leave alone."""
    text = (files("seam_pipeline.candidates") / "stop_words.txt").read_text("utf-8")
    return frozenset(text.split())


def _import_offline() -> ModuleType:
    if "textattack" in sys.modules:
        return sys.modules["textattack"]
    with tempfile.TemporaryDirectory(prefix="seam-textattack-") as folder:
        cache, corpora = Path(folder, "cache"), Path(folder, "nltk", "corpora", "stopwords")
        cache.mkdir()
        (cache / _MARKER).touch()
        corpora.mkdir(parents=True)
        (corpora / "english").write_text("\n".join(sorted(stop_words())), "utf-8")
        try:
            with (
                _environment(TA_CACHE_DIR=str(cache)),
                _loggers_kept(),
                _stand_ins(),
                _nltk_data(folder + "/nltk"),
            ):
                return importlib.import_module("textattack")
        except ImportError as error:
            raise SeamError(
                f"The adversarial candidates need TextAttack, which could not be imported ({error}); install it with "
                "`pip install --no-deps textattack==0.3.11` and its parts as in requirements.lock, or set "
                "candidates.adversarial to null."
            ) from error


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


@contextmanager
def _loggers_kept() -> Iterator[None]:
    known = [item for item in logging.root.manager.loggerDict.values() if isinstance(item, logging.Logger)]
    disabled = [item.disabled for item in known]
    try:
        yield
    finally:
        for logger, was in zip(known, disabled, strict=True):
            logger.disabled = was


@contextmanager
def _stand_ins() -> Iterator[None]:
    if "flair" in sys.modules:
        yield
        return
    """Stand-ins for flair, and for bert_score, which loads matplotlib for a constraint that is not used here."""
    flair, data, models = ModuleType("flair"), ModuleType("flair.data"), ModuleType("flair.models")
    names: dict[ModuleType, tuple[str, ...]] = {data: ("Tokenizer", "Sentence"), models: ("SequenceTagger",)}
    for module, classes in names.items():
        for name in classes:
            setattr(module, name, type(name, (), {}))
    vars(flair).update(data=data, models=models)
    stand_ins = {module.__name__: module for module in (flair, data, models)}
    if "bert_score" not in sys.modules:
        stand_ins["bert_score"] = ModuleType("bert_score")
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


@contextmanager
def _nltk_data(folder: str) -> Iterator[None]:
    import nltk

    nltk.data.path.insert(0, folder)
    try:
        yield
    finally:
        nltk.data.path.remove(folder)


_textattack: Any = _import_offline()

Attack = _textattack.Attack
AttackedText = _textattack.shared.AttackedText
GoalFunction = _textattack.goal_functions.GoalFunction
GoalFunctionResult = _textattack.goal_function_results.GoalFunctionResult
GreedyWordSwapWIR = _textattack.search_methods.GreedyWordSwapWIR
ImprovedGeneticAlgorithm = _textattack.search_methods.ImprovedGeneticAlgorithm
MaxWordsPerturbed = _textattack.constraints.overlap.MaxWordsPerturbed
PartOfSpeech = _textattack.constraints.grammaticality.PartOfSpeech
PopulationMember = _textattack.search_methods.PopulationMember
PreTransformationConstraint = _textattack.constraints.PreTransformationConstraint
RepeatModification = _textattack.constraints.pre_transformation.RepeatModification
SentenceEncoder = _textattack.constraints.semantics.sentence_encoders.SentenceEncoder
StopwordModification = _textattack.constraints.pre_transformation.StopwordModification
WordEmbedding = _textattack.shared.WordEmbedding
WordEmbeddingDistance = _textattack.constraints.semantics.WordEmbeddingDistance
WordSwap = _textattack.transformations.WordSwap
WordSwapEmbedding = _textattack.transformations.WordSwapEmbedding
