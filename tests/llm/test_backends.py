"""Every backend, real, asked the same: one interface and, of the same weights, the same answers.

`local` and llama.cpp's server run in the ordinary environment, vLLM in one of its own: `make test-vllm`.
"""

import json
import logging
import math
import sys
from contextlib import closing, contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from benchmarks.serve_vllm import vllm_server
from curate.llm.answers import Answers
from curate.llm.base import Choose, Generate, Message, Sampling, Score
from curate.llm.recorded import Recorded
from curate.llm.settings import LLM

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.timeout(900)  # an engine takes its time to start where cores are few

measured = logging.getLogger(__name__)

COUNTED = "One, two, three, four, five, six,"
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["question", "keywords"]},
            "query": {"type": "string", "minLength": 1, "maxLength": 30},
        },
        "required": ["kind", "query"],
        "additionalProperties": False,
    }
)
SHARED = "Passage: a bird that cannot fly\nQuery: flightless bird\n\n" * 12
SCORES = [
    Score("The capital of France is", " Paris"),
    Score("def add(a, b):\n", " return a + b"),
    Score("Numbers: 1 2 3", " 4 5 6 seven"),
    Score("Question: naïve café 漢字 👩‍👩‍👧\nAnswer:", " a naïve é café 漢字"),
    # Continuations of one prompt, and texts that others begin with, read what is cached.
    *(Score(f"{SHARED}Passage: number {n % 3}\nQuery:", f" number {n}") for n in range(12)),
    *(Score(SHARED + "Passage: long", " and so on" * n) for n in (1, 40, 80)),
    *(Score(SHARED + " and so on" * n, " and so on" * 3) for n in (1, 40, 80)),
]
CHOICES = [
    Choose("Is the sky blue? Answer:", (" yes", " no")),
    Choose("One, two,", (" three", " thirty", " four")),
]
VLLM = [
    pytest.param(name, marks=pytest.mark.vllm)
    for name in ("vllm bfloat16", "vllm float32", "vllm server")
]
HERE = [pytest.param(name, marks=pytest.mark.slow) for name in ("local", "llama.cpp")]
ENGINE = {"max_model_len": 2048, "memory": 0.12}


@contextmanager
def engine(**settings):
    with closing(LLM(backend="vllm", **ENGINE, **settings).open()) as model:
        yield model


def served(url, name):
    return closing(LLM(backend="openai", model=name, url=url, timeout=300).open())


@pytest.fixture(scope="module")
def local(smollm2):
    """Give the local model by its dtype."""
    held = {}

    def load(dtype):
        if dtype not in held:
            held[dtype] = LLM(dtype=dtype).open()
        return held[dtype]

    return load


@pytest.fixture(scope="module", params=[*HERE, *VLLM])
def backend(request, smollm2):
    """A model, and how precisely it computes."""
    kind, _, dtype = request.param.partition(" ")
    server = nullcontext()
    if kind == "local":
        opened = nullcontext(LLM(dtype="float32").open())
    elif kind == "llama.cpp":
        opened = served(request.getfixturevalue("llama_server"), "smollm2")
    elif dtype == "server":
        server = vllm_server(sys.executable, smollm2)
        opened = None
    else:
        opened = engine(dtype=dtype)
    with server as url, opened or served(url, "served") as model:
        precise = dtype if dtype in ("float32", "bfloat16") else None
        yield SimpleNamespace(model=model, dtype=precise or ("bfloat16" if url else "float32"))


@pytest.fixture(autouse=True)
def _few_logs(caplog):
    """Where logs are shown, not each request to a server."""
    for library in ("httpx", "httpx2"):
        caplog.set_level(logging.WARNING, library)


def answers_of(backend, requests):
    found = dict(backend.model.generate(requests))
    return [found[number] for number in range(len(requests))]


def test_json_is_nearly_always_of_its_schema(backend, tmp_path):
    recorded = Recorded("m", lambda: backend.model, Answers(tmp_path / "answers.sqlite"))
    sampling = Sampling(temperature=1.0, max_tokens=160)  # a character may be several tokens
    found = recorded.generate(
        [Generate(f"Passage: number {n}\nJSON:", sampling, SCHEMA, n) for n in range(200)]
    )
    whole = sum(answer.finish == "stop" for answer in found)
    measured.info("%d of %d are of their schema", whole, len(found))
    assert whole >= 0.99 * len(found)
    assert len({answer.text for answer in found}) > 100


def test_the_most_probable_text_is_the_same(backend):
    (answer,) = answers_of(backend, [Generate(COUNTED, Sampling(max_tokens=6))])
    assert (answer.text, answer.finish) == (" seven, eight, and nine", "length")
    assert (answer.prompt_tokens, answer.completion_tokens) == (12, 6)


def test_an_answer_ends_at_a_stop_or_at_its_limit(backend):
    stopped, cut, torn = answers_of(
        backend,
        [
            Generate(COUNTED, Sampling(max_tokens=9), stop=" eight"),
            Generate(COUNTED, Sampling(max_tokens=2)),
            Generate("JSON: ", Sampling(max_tokens=3), SCHEMA),
        ],
    )
    assert (stopped.text, stopped.finish) == (" seven,", "stop")
    assert (cut.finish, cut.completion_tokens) == ("length", 2)
    assert torn.finish == "length"


def test_a_seed_draws_the_answer(backend):
    sampling = Sampling(temperature=1.0, max_tokens=8)

    def drawn(seed, attempt=0):
        (answer,) = answers_of(backend, [Generate("A", sampling, None, seed, None, attempt)])
        return answer.text

    assert drawn(5) == drawn(5)
    assert len({drawn(5), drawn(6), drawn(5, 1), drawn(5, 2)}) > 2


def test_many_lengths_and_kinds_at_a_time(backend):
    """Each draw, schema, stop and limit is that of its own request."""
    requests = [
        Generate(
            f"Say {n}: " + "word " * (n * 37 % 400),
            Sampling(temperature=n % 3 / 2, top_p=(1.0, 0.9)[n % 2], max_tokens=1 + n % 7),
            None if n % 4 else json.dumps({"type": "string", "enum": [f"number {n}"]}),
            seed=n,
        )
        for n in range(40)
    ]
    for n, answer in enumerate(answers_of(backend, requests)):
        assert answer.completion_tokens <= 1 + n % 7
        if n % 4 == 0:
            assert json.dumps(f"number {n}").startswith(answer.text)


def test_a_conversation_is_answered(backend):
    turns = (Message("system", "Answer with one word."), Message("user", "The capital of France?"))
    (answer,) = answers_of(backend, [Generate(turns, Sampling(max_tokens=12))])
    assert "Paris" in answer.text
    assert answer.prompt_tokens > 20


def test_labels_are_weighed_as_the_local_model_does(backend, local):
    here = dict(local("float32").choose(CHOICES))
    there = dict(backend.model.choose(CHOICES))
    for number in range(len(CHOICES)):
        assert math.isclose(sum(there[number].probabilities), 1)
        assert there[number].probabilities == pytest.approx(here[number].probabilities, abs=0.05)


@pytest.mark.parametrize("backend", VLLM, indirect=True)
def test_scores_are_those_of_the_local_model(backend, local):
    here = dict(local(backend.dtype).score(SCORES))
    for _ in range(2):  # the second time all of them are cached
        there = dict(backend.model.score(SCORES))
        apart = [abs(there[n].mean - here[n].mean) for n in range(len(SCORES))]
        measured.info("%s: at most %.5f nats per token apart", backend.dtype, max(apart))
        if backend.dtype == "float32":
            assert max(apart) < 1e-3
        else:  # rounding alone moves the score of one token by more than the bound
            assert sum(apart) / len(apart) < 0.05
        for n in range(len(SCORES)):
            assert there[n].tokens == here[n].tokens
            assert there[n].prompt_tokens == here[n].prompt_tokens
