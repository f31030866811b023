"""Part-of-speech taggers for TextFooler's constraint."""

from ..errors import SeamError
from ._textattack import PartOfSpeech


class BundledTagger(PartOfSpeech):
    """TextAttack's part-of-speech constraint with the tagger that comes inside TextBlob."""

    def _get_pos(self, before_ctx: list[str], word: str, after_ctx: list[str]) -> str:
        key = "\n".join([*before_ctx, "", word, "", *after_ctx])
        if key not in self._pos_tag_cache:
            self._pos_tag_cache[key] = _coarse(_tags([*before_ctx, word, *after_ctx])[len(before_ctx)])
        return self._pos_tag_cache[key]


def tagger(name: str) -> PartOfSpeech:
    """The constraint with the tagger called `textblob` or `nltk`; SeamError when NLTK's data are not there."""
    if name == "textblob":
        return BundledTagger(allow_verb_noun_swap=True)
    if missing := missing_nltk_data():
        raise SeamError(
            f"candidates.adversarial.resources.tagger nltk needs NLTK's data; run `python -m nltk.downloader {missing}`"
            " or set NLTK_DATA to the folder that has them."
        )
    return PartOfSpeech(allow_verb_noun_swap=True)


def missing_nltk_data() -> str:
    """What NLTK's tagger lacks, with spaces between; empty when it is complete."""
    import nltk

    missing = []
    for name in ("averaged_perceptron_tagger_eng", "universal_tagset"):
        try:
            nltk.data.find(f"taggers/{name}")
        except LookupError:
            missing.append(name)
    return " ".join(missing)


def _tags(words: list[str]) -> list[str]:
    from textblob.en import parser

    return [tag for _, tag in parser.find_tags(words)]


def _coarse(penn: str) -> str:
    """Penn tag to the coarse classes between which TextFooler allows swaps."""
    classes = {"NN": "NOUN", "VB": "VERB", "JJ": "ADJ", "RB": "ADV"}
    return classes.get(penn[:2], penn)
