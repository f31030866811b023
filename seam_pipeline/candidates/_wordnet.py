"""PWWS's own synonyms: WordNet's database files (wndb format), as NLTK's `corpora/wordnet` or Debian's wordnet-base."""

from collections.abc import Iterator
from pathlib import Path

from ..errors import SeamError

_PARTS = ("noun", "verb", "adj", "adv")
_ENDINGS = {
    "noun": ("s:", "ses:s", "xes:x", "zes:z", "ches:ch", "shes:sh", "men:man", "ies:y"),
    "verb": ("s:", "ies:y", "es:e", "es:", "ed:e", "ed:", "ing:e", "ing:"),
    "adj": ("er:", "est:", "er:e", "est:e"),
    "adv": (),
}
"""WordNet's rules of detachment (morphy), ending and what takes its place."""


class WordNet:
    """Single-word lemmas of a word's synsets, in WordNet's order of senses; raises SeamError for another folder."""

    def __init__(self, folder: str | Path) -> None:
        self._senses: dict[str, dict[str, list[int]]] = {}
        self._data: dict[str, bytes] = {}
        self._irregular: dict[str, dict[str, list[str]]] = {}
        try:
            for part in _PARTS:
                self._senses[part] = _index(Path(folder, f"index.{part}"))
                self._data[part] = Path(folder, f"data.{part}").read_bytes()
                self._irregular[part] = _exceptions(Path(folder, f"{part}.exc"))
        except (OSError, ValueError) as error:
            raise SeamError(
                f"{folder} (candidates.adversarial.resources.synonyms) has no WordNet: {error}; name the folder with "
                "index.noun, data.noun and their like, e.g. NLTK's corpora/wordnet or /usr/share/wordnet."
            ) from error
        self._known: dict[str, list[str]] = {}

    def has(self, word: str) -> bool:
        """Whether there is a substitute for this word."""
        return bool(self.words(word, 1))

    def words(self, word: str, most: int) -> list[str]:
        """At most `most` synonyms, most frequent sense first; phrases and words with other signs are left out."""
        key = word.lower()
        if key not in self._known:
            self._known[key] = [w for w in dict.fromkeys(self._lemmas(key)) if w.lower() != key]
        return self._known[key][:most]

    def _lemmas(self, word: str) -> Iterator[str]:
        for part in _PARTS:
            for base in self._bases(word, part):
                for offset in self._senses[part][base]:
                    yield from (w for w in _words(self._data[part], offset) if w.isascii() and w.isalpha())

    def _bases(self, word: str, part: str) -> list[str]:
        """The word and its base forms that WordNet has in this part of speech."""
        rules = (rule.split(":") for rule in _ENDINGS[part])
        cut = [word[: -len(end)] + new for end, new in rules if word.endswith(end) and len(word) > len(end)]
        forms = [word, *(self._irregular[part].get(word) or cut)]
        return [f for f in dict.fromkeys(forms) if f in self._senses[part]]


def _index(path: Path) -> dict[str, list[int]]:
    """Lemma to the byte offsets of its synsets, most frequent first."""
    found = {}
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith(" "):
            fields = line.split()
            found[fields[0]] = [int(offset) for offset in fields[-int(fields[2]) :]]
    return found


def _exceptions(path: Path) -> dict[str, list[str]]:
    lines = (line.split() for line in path.read_text("utf-8").splitlines())
    return {fields[0]: fields[1:] for fields in lines if fields}


def _words(data: bytes, offset: int) -> list[str]:
    """Words of the synset that starts here; adjectives lose their marker of position, `(a)`."""
    fields = data[offset : data.index(b"\n", offset)].decode("utf-8").split()
    return [word.split("(")[0] for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
