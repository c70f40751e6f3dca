"""What tokens cost, what requests are expected to take, and where a run ends that may cost no more."""

import json

import pytest

from curate.llm.answers import Answers
from curate.llm.base import Choose, Deferred, Generate, LaterError, Message, Sampling, Score
from curate.llm.budget import Budget, BudgetError, Meter
from curate.llm.counting import tokens_of
from curate.llm.prices import Price, dollars, listed_price
from curate.llm.recorded import Recorded
from curate.llm.settings import LLM
from tests.llm.priced import Priced, count_tokens

OPENAI = "https://api.openai.com/v1"
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"task": {"enum": ["find"]}, "query": {"type": "string"}},
        "required": ["task", "query"],
    }
)


def requests(count, words=200):
    """Make requests of many lengths, all with words to draw from."""
    sampling = Sampling(temperature=1, max_tokens=120)
    texts = [
        " ".join(f"word number of {n * w}" for w in range(9 + n % words)) for n in range(count)
    ]
    return [Generate(text, sampling, SCHEMA, seed=n) for n, text in enumerate(texts)]


# -- prices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "price"),
    [
        ({}, (0, 0)),
        ({"price": {"prompt": 0.1, "completion": 2}}, (0.1, 2)),
        ({"backend": "openai", "model": "gpt-6-luna", "url": OPENAI}, (0.10, 0.50)),
        ({"backend": "openai", "model": "gpt-6-luna-2026-09-22", "url": OPENAI}, (0.10, 0.50)),
        ({"backend": "openai-batch", "model": "gpt-6-luna", "url": OPENAI}, (0.05, 0.25)),
        ({"backend": "openai", "model": "gpt-6-luna-pro", "url": OPENAI}, None),
        ({"backend": "openai", "model": "gpt-6-luna"}, None),
        (
            {"backend": "openai", "model": "x", "price": {"prompt": 1, "completion": 3}},
            (1, 3),
        ),
    ],
)
def test_a_price_is_the_users_else_the_hosts_else_not_known(settings, price):
    known = LLM(**settings).known_price()
    assert (known and (known.prompt, known.completion)) == price


def test_a_price_is_no_part_of_what_rows_rest_on():
    plain, priced = LLM(), LLM(price=Price(prompt=1, completion=1))
    assert plain.identity() == priced.identity()
    assert plain.row_settings() == priced.row_settings()


def test_money_is_written_so_that_small_sums_say_something():
    assert [dollars(x) for x in (0, 0.00001, 0.00123, 0.5, 3, 1234.5)] == [
        "$0.00",
        "under $0.0001",
        "$0.0012",
        "$0.50",
        "$3.00",
        "$1,234.50",
    ]


def test_no_price_is_made_up_for_a_host_without_batches():
    assert listed_price("gpt-6-luna", "https://example.org/v1", batch=True) is None


# -- counting --------------------------------------------------------------------------------------


def test_a_server_that_tokenizes_counts_prompts_exactly():
    texts = requests(20)
    conversation = Generate((Message("user", "one, two"), Message("assistant", "three")))
    with Priced().serving() as server:
        tokens = tokens_of(server.llm())
        assert tokens.by == "the server's tokenizer"
        assert tokens.count(texts) == [count_tokens(request.prompt) for request in texts]
        assert tokens.count([Score("a b", " c")]) == [count_tokens("a b c")]
        assert tokens.count([Choose("a b", (" c", " d"))]) == [count_tokens("a b")]
        assert tokens.count([conversation]) == [count_tokens("one, two\nthree")]


def test_where_nothing_tokenizes_bytes_are_counted():
    with Priced(tokenizes=False).serving() as server:
        tokens = tokens_of(server.llm())
    assert not tokens.exact
    assert tokens.count([Generate("abcdefgh"), Generate("日本語日")]) == [2, 3]


def test_the_model_in_this_process_counts_as_it_does_when_asked(make_model):
    from transformers import LlamaConfig

    folder = make_model(LlamaConfig, num_attention_heads=4, intermediate_size=64)
    llm = LLM(model=str(folder))
    asked = [Score("def add(a, b):", " return the sum"), Score("日本語 text", " more")]
    counted = tokens_of(llm)
    assert counted.exact
    answers = dict(llm.open().score(asked))
    told = [answers[n].prompt_tokens + answers[n].tokens for n in range(len(asked))]
    assert counted.count(asked) == told


# -- the cap ---------------------------------------------------------------------------------------


def test_what_is_not_known_is_expected_to_be_much_and_then_what_it_was():
    meter = Meter()
    request = Generate("x" * 100, Sampling(max_tokens=64), "{}")
    assert meter.expect(request) == (50, 64)
    meter.count(request, 20, 10)
    meter.count(Generate("x" * 300, Sampling(max_tokens=64), "{}"), 60, 30)
    assert meter.expect(request) == (20, 20)
    assert meter.expect(Score("x" * 80, "y" * 20)) == (50, 0)


@pytest.mark.parametrize("cap", [{"max_tokens": 20_000}, {"max_cost": 0.03}])
def test_a_run_ends_just_below_its_cap_and_a_higher_one_goes_on(tmp_path, cap):
    price, asked = Price(prompt=1, completion=4), requests(150)
    server_side, path = Priced(), tmp_path / "answers.sqlite"

    with server_side.serving() as server:

        def ask(**caps):
            model = Recorded(
                "made", server.model, Answers(path), price=price, budget=Budget(**caps)
            )
            return model, model.generate(asked)

        with pytest.raises(BudgetError, match="same command with a higher cap") as stopped:
            ask(**cap)
        assert stopped.value.exit_code == 4
        spent = server_side.read + server_side.written
        cost = price.cost(server_side.read, server_side.written)
        each = 900  # tokens of the largest request and its answer
        if "max_tokens" in cap:
            assert cap["max_tokens"] - 2 * each < spent <= cap["max_tokens"]
            assert f"{spent:,} tokens" in str(stopped.value)
        else:
            assert cap["max_cost"] - price.cost(2 * each, 0) < cost <= cap["max_cost"]
        recorded = Answers(path).count()
        assert recorded == server_side.came.total() > 20, "an answer that was paid for is lost"

        model, answers = ask(max_tokens=10**7)
        assert model.usage.recorded == recorded
        assert model.usage.asked == len(asked) - recorded
        assert len(answers) == len(asked)
        assert set(server_side.came.values()) == {1}, "a question was paid for twice"
        assert model.usage.cost == pytest.approx(
            price.cost(model.usage.prompt_tokens, model.usage.completion_tokens)
        )


def test_what_is_recorded_costs_nothing(tmp_path):
    asked, answers = requests(30), Answers(tmp_path / "answers.sqlite")
    with Priced().serving() as server:
        first = Recorded("made", server.model, answers).generate(asked)
    nothing = Recorded("made", None, answers, budget=Budget(max_tokens=0))
    assert nothing.generate(asked) == first
    with pytest.raises(BudgetError, match="0 tokens in 0 calls"):
        nothing.generate(requests(31))


def test_models_share_a_budget(tmp_path):
    budget = Budget(max_tokens=6_000)
    with Priced().serving() as server:
        for name in "ab":
            answers = Answers(tmp_path / name)
            model = Recorded(name, server.model, answers, budget=budget)
            if name == "a":
                model.generate(requests(12))
                assert budget.tokens > 1_000
            else:
                with pytest.raises(BudgetError):
                    model.generate(requests(60))
    assert 4_000 < budget.tokens <= 6_000


class Later(Deferred):
    """A server's answers, but only after `settle`, as those of a Batch API."""

    def __init__(self, server):
        self.model, self.taken, self.answers, self.rounds = server.model(), [], {}, []

    def generate(self, requests):
        new = [request for request in requests if request not in self.answers]
        if new:
            self.taken += new
            raise LaterError
        for number, request in enumerate(requests):
            yield number, self.answers[request]

    score = choose = generate

    def settle(self, tell):
        self.rounds.append(len(self.taken))
        self.answers |= {self.taken[n]: answer for n, answer in self.model.generate(self.taken)}
        self.taken = []

    def recorded(self, requests):
        pass


def ask_until_answered(model, tables):
    """Do what an engine does with tables of requests that are answered later."""
    while tables:
        put_off = []
        for table in tables:
            try:
                model.generate(table)
            except LaterError:
                put_off.append(table)
                model.put_off()
        model.settle(print)
        tables = put_off


def test_answers_that_come_later_are_held_against_the_cap_at_once(tmp_path):
    tables = [requests(150)[n : n + 25] for n in range(0, 150, 25)]
    server_side, cap = Priced(), 20_000
    with server_side.serving() as server:
        later = Later(server)
        model = Recorded(
            "made",
            lambda: later,
            Answers(tmp_path / "answers.sqlite"),
            budget=Budget(max_tokens=cap),
        )
        with pytest.raises(BudgetError):
            ask_until_answered(model, tables)
    assert 0 < cap - (server_side.read + server_side.written) < 1_800
    assert set(server_side.came.values()) == {1}
    assert 2 <= len(later.rounds) <= 8, "what fits is sent together"
