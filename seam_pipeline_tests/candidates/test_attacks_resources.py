"""The attacks' sources of words and constraints, local and of the user's own."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Adversarial

if find_spec("textattack") is None:
    pytest.skip("TextAttack is not installed", allow_module_level=True)

from seam_pipeline.candidates._bert_attack import ContextSwap
from seam_pipeline.candidates._context import ContextWords
from seam_pipeline.candidates._needs import attack_needs
from seam_pipeline.candidates._recipes import RECIPES
from seam_pipeline.candidates._resources import Resources
from seam_pipeline.candidates._response import Response
from seam_pipeline.candidates._sentences import Similarity
from seam_pipeline.candidates._synonyms import Synonyms
from seam_pipeline.candidates._tagger import missing_nltk_data, tagger
from seam_pipeline.candidates._textattack import stop_words
from seam_pipeline.candidates._wordnet import WordNet
from seam_pipeline.candidates.embedding import minilm_path

TEXT = "You should boil the wort for an hour before adding the hops, then cool it quickly to avoid infection."


def settings(**resources: object) -> Adversarial:
    return Adversarial.model_validate({"recipes": list(RECIPES), "resources": resources})


def test_neighbours_of_the_users_vectors(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("beer 2 0\nale 3 1\nwine 1 1\nrock 0 1\nit's 1 0\n")
    words = Synonyms([], str(path), most=2, lowest=0.5)
    # cosines with beer: ale 3 / sqrt(10) = 0.949, wine 0.707, rock 0
    assert words.words("Beer", 5) == ["ale", "wine"]
    assert words.words("rock", 5) == ["wine"]  # ale 1 / sqrt(10) = 0.316
    assert not words.has("it's")
    assert words.get_cos_sim(0, 1) == pytest.approx(3 / np.sqrt(10))
    (tmp_path / "uneven.txt").write_text("beer 2 0\nale 3\n")
    with pytest.raises(SeamError, match=r"uneven\.txt .* no text file of word vectors"):
        Synonyms([], str(tmp_path / "uneven.txt"))


def wordnet(folder: Path) -> Path:
    """Three nouns and a verb in WordNet's file format."""
    sets = [("n", "beer brewage"), ("n", "child pale_ale kid Youngster"), ("n", "beer draft"), ("a", "warm(p) heated")]
    data, offsets = "  1 a head line\n", []
    for kind, words in sets:
        offsets.append(len(data))
        names = words.split()
        listed = " ".join(f"{w} 0" for w in names)
        data += f"{len(data):08d} 00 {kind} {len(names):02x} {listed} 000 | a gloss\n"
    index = {
        "noun": f"  1 a head line\nbeer n 2 1 @ 2 1 {offsets[2]:08d} {offsets[0]:08d}\n"
        f"child n 1 0 1 1 {offsets[1]:08d}\n",
        "adj": f"warm a 1 0 1 1 {offsets[3]:08d}\n",
    }
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"data.{part}").write_text(data)
        (folder / f"index.{part}").write_text(index.get(part, ""))
        (folder / f"{part}.exc").write_text("children child\n" if part == "noun" else "")
    return folder


def test_wordnets_synonyms(tmp_path: Path) -> None:
    with pytest.raises(SeamError, match="has no WordNet"):
        WordNet(tmp_path)
    found = WordNet(wordnet(tmp_path))
    assert found.words("Beer", 9) == ["draft", "brewage"]  # the first sense first
    assert found.words("beers", 9) == ["beer", "draft", "brewage"]
    assert found.words("children", 2) == ["child", "kid"]
    assert found.words("warmest", 9) == ["warm", "heated"]
    assert not found.has("zymurgy")
    recipe = RECIPES["pwws"](Resources.for_texts(["Beers"], settings(synonyms=str(tmp_path))))
    text = Response("Beers for children")
    assert recipe.positions(text) == [0, 2]
    assert sorted(t.text.split()[0] for t in recipe.swaps(text, 0)) == ["Beer", "Brewage", "Draft"]


def test_minilm_names_words_that_go_with_the_place() -> None:
    text = Response(TEXT)
    places = {word: i for i, word in enumerate(text.words)}
    found = ContextWords().options(text, range(len(text.words)), 8)
    assert {"boiled", "boiling"} <= set(found[places["boil"]])
    assert "hours" in found[places["hour"]]
    assert places["wort"] not in found  # two pieces
    for i, words in found.items():
        assert text.words[i].lower() not in words
        assert len(words) == len(set(words)) == 8
        assert not stop_words() & set(words)


def test_long_texts_are_read_to_their_end() -> None:
    text = Response(" ".join([TEXT] * 40))
    last = len(text.words) - 1
    assert len(ContextWords().options(text, [3, last], 5)[last]) == 5


def test_a_masked_lm_by_folder(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    tokenizer = AutoTokenizer.from_pretrained(minilm_path())
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    model = BertForMaskedLM(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    text, source = Response("Boil the wort."), ContextWords(str(tmp_path))
    found = source.options(text, [0, 2], 6)
    encoded = tokenizer(text.text, return_tensors="pt")
    with torch.no_grad():
        order = model(**encoded).logits[0, 1].argsort(descending=True).tolist()
    ranked = [t for t in tokenizer.convert_ids_to_tokens(order) if t.isascii() and t.isalpha() and len(t) > 1]
    assert found[0] == [t for t in ranked if t not in stop_words() and t != "boil"][:6]
    assert len(found[2]) == 6  # wort is wo + ##rt
    assert all(word.isalpha() for word in found[2])
    swap = ContextSwap(source, 6)
    (first, *_), later = swap(text, []), []
    later = swap(first, [], indices_to_modify=[0])
    assert [t.words[0].lower() for t in later] == found[0]  # not read anew after a swap
    with pytest.raises(SeamError, match="could not be loaded"):
        ContextWords(str(tmp_path / "nothing"))


def test_similarity_of_windows_and_of_whole_texts() -> None:
    text, window = Response(TEXT), Similarity("minilm", 0.84, window=True)
    near, far = (text.replace_word_at_index(2, word) for word in ("cook", "divorce"))
    scores = window._score_list(text, [near, far])
    around = [t.text_window_around_index(2, 15) for t in (text, near, far)]
    a, b, c = (v / v.norm() for v in window.encode(around))
    np.testing.assert_allclose(scores, [1 - float(torch.acos(a @ x)) / np.pi for x in (b, c)], atol=1e-4)
    assert scores[0] > scores[1]
    short = Response("Boil the wort.")
    assert len(window._check_constraint_many([short.replace_word_at_index(0, "Divorce")], short)) == 1
    whole = Similarity("minilm", 0.2, window=False)
    np.testing.assert_allclose(whole.between(TEXT, [TEXT]), [1.0], atol=1e-5)
    assert whole.between(TEXT, []) == []
    assert len(whole._known) == 1


def test_nltks_tagger_needs_its_data() -> None:
    if missing_nltk_data():
        with pytest.raises(SeamError, match=r"nltk\.downloader averaged"):
            tagger("nltk")
    assert tagger("textblob")._get_pos(["the", "cold"], "beer", ["is"]) == "NOUN"


def test_needs_say_what_is_in_use_and_whether_it_is_there(tmp_path: Path) -> None:
    local = dict(enumerate(attack_needs(settings())))
    assert all(there for there, _ in local.values())
    text = "\n".join(what for _, what in local.values())
    for part in ("MiniLM's vocabulary", "neighbours, instead of WordNet", "TextBlob", "no masked LM", "approximation"):
        assert part in text
    own = settings(embedding=str(tmp_path / "v.txt"), synonyms=str(tmp_path), masked_lm="a/b", sentence_encoder="c/d")
    missing = [what for there, what in attack_needs(own) if not there]
    assert [what.split(":")[0] for what in missing] == [
        "attack embedding", "attack synonyms", "attack masked_lm", "attack sentence_encoder",
    ]  # fmt: skip
    wordnet(tmp_path)
    assert (True, f"attack synonyms: WordNet in {tmp_path}") in list(attack_needs(own))
    assert next(what for _, what in attack_needs(Adversarial(recipes=("bert_attack",)))).startswith("attack masked_lm")
