"""Models from outside: found without importing, completed, run without a network, batched by length."""

import json
import socket
import sys

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from curate import Recipe
from curate.encode import load_encoder
from curate.encode.model import OutsideModel, find_model
from curate.encode.sentence import HowToRun, SentenceEncoder
from curate.encode.static import StaticEncoder
from curate.encode.tokenizer import TokenizerSettings, train_tokenizer
from curate.errors import CurateError, RecipeError
from tests.contracts.harness import packaged_model
from tests.contracts.records import HOSTILE, make_pairs

TEXTS = [pair.query for pair in make_pairs(5, 20, hostile=0)]
TEXTS += [pair.positives[0].text for pair in make_pairs(6, 20, hostile=0)]


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """A checkpoint of a tiny BERT with drawn weights: no pooling, no prompts."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    settings = TokenizerSettings(vocabulary=300, code=False, distinct=False)
    tokenizer, _ = train_tokenizer(TEXTS, settings)
    tokenizer.add_special_tokens(["[PAD]", "[CLS]"])
    first = [("[CLS]", tokenizer.token_to_id("[CLS]"))]
    tokenizer.post_processor = TemplateProcessing("[CLS] $A", special_tokens=first)
    size = tokenizer.get_vocab_size()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
    ).save_pretrained(folder)
    torch.manual_seed(0)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    small |= {"intermediate_size": 64, "max_position_embeddings": 64, "initializer_range": 0.3}
    BertModel(BertConfig(vocab_size=size, **small)).save_pretrained(folder)
    return folder


@pytest.fixture
def build(tmp_path):
    def build(**settings):
        stage = OutsideModel(**settings)
        stage.check()
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        built = stage.build(None, folder, None)
        assert (built.inputs, built.kept) == (0, 0)
        return folder

    return build


def plain(folder, texts, pooling="mean"):
    """Encode texts one by one with transformers alone."""
    from transformers import BertModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = BertModel.from_pretrained(folder)
    vectors = []
    for text in texts:
        with torch.inference_mode():
            read = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
            states = model(input_ids=read["input_ids"]).last_hidden_state[0]
        vectors.append(states.mean(0) if pooling == "mean" else states[0])
    return torch.nn.functional.normalize(torch.stack(vectors), dim=1).numpy()


@pytest.mark.parametrize("pooling", [None, "cls"])
def test_a_checkpoint_becomes_an_encoder(build, transformer, pooling):
    encoder = load_encoder(build(model=str(transformer), pooling=pooling, dtype="float32"))
    found = encoder.encode_passages(TEXTS)
    assert (found.dtype, found.shape) == (np.float32, (len(TEXTS), 32))
    np.testing.assert_allclose(found, plain(transformer, TEXTS, pooling or "mean"), atol=1e-5)


def test_prefixes_are_prompts_that_sentence_transformers_applies(build, transformer):
    from sentence_transformers import SentenceTransformer

    settings = {"query_prefix": "sort ", "passage_prefix": "merge ", "dtype": "float32"}
    folder = build(model=str(transformer), **settings)
    encoder, outside = load_encoder(folder), SentenceTransformer(str(folder), device="cpu")
    queries = encoder.encode_queries(TEXTS)
    prefixed = [f"sort {text}" for text in TEXTS]
    np.testing.assert_allclose(queries, plain(transformer, prefixed), atol=1e-5)
    np.testing.assert_allclose(queries, outside.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(
        encoder.encode_passages(TEXTS), outside.encode_document(TEXTS), atol=1e-5
    )
    assert np.abs(queries - encoder.encode_passages(TEXTS)).max() > 0.01


def test_texts_are_cut_where_the_setting_says(build, transformer):
    encoder = load_encoder(build(model=str(transformer), max_tokens=3, dtype="float32"))
    one, other = encoder.encode_queries(["sort the rows of a list", "sort the rows and go home"])
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("batch_chars", [40, 10**6])
def test_batches_change_no_vector(build, transformer, batch_chars):
    texts = [*TEXTS, "", " ", *HOSTILE]
    run = {"model": str(transformer), "dtype": "float32"}
    found = load_encoder(build(**run, batch_chars=batch_chars)).encode_queries(texts)
    expected = load_encoder(build(**run)).encode_queries(texts)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    empty = np.array([not text.strip() for text in texts])
    assert not found[empty].any()
    np.testing.assert_allclose(np.linalg.norm(found[~empty], axis=1), 1, atol=1e-6)
    assert load_encoder(build(**run)).encode_queries([]).shape == (0, 32)


def test_batches_hold_texts_of_a_length_within_the_budget(build, transformer):
    encoder = SentenceEncoder(build(model=str(transformer)), HowToRun(batch_chars=200))
    batches = list(encoder._batches([*TEXTS, ""]))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(TEXTS)))
    longest = [max(min(len(TEXTS[row]), 4 * 64) for row in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    assert all(
        len(b) == 1 or len(b) * long <= 200 for b, long in zip(batches, longest, strict=True)
    )


def test_bfloat16_is_close_to_float32(build, transformer):
    vectors = [
        load_encoder(build(model=str(transformer), dtype=dtype)).encode_queries(TEXTS)
        for dtype in ("float32", "bfloat16")
    ]
    cosines = (vectors[0] * vectors[1]).sum(1)
    assert 0.999 < cosines.min() < cosines.max() < 1 + 1e-6
    assert not np.array_equal(*vectors)


def test_nothing_is_fetched(build, transformer, monkeypatch):
    def refuse(*args):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_encoder(build(model=str(transformer))).encode_queries(TEXTS[:2])


def test_a_package_is_found_without_being_imported(build, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "site").mkdir()
    settings = packaged_model(tmp_path / "site")
    code = tmp_path / "site" / "made_encoder" / "__init__.py"
    code.write_text("raise SystemExit('imported')")
    folder = build(**settings)
    encoder, original = load_encoder(folder), load_encoder(find_model("made-encoder").root)
    assert isinstance(encoder, StaticEncoder)
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS), original.encode_queries(TEXTS))
    assert not list(folder.rglob("*.py"))
    with pytest.raises(ValueError, match="query_prefix: 'made-encoder' is a static model"):
        OutsideModel(**settings, query_prefix="q: ").check()
    with pytest.raises(ValueError, match="pooling: 'made-encoder' says itself how it pools"):
        OutsideModel(**settings, pooling="cls").check()


def test_the_key_follows_from_the_content_alone(transformer, tmp_path):
    import shutil

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(transformer, elsewhere)
    first, second = (OutsideModel(model=str(f)).material() for f in (transformer, elsewhere))
    assert first == second
    assert OutsideModel(model=str(elsewhere), device="cpu").material() == first
    assert OutsideModel(model=str(elsewhere), dtype="float32").material() != first
    (elsewhere / "config.json").write_bytes((elsewhere / "config.json").read_bytes() + b"\n")
    assert OutsideModel(model=str(elsewhere)).material() != first


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "holds no model: neither a modules.json nor a config.json"),
        (lambda folder: (folder / "config.json").write_text("{}"), "holds no .safetensors"),
    ],
)
def test_a_folder_without_a_model_is_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(RecipeError, match=message):
        Recipe({"mini": OutsideModel(model=str(tmp_path))})


def test_a_package_that_is_not_there():
    with pytest.raises(RecipeError, match=r"no package of this name is installed: .*`pip install"):
        Recipe({"mini": OutsideModel(model="no-such-model-here")})


def test_code_of_a_model_is_not_run(tmp_path, transformer):
    modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    with pytest.raises(CurateError, match=r"'evil\.Module' is code of the model's own"):
        load_encoder(tmp_path)


def test_pickled_weights_are_not_read(build, transformer):
    folder = build(model=str(transformer))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CurateError, match="sentence-transformers cannot load it"):
        load_encoder(folder)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": 2, "sort": "x", "settings": {}}'])
def test_a_damaged_description_is_one_clear_line(tmp_path, content):
    (tmp_path / "encoder.json").write_bytes(content)
    with pytest.raises(CurateError, match=r"encoder\.json: .*; make the folder again"):
        load_encoder(tmp_path)
