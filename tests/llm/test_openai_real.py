"""The client of OpenAI-compatible servers against llama.cpp's own, and against `local`: same weights."""

import json
import math

import pytest

from curate.errors import CurateError
from curate.llm.answers import Answers
from curate.llm.base import Choose, Generate, Message, Sampling, Score, UnansweredError
from curate.llm.recorded import Recorded
from curate.llm.schemas import violation
from curate.llm.settings import LLM
from tests.llm.serving import Faults, Serving, serving

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from curate.llm.local import LocalModel  # noqa: E402

COUNTED = "One, two, three, four, five, six,"
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": ["yes", "no", "perhaps"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
)
SCORES = [
    Score("The capital of France is", " Paris"),
    Score("def add(a, b):\n", " return a + b"),
    Score("Numbers: 1 2 3", " 4 5 6 seven"),
    Score("Question: naïve café 漢字 👩‍👩‍👧\nAnswer:", " a naïve é café 漢字"),
]
CHOICES = [
    Choose("Is the sky blue? Answer:", (" yes", " no")),
    Choose("One, two,", (" three", " thirty", " four")),
]


@pytest.fixture(scope="module")
def local(smollm2):
    return LocalModel.load("smollm2", dtype="float32")


@pytest.fixture(scope="module")
def model(llama_server):
    return LLM(backend="openai", model="smollm2", url=llama_server, timeout=100).open()


def answer_of(model, request):
    ((_, answer),) = model.generate([request])
    return answer


def test_a_text_is_continued_as_the_local_model_does(model, local):
    request = Generate(COUNTED, Sampling(max_tokens=6))
    here, there = answer_of(local, request), answer_of(model, request)
    assert there == here
    assert there.text.startswith(" seven, eight")
    assert there.finish == "length"


def test_a_conversation_is_answered(model):
    turns = (Message("system", "Answer with one word."), Message("user", "The capital of France?"))
    answer = answer_of(model, Generate(turns, Sampling(max_tokens=12)))
    assert "Paris" in answer.text
    assert answer.prompt_tokens > 20


def test_an_answer_ends_at_a_stop_or_at_its_limit(model):
    stopped = answer_of(model, Generate(COUNTED, Sampling(max_tokens=9), stop=" eight"))
    assert (stopped.text, stopped.finish) == (" seven,", "stop")
    assert answer_of(model, Generate(COUNTED, Sampling(max_tokens=2))).completion_tokens == 2


def test_a_seed_draws_the_answer(model):
    def drawn(seed, attempt=0):
        request = Generate("A", Sampling(temperature=1.0, max_tokens=5), None, seed, None, attempt)
        return answer_of(model, request).text

    assert drawn(5) == drawn(5)
    assert len({drawn(5), drawn(6), drawn(5, 1), drawn(5, 2)}) > 1


def test_json_is_of_its_schema_in_texts_and_conversations(model):
    prompts = ["Is it? JSON: ", (Message("user", "Is it?"),)]
    sampling = Sampling(temperature=1.0, max_tokens=60)
    found = dict(model.generate([Generate(prompt, sampling, SCHEMA) for prompt in prompts]))
    assert [violation(SCHEMA, found[n].text) for n in range(2)] == [None, None]


@pytest.mark.slow
def test_json_is_nearly_always_of_its_schema(model, tmp_path):
    recorded = Recorded("smollm2", lambda: model, Answers(tmp_path / "answers.sqlite"))
    sampling = Sampling(temperature=1.0, max_tokens=60)
    found = recorded.generate([Generate("Is it? JSON: ", sampling, SCHEMA, n) for n in range(100)])
    assert sum(answer.finish == "stop" for answer in found) >= 99


def test_labels_are_weighed_as_the_local_model_does(model, local):
    """llama.cpp computes with activations of 8 bits, so not to the last digit."""
    here, there = dict(local.choose(CHOICES)), dict(model.choose(CHOICES))
    for number in range(len(CHOICES)):
        assert math.isclose(sum(there[number].probabilities), 1)
        assert there[number].probabilities == pytest.approx(here[number].probabilities, abs=0.05)


def test_an_echo_that_is_ignored_is_noticed(model):
    assert model.abilities() == {"generate", "schema", "choose"}
    with pytest.raises(CurateError, match="cannot `score`"):
        list(model.score(SCORES))


def test_a_prompt_that_is_too_long_is_told(model):
    with pytest.raises(UnansweredError, match=r"1 of 1 requests .* 400: .*context"):
        list(model.generate([Generate("long " * 9000)]))


@pytest.mark.slow
def test_faults_before_a_real_server(llama_server, tmp_path, monkeypatch):
    monkeypatch.setattr("curate.llm.openai.transport._FIRST_DELAY", 0.01)
    faults = Faults(llama_server, share=0.08, slow=2.5)
    answers = Answers(tmp_path / "answers.sqlite")
    sampling = Sampling(temperature=1.0, max_tokens=3)
    with Serving(faults.handle) as proxy:
        llm = LLM(backend="openai", model="smollm2", url=proxy.url, timeout=2)
        model = Recorded("smollm2", llm.open, answers)
        found = model.generate([Generate(f"{n}:", sampling, seed=n) for n in range(50)])
    assert len(faults.injected) >= 5
    assert not faults.again
    assert answers.count() == len(found) == 50
    assert sum(answer.finish == "refused" for answer in found) == faults.injected["refusal"]


# -- a server with log-probabilities of prompts ----------------------------------------------------


def test_scores_are_those_of_the_local_model(echoing, local):
    """Also where characters are several tokens, of which none has the character's text."""
    server, _ = echoing
    model = server.model()
    assert model.abilities() == {"generate", "schema", "score", "choose"}
    here, there = dict(local.score(SCORES)), dict(model.score(SCORES))
    for number in range(len(SCORES)):
        assert there[number].tokens == here[number].tokens
        assert there[number].prompt_tokens == here[number].prompt_tokens
        assert there[number].mean == pytest.approx(here[number].mean, abs=1e-3)


def test_labels_are_weighed_by_their_likelihoods(echoing, local):
    server, _ = echoing
    here, there = dict(local.choose(CHOICES)), dict(server.model().choose(CHOICES))
    for number in range(len(CHOICES)):
        assert there[number].probabilities == pytest.approx(here[number].probabilities, abs=1e-3)


def test_the_prompt_alone_is_asked_for_only_where_it_must_be(echoing):
    server, model = echoing
    client = server.model()
    list(client.score(SCORES[:1]))
    model.came.clear()
    others = [Score(SCORES[3].prompt, f" {word}") for word in ("no", "yes", "perhaps")]
    list(client.score([SCORES[0], SCORES[3]]))
    list(client.score(others))
    whole = [score.prompt + score.continuation for score in (SCORES[0], SCORES[3], *others)]
    assert sorted(model.came) == sorted([*whole, SCORES[3].prompt])


def test_a_token_of_prompt_and_continuation_is_refused(echoing):
    server, _ = echoing
    with pytest.raises(UnansweredError, match="the prompt ends within a token"):
        list(server.model().score([Score("I was walk", "ing"), SCORES[0]]))


def shifted(told):
    """As a known server does: each value is that of the token before."""
    told["token_logprobs"] = [None, *told["token_logprobs"][:-1]]


def constant(told):
    told["token_logprobs"] = [None] + [-1.0] * (len(told["tokens"]) - 1)


def other_tokens(told):
    told["tokens"] = ["x"] * len(told["tokens"])


@pytest.mark.parametrize("wrong", [shifted, constant, other_tokens])
def test_log_probabilities_that_are_wrong_are_not_used(echoing, wrong):
    _, model = echoing

    def reply(path, body):
        made = model.complete(path, body)
        if body.get("echo") and isinstance(made, dict):
            wrong(made["choices"][0]["logprobs"])
        return made

    with serving(reply) as server:
        assert server.model().abilities() == {"generate", "schema", "choose"}
