import hashlib
import multiprocessing
import random
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file

from seam_pipeline.candidates import _encoder
from seam_pipeline.candidates._encoder import Pooling, fingerprint_of, load_encoder, minilm_path, pooling_of
from seam_pipeline.candidates._vectors import EmbeddingCache, text_keys
from seam_pipeline.candidates.embedding import embed, embed_texts
from seam_pipeline.errors import SeamError

from ..same_bits import SAME_BITS, needs_same_bits


def test_embed_is_independent_of_company_and_order() -> None:
    texts = ["How do I open a bottle?", "x", "A much longer question about yeast, hops, malt and water. " * 3]
    together = embed(texts)
    assert together.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embed(texts[::-1] * 2, batch_size=1)[:3][::-1], together, atol=1e-5)


@needs_same_bits
@pytest.mark.parametrize("pooling", ["auto", "cls"])
def test_an_embedding_is_the_same_to_the_bit_in_whatever_company(pooling: Pooling) -> None:
    rng = random.Random(0)
    words = ["how", "do", "i", "brew", "a", "good", "cup", "of", "tea", "with", "milk"]
    texts = [" ".join(rng.choices(words, k=n)) for n in range(1, 261, 7)]
    together = embed_texts(texts, pooling=pooling).vectors[:]
    for some in (slice(0, 1), slice(3, 9), slice(20, None), slice(None, None, 5)):
        np.testing.assert_array_equal(
            embed_texts(texts[some], pooling=pooling, batch_size=3).vectors[:], together[some]
        )


def test_no_texts_have_no_vectors() -> None:
    assert embed([]).shape[0] == 0


def test_another_model_under_the_embedded_ones_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = minilm_path() / "model.safetensors"
    assert hashlib.sha256(real.read_bytes()).hexdigest().startswith("53aa5117")
    monkeypatch.setattr(_encoder, "MINILM_SHA256", "00000000")
    with pytest.raises(SeamError, match="53aa5117"):
        minilm_path()


@pytest.mark.parametrize("name", ["nowhere", "no/such-model", "a/b/c"])
def test_a_missing_encoder_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SeamError, match="could not be loaded"):
        embed(["a"], name)


# The cache


def question(i: int) -> str:
    return f"Question number {i}: what is {i} plus {i}?"


def test_changing_one_percent_encodes_one_percent(tmp_path: Path) -> None:
    texts = [question(i) for i in range(200)]
    first = embed_texts(texts, cache=tmp_path)
    assert (first.encoded, first.known) == (200, 0)
    changed = [*texts[:50], "Something else", *texts[51:150], "Another thing", *texts[151:], texts[0]]
    second = embed_texts(pa.chunked_array([changed[:120], changed[120:]]), cache=tmp_path)
    assert (second.encoded, second.known) == (2, 198)
    np.testing.assert_allclose(second.vectors[:], embed(changed), atol=1e-5)
    again = embed_texts(changed, cache=tmp_path)
    assert (again.encoded, again.known) == (0, 200)
    np.testing.assert_array_equal(again.vectors[100:103], second.vectors[np.array([100, 101, 102])])


def test_known_texts_need_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed_texts(["a", "b"], cache=tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("seam_pipeline.candidates.embedding.load_encoder", refuse)
    assert len(embed_texts(["b", "a"], cache=tmp_path).vectors) == 2


def test_a_killed_writer_loses_only_what_it_had_not_kept(tmp_path: Path) -> None:
    """Vectors without a key are overwritten; keys whose vectors are cut off are unknown again."""
    rng = np.random.default_rng(0)
    keys, vectors = text_keys(map(str, range(10))), rng.normal(size=(10, 4)).astype(np.float32)
    with EmbeddingCache(tmp_path) as cache:
        cache.add(keys[:6], vectors[:6])
    with (tmp_path / "vectors.f32").open("ab") as file:
        file.write(b"half a vec")
    with EmbeddingCache(tmp_path) as cache:
        assert cache.rows(keys).tolist() == [0, 1, 2, 3, 4, 5, -1, -1, -1, -1]
        cache.add(keys[6:8], vectors[6:8])
        stored = np.fromfile(tmp_path / "vectors.f32", dtype=np.float32).reshape(-1, 4)
        np.testing.assert_array_equal(stored, vectors[:8])
    with (tmp_path / "vectors.f32").open("r+b") as file:
        file.truncate(3 * 16 + 5)
    with EmbeddingCache(tmp_path) as cache:
        assert (cache.rows(keys) >= 0).sum() == 3
        cache.add(keys[3:], vectors[3:])
        rows = cache.rows(keys)
    stored = np.fromfile(tmp_path / "vectors.f32", dtype=np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(stored[rows], vectors)


def _write(folder: Path, who: int) -> None:
    for start in range(0, 60, 10):
        numbers = np.arange(start, start + 10)
        with EmbeddingCache(folder) as cache:
            cache.add(text_keys(map(str, numbers)), np.stack([numbers, numbers + 0.5], axis=1).astype(np.float32))


def test_processes_may_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, who)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    with EmbeddingCache(tmp_path) as cache:
        rows = cache.rows(text_keys(map(str, range(60))))
    stored = np.fromfile(tmp_path / "vectors.f32", dtype=np.float32).reshape(-1, 2)
    np.testing.assert_array_equal(stored[rows, 1], np.arange(60) + 0.5)


def test_a_file_that_is_no_cache_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "keys.sqlite").write_text("not a database, but long enough to be read as one " * 30)
    with pytest.raises(SeamError, match="not an embedding cache"), EmbeddingCache(tmp_path):
        pass


def test_vectors_of_another_size_are_refused(tmp_path: Path) -> None:
    with EmbeddingCache(tmp_path) as cache:
        cache.add(text_keys(["a"]), np.zeros((1, 4), dtype=np.float32))
        with pytest.raises(SeamError, match="4 numbers, not 5"):
            cache.add(text_keys(["b"]), np.zeros((1, 5), dtype=np.float32))
        assert cache.rows(text_keys(["a", "b"])).tolist() == [0, -1]


@pytest.mark.slow
def test_several_processes_encode_the_same(tmp_path: Path) -> None:
    texts = [question(i) for i in range(40)]
    found = embed_texts(texts, processes=2, cache=tmp_path, batch_size=4)
    assert found.encoded == 40
    np.testing.assert_allclose(found.vectors[:], embed(texts), atol=0 if SAME_BITS else 1e-5, rtol=0)


# Pooling


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same BERT as a folder that says nothing about pooling, as SimCSE is published."""
    folder = tmp_path_factory.mktemp("models") / "sup-simcse-tiny"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(minilm_path() / name, folder)
    return folder


def test_simcse_is_read_as_its_authors_do(plain: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    assert [pooling_of(f"princeton-nlp/{n}-simcse-bert-base-uncased") for n in ("sup", "unsup")] == ["pooler", "cls"]
    assert pooling_of("bert-base-uncased") == "mean"
    texts = ["How do I store beer?", "A second and much longer question about wine."]
    model, tokenizer = AutoModel.from_pretrained(plain), AutoTokenizer.from_pretrained(plain)
    out = model(**tokenizer(texts, return_tensors="pt", padding=True))
    for pooling, expected in (("auto", out.pooler_output), ("cls", out.last_hidden_state[:, 0])):
        wanted = expected / expected.norm(dim=1, keepdim=True)
        found = embed_texts(texts, str(plain), pooling=pooling).vectors[:]
        np.testing.assert_allclose(found, wanted.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(embed_texts(texts, str(plain), pooling="mean").vectors[:], embed(texts), atol=1e-5)


def test_a_missing_pooler_is_refused_not_drawn_at_random(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sup-simcse-cut"
    shutil.copytree(plain, folder)
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("pooler.")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SeamError, match="no pooler"):
        load_encoder(str(folder))


def test_the_fingerprint_follows_content_and_pooling(plain: Path, tmp_path: Path) -> None:
    moved = tmp_path / "sup-simcse-elsewhere"
    shutil.copytree(plain, moved)
    assert fingerprint_of(str(plain)) == fingerprint_of(str(moved)) == fingerprint_of(str(plain), "pooler")
    assert fingerprint_of(str(plain), "mean") != fingerprint_of(str(plain))
    changed = tmp_path / "sup-simcse-changed"
    shutil.copytree(plain, changed)
    (changed / "tokenizer_config.json").write_text("{}")
    assert fingerprint_of(str(changed)) != fingerprint_of(str(plain))
