"""The client of OpenAI-compatible servers, against servers on loopback that misbehave."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from curate.errors import CurateError
from curate.llm.answers import Answers
from curate.llm.base import (
    Choose,
    Generate,
    Message,
    Sampling,
    Score,
    UnansweredError,
    UnusableServerError,
)
from curate.llm.openai import transport
from curate.llm.openai.pace import Pace
from curate.llm.openai.stream import Loop
from curate.llm.openai.transport import _pause
from curate.llm.recorded import Recorded
from curate.llm.schemas import violation
from tests.llm.serving import (
    SCHEMA,
    Faults,
    Serving,
    answer_at_once,
    completion,
    error,
    made_answer,
    prompt_of,
    serving,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def answers(tmp_path):
    return Answers(tmp_path / "answers.sqlite")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(transport, "_FIRST_DELAY", 0.01)


@pytest.fixture(scope="module")
def upstream():
    with Serving(answer_at_once) as server:
        yield server


def requests(n, schema=SCHEMA):
    return [Generate((Message("user", f"request {i}"),), schema=schema, seed=i) for i in range(n)]


def texts(n):
    return [Generate(f"text {i}") for i in range(n)]


# -- what is asked, and what is answered ----------------------------------------------------------


def test_a_text_and_a_conversation_are_asked_as_what_they_are():
    came = []

    def reply(path, body):
        came.append((path, body))
        return made_answer(body)

    conversation = (Message("system", "Be brief."), Message("user", "Hi"))
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=7)
    with serving(reply) as server:
        asked = [Generate("Once", sampling, seed=3, stop="\n"), Generate(conversation, sampling)]
        found = dict(server.model().generate(asked))
    assert found[0].text == "answer to Once"
    assert found[1].text == "answer to Hi"
    assert (found[0].finish, found[0].prompt_tokens, found[0].completion_tokens) == ("stop", 10, 5)
    sent = {path: body for path, body in came}
    common = {"model": "made", "temperature": 0.5, "top_p": 0.9, "max_tokens": 7}
    assert sent["/v1/completions"] == common | {"prompt": "Once", "seed": 3, "stop": "\n"}
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert sent["/v1/chat/completions"] == common | {"messages": turns, "seed": 0}


def test_what_the_user_adds_is_sent_and_what_he_takes_away_is_not():
    came = []

    def reply(path, body):
        came.append(body)
        return "fine"

    with serving(reply) as server:
        model = server.model(extra={"top_k": 5, "seed": None})
        list(model.generate(requests(1, schema=None)))
    assert came[-1]["top_k"] == 5
    assert "seed" not in came[-1]


def test_where_texts_are_not_continued_they_are_a_turn():
    def reply(path, body):
        if path.endswith("/v1/completions"):
            return error(404, "this is a chat model")
        return f"turn {prompt_of(body)}"

    with serving(reply) as server:
        assert [a.text for _, a in server.model().generate(texts(1))] == ["turn text 0"]


def test_a_lone_surrogate_is_sent_as_a_question_mark(upstream):
    ((_, answer),) = upstream.model().generate([Generate("a \ud800 b")])
    assert answer.text == "answer to a ? b"


def test_a_limit_by_another_name_is_found():
    def reply(path, body):
        if "max_tokens" in body:
            return error(400, "Use 'max_completion_tokens' instead.", code="unsupported_parameter")
        return f"{body['max_completion_tokens']}"

    with serving(reply) as server:
        found = list(server.model().generate(requests(3, schema=None)))
    assert [answer.text for _, answer in found] == ["128"] * 3


@pytest.mark.parametrize(
    ("made", "finish"),
    [
        (completion("half", "length", chat=True), "length"),
        (completion("", "content_filter", chat=True), "refused"),
        (error(400, "not this", code="content_policy_violation"), "refused"),
        (error(403, "flagged by moderation"), "refused"),
        (completion("  ", chat=True), "invalid"),
    ],
)
def test_what_is_no_usable_answer_is_recorded_as_what_it_is(answers, made, finish):
    def reply(path, body):
        return made

    with serving(lambda path, body: made_again(made)) as server:
        model = Recorded("made", server.model, answers)
        (answer,) = model.generate(requests(1, schema=None))
    assert answer.finish == finish
    assert model.usage.unusable == {finish: 1}
    assert model.take_asked()[finish] == 1
    assert [item.answer.finish for item in answers.items()] == [finish]


def made_again(made):
    """Return a response that may be sent again."""
    if isinstance(made, dict):
        return made
    return web.Response(status=made.status, body=made.body, content_type="application/json")


def test_a_refusal_in_words_is_a_refusal():
    made = completion(None, chat=True)
    made["choices"][0]["message"]["refusal"] = "I cannot help with that."
    with serving(lambda path, body: made) as server:
        ((_, answer),) = server.model().generate(requests(1, schema=None))
    assert (answer.finish, answer.text) == ("refused", "I cannot help with that.")


# -- schemas --------------------------------------------------------------------------------------


def test_a_schema_is_enforced_where_the_server_can(upstream, answers):
    model = Recorded("made", upstream.model, answers)
    found = model.generate(requests(3))
    assert [json.loads(a.text)["query"] for a in found] == [f"request {i}" for i in range(3)]
    assert not model.usage.unusable


def test_a_schema_that_is_ignored_is_told_in_words_and_repaired_once(answers):
    came = []

    def reply(path, body):
        if "response_format" in body:
            return "Hello to you!"
        came.append(body["messages"])
        turns = len(body["messages"])
        if "request 1" in body["messages"][0]["content"] or turns > 1:
            return 'Here it is:\n```json\n{"query": "a bird"}\n```\nAnything else?'
        return '{"question": "a bird"}'

    with serving(reply) as server:
        model = Recorded("made", server.model, answers)
        first, second = model.generate(requests(2))
    assert first.text == second.text == '{"query": "a bird"}'
    assert (first.prompt_tokens, second.prompt_tokens) == (20, 10)
    assert not model.usage.unusable
    assert SCHEMA in came[0][0]["content"]
    (repair,) = [turns for turns in came if len(turns) > 1]
    assert [turn["role"] for turn in repair] == ["user", "assistant", "user"]
    assert "'query' is a required property" in repair[2]["content"]


def test_what_cannot_be_repaired_is_invalid(answers):
    with serving(lambda path, body: "no JSON, ever") as server:
        model = Recorded("made", server.model, answers)
        (answer,) = model.generate(requests(1))
    assert (answer.finish, answer.text) == ("invalid", "no JSON, ever")


def test_a_schema_that_the_server_will_not_have_is_told_in_words():
    def reply(path, body):
        if "response_format" in body and "quokka" not in json.dumps(body):
            return error(400, "Invalid schema for response_format: maxLength is not permitted")
        return made_answer(body) if "response_format" in body else '{"query": "x"}'

    with serving(reply) as server:
        found = list(server.model().generate(requests(4)))
    assert [answer.text for _, answer in found] == ['{"query": "x"}'] * 4


# -- failures -------------------------------------------------------------------------------------


def test_nobody_there_is_one_clear_line_at_once(answers):
    with serving(lambda path, body: "x") as server:
        settings = server.llm()
    model = Recorded("made", settings.open, answers, on_failure="drop")
    started = time.perf_counter()
    with pytest.raises(
        UnusableServerError, match=rf"no server answers at {settings.url}: start it"
    ):
        model.generate(texts(1000))
    assert time.perf_counter() - started < 5
    assert answers.count() == 0


@pytest.mark.parametrize(
    ("status", "said", "line"),
    [
        (401, "Incorrect API key provided: sk-planted", "OPENAI_API_KEY is refused: .*\\[key\\]"),
        (404, "The model `made` does not exist", "set the model as the server names it"),
        (429, "insufficient_quota: you are out of money", "no credit left"),
    ],
)
def test_what_fails_all_requests_ends_the_run_at_once(answers, monkeypatch, status, said, line):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    came = []

    def reply(path, body):
        came.append(body)
        return error(status, said)

    with serving(reply) as server, pytest.raises(UnusableServerError, match=line) as raised:
        Recorded("made", server.model, answers).generate(requests(1000, schema=None))
    assert "sk-planted" not in str(raised.value)
    assert len(came) <= 8
    assert answers.count() == 0


def poison(path, body):
    if "7" in prompt_of(body):
        return error(500, "a bug")
    return made_answer(body)


def test_the_others_are_answered_before_the_run_stops(answers):
    with serving(poison) as server:
        with pytest.raises(UnansweredError, match=r"19 of 100 requests .* 500: a bug.*run again"):
            Recorded("made", lambda: server.model(tries=2), answers).generate(texts(100))
        assert answers.count() == 81
        assert not any("7" in item.request["prompt"] for item in answers.items())
    with Serving(answer_at_once) as mended:
        again = Recorded("made", mended.model, answers)
        found = again.generate(texts(100))
    assert (again.usage.asked, again.usage.recorded) == (19, 81)
    assert [a.text for a in found] == [f"answer to text {i}" for i in range(100)]


def test_what_fails_may_be_dropped_and_gives_way_to_an_answer(answers):
    with serving(poison) as server:
        model = Recorded("made", lambda: server.model(tries=2), answers, on_failure="drop")
        found = model.generate(texts(20))
        assert [n for n, a in enumerate(found) if a.finish == "failed"] == [7, 17]
        assert model.usage.unusable == {"failed": 2}
    kept = Recorded("made", None, answers, on_failure="drop")
    assert kept.generate(texts(20)) == found
    with Serving(answer_at_once) as mended:
        (seventh,) = Recorded("made", mended.model, answers).generate(texts(20)[7:8])
    assert seventh.text == "answer to text 7"
    assert kept.generate(texts(20))[7] == seventh


def test_when_all_fail_the_rest_is_not_asked(answers):
    came = []

    def reply(path, body):
        came.append(body)
        return error(503, "overloaded")

    with serving(reply) as server:
        model = Recorded("made", lambda: server.model(tries=2), answers, on_failure="drop")
        with pytest.raises(UnansweredError, match="no others were asked"):
            model.generate(requests(5000, schema=None))
    assert len(came) < 100


def test_an_answer_that_does_not_come_is_given_up():
    async def never(request):
        import asyncio

        await asyncio.sleep(30)

    with Serving(never) as server:
        model = server.model(timeout=0.2, tries=2)
        with pytest.raises(UnansweredError, match=r"no answer within 0.2 s"):
            list(model.generate(requests(2, schema=None)))


@pytest.mark.parametrize(
    "header",
    [
        {"retry-after": "1.5"},
        {"retry-after-ms": "1500"},
        {"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)},
        {"retry-after": "soon"},
        {},
    ],
)
def test_retry_after_is_read_in_all_its_forms(header):
    text = header.get("retry-after", "1.5")
    expected = None if not header or text == "soon" else 900.0 if "GMT" in text else 1.5
    assert _pause(header) == expected


def test_retry_after_holds_for_all_requests():
    started, came = time.monotonic(), []

    def reply(path, body):
        came.append(time.monotonic() - started)
        if len(came) == 20:
            return web.Response(status=429, headers={"Retry-After": "0.5"})
        return "fine"

    with serving(reply) as server:
        assert len(list(server.model(tries=1).generate(requests(100, schema=None)))) == 100
    refused = came[19]
    under_way = [moment for moment in came if refused < moment < refused + 0.45]
    assert len(under_way) < 20, "the server was asked while it wanted not to be"


# -- many -----------------------------------------------------------------------------------------


def test_thousand_requests_through_every_fault(upstream, answers):
    """Each fault on 5% of the requests: none is lost, and none is asked again once it is answered."""
    faults = Faults(upstream.url, share=0.05, slow=0.8)
    with Serving(faults.handle) as proxy:
        model = Recorded("made", lambda: proxy.model(timeout=0.5), answers, attempts=2)
        found = model.generate(requests(1000))
    assert set(faults.injected) == set(Faults.KINDS + Faults.OF_ANSWERS)
    assert min(faults.injected.values()) > 20
    assert not faults.again
    for number, answer in enumerate(found):
        if answer.finish == "stop":
            assert json.loads(answer.text) == {"query": f"request {number}"}
    ends = Counter(answer.finish for answer in found)
    assert ends["stop"] >= 950, "another attempt may be treated so again"
    assert sum(ends.values()) == 1000
    injected = faults.injected
    unusable = model.usage.unusable
    assert unusable["refused"] == injected["refusal"]
    assert unusable["length"] == injected["cut_answer"]
    assert unusable["invalid"] == injected["malformed_answer"]
    assert (
        answers.count()
        == model.usage.asked
        == 1000 + sum(item.request.get("attempt", 0) for item in answers.items())
    )


ASKER = """
import sys
from curate.llm import openai
from curate.llm.answers import Answers
from curate.llm.recorded import Recorded
from curate.llm.settings import LLM
from tests.llm.test_openai import requests

llm = LLM(backend="openai", model="made", url=sys.argv[1], timeout=2)
model = Recorded("made", llm.open, Answers(sys.argv[2]))
for first in range(0, 400, 100):
    model.generate(requests(400)[first : first + 100])
print("done")
"""


def test_after_a_kill_no_answered_request_is_asked_again(upstream, tmp_path):
    path = tmp_path / "answers.sqlite"
    faults = Faults(upstream.url, share=0.02, slow=0.05, seed=2)
    faults.OF_ANSWERS = ()
    with Serving(faults.handle) as proxy:
        command = [sys.executable, "-c", ASKER, proxy.url, str(path)]
        asker = subprocess.Popen(command, cwd=ROOT)
        while len(faults.answered) < 150:
            time.sleep(0.01)
        asker.send_signal(signal.SIGKILL)
        assert asker.wait() == -signal.SIGKILL
        recorded = {item.request["prompt"][0]["content"] for item in Answers(path).items()}
        assert 100 <= len(recorded) < 400
        before = Counter(faults.came)
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert said.stdout == "done\n"
    asked = faults.came - before
    again = {json.loads(body)["messages"][0]["content"] for body in asked} & recorded
    assert not again
    assert Answers(path).count() == 400
    assert len(faults.again) <= 64, "what was answered in the last moment before the kill, at most"


def test_as_many_are_held_as_are_under_way():
    """Of 100,000 requests never more are begun than the pace allows."""
    import asyncio

    most = [0]

    class Requests:
        def __len__(self):
            return 100_000

        def __iter__(self):
            return iter(range(100_000))

    async def ask(number):
        if number % 1000 == 0:
            most[0] = max(most[0], len(asyncio.all_tasks()))
            await asyncio.sleep(0)
        return number

    loop = Loop()
    try:
        seen = list(loop.stream(Requests(), ask, Pace(64)))
    finally:
        loop.close(asyncio.sleep(0))
    assert sorted(seen) == [(n, n) for n in range(100_000)]
    assert most[0] <= 64 + 2


def test_a_reader_that_stops_ends_the_asking(upstream):
    model = upstream.model()
    stream = model.generate(requests(5000, schema=None))
    next(stream)
    stream.close()
    assert len(list(model.generate(requests(5, schema=None)))) == 5
    model.close()


# -- the pace -------------------------------------------------------------------------------------


class Simulated:
    """A server of so many slots, each of which takes so long, on a clock of its own."""

    def __init__(self, pace_of, slots, seconds=1.0):
        self.now = 0.0
        self.pace = pace_of(lambda: self.now)
        self.slots, self.seconds = slots, seconds
        self.limits = []

    def run(self, count):
        """Have the pace's number under way all the time."""
        for _ in range(count):
            self.now += self.seconds / min(self.slots, self.pace.limit)
            self.pace.success()
            self.limits.append(self.pace.limit)


def test_more_is_asked_while_that_gives_more():
    wide = Simulated(lambda now: Pace(256, now), slots=10_000)
    wide.run(2000)
    assert wide.pace.limit == 256


@pytest.mark.parametrize("slots", [4, 16, 50])
def test_no_more_is_asked_than_a_server_keeps_up_with(slots):
    narrow = Simulated(lambda now: Pace(256, now), slots)
    narrow.run(5000)
    late = narrow.limits[1000:]
    assert min(late) >= min(slots, 8)
    assert sorted(late)[len(late) // 2] <= max(8, 2 * slots)
    assert max(late) <= max(16, 4 * slots)


def test_a_refusal_lowers_the_number_once_for_all_under_way():
    simulated = Simulated(lambda now: Pace(256, now), slots=10_000)
    simulated.run(2000)
    simulated.now += 1
    asked_at = simulated.now
    simulated.now += 1
    for _ in range(100):
        simulated.pace.refusal(asked_at, None)
    assert simulated.pace.limit == int(256 * 0.7)
    simulated.pace.refusal(simulated.now + 1, None)
    assert simulated.pace.limit == int(256 * 0.7 * 0.7)
    for _ in range(300):
        simulated.now += 1
        simulated.pace.refusal(simulated.now, None)
    assert simulated.pace.limit == 1
    simulated.run(500)
    assert 20 < simulated.pace.limit < 40, "it grows by one for each time that all are answered"


# -- log-probabilities that are none --------------------------------------------------------------


def test_a_server_without_log_probabilities_neither_scores_nor_chooses(upstream):
    model = upstream.model()
    assert model.abilities() == {"generate", "schema"}
    with pytest.raises(CurateError, match="cannot `score`: use a server that does"):
        list(model.score([Score("a", " b")]))
    with pytest.raises(CurateError, match="cannot `choose`: use a server that does"):
        list(model.choose([Choose("a", (" b", " c"))]))


def test_requests_that_make_no_sense_are_refused(upstream):
    model = upstream.model()
    with pytest.raises(ValueError, match="continuation 1 has no token"):
        list(model.score([Score("a", " b"), Score("a", "")]))
    with pytest.raises(ValueError, match="request 0 has no labels"):
        list(model.choose([Choose("a", ())]))


def test_violations_are_told():
    assert violation(SCHEMA, '{"query": "x"}') is None
    assert violation(SCHEMA, '{"query": "x"').startswith("not JSON")
    assert violation(SCHEMA, "[" * 100_000) == "nested too deeply"
    assert violation(SCHEMA, '{"query": 5}') == "query: 5 is not of type 'string'"
    remote = json.dumps({"$ref": "http://127.0.0.1:9/schema"})
    with pytest.raises(Exception, match="Unresolvable"):
        violation(remote, "{}")
