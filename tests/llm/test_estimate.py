"""What requests are expected to take, from what others of their kind took."""

import json

import pytest

from curate.llm.answers import Answered, Answers
from curate.llm.base import Choose, Chosen, Generate, Generated, Message, Sampling, Score, Scored
from curate.llm.budget import size
from curate.llm.counting import Tokens
from curate.llm.estimate import Collection, estimate, written_texts

BYTES = Tokens(lambda requests: [size(request) for request in requests], "bytes", exact=True)
ROUGH = Tokens(BYTES.count, "bytes")
DRAWN = Sampling(temperature=0.5, max_tokens=100)
SCHEMA = json.dumps({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})


def asked(numbers, head="Write of ", **more):
    return [Generate(f"{head}{'x' * n}", DRAWN, SCHEMA, **more) for n in numbers]


def answered(requests, finish="stop", written=10, read=None, every=2.0, start=1000.0):
    """Answers that came one by one, each after some seconds."""
    return [
        Answered(
            request, Generated("{}", finish, read or size(request), written), start + every * n
        )
        for n, request in enumerate(requests)
    ]


def expect(requests, recorded=(), tokens=BYTES, attempts=1):
    collection = Collection()
    collection.add(requests)
    return estimate(collection, recorded, tokens, attempts)


def test_without_answers_the_least_and_the_most_are_told():
    takes = expect(asked([10, 20, 60]), attempts=2)
    assert takes.calls == 3
    assert takes.prompt_tokens == pytest.approx(3 * 9 + 90)
    assert takes.completion_tokens == (3 * len('{"a": "made"}'), 3 * 100 * 2)
    assert takes.seconds is None
    assert takes.answers == 0


def test_answers_of_the_same_kind_tell():
    recorded = answered(asked(range(30, 50)), written=20)
    others = [
        *answered(asked(range(9), head="Read of "), written=99),
        *answered([Generate("Write of x", DRAWN)], written=99),
        *answered([Generate("Write of x", Sampling(), SCHEMA)], written=99),
        *answered(asked([3]), finish="failed", written=0),
    ]
    takes = expect(asked([10, 20]), recorded + others)
    assert takes.completion_tokens == (40, 40)
    assert takes.answers == 20
    assert takes.seconds == pytest.approx(2 * 2.0)


def test_what_cannot_be_used_is_asked_for_again_as_often_as_it_was_so():
    recorded = answered(asked(range(15))) + answered(asked(range(20, 25)), "invalid", start=1040)
    takes = expect(asked([10, 20]), recorded, attempts=3)
    times = 1 + 0.25 + 0.25**2
    assert takes.calls == pytest.approx(2 * times)
    assert takes.completion_tokens[0] == pytest.approx(2 * times * 10)
    assert takes.again == 0.25
    assert expect(asked([10, 20]), recorded).calls == 2


def test_a_count_is_corrected_by_what_the_model_told():
    recorded = [
        Answered(request, Generated("{}", "stop", 2 * size(request) + 3, 1), 0.0)
        for request in asked(range(40))
    ]
    assert expect(asked([5]), recorded, ROUGH).prompt_tokens == pytest.approx(2 * 14, rel=0.1)
    assert "corrected" in expect(asked([5]), recorded, ROUGH).counted_by
    assert expect(asked([5]), recorded, BYTES).prompt_tokens == 14
    assert expect(asked([5]), recorded[:5], ROUGH).prompt_tokens == 14, "too few to tell"


def test_time_is_that_between_answers_in_the_same_run():
    first = answered(asked(range(64)), every=0.0)  # a batch that came together
    rest = answered(asked(range(64)), every=0.0, start=1020.0)
    later = answered(asked(range(10)), every=1.0, start=90_000.0)
    assert expect(asked([0]), first).seconds is None
    assert expect(asked([0]), first + rest).seconds == pytest.approx(20 / 64)
    both = (20 + 9) / (64 + 9)
    assert expect(asked([0]), first + rest + later).seconds == pytest.approx(both)


def test_many_requests_are_not_all_counted():
    counted = []

    def count(requests):
        counted.extend(requests)
        return [size(request) for request in requests]

    requests = [Score(f"{n:06}", f" {n:03}") for n in range(5_000)]
    takes = expect(requests, tokens=Tokens(count, "bytes"))
    assert len(counted) <= 600
    assert takes.prompt_tokens == pytest.approx(sum(map(size, requests)), rel=0.01)
    assert takes.completion_tokens == (0, 0)


def test_the_latest_answers_come_back_with_their_requests(tmp_path):
    answers = Answers(tmp_path / "answers.sqlite")
    turns = (Message("system", "Be brief."), Message("user", "Why?"))
    given = [
        (
            Generate(turns, DRAWN, SCHEMA, seed=3, stop="\n", attempt=1),
            Generated("y", "stop", 5, 2),
        ),
        (Generate("x" * 900), Generated("cut", "length", 5, 2)),
        (Score("a", " b"), Scored(-1.5, 1, 4)),
        (Choose("a", (" b", " c")), Chosen((0.25, 0.75), 4)),
    ]
    answers.put("m", given)
    answers.put("other", given)
    latest = answers.latest("m", 10)
    assert [(one.request, one.answer) for one in latest] == given[::-1]
    assert [one.request for one in answers.latest("m", 2)] == [given[3][0], given[2][0]]
    assert written_texts(latest) == {SCHEMA: ["y"]}
