"""The local backend against transformers' own forward pass, one sequence at a time."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.llm.base import Choose, Generate, Message, Sampling, Score

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from curate.llm.local import LocalModel  # noqa: E402
from curate.llm.local.lanes import common_prefix  # noqa: E402
from curate.llm.local.sampling import draw, uniforms  # noqa: E402

HEADS = {
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
PREFIX = "Passage: a bird that cannot fly\nQuery: flightless bird\n\n" * 4
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "task": {"type": "string", "enum": ["find code", "find a class"]},
            "query": {"type": "string", "maxLength": 40},
        },
        "required": ["task", "query"],
        "additionalProperties": False,
    }
)
UNICODE = [
    "naïve café",
    "漢字かな",
    "مرحبا",
    "👩‍👩‍👧 family",
    "e\u0301\u200b\u00a0",
    "\x00\ufffd",
    "\n\t  x",
]


class Direct:
    """The raw model, asked for one sequence at a time."""

    def __init__(self, folder, dtype):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def ids(self, text):
        return self.tokenizer(text, add_special_tokens=False).input_ids

    @torch.inference_mode()
    def next(self, ids):
        return self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)

    def score(self, prompt, continuation):
        before, after = self.ids(prompt), self.ids(continuation)
        logprobs = self.next(before + after)[len(before) - 1 : -1]
        return sum(logprobs[i, token].item() for i, token in enumerate(after)), len(after)

    def greedy(self, prompt, count):
        ids = self.ids(prompt)
        for _ in range(count):
            ids.append(int(self.next(ids)[-1].argmax()))
            if ids[-1] == self.tokenizer.eos_token_id:
                break
        return ids[len(self.ids(prompt)) :]


@pytest.fixture(scope="module")
def tiny_folder(make_model):
    return make_model(transformers.LlamaConfig, **HEADS)


@pytest.fixture(scope="module")
def tiny(tiny_folder):
    return LocalModel.load(str(tiny_folder), dtype="float32")


@pytest.fixture(scope="module")
def direct(tiny_folder):
    return Direct(tiny_folder, torch.float32)


@pytest.fixture(scope="module")
def real(smollm2):
    return LocalModel.load("smollm2", dtype="float32")


@pytest.fixture(scope="module")
def real_direct(smollm2):
    return Direct(smollm2, torch.float32)


def _mixed(prefix="", prompts=9, seed=0):
    """Requests of mixed lengths, one to four for a prompt, in no order."""
    draws = np.random.default_rng(seed)
    words = [
        *[
            "the",
            "of",
            "a",
            "node",
            "in",
            "graph",
            "def",
            "return",
            "self",
            "value",
            "(",
            ")",
            ":",
            "=",
        ],
        *UNICODE,
    ]

    def text(most):
        return " ".join(draws.choice(words, draws.integers(1, most)))

    requests = [
        Score(prefix + prompt, " " + text(12))
        for prompt in (text(60) for _ in range(prompts))
        for _ in range(draws.integers(1, 5))
    ]
    return [requests[i] for i in draws.permutation(len(requests))]


def _assert_direct(model, direct, requests, bound=1e-3):
    answers = dict(model.score(requests))
    assert sorted(answers) == list(range(len(requests)))
    for number, request in enumerate(requests):
        wanted, tokens = direct.score(request.prompt, request.continuation)
        assert answers[number].tokens == tokens
        assert answers[number].prompt_tokens == len(direct.ids(request.prompt))
        assert abs(answers[number].logprob - wanted) <= bound * tokens


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_scores_are_those_of_the_models_own_logits(tiny, direct, prefix):
    requests = _mixed(prefix, prompts=25)
    _assert_direct(tiny, direct, requests)
    for request in requests[:5]:
        _assert_direct(tiny, direct, [request])


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_scores_of_the_real_model_are_those_of_its_own_logits(real, real_direct, prefix):
    requests = _mixed(prefix, prompts=2)
    _assert_direct(real, real_direct, requests)
    _assert_direct(real, real_direct, requests[:1])


def test_scores_in_bfloat16_are_as_near_as_bfloat16_is(smollm2, real_direct):
    """Rounding alone moves a score by hundredths of a nat per token, in the direct computation too."""
    requests = _mixed(PREFIX, prompts=2)
    answers = dict(LocalModel.load("smollm2", dtype="bfloat16").score(requests))
    rounded = Direct(smollm2, torch.bfloat16)
    exact = [real_direct.score(r.prompt, r.continuation) for r in requests]
    ours, theirs = (
        np.mean(
            [abs(sum_ - want) / tokens for sum_, (want, tokens) in zip(sums, exact, strict=True)]
        )
        for sums in (
            [answers[number].logprob for number in range(len(requests))],
            [rounded.score(r.prompt, r.continuation)[0] for r in requests],
        )
    )
    assert ours < 0.08
    assert ours < 1.5 * theirs


def test_a_prompt_that_begins_another_is_scored_right(tiny, direct):
    base = "one two three four"
    requests = [Score(base + " five" * n, " six seven") for n in range(4)]
    _assert_direct(tiny, direct, [*requests, requests[0]])


def test_more_continuations_than_fit_one_pass(tiny, direct, monkeypatch):
    requests = [Score(PREFIX + p, f" {i} and so on") for p in ("a b c", "d") for i in range(30)]
    monkeypatch.setattr(tiny._network, "pass_logits", 16)
    monkeypatch.setattr(tiny._network, "pass_tokens", 40)
    _assert_direct(tiny, direct, requests)


@pytest.mark.parametrize("name", ["MistralConfig", "Qwen3Config", "Gemma3TextConfig"])
def test_other_models_and_sliding_windows(make_model, name):
    window = {} if name == "Qwen3Config" else {"sliding_window": 8}
    folder = make_model(getattr(transformers, name), **HEADS, **window)
    model = LocalModel.load(str(folder), dtype="float32")
    direct = Direct(folder, torch.float32)
    _assert_direct(model, direct, _mixed(PREFIX, prompts=5))
    (_, answer), *_ = model.generate([Generate("a node", Sampling(max_tokens=12))])
    assert answer.text == direct.tokenizer.decode(
        direct.greedy("a node", 12), skip_special_tokens=True
    )


def test_models_that_attend_otherwise_are_refused(make_model):
    folder = make_model(transformers.MambaConfig, state_size=4)
    with pytest.raises(CurateError, match="layers without attention"):
        LocalModel.load(str(folder))
    folder = make_model(transformers.Gemma2Config, **HEADS)
    with pytest.raises(CurateError, match="softcap"):
        LocalModel.load(str(folder))


def test_a_tokenizer_that_begins_texts_with_a_token(tiny_folder, direct, tmp_path):
    from shutil import copytree

    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    folder = copytree(tiny_folder, tmp_path / "begins")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    model = LocalModel.load(str(folder), dtype="float32")
    (_, answer), *_ = model.score([Score("a node", " of a graph")])
    wanted, tokens = direct.score("<|im_start|>a node", " of a graph")
    assert (answer.tokens, answer.prompt_tokens) == (tokens, 3)
    assert answer.logprob == pytest.approx(wanted, abs=1e-3)
    (_, answer), *_ = model.score([Score("", " of a graph")])
    assert answer.logprob == pytest.approx(direct.score("<|im_start|>", " of a graph")[0], abs=1e-3)


def test_nothing_to_do(tiny):
    assert list(tiny.score([])) == list(tiny.choose([])) == list(tiny.generate([])) == []


def test_what_cannot_be_answered_is_refused(tiny):
    with pytest.raises(ValueError, match="continuation 1 has no token"):
        list(tiny.score([Score("a", " b"), Score("a", "")]))
    with pytest.raises(ValueError, match="request 0 has no token"):
        list(tiny.score([Score("", " b")]))
    with pytest.raises(ValueError, match="request 1 has no labels"):
        list(tiny.choose([Choose("a", (" b",)), Choose("a", ())]))
    with pytest.raises(ValueError, match="cut the prompt"):
        list(tiny.score([Score("a b" * 3000, " c")]))
    with pytest.raises(ValueError, match="cut the prompt"):
        list(tiny.generate([Generate("a", Sampling(max_tokens=10_000))]))
    with pytest.raises(CurateError, match="schema cannot be followed"):
        list(tiny.generate([Generate("a", schema='{"type": "strin"}')]))
    with pytest.raises(CurateError, match="schema cannot be followed"):
        list(tiny.generate([Generate("a", schema="{")]))


def test_labels_have_the_softmax_of_their_likelihoods(tiny, direct):
    labels = [(" yes", " no"), (" no", " perhaps, in part", " yes"), (" yes",)]
    requests = [
        Choose(PREFIX + prompt, labels[number % 3])
        for number, prompt in enumerate(["a node", "a graph", "a graph", *UNICODE, "a node"])
    ]
    answers = dict(tiny.choose(requests))
    for number, request in enumerate(requests):
        likelihoods = [direct.score(request.prompt, label)[0] for label in request.labels]
        wanted = np.exp(likelihoods) / np.exp(likelihoods).sum()
        assert answers[number].probabilities == pytest.approx(wanted, abs=1e-4)
        assert sum(answers[number].probabilities) == pytest.approx(1, abs=1e-12)
        assert answers[number].prompt_tokens == len(direct.ids(request.prompt))


def test_very_unlikely_labels_still_sum_to_one(tiny):
    (_, answer), *_ = tiny.choose([Choose("a", (" node" * 400, " graph" * 500))])
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_greedy_text_is_that_of_a_plain_loop(tiny, direct, monkeypatch, batch):
    monkeypatch.setattr(tiny, "_batch", batch)
    prompts = [PREFIX + text for text in ("a node", "def f(x):", "the graph of a", *UNICODE)]
    lengths = [1, 2, 17, 30]
    requests = [
        Generate(prompt, Sampling(max_tokens=lengths[number % 4]))
        for number, prompt in enumerate(prompts)
    ]
    answers = dict(tiny.generate(requests))
    for number, request in enumerate(requests):
        wanted = direct.greedy(request.prompt, request.sampling.max_tokens)
        ended = wanted[-1] == direct.tokenizer.eos_token_id
        answer = answers[number]
        assert answer.text == direct.tokenizer.decode(wanted, skip_special_tokens=True)
        assert answer.finish == ("stop" if ended else "length")
        assert answer.completion_tokens == len(wanted)
        assert answer.prompt_tokens == len(direct.ids(request.prompt))


def test_greedy_text_of_the_real_model(real, real_direct):
    prompts = [PREFIX + "Passage: the capital of France\nQuery:", "The capital of France is"]
    answers = dict(real.generate([Generate(p, Sampling(max_tokens=8)) for p in prompts]))
    for number, prompt in enumerate(prompts):
        wanted = real_direct.greedy(prompt, 8)
        assert answers[number].text == real_direct.tokenizer.decode(wanted)


def _draws(prompts=6, seeds=4, **settings):
    sampling = Sampling(temperature=0.9, top_p=0.9, max_tokens=12)
    return [
        Generate(f"{PREFIX}{number} nodes", sampling, seed=seed, **settings)
        for number in range(prompts)
        for seed in range(seeds)
    ]


def test_an_answer_depends_on_its_seed_and_not_on_its_neighbours(tiny, monkeypatch):
    requests = _draws()
    together = dict(tiny.generate(requests))
    assert dict(tiny.generate(requests)) == together
    assert [together[n] for n in (3, 14)] == [
        next(iter(tiny.generate([requests[n]])))[1] for n in (3, 14)
    ]
    monkeypatch.setattr(tiny, "_batch", 5)
    mixed = [*_draws(schema=SCHEMA), *requests[::-1]]
    apart = dict(tiny.generate(mixed))
    assert [apart[len(mixed) - 1 - n] for n in range(len(requests))] == [
        together[n] for n in range(len(requests))
    ]
    texts = {together[n].text for n in range(len(requests))}
    assert len(texts) > 0.9 * len(requests)


def test_waiting_prompts_take_the_place_of_finished_ones(tiny, monkeypatch):
    """With room for two lanes only, and prompts of very different lengths."""
    requests = [
        replace(request, prompt=request.prompt + " and" * (number % 5) ** 4)
        for number, request in enumerate(_draws(prompts=9, seeds=2))
    ]
    wanted = dict(tiny.generate(requests))
    columns = 2 * (max(answer.prompt_tokens for answer in wanted.values()) + 24)
    size = columns * tiny._network.layers * tiny._network.layer_bytes
    monkeypatch.setattr(type(tiny._network), "cache_bytes", size)
    monkeypatch.setattr(tiny, "_batch", 4)
    assert dict(tiny.generate(requests)) == wanted


@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
def test_schemas_are_followed(tiny, temperature):
    sampling = Sampling(temperature=temperature, max_tokens=100)
    requests = [Generate(f"{n} of", sampling, SCHEMA, seed=n) for n in range(12)]
    requests += [replace(r, sampling=Sampling(temperature=1, max_tokens=6)) for r in requests[:4]]
    answers = dict(tiny.generate(requests))
    whole = [a for a in answers.values() if a.finish == "stop"]
    assert len(whole) == 12
    for answer in whole:
        made = json.loads(answer.text)
        assert list(made) == ["task", "query"]
        assert made["task"] in ("find code", "find a class")
        assert len(made["query"]) <= 40
        assert answer.text == json.dumps(made, ensure_ascii=False) or "\\" in answer.text
    for number in range(12, 16):
        assert answers[number].finish == "length"
        assert answers[number].completion_tokens == 6


def test_a_schema_without_choice_needs_no_model(tiny):
    schema = '{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": false}'  # noqa: E501
    requests = [Generate("x", Sampling(max_tokens=n), schema) for n in (50, 2)]
    answers = dict(tiny.generate(requests))
    assert (json.loads(answers[0].text), answers[0].finish) == ({"a": 1}, "stop")
    assert (answers[1].finish, answers[1].completion_tokens) == ("length", 2)


def test_the_real_model_answers_under_a_schema(real):
    sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=60)
    prompt = "Passage: an ostrich is a large bird\nJSON:\n"
    requests = [Generate(prompt, sampling, SCHEMA, seed) for seed in range(3)]
    answers = dict(real.generate(requests))
    assert all(json.loads(a.text)["query"] for a in answers.values() if a.finish == "stop")
    assert len({answer.text for answer in answers.values()}) == 3


def test_text_ends_before_its_stop(tiny, direct):
    prompt = PREFIX + "the graph of a"
    tokens = direct.greedy(prompt, 30)
    text = direct.tokenizer.decode(tokens)
    stop = text[len(text) // 2 : len(text) // 2 + 4]
    (_, answer), *_ = tiny.generate([Generate(prompt, Sampling(max_tokens=30), stop=stop)])
    assert answer.finish == "stop"
    assert answer.text == text.partition(stop)[0]
    assert answer.completion_tokens < 30


def test_conversations_have_the_models_own_form(tiny, direct):
    turns = (Message("system", "Be brief."), Message("user", "What is a graph?"))
    form = "".join(f"<|im_start|>{t.role}\n{t.content}<|im_end|>\n" for t in turns)
    form += "<|im_start|>assistant\n"
    sampling = Sampling(max_tokens=5)
    answers = dict(tiny.generate([Generate(turns, sampling), Generate(form, sampling)]))
    assert answers[0] == answers[1]
    assert answers[0].prompt_tokens == len(direct.ids(form))


def test_a_model_without_a_chat_template_answers_no_conversations(tiny_folder, tmp_path):
    from shutil import copytree, ignore_patterns

    folder = copytree(tiny_folder, tmp_path / "m", ignore=ignore_patterns("*.jinja"))
    model = LocalModel.load(str(folder))
    with pytest.raises(CurateError, match="no chat template"):
        list(model.generate([Generate((Message("user", "hello"),))]))


def test_a_missing_gpu_is_said(tiny_folder):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(CurateError, match="no GPU"):
        LocalModel.load(str(tiny_folder), device="cuda")


def test_draws_follow_the_probabilities():
    probabilities = torch.tensor([0.5, 0.25, 0.15, 0.1])
    logits = probabilities.log().repeat(4000, 1)
    at = (np.arange(4000) + 0.5) / 4000

    def shares(**settings):
        drawn = draw(logits, [Sampling(**settings)] * len(at), at)
        return np.bincount(drawn, minlength=4) / len(at)

    assert shares(temperature=1) == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=1e-3)
    assert shares(temperature=0) == pytest.approx([1, 0, 0, 0])
    assert shares(temperature=0, top_p=0.1) == pytest.approx([1, 0, 0, 0])
    assert shares(temperature=1, top_p=0.7) == pytest.approx([2 / 3, 1 / 3, 0, 0], abs=1e-3)
    assert shares(temperature=1, top_p=0.01) == pytest.approx([1, 0, 0, 0])
    squared = probabilities.numpy() ** 2
    assert shares(temperature=0.5) == pytest.approx(squared / squared.sum(), abs=1e-3)


def test_draws_reach_beyond_the_most_probable_tokens():
    logits = torch.zeros(1000, 1000)
    logits[:, ::2] = -torch.inf
    at = (np.arange(1000) + 0.5) / 1000
    drawn = np.array(draw(logits, [Sampling(temperature=1)] * 1000, at))
    assert (drawn % 2 == 1).all()
    assert len(set(drawn)) == 500
    half = draw(logits, [Sampling(temperature=1, top_p=0.5)] * 1000, at)
    assert len(set(half)) == pytest.approx(250, abs=1)
    assert draw(logits[:1], [Sampling(temperature=1)], np.array([np.nextafter(1, 0)]))[0] % 2 == 1


def test_seeds_and_prompts_make_other_numbers():
    same = uniforms(7, (1, 2, 3), 5)
    assert (uniforms(7, (1, 2, 3), 9)[:5] == same).all()
    for other in (uniforms(8, (1, 2, 3), 5), uniforms(7, (1, 2), 5), uniforms(-7, (1, 2, 3), 5)):
        assert (other != same).all()


@given(st.sets(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), max_size=5))
def test_the_common_prefix(prompts):
    shared = common_prefix(prompts)
    assert all(p[: len(shared)] == shared and len(p) > len(shared) for p in prompts)
    longer = {p[: len(shared) + 1] for p in prompts}
    alone = any(len(p) == len(shared) + 1 for p in prompts)
    assert len(prompts) > 1 or shared == ()
    assert len(prompts) < 2 or len(longer) > 1 or alone
