"""A model with a record: nothing is asked twice, and nothing is used that is not recorded."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import assert_type

import pytest

from curate.errors import CurateError
from curate.llm.answers import Answers
from curate.llm.base import (
    Choose,
    Chosen,
    Generate,
    Generated,
    Score,
    Scored,
    UnansweredError,
)
from curate.llm.recorded import Recorded, Usage

ID = "hashes@1"
ROOT = Path(__file__).parents[2]


def number(text):
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())


def answer_to(request):
    """The one right answer to a request."""
    if isinstance(request, Generate):
        return Generated(f"{number(repr(request)):x}", "stop", 10, 4)
    if isinstance(request, Score):
        return Scored(-number(repr(request)) / 1e9, 2, 8)
    return Chosen(tuple(number(request.prompt + label) / 2**32 for label in request.labels), 9)


class HashModel:
    """A deterministic backend that answers in a shuffled order and remembers what it was asked.

    :param fail_after: answers after which it raises.
    """

    def __init__(self, fail_after=None):
        self.asked = []
        self.fail_after = fail_after

    def _answer(self, requests):
        order = list(range(len(requests)))
        random.Random(len(requests)).shuffle(order)
        for n, index in enumerate(order):
            if n == self.fail_after:
                raise ConnectionError("the server went away")
            self.asked.append(requests[index])
            yield index, answer_to(requests[index])

    generate = score = choose = _answer


@pytest.fixture
def answers(tmp_path):
    return Answers(tmp_path / "answers.sqlite")


def never():
    raise AssertionError("the model was opened")


def scores(n, prompt="p"):
    return [Score(prompt, f" {i}") for i in range(n)]


def test_answers_come_in_the_order_of_the_requests(answers):
    model = Recorded(ID, HashModel, answers)
    generated = model.generate([Generate("p", seed=n) for n in range(20)])
    scored = model.score(scores(20))
    chosen = model.choose([Choose(f"p{n}", (" yes", " no")) for n in range(20)])
    assert generated == [answer_to(Generate("p", seed=n)) for n in range(20)]
    assert scored == [answer_to(request) for request in scores(20)]
    assert chosen == [answer_to(Choose(f"p{n}", (" yes", " no"))) for n in range(20)]
    assert_type(generated, list[Generated])
    assert_type(scored, list[Scored])
    assert_type(chosen, list[Chosen])


def test_a_second_run_asks_nothing_and_does_not_open_the_model(answers):
    first = Recorded(ID, HashModel, answers).score(scores(600))
    again = Recorded(ID, never, Answers(answers.path))
    assert again.score(scores(600)) == first
    assert again.usage == Usage(recorded=600)


def test_equal_requests_are_one_question(answers):
    backend = HashModel()
    model = Recorded(ID, lambda: backend, answers)
    requests = scores(5) * 3
    assert model.score(requests) == [answer_to(request) for request in requests]
    assert Counter(backend.asked) == Counter(scores(5))


def test_only_the_rest_is_asked(answers):
    backend = HashModel()
    model = Recorded(ID, lambda: backend, answers)
    model.score(scores(4))
    assert model.score(scores(10)) == [answer_to(request) for request in scores(10)]
    assert Counter(backend.asked) == Counter(scores(10))
    assert (model.usage.asked, model.usage.recorded) == (10, 4)


def test_another_model_has_its_own_answers(answers):
    Recorded(ID, HashModel, answers).score(scores(3))
    other = Recorded("hashes@2", HashModel, answers)
    other.score(scores(3))
    assert (other.usage.asked, other.usage.recorded) == (3, 0)


def test_nothing_asked_nothing_opened(answers):
    model = Recorded(ID, never, answers)
    assert model.generate([]) == []
    assert model.choose([]) == []


def test_the_model_is_opened_once(answers):
    opened = []

    def open_model():
        opened.append(1)
        return HashModel()

    model = Recorded(ID, open_model, answers)
    assert not opened
    for n in range(4):
        model.score(scores(3, f"p{n}"))
    assert len(opened) == 1


@pytest.mark.parametrize("n", [0, 1, 7, 300])
def test_what_came_before_an_error_is_recorded_and_not_asked_again(answers, n):
    broken = HashModel(fail_after=n)
    model = Recorded(ID, lambda: broken, answers)
    with pytest.raises(ConnectionError, match="went away"):
        model.score(scores(400))
    assert answers.count() == n == model.usage.asked
    whole = HashModel()
    assert Recorded(ID, lambda: whole, answers).score(scores(400)) == list(
        map(answer_to, scores(400))
    )
    assert Counter(broken.asked + whole.asked) == Counter(scores(400))


def test_an_interrupt_keeps_what_came(answers):
    class Interrupted(HashModel):
        def score(self, requests):
            for n, answer in enumerate(self._answer(requests)):
                if n == 5:
                    raise KeyboardInterrupt
                yield answer

    with pytest.raises(KeyboardInterrupt):
        Recorded(ID, Interrupted, answers).score(scores(9))
    assert answers.count() == 5


def test_an_answer_is_recorded_while_the_next_is_awaited(answers):
    """Also the last ones of a burst: a kill during a long wait loses none."""
    counts = []

    class Slow(HashModel):
        def score(self, requests):
            for n, answer in enumerate(self._answer(requests)):
                if n == 40:
                    deadline = time.monotonic() + 20
                    while answers.count() < 40 and time.monotonic() < deadline:
                        time.sleep(0.01)
                    counts.append(answers.count())
                yield answer

    Recorded(ID, Slow, answers).score(scores(41))
    assert counts == [40]


def test_the_answer_of_another_process_is_used_if_it_was_first(answers):
    class Overtaken(HashModel):
        def score(self, requests):
            answers.put(ID, [(requests[0], Scored(-99.0, 1, 1))])
            yield from self._answer(requests)

    (first, second) = Recorded(ID, Overtaken, answers).score(scores(2))
    assert first == Scored(-99.0, 1, 1)
    assert second == answer_to(scores(2)[1])


def test_a_question_left_unanswered_is_an_error(answers):
    class Forgetful(HashModel):
        def score(self, requests):
            yield from list(self._answer(requests))[:-2]

    with pytest.raises(RuntimeError, match="hashes@1: the backend left 2 of 9 questions"):
        Recorded(ID, Forgetful, answers).score(scores(9))
    assert answers.count() == 7


def test_what_cannot_be_recorded_is_not_used(answers):
    """The file goes bad midway: asking ends, instead of going on without a record."""
    answers.count()

    class Endless(HashModel):
        def score(self, requests):
            answers.close()
            answers.path.write_bytes(b"not a database any more" * 99)
            for answer in self._answer(requests):
                yield answer
                time.sleep(0.01)

    backend = Endless()
    with pytest.raises(CurateError, match=r"answers\.sqlite: cannot use"):
        Recorded(ID, lambda: backend, answers).score(scores(2_000))
    assert len(backend.asked) < 2_000


def test_usage_counts_live_calls_and_is_reported(answers):
    seen = []
    model = Recorded(ID, HashModel, answers, seen.append)
    model.generate([Generate("p", seed=n) for n in range(3)])
    model.score(scores(2))
    model.score(scores(3))
    model.choose([Choose("p", (" a", " b"))])
    usage = model.usage
    assert (usage.asked, usage.recorded) == (7, 2)
    assert (usage.prompt_tokens, usage.completion_tokens) == (3 * 10 + 3 * (8 + 2) + 9, 12)
    assert usage.tokens_per_second == pytest.approx(12 / usage.seconds)
    assert Usage(5, 0, 90, 0, 3.0).tokens_per_second == 30  # nothing written: what was read
    assert [(u.asked, u.recorded) for u in seen] == [(3, 0), (5, 0), (6, 2), (7, 2)]
    assert Usage().tokens_per_second == 0


def test_what_rows_rest_on_counts_alike_whoever_asked_it(answers):
    counts = []
    for open_model in (HashModel, never):
        model = Recorded(ID, open_model, answers)
        model.generate([Generate("p", seed=n % 2) for n in range(3)])
        model.score(scores(4))
        counts.append(model.take_asked())
        assert model.take_asked() == {}
    expected = {"calls": 6, "prompt_tokens": 2 * 10 + 4 * 10, "completion_tokens": 8}
    assert counts == [expected, expected]


def test_progress_is_reported_during_a_call(answers, monkeypatch):
    monkeypatch.setattr("curate.llm.recorded._PROGRESS_SECONDS", 0)
    seen, threads = [], set()

    def on_progress(usage):
        seen.append(usage.asked)
        threads.add(threading.get_ident())

    Recorded(ID, HashModel, answers, on_progress).score(scores(4))
    assert seen == [1, 2, 3, 4, 4]
    assert threads == {threading.get_ident()}


def test_time_counts_the_backend_alone(answers):
    class Slow(HashModel):
        def score(self, requests):
            for answer in self._answer(requests):
                time.sleep(0.05)
                yield answer

    def open_model():
        time.sleep(0.5)
        return Slow()

    model = Recorded(ID, open_model, answers, lambda _: time.sleep(0.1))
    model.score(scores(4))
    assert 0.2 <= model.usage.seconds < 0.45


# -- What is no usable text ------------------------------------------------------------------


class Drawn(HashModel):
    """Gives texts by a function of the request."""

    def __init__(self, text_of):
        super().__init__()
        self.text_of = text_of

    def generate(self, requests):
        for index, request in enumerate(requests):
            self.asked.append(request)
            yield index, self.text_of(request)


def text(content, finish="stop"):
    return Generated(content, finish, 10, 4)


NUMBER = '{"type": "integer"}'


@pytest.mark.parametrize(
    ("made", "schema", "finish"),
    [
        (text("5"), NUMBER, "stop"),
        (text("five"), NUMBER, "invalid"),
        (text('"5"'), NUMBER, "invalid"),
        (text(" \n"), None, "invalid"),
        (text("fi", "length"), NUMBER, "length"),
        (text("no", "refused"), NUMBER, "refused"),
    ],
)
def test_every_backend_is_judged_alike(answers, made, schema, finish):
    model = Recorded(ID, lambda: Drawn(lambda request: made), answers)
    (answer,) = model.generate([Generate("p", schema=schema)])
    assert (answer.text, answer.finish) == (made.text, finish)
    assert answers.get(ID, [Generate("p", schema=schema)]) == [answer]
    bad = {finish: 1} if finish != "stop" else {}
    assert model.usage.unusable == bad
    tokens = {"calls": 1, "prompt_tokens": 10, "completion_tokens": 4}
    assert model.take_asked() == tokens | bad


def test_what_cannot_be_used_is_asked_for_again(answers):
    def text_of(request):
        if request.seed == 2:
            return text("no", "refused")
        return text("5") if request.attempt >= request.seed else text("five")

    backend = Drawn(text_of)
    requests = [Generate("p", schema=NUMBER, seed=seed) for seed in range(4)]
    found = Recorded(ID, lambda: backend, answers, attempts=3).generate([*requests, requests[1]])
    assert [a.finish for a in found] == ["stop", "stop", "refused", "invalid", "stop"]
    tried = Counter((request.seed, request.attempt) for request in backend.asked)
    assert tried == Counter([(0, 0), (1, 0), (1, 1), *((s, a) for s in (2, 3) for a in range(3))])
    assert len({request.draw for request in backend.asked}) == len(backend.asked)
    again = Recorded(ID, never, answers, attempts=3)
    assert again.generate([*requests, requests[1]]) == found
    more = Recorded(ID, lambda: Drawn(text_of), answers, attempts=4)
    assert more.generate(requests)[3].text == "5"
    assert more.usage.asked == 2  # the fourth attempts of seeds 2 and 3


class Failing(HashModel):
    """Answers what it can, then says what it could not."""

    def __init__(self, bad, stopped=False):
        super().__init__()
        self.bad, self.stopped = bad, stopped

    def _answer(self, requests):
        failed = {n: "500" for n, request in enumerate(requests) if request in self.bad}
        for n, request in enumerate(requests):
            if n not in failed:
                self.asked.append(request)
                yield n, answer_to(request)
        if failed:
            raise UnansweredError("some failed", failed, stopped=self.stopped)

    generate = score = choose = _answer


def test_a_failure_stops_the_run_when_the_others_are_recorded(answers):
    bad = scores(20)[3:5]
    with pytest.raises(UnansweredError, match="some failed"):
        Recorded(ID, lambda: Failing(bad), answers).score(scores(20))
    assert answers.count() == 18
    whole = HashModel()
    Recorded(ID, lambda: whole, answers).score(scores(20))
    assert Counter(whole.asked) == Counter(bad)


@pytest.mark.parametrize("ask", ["generate", "score", "choose"])
def test_a_failure_that_is_dropped_is_recorded_and_gives_way_to_an_answer(answers, ask):
    requests = {
        "generate": [Generate("p", seed=n) for n in range(6)],
        "score": scores(6),
        "choose": [Choose(f"p{n}", (" yes", " no")) for n in range(6)],
    }[ask]
    model = Recorded(ID, lambda: Failing(requests[2:3]), answers, on_failure="drop")
    found = getattr(model, ask)(requests)
    assert [a.finish for a in found] == ["stop", "stop", "failed", "stop", "stop", "stop"]
    assert model.usage.unusable == {"failed": 1}
    assert model.take_asked()["failed"] == 1
    again = Recorded(ID, never, answers, on_failure="drop")
    assert repr(getattr(again, ask)(requests)) == repr(found)  # nan equals nothing
    stricter = Recorded(ID, HashModel, answers)
    assert getattr(stricter, ask)(requests) == [answer_to(request) for request in requests]
    assert getattr(again, ask)(requests) == [answer_to(request) for request in requests]


def test_a_failure_among_many_that_were_not_asked_stops_the_run_even_so(answers):
    model = Recorded(ID, lambda: Failing(scores(1), stopped=True), answers, on_failure="drop")
    with pytest.raises(UnansweredError):
        model.score(scores(5))
    assert answers.get(ID, scores(1))[0].finish == "failed"


# -- A kill ----------------------------------------------------------------------------------

ASKER = """
import os, sys, time
from curate.llm.answers import Answers
from curate.llm.base import Score
from curate.llm.recorded import Recorded
from tests.llm.test_recorded import ID, answer_to

class Logging:
    def score(self, requests):
        log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for first in range(0, len(requests), 8):  # as backends do: a burst of answers, then a wait
            time.sleep(0.02)
            for index in range(first, min(first + 8, len(requests))):
                os.write(log, f"{requests[index].continuation.strip()}\\n".encode())
                yield index, answer_to(requests[index])

model = Recorded(ID, Logging, Answers(sys.argv[1]))
for first in range(0, 600, 60):
    model.score([Score("p", f" {n}") for n in range(first, first + 60)])
print("done")
"""


def test_after_a_kill_no_answered_call_is_asked_again(tmp_path):
    """A call may be asked again if the kill came in the milliseconds before its answer was written."""
    path, log = tmp_path / "answers.sqlite", tmp_path / "log"
    draw = random.Random(3)
    kills = 0
    for attempt in range(4):
        command = [sys.executable, "-c", ASKER, str(path), str(log)]
        asker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        if attempt < 3:
            before = log.stat().st_size if log.exists() else 0
            while not log.exists() or log.stat().st_size == before:
                time.sleep(0.002)
            time.sleep(draw.uniform(0.05, 0.25))
            answered = Answers(path).count()
            asker.send_signal(signal.SIGKILL)
            kills += asker.wait() == -signal.SIGKILL
            assert Answers(path).count() >= answered
        else:
            assert asker.communicate()[0] == "done\n"
    asked = Counter(map(int, log.read_text().split()))
    assert kills == 3
    assert set(asked) == set(range(600))
    assert sum(asked.values()) <= 600 + 8 * kills  # at most the burst in flight at each kill
    requests = [Score("p", f" {n}") for n in range(600)]
    assert Answers(path).get(ID, requests) == list(map(answer_to, requests))


def test_a_kill_during_a_wait_loses_nothing(tmp_path):
    """The strict case: the backend has answered and works on; all that it answered is recorded."""
    path, log = tmp_path / "answers.sqlite", tmp_path / "log"
    waiting = ASKER.replace("time.sleep(0.02)", "time.sleep(0 if first < 40 else 600)")
    command = [sys.executable, "-c", waiting, str(path), str(log)]
    asker = subprocess.Popen(command, cwd=ROOT)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not path.exists() or Answers(path).count() < 40):
        time.sleep(0.05)
    os.kill(asker.pid, signal.SIGKILL)
    asker.wait()
    assert Answers(path).count() == 40 == len(log.read_text().split())
    subprocess.run([sys.executable, "-c", ASKER, str(path), str(log)], check=True, cwd=ROOT)
    assert Counter(map(int, log.read_text().split())) == Counter(range(600))
