"""Static encoders: vectors against a plain mean, files against sentence-transformers."""

import json

import numpy as np
import pytest
import torch

from curate.encode import load_encoder
from curate.encode.static import StaticEncoder, embed, tokenize
from curate.encode.tokenizer import TokenizerSettings, train_tokenizer
from curate.errors import CurateError
from tests.contracts.records import HOSTILE, make_pairs, static_model

PAIRS = make_pairs(1, 120)
TEXTS = [pair.query or "" for pair in PAIRS] + [d.text or "" for p in PAIRS for d in p.positives]


@pytest.fixture(scope="module")
def encoder():
    tokenizer, _ = train_tokenizer(TEXTS, TokenizerSettings(vocabulary=300))
    shape = (tokenizer.get_vocab_size(), 24)
    weights = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return StaticEncoder(tokenizer, torch.from_numpy(weights))


def plain(encoder, text: str) -> np.ndarray:
    """Return the mean of a text's vectors, made unit length, in float64."""
    ids = encoder.tokenizer.encode(text, add_special_tokens=False).ids
    if not ids:
        return np.zeros(encoder.dimension)
    mean = encoder.weights.numpy().astype(np.float64)[ids].mean(0)
    return mean / np.linalg.norm(mean)


def test_vectors_are_unit_means(encoder):
    texts = [*TEXTS, *HOSTILE]
    vectors = encoder.encode_queries(texts)
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(texts), 24))
    np.testing.assert_allclose(vectors, [plain(encoder, text) for text in texts], atol=1e-6)
    np.testing.assert_array_equal(encoder.encode_passages(texts), vectors)


def test_a_text_without_tokens_is_zero(encoder):
    vectors = encoder.encode_queries(["", " \n", "...", "read"])
    assert not vectors[:3].any()
    assert np.linalg.norm(vectors[3]) == pytest.approx(1)
    assert encoder.encode_queries([]).shape == (0, 24)
    assert encoder.encode_queries([""]).shape == (1, 24)


def test_vectors_do_not_depend_on_the_company(encoder, monkeypatch):
    whole = encoder.encode_queries(TEXTS)
    monkeypatch.setattr("curate.encode.static._ENCODE_BATCH", 7)
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS), whole)
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS[3:5]), whole[3:5])


def test_saved_and_loaded(encoder, tmp_path):
    encoder.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, StaticEncoder)
    assert loaded.dimension == 24
    np.testing.assert_array_equal(loaded.encode_queries(TEXTS), encoder.encode_queries(TEXTS))
    encoder.save(tmp_path / "again")
    for path in ("0_StaticEmbedding/model.safetensors", "0_StaticEmbedding/tokenizer.json"):
        assert (tmp_path / path).read_bytes() == (tmp_path / "again" / path).read_bytes()


def test_sentence_transformers_gives_the_same_vectors(encoder, tmp_path):
    from sentence_transformers import SentenceTransformer

    encoder.save(tmp_path)
    texts = [text for text in [*TEXTS, *HOSTILE] if plain(encoder, text).any()] + [""]
    model = SentenceTransformer(str(tmp_path), device="cpu")
    np.testing.assert_allclose(model.encode(texts), encoder.encode_queries(texts), atol=1e-6)
    assert model.similarity_fn_name == "cosine"
    model.save(str(tmp_path / "theirs"))
    theirs = load_encoder(tmp_path / "theirs")
    np.testing.assert_allclose(
        theirs.encode_queries(texts), encoder.encode_queries(texts), atol=1e-6
    )


def test_other_models_go_through_the_library(tmp_path):
    from sentence_transformers import SentenceTransformer

    from curate.encode.sentence import SentenceEncoder

    static_model(tmp_path)
    encoder = SentenceEncoder(tmp_path)
    assert encoder.dimension == 16
    expected = SentenceTransformer(str(tmp_path), device="cpu").encode(TEXTS[:5])
    np.testing.assert_allclose(encoder.encode_queries(TEXTS[:5]), expected, atol=1e-6)
    assert encoder.encode_passages(TEXTS[:5]).dtype == np.float32


def test_what_is_no_model_is_refused(tmp_path, encoder):
    with pytest.raises(CurateError, match="not a model folder: it has no modules"):
        load_encoder(tmp_path)
    with pytest.raises(ValueError, match=r"5 vectors for .* tokens"):
        StaticEncoder(encoder.tokenizer, torch.zeros(5, 4))
    encoder.save(tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_bytes())
    assert [m["type"].rsplit(".")[-1] for m in modules] == ["StaticEmbedding", "Normalize"]


def test_gradients_are_those_of_torch(encoder):
    """The backward pass of `embed` against autograd through a plain gather and mean."""
    texts = ["read the file", "", "read read close", "open a tree of rows", "file"]
    tokens, rows = tokenize(encoder.tokenizer, texts), np.array([4, 0, 1, 2, 2, 3])
    factors = torch.from_numpy(np.random.default_rng(0).normal(size=(len(rows), 24)))
    weights = encoder.weights.clone().requires_grad_(True)
    (embed(weights, tokens, rows) * factors.float()).sum().backward()
    reference = encoder.weights.double().requires_grad_(True)
    total = torch.zeros((), dtype=torch.float64)
    for row, factor in zip(rows, factors, strict=True):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()
        if ids:
            mean = reference[ids].mean(0)
            total = total + (mean / mean.norm() * factor).sum()
    total.backward()
    np.testing.assert_allclose(weights.grad.numpy(), reference.grad.numpy(), atol=1e-5)
