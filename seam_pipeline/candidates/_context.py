"""Words that a bidirectional model expects at a place of a text, as BERT-Attack asks for them."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import torch

from ..errors import SeamError
from ..models._compat import quiet
from ._response import Response
from ._textattack import stop_words
from .embedding import minilm_path

_BLOCK, _AROUND, _TOKENS = 150, 25, 512
_PIECES, _PRODUCTS = 3, 4096


class ContextWords:
    """Predictions at words of a text that is read unmasked (Li et al. 2020, section 3.2).

    `minilm`: all-MiniLM-L6-v2 has no masked-LM head, so its last hidden state is multiplied with its input embeddings.
    That is no masked language model: it names words that go with the place (forms of the word, its topic), and it says
    nothing sensible about a `[MASK]`. Any other name: a masked LM of Hugging Face, folder or hub id, as in the paper.
    """

    def __init__(self, name: str = "minilm", device: str = "cpu") -> None:
        self._tied = name == "minilm"
        self._tokenizer, self._model = _load(name)
        self._model.to(device).eval()
        tokens = self._tokenizer.convert_ids_to_tokens(list(range(len(self._tokenizer))))
        mark = next((m for m in ("\u0120", "\u2581") if any(t.startswith(m) for t in tokens)), None)
        stop = stop_words()
        self._text = [t[1:] if mark and t.startswith(mark) else t.removeprefix("##") for t in tokens]
        first = [t.startswith(mark) if mark else not t.startswith("##") for t in tokens]
        letters = [t.isascii() and t.isalpha() for t in self._text]
        whole = [a and b and len(t) > 1 and t not in stop for a, b, t in zip(first, letters, self._text, strict=True)]
        self._whole = torch.tensor(whole)
        self._first = torch.tensor([a and b for a, b in zip(first, letters, strict=True)])
        self._later = torch.tensor([b and not a for a, b in zip(first, letters, strict=True)])

    def options(self, text: Response, positions: Sequence[int], most: int) -> dict[int, list[str]]:
        """At most `most` words per position, likeliest first, never the word itself.

        A word of two or three pieces gets combinations of pieces; a longer one nothing, nor does MiniLM propose for
        words in pieces. Long texts are read in blocks.
        """
        spans = text._spans()
        found: dict[int, list[str]] = {}
        for start in range(0, len(spans), _BLOCK):
            here = [p for p in positions if start <= p < start + _BLOCK]
            if here:
                begin = spans[max(0, start - _AROUND)][0]
                end = spans[min(len(spans), start + _BLOCK + _AROUND) - 1][1]
                places = {p: (spans[p][0] - begin, spans[p][1] - begin) for p in here}
                for p, words in self._read(text.text[begin:end], places, most):
                    found[p] = [w for w in words if w.lower() != text.words[p].lower()][:most]
        return found

    @torch.inference_mode()
    def _read(self, text: str, places: dict[int, tuple[int, int]], most: int) -> Iterator[tuple[int, list[str]]]:
        encoded = self._tokenizer(
            text, return_offsets_mapping=True, truncation=True, max_length=_TOKENS, return_tensors="pt"
        )
        offsets = encoded.pop("offset_mapping")[0].tolist()
        logits = self._logits(encoded.to(self._model.device))
        for position, (start, end) in places.items():
            pieces = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
            if len(pieces) == 1:
                yield position, [self._text[i] for i in _top(logits[pieces[0]], self._whole, most + 1)]
            elif 1 < len(pieces) <= _PIECES and not self._tied:
                yield position, self._combined(logits[pieces], most)

    def _combined(self, logits: torch.Tensor, most: int) -> list[str]:
        """The likeliest combinations of likely pieces, by mean log-probability."""
        width = min(most, int(_PRODUCTS ** (1 / len(logits))))
        scores = logits.log_softmax(dim=-1)
        kinds = [self._first] + [self._later] * (len(logits) - 1)
        tops = [_top(row, kind, width) for row, kind in zip(scores, kinds, strict=True)]
        ranked = sorted((-sum(float(scores[k, i]) for k, i in enumerate(ids)), ids) for ids in product(*tops))
        return ["".join(self._text[i] for i in ids) for _, ids in ranked[: most + 1]]

    def _logits(self, encoded: Any) -> torch.Tensor:
        if not self._tied:
            logits: torch.Tensor = self._model(**encoded).logits[0].float().cpu()
            return logits
        hidden = self._model(**encoded).last_hidden_state[0]
        tied: torch.Tensor = (hidden @ self._model.get_input_embeddings().weight.T).float().cpu()
        return tied


def _top(scores: torch.Tensor, allowed: torch.Tensor, most: int) -> list[int]:
    width = min(len(scores), len(allowed))
    ids = scores[:width].masked_fill(~allowed[:width], -torch.inf).topk(min(most, int(allowed[:width].sum()))).indices
    return [int(i) for i in ids]


def _load(name: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    path = str(minilm_path()) if name == "minilm" else name
    try:
        with quiet():
            model = (AutoModel if name == "minilm" else AutoModelForMaskedLM).from_pretrained(path)
            return AutoTokenizer.from_pretrained(path, use_fast=True), model
    except (OSError, ValueError, KeyError) as error:
        line = " ".join(str(error).split())[:200]
        raise SeamError(
            f"The masked LM {name!r} (candidates.adversarial.resources.masked_lm) could not be loaded: {line}"
        ) from error
