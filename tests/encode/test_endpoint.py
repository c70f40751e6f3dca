"""An embedding endpoint as an encoder, against a server that computes vectors by a static model."""

import json

import numpy as np
import pytest

from curate import Recipe
from curate.dedup.semantic import SemanticDedup
from curate.encode import load_encoder
from curate.encode.endpoint import EndpointModel
from curate.errors import CurateError, RecipeError
from tests.contracts.harness import execute, rows
from tests.contracts.records import HOSTILE, Records, make_pairs
from tests.encode.embedding_server import EmbeddingServer

TEXTS = [pair.query or "" for pair in make_pairs(3, 150, hostile=0)]
KEY = "sk-a-key-that-nobody-may-see"


@pytest.fixture(scope="module")
def static(model):
    return load_encoder(model)


@pytest.fixture
def server(static):
    with EmbeddingServer(static) as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Wait for milliseconds where a client would for half a second, and have a key."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def make(server, tmp_path):
    """Describe the endpoint in a folder and open it."""

    def make(record="vectors.sqlite", **settings):
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        given = {"model": "made", "dimension": 16, "url": server.url, "retries": 3, **settings}
        EndpointModel(**given).build(None, folder, None)
        return load_encoder(folder, record=tmp_path / record)

    return make


def close(found, expected):
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_vectors_are_those_of_the_model_in_order(make, server, static):
    """Answers come in any order, are not normalised and belong to batches of several sizes."""
    encoder = make(batch=4, batch_chars=232, concurrency=4)
    close(encoder.encode_passages(TEXTS), static.encode_passages(TEXTS))
    assert encoder.dimension == 16
    sizes = [(len(r["input"]), sum(map(len, r["input"]))) for r in server.requests]
    assert {n for n, _ in sizes} >= {3, 4}
    assert all(n <= 4 and (chars <= 232 or n == 1) for n, chars in sizes)
    assert server.most_running > 1
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_no_text_is_asked_twice(make, server):
    make().encode_queries(TEXTS + TEXTS)
    assert sorted(server.texts) == sorted({t for t in TEXTS if t.strip()})
    before = len(server.requests)
    again = make(batch=3, concurrency=1)
    again.encode_passages(TEXTS)
    assert len(server.requests) == before
    make(model="another").encode_queries(TEXTS[:5])
    assert len(server.requests) == before + 1


def test_empty_and_strange_texts(make, server, static):
    texts = ["", " \n ", "\ud800 lone", *HOSTILE]
    vectors = make(max_chars=400, batch_chars=2000).encode_queries(texts)
    assert not vectors[:2].any()
    asked = static.encode_queries(["? lone", *(text[:400] for text in HOSTILE)])
    told = asked.any(1)
    close(vectors[2:][told], asked[told])
    given = [bool(text.strip()) for text in texts]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), given, atol=1e-6)
    assert all(text.strip() and len(text) <= 400 for text in server.texts)
    assert make().encode_queries([]).shape == (0, 16)


def test_prefixes_are_sent_and_told_apart(make, server):
    encoder = make(query_prefix="query: ", passage_prefix="passage: ", max_chars=4)
    encoder.encode_queries(["sort the rows"])
    encoder.encode_passages(["sort the rows"])
    assert server.texts == ["query: sort", "passage: sort"]


def test_shorter_vectors_are_asked_for(make, server, static):
    vectors = make(dimension=8, shorten=True).encode_queries(TEXTS[:3])
    expected = static.encode_queries(TEXTS[:3])[:, :8]
    close(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True))
    assert server.requests[0]["dimensions"] == 8


@pytest.mark.parametrize("fault", [429, 500, 503, "dropped", "cut", "short", "not finite"])
def test_what_passes_is_tried_again(make, server, static, fault):
    server.faults.extend([fault, None, fault, fault])
    close(make(batch=20).encode_queries(TEXTS), static.encode_queries(TEXTS))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (401, r"answers 401; the environment variable OPENAI_API_KEY is refused: .*\[key\]"),
        (400, "answers 400; if texts are too long for the model, lower `max_chars`"),
        (503, "answers 503: "),
        ("dropped", "cannot be used: Connection error"),
        ("short", "gives no usable answer: 9 vectors for 10 texts"),
        ("not finite", "gives no usable answer: vectors that are zero or not finite"),
        ("wrong dimension", "gives vectors of 5 dimensions where `dimension` says 16"),
    ],
)
def test_what_does_not_pass_is_one_line_without_the_key(make, server, fault, message, capfd):
    server.always = fault
    with pytest.raises(CurateError, match=message) as raised:
        make(batch=10, retries=1).encode_queries(TEXTS)
    assert str(raised.value).startswith(f"{server.url}, model 'made': ")
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value) + "".join(capfd.readouterr())


def test_a_wrong_dimension_is_not_asked_again(make, server):
    server.always = "wrong dimension"
    with pytest.raises(CurateError):
        make(batch=500).encode_queries(TEXTS)
    assert len(server.requests) == 1


def test_what_was_answered_before_an_error_is_not_paid_for_again(make, server, static):
    server.faults.extend([None] * 5 + [400])
    with pytest.raises(CurateError):
        make(batch=10, concurrency=2).encode_queries(TEXTS)
    paid = len(server.texts)
    assert paid >= 50
    close(make(batch=10).encode_queries(TEXTS), static.encode_queries(TEXTS))
    assert sorted(server.texts) == sorted({t for t in TEXTS if t.strip()})


def test_without_a_key_the_error_says_what_to_set(make, server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    make().encode_queries(["free of charge"])
    server.always = 401
    with pytest.raises(CurateError, match="the environment variable OTHER_KEY is not set"):
        make(key_variable="OTHER_KEY").encode_queries(["another text"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "https://me:secret@host/v1"}, "url: it may hold neither a user nor a query"),
        ({"url": "https://host/v1?api-key=secret"}, "url: it may hold neither a user nor a query"),
        ({"url": "ftp://host"}, "url: 'ftp://host' is no URL"),
        ({"key_variable": "sk-secret"}, "key_variable: what is given cannot be the name"),
    ],
)
def test_a_secret_among_the_settings_is_refused_and_not_repeated(settings, message):
    stage = EndpointModel(model="made", dimension=16, **settings)
    with pytest.raises(RecipeError, match=message) as raised:
        Recipe({"api": stage})
    assert "secret" not in str(raised.value)


def test_recorded_vectors_that_cannot_be_read(make, tmp_path):
    (tmp_path / "text").write_text("no database")
    with pytest.raises(CurateError, match="text: cannot use the recorded vectors"):
        make(record="text").encode_queries(["a text"])


# -- in a recipe -----------------------------------------------------------------------------


RECORDS = Records(rows=60, hostile=0, shards=1)


def recipe(url, **settings):
    return Recipe(
        {
            "api": EndpointModel(model="made", dimension=16, url=url, **settings),
            "records": RECORDS,
            "tested": SemanticDedup(encoder="api", on="query", threshold=0.9),
        }
    )


def test_a_killed_run_goes_on_without_paying_again(server, model, tmp_path, monkeypatch):
    """After a failure the same command asks only for the rest; a static model gives the same rows."""
    server.faults.extend([None, None, 400])
    with pytest.raises(CurateError, match="answers 400"):
        execute(recipe(server.url, batch=10, concurrency=1), tmp_path)
    paid = server.texts
    assert paid
    found = execute(recipe(server.url, batch=7), tmp_path)["tested"]
    assert len(server.texts) == len(set(server.texts)) > len(paid)
    local = Recipe(
        {
            "records": RECORDS,
            "tested": SemanticDedup(encoder=str(model), on="query", threshold=0.9),
        }
    )
    expected = execute(local, tmp_path)["tested"]
    assert rows(found) == rows(expected)
    assert expected.account.dropped["semantic_duplicate"] > 5
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_where_it_is_asked_changes_the_folder_and_nothing_that_rests_on_it(server, tmp_path):
    first = execute(recipe(server.url), tmp_path)
    second = execute(recipe("http://127.0.0.1:9/v1", concurrency=2), tmp_path)
    assert first["tested"].folder == second["tested"].folder
    assert first["api"].folder != second["api"].folder
    assert first["api"].key == second["api"].key
    described = json.loads((second["api"].folder / "encoder.json").read_text())
    assert described["settings"]["concurrency"] == 2
    other = execute(recipe(server.url, query_prefix="q: "), tmp_path)
    assert other["tested"].folder != first["tested"].folder
